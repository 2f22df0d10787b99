import numpy as np
import pytest
import torch
from scipy.special import logit

from recsys.errors import DataError
from recsys.losses import ObjectiveLosses, distribution, lengths
from recsys.objectives import Objective

WATCH = Objective(name="watch", kind="watch_time", label="x")


def fit(labels):
    return ObjectiveLosses.fit([WATCH], np.asarray(labels, np.float64)[:, None]).double()


def column(numbers):
    return torch.tensor(np.asarray(numbers, np.float64))[:, None]


def predicted(losses, outputs):
    return losses.values(column(outputs))[:, 0].numpy()


def loss(losses, outputs, labels):
    """In nats, not in units of the best constant's."""
    return float(losses(column(outputs), column(labels))[0][0].detach() * losses.scale_K[0])


def smear(losses, outputs, labels):
    losses.fit_smearing(column(outputs).numpy(), column(labels).numpy())


def test_by_hand(monkeypatch):
    """Labels 0 (twice), 3 and 5, a bin each: an output of 0 gives their shares, one of log 2 doubles the odds of being beyond each edge."""
    monkeypatch.setattr(distribution, "BIN_ROWS", 1)
    losses = fit([0, 0, 3, 5])
    assert loss(losses, [0.0], [0.0]) == pytest.approx(np.log(2))
    assert loss(losses, [0.0], [5.0]) == pytest.approx(np.log(4))
    beyond = np.array([2 / 3, 2 / 5])  # odds of 1 : 1 and 1 : 3, doubled
    shares = np.array([1 - beyond[0], beyond[0] - beyond[1], beyond[1]])
    for label, share in zip([0.0, 3.0, 5.0], shares, strict=True):
        assert loss(losses, [np.log(2)], [label]) == pytest.approx(-np.log(share), rel=1e-6)
    assert predicted(losses, [0.0, np.log(2)]) == pytest.approx([2.0, shares @ [0, 3, 5]], rel=1e-6)


def test_of_few_different_watch_times_it_is_the_ordinal_loss(rng):
    """They share only the formula (`cumulative`). Levels against bins: their thresholds are given the same numbers."""
    levels = (0.0, 2.0, 7.0, 30.0)
    labels, outputs = rng.choice(levels, 3000, p=[0.6, 0.2, 0.1, 0.1]), rng.normal(size=3000)
    ours = fit(labels)
    stars = ObjectiveLosses.fit([Objective(name="stars", kind="ordinal", levels=levels, label="x")], labels[:, None]).double()
    with torch.no_grad():
        stars.methods["ordinal"].cuts_JC[0].copy_(ours.methods["distribution"].cuts_JGC[0, 0, :3])
    assert loss(ours, outputs, labels) == pytest.approx(loss(stars, outputs, labels), rel=1e-9)
    np.testing.assert_allclose(predicted(ours, outputs), predicted(stars, outputs), rtol=1e-6)


class Feed:
    """A feed whose truth is known: a latent u moves the odds of watching beyond any time.

    P(y > t | u) = σ(u − log(t / 10)): y = 10 · exp(u + logistic noise). Watches below `least` seconds become 0, and 600 s is the end.
    """

    def __init__(self, rng, rows=40_000, least=4.0):
        self.u = rng.normal(size=rows) - 1
        self.labels = self._watched(self.u, rng.logistic(size=rows), least)
        noise = logit((np.arange(2000) + 0.5) / 2000)
        grid = np.linspace(-6, 5, 221)
        self.truth = np.interp(self.u, grid, [self._watched(u, noise, least).mean() for u in grid])

    def _watched(self, u, noise, least):
        seconds = np.minimum(10 * np.exp(u + noise), 600.0)
        return np.where(seconds < least, 0.0, seconds)


