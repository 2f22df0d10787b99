import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr

from recsys.errors import DataError
from recsys.losses import ObjectiveLosses, d2q
from recsys.losses.kind import weighted_quantiles
from recsys.objectives import Objective

WATCH = Objective(name="watch", kind="watch_time", method="d2q", duration="length", label="x")


def fit(labels, durations, weights=None):
    return ObjectiveLosses.fit([WATCH], np.asarray(labels, dtype=float)[:, None], np.asarray(durations, dtype=float)[:, None], weights)


def ranks(losses, labels, durations):
    """The ranks Φ(y), read off the loss: (σ(o) − Φ)² at σ(o) = 0, its scale taken out."""
    outputs = torch.full((1, 1), -1e3, dtype=torch.float64)
    pairs = torch.tensor(np.column_stack([labels, durations]))
    rows = [losses(outputs, pair[None, :1], pair[None, 1:])[0].item() for pair in pairs]
    return np.sqrt(np.array(rows) * losses.scale_K.item())


def predicted(losses, shares, durations):
    outputs = torch.logit(torch.tensor(shares, dtype=torch.float64))[:, None]
    unsmeared = losses.values(outputs, torch.tensor(durations, dtype=torch.float64)[:, None]) / losses.methods["d2q"].smear_J
    return unsmeared[:, 0].numpy()


def test_by_hand(monkeypatch):
    """Two lengths. Of 10 s: 0, 0, 4, 8 s watched, ranks 1/4 (twice), 5/8, 7/8. Of 60 s: 5, 10, 60, 60 s, ranks 1/8, 3/8, 3/4 (twice)."""
    monkeypatch.setattr(d2q, "FEWEST_ROWS", 1)
    labels, durations = [0, 0, 4, 8, 5, 10, 60, 60], [10] * 4 + [60] * 4
    losses = fit(labels, durations)
    np.testing.assert_allclose(
        ranks(losses, labels, durations), [1 / 4, 1 / 4, 5 / 8, 7 / 8, 1 / 8, 3 / 8, 3 / 4, 3 / 4], atol=1 / d2q.KNOTS
    )
    np.testing.assert_allclose(predicted(losses, [1 / 4, 5 / 8, 7 / 8, 1 / 8, 3 / 8, 3 / 4], [10] * 3 + [60] * 3), [0, 4, 8, 5, 10, 60])


def groups_of(losses, durations):
    edges = losses.methods["d2q"].edges_JE[0].numpy()
    return np.searchsorted(edges[np.isfinite(edges)], durations)


def sample(rng, rows=12_000):
    """Watch times with heaps at 0 and at the full length."""
    durations = rng.lognormal(3.5, 0.7, rows)
    labels = np.clip(rng.normal(0.5, 0.5, rows), 0, 1) * durations
    return labels, durations


def test_ranks_are_scipy_s_within_each_group(rng):
    labels, durations = sample(rng)
    losses = fit(labels, durations)
    groups = groups_of(losses, durations)
    assert np.unique(groups).tolist() == list(range(d2q.GROUPS))
    assert np.bincount(groups).tolist() == [400] * d2q.GROUPS
    some = rng.permutation(12_000)[:600]
    expected = np.empty(12_000)
    for group in range(d2q.GROUPS):
        mine = groups == group
        expected[mine] = (rankdata(labels[mine], method="average") - 0.5) / mine.sum()
    assert np.abs(ranks(losses, labels[some], durations[some]) - expected[some]).max() < 1.5 / d2q.KNOTS


def test_a_rank_goes_back_to_the_watch_time_that_it_came_from(rng):
    labels, durations = sample(rng)
    losses = fit(labels, durations)
    some = (labels > 0) & (labels < durations) & (rng.random(12_000) < 0.1)
    back = predicted(losses, ranks(losses, labels[some], durations[some]), durations[some])
    middle = np.abs(ranks(losses, labels[some], durations[some]) - 0.5) < 0.49  # the CDF ends at its outer knots
    np.testing.assert_allclose(back[middle], labels[some][middle], rtol=1e-6)


