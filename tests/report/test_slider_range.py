"""The travel of a slider: its weights by a formula, its end where nothing changes any more."""

import numpy as np
import pytest

from recsys.evaluation import list_metric
from recsys.evaluation.fused_order import FusedRows, OrderMetric
from recsys.list_metrics import ListMetric
from recsys.report.pages.slider_range import MOST, STILL, Travel, travels


def rows_of(terms_NK: np.ndarray, labels_NK: np.ndarray) -> FusedRows:
    user_N = np.arange(len(terms_NK)) % 50
    return FusedRows(terms_NK, labels_NK, user_N, user_N, 50, 50)


def judged(rows: FusedRows) -> OrderMetric:
    return OrderMetric(rows, list_metric(ListMetric("captured", percent=10.0)))


@pytest.fixture
def rows() -> FusedRows:
    """The second term is 0 but for a few rows that stand far off: any weight that is not tiny puts them last."""
    rng = np.random.default_rng(1)
    rare_N = rng.random(5000) < 0.02
    terms_NK = np.column_stack([rng.normal(size=5000), np.where(rare_N, -100.0, 0.0), rng.normal(size=5000)])
    labels_NK = np.column_stack([terms_NK[:, 0] > 1, rare_N, terms_NK[:, 2] > 1]).astype(float)
    return rows_of(terms_NK, labels_NK)


def test_a_slider_ends_where_the_order_stays(rows) -> None:
    own_K, metric = np.array([1.0, 0.001, 1.0]), judged(rows)
    plain, rare, _ = travels(rows, metric, own_K)
    assert rare.last < 0.6 < plain.last

    def values(share: float) -> np.ndarray:
        return metric.values(rows.score(np.array([1.0, rare.unit * share / (1 - share), 1.0])))

    grid_SK = np.array([values(share) for share in np.linspace(0, MOST, 30)])
    moved_K = np.abs(values(rare.last) - values(MOST))
    assert (moved_K <= STILL * np.ptp(grid_SK, axis=0) + 1e-12).all()
    assert (np.abs(values(rare.last / 2) - values(MOST)) > 0).any()


def test_half_the_pull_is_the_weight_at_which_spreads_are_equal(rows) -> None:
    own_K = np.array([1.0, 0.001, 2.0])
    spread_K = rows.spread()
    for k, travel in enumerate(travels(rows, judged(rows), own_K)):
        others = sum(own_K[j] * spread_K[j] for j in range(3) if j != k)
        assert travel.unit * spread_K[k] == pytest.approx(others)


def test_the_runs_own_weight_is_within_the_travel(rows) -> None:
    for weights in ([1.0, 0.001, 1.0], [500.0, 0.001, 0.01], [1e-6, 3.0, 1e6]):
        own_K = np.array(weights)
        for weight, travel in zip(own_K, travels(rows, judged(rows), own_K), strict=True):
            assert weight / (weight + travel.unit) < travel.last < 1


def test_a_weight_without_others_has_a_travel_too(rows) -> None:
    alone, other, _ = travels(rows, judged(rows), np.array([2.0, 0.0, 0.0]))
    assert alone == Travel(unit=2.0, last=MOST)
    assert other.unit > 0
    nothing = travels(rows, judged(rows), np.zeros(3))
    assert nothing == [Travel(unit=1.0, last=MOST)] * 3
