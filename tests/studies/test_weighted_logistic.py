import numpy as np
import pandas as pd
import pytest

from recsys.errors import DataError
from studies import weighted_logistic
from studies.weighted_logistic import figure, fit, measured, one_log, simulate, summary


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
def test_impressions_are_watched_as_often_and_as_long_as_said(share):
    impressions = simulate(share, 200_000, np.random.default_rng(1))
    assert impressions.watched_N.mean() == pytest.approx(share, rel=0.03)
    assert (impressions.y_N > 0).mean() == pytest.approx(share, rel=0.05)
    difference_N = impressions.y_N - impressions.expected_N
    assert abs(difference_N.mean()) < 3 * difference_N.std() / np.sqrt(len(difference_N))


def test_a_right_prediction_is_measured_as_right():
    true_N = np.array([1.0, 2.0, 4.0])
    assert measured(true_N, true_N) == {"ratio": 1.0, "middle_ratio": 1.0, "absolute_error": 0.0, "ordered_rightly": 1.0}
    assert measured(3 * true_N[::-1], true_N)["ordered_rightly"] == 0.0
    assert measured(3 * true_N, true_N)["ratio"] == 3.0


def test_odds_are_the_expected_watch_time_over_those_who_did_not_watch(monkeypatch):
    """E[T] / (1 − P), not E[T] (1 + P): at an even share the two are far apart."""
    monkeypatch.setattr(weighted_logistic, "TRAINING", 60_000)
    monkeypatch.setattr(weighted_logistic, "BATCH", 1024)
    table = pd.DataFrame(one_log(0.5, 1) + one_log(0.5, 2)).set_index("reading")
    odds = table.loc["odds"]
    np.testing.assert_allclose(odds["ratio"], odds["exact"], rtol=0.12)
    assert (odds["first_order"] < 0.5 * odds["exact"]).all()
    np.testing.assert_allclose(table.loc["mended", "ratio"], 1.0, atol=0.1)
    assert table.loc["mended", "ordered_rightly"].tolist() == pytest.approx(odds["ordered_rightly"].tolist(), abs=1e-4)
    assert set(summary(table.reset_index())["seeds"]) == {2}
    assert {"hconcat", "datasets"} <= figure(table.reset_index()).to_dict().keys()


def test_a_feed_where_all_is_watched_is_refused():
    impressions = simulate(0.5, 1000, np.random.default_rng(1))
    with pytest.raises(DataError, match="every training impression watched"):
        fit(impressions._replace(y_N=np.ones(1000)), 1)