def test_the_inverse_is_numpy_s_interpolation_of_the_quantiles(rng):
    labels, durations = rng.exponential(20.0, 5000), np.full(5000, 30.0)
    losses = fit(labels, durations)
    levels, shares = (np.arange(d2q.KNOTS) + 0.5) / d2q.KNOTS, rng.random(300)
    expected = np.interp(shares, levels, np.quantile(labels, levels, method="inverted_cdf"))
    np.testing.assert_allclose(predicted(losses, shares, np.full(300, 30.0)), expected, rtol=1e-9)


def test_a_missing_length_is_ranked_among_all(rng):
    labels, durations = sample(rng)
    durations[:1000] = np.nan
    losses = fit(labels, durations)
    expected = (rankdata(labels) - 0.5) / len(labels)
    assert np.abs(ranks(losses, labels[:300], np.full(300, np.nan)) - expected[:300]).max() < 1.5 / d2q.KNOTS


def test_a_length_never_seen_goes_to_the_nearest_group(rng):
    labels, durations = sample(rng)
    losses = fit(labels, durations)
    shares = np.linspace(0.05, 0.95, 20)
    for unseen, nearest in ((0.01, durations.min()), (1e6, durations.max()), (np.inf, durations.max())):
        np.testing.assert_array_equal(predicted(losses, shares, np.full(20, unseen)), predicted(losses, shares, np.full(20, nearest)))


def test_groups_of_few_rows_are_merged(rng):
    counted = np.repeat([5.0, 10.0, 15.0, 20.0, 60.0], [400, 30, 30, 500, 50])
    edges = d2q.group_edges(counted, np.ones(len(counted)))
    assert edges.tolist() == [5.0]  # 10 and 15 are too few, even together, and so is 60 alone
    few = rng.random(350)
    assert len(d2q.group_edges(few, np.ones(350))) == 2
    assert len(d2q.group_edges(few[:99], np.ones(99))) == 0


def test_learning_ranks_learns_the_order_across_lengths(rng):
    """Given each row's true share of its length, the inverse orders rows by watch time though one output serves all lengths."""
    durations = rng.lognormal(3.5, 0.7, 12_000)
    share = rng.uniform(0.05, 0.95, 12_000)
    labels = share * durations
    losses = fit(labels, durations)
    assert spearmanr(predicted(losses, share, durations), labels).statistic > 0.99


def test_a_label_that_never_varies_is_predicted_as_it_is():
    losses = fit(np.full(500, 7.0), np.repeat([10.0, 20.0], 250))
    assert losses.scale_K.item() == 1.0
    assert losses.values(losses.start_K[None], torch.tensor([[10.0]])).item() == pytest.approx(7.0)


def test_lengths_that_are_all_missing_are_an_error():
    with pytest.raises(DataError, match=r"column length: found no duration on any training row.*watch.*; 20 of 20 rows\. Fix: "):
        fit(np.arange(20), np.full(20, np.nan))


def test_a_feed_that_is_mostly_not_watched_is_warned_of(rng):
    labels, durations = sample(rng)
    assert fit(labels, durations).warnings == ()
    (warning,) = fit(labels * (rng.random(12_000) < 0.3), durations).warnings
    assert warning.startswith("watch: found 7")
    assert 'method = "weighted_logistic" or "log_squared"' in warning


@pytest.mark.parametrize("weighted", [False, True])
def test_quantiles_are_numpy_s(rng, weighted):
    values, levels = rng.integers(0, 50, 701).astype(float), rng.random(200)
    weights = rng.uniform(0.2, 3.0, 701) if weighted else np.ones(701)
    expected = np.quantile(values, levels, weights=weights, method="inverted_cdf")
    np.testing.assert_array_equal(weighted_quantiles(values, weights, levels), expected)