def test_what_knows_the_truth_predicts_its_means_and_nothing_has_a_lower_loss(rng):
    feed, new = Feed(rng), Feed(rng)
    losses = fit(feed.labels)
    # Thresholds start at the shares of all rows. They are learned, here alone, with the true u as the output.
    optimiser = torch.optim.LBFGS(losses.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        lost = losses(column(feed.u), column(feed.labels))[0].sum()
        lost.backward()
        return lost

    optimiser.step(closure)
    edges = losses.methods["distribution"].edges_JC[0].numpy()
    learned = losses.methods["distribution"].cuts_JGC[0, 0].detach().numpy()
    thresholds = np.cumsum([learned[0], *np.exp(learned[1:])])
    inner = edges > 4.0  # the edge 0 stands for the cut at 4 s
    np.testing.assert_allclose(thresholds[0], np.log(4 / 10), atol=0.05)
    np.testing.assert_allclose(thresholds[inner], np.log(edges[inner] / 10), atol=0.25)
    smear(losses, feed.u, feed.labels)
    values = predicted(losses, new.u)
    assert values.mean() == pytest.approx(new.labels.mean(), rel=0.03)
    assert np.sqrt(np.mean((values - new.truth) ** 2)) < 0.08 * new.truth.std()
    best = loss(losses, new.u, new.labels)
    for worse in (0.8 * new.u, 1.2 * new.u, new.u + 0.2, new.u - 0.2):
        assert loss(losses, worse, new.labels) > best


def test_the_order_is_the_output_s(rng):
    feed = Feed(rng, rows=5000)
    losses = fit(feed.labels)
    smear(losses, feed.u, feed.labels)
    steps = np.diff(predicted(losses, np.linspace(-4, 3, 400)))
    assert (steps >= 0).all()
    assert (steps > 0).mean() > 0.95


@pytest.mark.parametrize("watched", [0.3, 0.02])
def test_rows_that_hardly_anybody_watches_are_still_told_apart(rng, watched):
    """Isotonic regression alone gives 0 to all rows of a block in which nobody watched; these would tie, far below all others."""
    u = rng.normal(size=20_000)
    labels = np.where(rng.random(20_000) < watched * np.exp(u - 0.5), rng.exponential(30, 20_000), 0.0)
    losses = fit(labels)
    smear(losses, 2 * u - 2, labels)
    values = predicted(losses, np.sort(2 * u - 2))
    assert values.min() > 0
    assert (np.diff(values) > 0).mean() > 0.99
    assert predicted(losses, 2 * u - 2).sum() == pytest.approx(labels.sum(), rel=1e-9)


def test_another_unit_changes_no_loss_and_multiplies_every_value(rng):
    """Log-squared losses of seconds and of milliseconds are two losses: log(1 + y) puts zeros at another distance."""
    feed = Feed(rng, rows=4000)
    seconds, milliseconds = fit(feed.labels), fit(1000 * feed.labels)
    for losses, labels in ((seconds, feed.labels), (milliseconds, 1000 * feed.labels)):
        smear(losses, feed.u, labels)
    assert loss(seconds, feed.u, feed.labels) == pytest.approx(loss(milliseconds, feed.u, 1000 * feed.labels), rel=1e-9)
    np.testing.assert_allclose(predicted(milliseconds, feed.u), 1000 * predicted(seconds, feed.u), rtol=1e-9)


@pytest.mark.parametrize("label", [0.0, 0.7, 30.0])
def test_a_label_that_never_varies_is_predicted_as_it_is(label):
    losses = fit(np.full(1000, label))
    assert predicted(losses, [-3.0, 0.0, 8.0]) == pytest.approx([label] * 3)
    assert losses(column([2.0]), column([label]))[0].tolist() == [0.0]
    smear(losses, np.linspace(-1, 1, 1000), np.full(1000, label))
    assert predicted(losses, [-3.0, 0.0, 8.0]) == pytest.approx([label] * 3)


@pytest.mark.parametrize(("watched", "bins"), [(0, 1), (1, 2), (39, 2), (40, 3), (100, 6), (5000, distribution.BINS)])
def test_each_bin_of_watched_rows_has_rows_enough(rng, watched, bins):
    labels = np.append(np.zeros(200), rng.exponential(30, watched))
    edges = distribution.bin_edges(labels, np.ones(len(labels)))
    assert len(edges) == bins - 1
    counts = np.bincount(np.searchsorted(edges, labels))
    assert counts[0] == 200
    assert counts[1:].sum() == watched
    assert watched < distribution.BIN_ROWS or counts[1:].min() >= distribution.BIN_ROWS


def test_a_watch_time_of_many_rows_is_a_bin(rng):
    """Half are watched to the end: the quantiles there are one edge, and the last bin is not empty."""
    labels = np.where(rng.random(4000) < 0.5, 60.0, rng.uniform(1, 60, 4000))
    edges = distribution.bin_edges(labels, np.ones(4000))
    assert edges[0] > 0  # no row is unwatched
    assert edges[-1] < 60.0
    assert (np.bincount(np.searchsorted(edges, labels)) > 0).all()
    losses = fit(labels)
    assert predicted(losses, [0.0]) == pytest.approx([labels.mean()])


BY_LENGTH = Objective(name="watch", kind="watch_time", duration="seconds", label="x")


class FeedOfLengths:
    """Watch times that are a share of the length, if the video is opened at all: a latent u moves the odds of that, and no length does.

    `truth` is the expected watch time. `beaten` is the share of all watch times that the row is expected to exceed, ties counted half.
    """

    def __init__(self, rng, rows=60_000):
        self.lengths = np.exp(rng.normal(3.5, 0.8, rows))
        self.u = rng.normal(size=rows) - 1
        opened = 1 / (1 + np.exp(-self.u))
        self.labels = np.where(rng.random(rows) < opened, self.lengths * rng.beta(1.5, 1.2, rows), 0.0)
        self.truth = opened * self.lengths * 1.5 / 2.7
        below = (self.labels == 0).mean() / 2
        shares = rng.beta(1.5, 1.2, 200)
        watched = np.array([np.searchsorted(np.sort(self.labels), length * shares).mean() / rows for length in self.lengths[:2000]])
        self.beaten = (1 - opened[:2000]) * below + opened[:2000] * watched

    def learned(self):
        """Losses whose thresholds have learned this feed, with the true u as the output."""
        losses = ObjectiveLosses.fit([BY_LENGTH], self.labels[:, None], self.lengths[:, None]).double()
        optimiser = torch.optim.LBFGS(losses.parameters(), max_iter=60, line_search_fn="strong_wolfe")

        def closure():
            optimiser.zero_grad()
            lost = losses(column(self.u), column(self.labels), column(self.lengths))[0].sum()
            lost.backward()
            return lost

        optimiser.step(closure)
        losses.fit_smearing(self.u[:, None], self.labels[:, None], self.lengths[:, None])
        return losses


def error(values, truth):
    return np.sqrt(np.mean((values - truth) ** 2)) / truth.std()


def test_with_the_length_means_are_right_at_every_length_and_percentiles_order(rng):
    """Both are read from one output, which knows no length. Without the length, one output gives all lengths one value."""
    feed = FeedOfLengths(rng)
    losses = feed.learned()
    values, percentiles = losses.values(column(feed.u), column(feed.lengths)).numpy().T
    longest = feed.lengths > np.quantile(feed.lengths, 29 / 30)  # one group
    assert values[longest].mean() == pytest.approx(feed.labels[longest].mean(), rel=0.1)
    assert values.sum() == pytest.approx(feed.labels.sum(), rel=1e-9)
    assert error(values, feed.truth) < 0.4
    alone = fit(feed.labels)
    smear(alone, feed.u, feed.labels)
    assert error(predicted(alone, feed.u), feed.truth) > 0.8
    assert percentiles.min() >= 0.0
    assert percentiles.max() <= 1.0
    assert np.abs(percentiles[:2000] - feed.beaten).max() < 0.05
    assert np.corrcoef(percentiles[:2000], feed.beaten)[0, 1] > 0.99


def test_rows_of_unknown_length_are_a_group_and_few_rows_use_the_map_of_all(rng, monkeypatch):
    monkeypatch.setattr(distribution, "FEWEST_ROWS", 100)
    feed = FeedOfLengths(rng, rows=4000)
    feed.lengths[:60] = np.nan
    losses = ObjectiveLosses.fit([BY_LENGTH], feed.labels[:, None], feed.lengths[:, None]).double()
    losses.fit_smearing(feed.u[:, None], feed.labels[:, None], feed.lengths[:, None])
    method = losses.methods["distribution"]
    groups = np.unique(method.groups.of(column(feed.lengths), column(feed.u)).numpy())
    assert groups.tolist() == [lengths.UNKNOWN, *range(1, lengths.GROUPS + 1)]
    values = losses.values(column(feed.u), column(feed.lengths))[:, 0].numpy()
    assert np.isfinite(values).all()
    assert values.sum() == pytest.approx(feed.labels.sum(), rel=1e-9)
    # The few rows of unknown length have the map that all rows together have.
    expected = method._expected(column(feed.u), method._tables(column(feed.u), column(feed.lengths)), method.means_JGL).detach().numpy()
    of_all = distribution._fitted_map(float(method.means_JGL.max()), expected[:, 0], feed.labels, np.ones(4000))
    ratio = method.corrected_JGP[0, lengths.UNKNOWN, : len(of_all[1])].numpy()[1:] / of_all[1][1:]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_a_small_log_has_few_groups(rng):
    """In groups of 100 rows the shares of the bins are chance, and percentiles would order lengths by it."""
    feed = FeedOfLengths(rng, rows=4000)
    losses = ObjectiveLosses.fit([BY_LENGTH], feed.labels[:, None], feed.lengths[:, None])
    groups = losses.methods["distribution"].groups.of(column(feed.lengths), column(feed.u)).numpy()
    counts = np.bincount(groups[:, 0])
    assert len(counts) == 1 + 3
    assert counts[1:].min() >= distribution.FEWEST_ROWS


@pytest.mark.parametrize("unknown", [60, 11_940], ids=["few without a length", "few with a length"])
def test_a_group_of_few_rows_starts_as_all_rows_together(rng, unknown):
    """By their own shares, 60 rows of no other watch times began with a mean a third too high or too low, and an order by chance."""
    feed = FeedOfLengths(rng, rows=12_000)
    feed.lengths[:unknown] = np.nan
    few = np.nan if unknown == 60 else feed.lengths[-1]
    losses = ObjectiveLosses.fit([BY_LENGTH], feed.labels[:, None], feed.lengths[:, None]).double()
    value, percentile = losses.values(column([0.0]), column([few]))[0].numpy()
    assert value == pytest.approx(feed.labels.mean(), rel=0.05)
    assert percentile == pytest.approx(0.5, abs=0.001)


def test_a_length_that_no_training_row_has_is_refused(rng):
    feed = FeedOfLengths(rng, rows=500)
    with pytest.raises(DataError, match="column seconds: found no duration on any training row, expected the video's length, which watch"):
        ObjectiveLosses.fit([BY_LENGTH], feed.labels[:, None], np.full((500, 1), np.nan))


def test_objectives_with_and_without_a_length_learn_side_by_side(rng):
    """Each as if it were alone, whichever column of lengths comes first."""
    feed = FeedOfLengths(rng, rows=3000)
    ranked = Objective(name="ranked", kind="watch_time", method="d2q", duration="other", label="x")
    other = rng.integers(5, 90, 3000).astype(float)
    together = ObjectiveLosses.fit([WATCH, ranked, BY_LENGTH], np.repeat(feed.labels[:, None], 3, axis=1), np.c_[other, feed.lengths])
    said = together.double().values(torch.tensor(np.repeat(feed.u[:, None], 3, axis=1)), torch.tensor(np.c_[other, feed.lengths]))
    for k, (objective, of_videos) in enumerate(((WATCH, None), (ranked, column(other)), (BY_LENGTH, column(feed.lengths)))):
        alone = ObjectiveLosses.fit([objective], feed.labels[:, None], None if of_videos is None else of_videos.numpy()).double()
        values = alone.values(column(feed.u), of_videos)
        torch.testing.assert_close(said[:, k], values[:, 0])
        if objective is BY_LENGTH:
            torch.testing.assert_close(said[:, 3], values[:, 1])
            assert said.shape[1] == 4


def test_an_objective_without_a_length_learns_in_the_group_that_it_has_alone(rng):
    """Or a run that starts from another one (`train.init_from`) would find its thresholds only where both or neither name a length."""
    seconds = column(rng.integers(5, 90, 50).astype(float))
    alone, beside = (ObjectiveLosses(objectives).methods["distribution"].groups for objectives in ([WATCH], [BY_LENGTH, WATCH]))
    assert alone.of(None, torch.zeros(50, 1)).unique().tolist() == [lengths.UNKNOWN]
    assert beside.of(seconds, torch.zeros(50, 2))[:, 1].unique().tolist() == [lengths.UNKNOWN]
