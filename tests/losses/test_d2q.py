import numpy as np
import pytest
import torch
from scipy.special import logit
from scipy.stats import rankdata, spearmanr

from recsys.errors import EXIT_DATA, DataError
from recsys.losses import ObjectiveLosses, d2q, lengths
from recsys.losses.loss import weighted_quantiles
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


def learn(losses, shares, labels, durations, weights=None):
    """As after training: a net that says these ranks σ(o) on these rows."""
    columns = (np.asarray(values, dtype=float)[:, None] for values in (logit(shares), labels, durations))
    losses.fit_smearing(*columns, weights)


def predicted(losses, shares, durations):
    outputs = torch.tensor(logit(np.asarray(shares, dtype=float)))[:, None]
    return losses.values(outputs, torch.tensor(np.asarray(durations, dtype=float))[:, None])[:, 0].numpy()


def test_by_hand(monkeypatch):
    """Two lengths. Of 10 s: 0, 0, 4, 8 s watched, ranks 1/4 (twice), 5/8, 7/8. Of 60 s: 5, 10, 60, 60 s, ranks 1/8, 3/8, 3/4 (twice)."""
    monkeypatch.setattr(d2q, "FEWEST_ROWS", 1)
    labels, durations = [0, 0, 4, 8, 5, 10, 60, 60], [10] * 4 + [60] * 4
    losses = fit(labels, durations)
    np.testing.assert_allclose(
        ranks(losses, labels, durations), [1 / 4, 1 / 4, 5 / 8, 7 / 8, 1 / 8, 3 / 8, 3 / 4, 3 / 4], atol=1 / d2q.KNOTS
    )
    np.testing.assert_allclose(predicted(losses, [0.1, 0.9, 0.1, 0.9], [10, 10, 60, 60]), [3, 3, 33.75, 33.75])  # of a net not asked yet


def groups_of(losses, durations):
    edges = losses.methods["d2q"].groups.edges_JE[0].numpy()
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
    assert np.unique(groups).tolist() == list(range(lengths.GROUPS))
    assert np.bincount(groups).tolist() == [400] * lengths.GROUPS
    some = rng.permutation(12_000)[:600]
    expected = np.empty(12_000)
    for group in range(lengths.GROUPS):
        mine = groups == group
        expected[mine] = (rankdata(labels[mine], method="average") - 0.5) / mine.sum()
    assert np.abs(ranks(losses, labels[some], durations[some]) - expected[some]).max() < 1.5 / d2q.KNOTS


class MostlyUnwatched:
    """A feed whose truth is known: a row of latent u in (0, 1) is watched with probability .6 u², uniformly up to the length.

    So E[y] = .3 u² · length, and 80 % are 0. Ranks of zeros are z/2 (z their share), of the watched z … 1: E[rank] = z/2 + .3 u².
    """

    def __init__(self, rng, rows=40_000):
        self.durations = rng.lognormal(3.5, 0.7, rows)
        u = rng.random(rows)
        self.labels = (rng.random(rows) < 0.6 * u**2) * rng.random(rows) * self.durations
        self.truth = 0.3 * u**2 * self.durations
        self.shares = 0.4 + 0.3 * u**2


def test_a_feed_that_is_mostly_not_watched_is_predicted_at_its_true_means(rng):
    """What a net of the true mean rank would be served as: the mean watch time at each rank and length, on rows not fitted on."""
    feed, new = MostlyUnwatched(rng), MostlyUnwatched(rng)
    losses = fit(feed.labels, feed.durations)
    assert losses.warnings == ()
    learn(losses, feed.shares, feed.labels, feed.durations)
    assert predicted(losses, feed.shares, feed.durations).sum() == pytest.approx(feed.labels.sum(), rel=1e-9)
    values = predicted(losses, new.shares, new.durations)
    by_rank = np.digitize(new.shares, np.quantile(new.shares, np.arange(1, 6) / 6))
    by_length = np.digitize(new.durations, np.quantile(new.durations, [1 / 3, 2 / 3]))
    for rank in range(6):
        for length in range(3):
            cell = (by_rank == rank) & (by_length == length)
            assert values[cell].mean() == pytest.approx(new.truth[cell].mean(), rel=0.15, abs=0.2)  # a dozen watched rows in the lowest
    assert spearmanr(values, new.truth).statistic > 0.98
    assert np.sqrt(np.mean((values - new.truth) ** 2)) < 0.25 * new.truth.std()


def test_among_videos_of_one_length_the_net_s_order_stays(rng):
    """Strictly between the outer knots of the map; nothing is turned round anywhere."""
    feed = MostlyUnwatched(rng)
    losses = fit(feed.labels, feed.durations)
    learn(losses, feed.shares, feed.labels, feed.durations)
    for length in np.quantile(feed.durations, [0.01, 0.5, 0.99]):
        steps = np.diff(predicted(losses, np.linspace(0.4, 0.7, 400), np.full(400, length)))
        assert (steps >= 0).all()
        assert (steps > 0).mean() > 0.8


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_agree_within_each_group_whatever_was_learned(rng, weighted):
    labels, durations = sample(rng)
    weights = rng.uniform(0.1, 3.0, len(labels)) if weighted else np.ones(len(labels))
    shares = rng.uniform(0.01, 0.99, len(labels))
    losses = fit(labels, durations)
    learn(losses, shares, labels, durations, weights)
    groups, values = groups_of(losses, durations), predicted(losses, shares, durations)
    np.testing.assert_allclose(np.bincount(groups, weights * values), np.bincount(groups, weights * labels), rtol=1e-9)


def test_before_a_net_is_asked_a_group_s_mean_is_predicted(rng):
    labels, durations = sample(rng)
    losses = fit(labels, durations)
    groups = groups_of(losses, durations)
    means = np.bincount(groups, labels) / np.bincount(groups)
    np.testing.assert_allclose(predicted(losses, rng.random(len(labels)), durations), means[groups], rtol=1e-9)


@pytest.mark.parametrize("how", ["of few rows", "of no row", "not watched"])
def test_a_group_with_too_little_to_fit_a_map_has_that_of_all_rows(rng, how):
    """In the group of missing lengths: its values rise with the rank and are not 0, and the sum over all rows agrees."""
    feed = MostlyUnwatched(rng)
    missing = np.arange(len(feed.labels)) < {"of few rows": d2q.FEWEST_ROWS - 1, "of no row": 0, "not watched": 300}[how]
    labels, durations = np.where(missing, 0.0, feed.labels), np.where(missing, np.nan, feed.durations)
    losses = fit(labels, durations)
    learn(losses, feed.shares, labels, durations)
    assert predicted(losses, feed.shares, durations).sum() == pytest.approx(labels.sum(), rel=1e-9)
    low, high = predicted(losses, [0.42, 0.65], [np.nan, np.nan])
    mean_length = np.exp(3.5 + 0.7**2 / 2)
    assert low == pytest.approx(0.02 * mean_length, rel=0.5)
    assert high == pytest.approx(0.25 * mean_length, rel=0.15)


def test_a_group_in_which_nothing_was_watched_is_an_error(rng):
    labels, durations = sample(rng)
    labels[durations > np.quantile(durations, 0.9)] = 0.0
    found = (
        r"column label\.watch: found no watch time above 0 where length is \d+\.\d+ to \d+\.\d+, expected .*; 400 of 12,000 rows\. Fix: "
    )
    with pytest.raises(DataError, match=found) as error:
        fit(labels, durations)
    assert error.value.exit_code == EXIT_DATA
    fit(np.append(labels[durations < 60], 0.0), np.append(durations[durations < 60], np.nan))  # a missing length is ranked among all


def test_a_missing_length_is_ranked_among_all(rng):
    labels, durations = sample(rng)
    durations[:1000] = np.nan
    losses = fit(labels, durations)
    expected = (rankdata(labels) - 0.5) / len(labels)
    assert np.abs(ranks(losses, labels[:300], np.full(300, np.nan)) - expected[:300]).max() < 1.5 / d2q.KNOTS


def test_a_length_never_seen_goes_to_the_nearest_group(rng):
    feed = MostlyUnwatched(rng, 12_000)
    losses = fit(feed.labels, feed.durations)
    learn(losses, feed.shares, feed.labels, feed.durations)
    shares = np.linspace(0.4, 0.7, 20)
    for unseen, nearest in ((0.01, feed.durations.min()), (1e6, feed.durations.max()), (np.inf, feed.durations.max())):
        np.testing.assert_array_equal(predicted(losses, shares, np.full(20, unseen)), predicted(losses, shares, np.full(20, nearest)))


def test_groups_of_few_rows_are_merged(rng):
    counted = np.repeat([5.0, 10.0, 15.0, 20.0, 60.0], [400, 30, 30, 500, 50])
    edges = lengths.group_edges(counted, np.ones(len(counted)), 100)
    assert edges.tolist() == [5.0]  # 10 and 15 are too few, even together, and so is 60 alone
    few = rng.random(350)
    assert len(lengths.group_edges(few, np.ones(350), 100)) == 2
    assert len(lengths.group_edges(few[:99], np.ones(99), 100)) == 0


def test_learning_ranks_learns_the_order_across_lengths(rng):
    """Given each row's true share of its length, values order rows by watch time though one output serves all lengths."""
    durations = rng.lognormal(3.5, 0.7, 12_000)
    share = rng.uniform(0.05, 0.95, 12_000)
    labels = share * durations
    losses = fit(labels, durations)
    learn(losses, share, labels, durations)
    assert spearmanr(predicted(losses, share, durations), labels).statistic > 0.99


def test_a_label_that_never_varies_is_predicted_as_it_is():
    losses = fit(np.full(500, 7.0), np.repeat([10.0, 20.0], 250))
    assert losses.scale_K.item() == 1.0
    assert losses.values(losses.start_K[None], torch.tensor([[10.0]])).item() == pytest.approx(7.0)


def test_lengths_that_are_all_missing_are_an_error():
    with pytest.raises(DataError, match=r"column length: found no duration on any training row.*watch.*; 20 of 20 rows\. Fix: "):
        fit(np.arange(20), np.full(20, np.nan))


@pytest.mark.parametrize("weighted", [False, True])
def test_quantiles_are_numpy_s(rng, weighted):
    values, levels = rng.integers(0, 50, 701).astype(float), rng.random(200)
    weights = rng.uniform(0.2, 3.0, 701) if weighted else np.ones(701)
    expected = np.quantile(values, levels, weights=weights, method="inverted_cdf")
    np.testing.assert_array_equal(weighted_quantiles(values, weights, levels), expected)
