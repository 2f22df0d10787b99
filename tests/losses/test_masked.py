"""What every method keeps, all in one model."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from recsys.calibration import maps
from recsys.errors import DataError
from recsys.losses import LOSSES, ObjectiveLosses, d2q, distribution
from recsys.objectives import Objective, durations
from recsys.predictions import value_names
from tests.losses.samples import NAMES, OBJECTIVES, labels

N, B, K = 4000, 200, len(NAMES)
SMOOTHED = ("click", "like", "share", "hide", "stars", "mood", "distribution_by_length")  # rows are added to each class, or group

objectives = pytest.mark.parametrize("k", range(K), ids=NAMES)
weighted = pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])


class Feed:
    """Rows as arrays and as tensors, and losses fitted on them."""

    def __init__(self, rng, rows=N, *, weighted=False):
        self.labels_NK, self.durations_NA = labels(rng, rows)
        self.weights_N = rng.integers(0, 4, rows).astype(np.float32) if weighted else None
        self.losses = ObjectiveLosses.fit(OBJECTIVES, self.labels_NK, self.durations_NA, self.weights_N)

    @property
    def arrays(self):
        return self.labels_NK, self.durations_NA, self.weights_N

    @property
    def tensors(self):
        return tuple(None if array is None else torch.tensor(array) for array in self.arrays)

    def first(self, rows):
        """Tensors of the first rows."""
        return tuple(None if tensor is None else tensor[:rows] for tensor in self.tensors)

    def mean_labels(self):
        known = ~np.isnan(self.labels_NK)
        weights_NK = known * (1.0 if self.weights_N is None else self.weights_N[:, None].astype(float))
        return (weights_NK * np.nan_to_num(self.labels_NK.astype(float))).sum(0) / weights_NK.sum(0)

    def mean_values(self, outputs_NK):
        """Over the observed rows, weighted."""
        values_NK = self.losses.values(outputs_NK, self.tensors[1]).detach().numpy()[:, :K]
        weights_NK = ~np.isnan(self.labels_NK) * (1.0 if self.weights_N is None else self.weights_N[:, None].astype(float))
        return (weights_NK * values_NK).sum(0) / weights_NK.sum(0)


@pytest.fixture
def feed(rng):
    return Feed(rng)


@pytest.fixture
def outputs():
    return torch.randn(B, K, generator=torch.Generator().manual_seed(4))


def tolerance(k):
    return 3e-3 if NAMES[k] in SMOOTHED else 1e-7 if OBJECTIVES[k].learned_by == "distribution" else 1e-9  # thresholds are float32


@objectives
@weighted
def test_the_start_is_the_best_constant_and_has_loss_1(rng, k, weighted):
    feed = Feed(rng, weighted=weighted)
    constants_K = feed.losses.start_K.clone().requires_grad_()

    def loss(constants_K):
        return feed.losses(constants_K.expand(N, -1), *feed.tensors)[0][k]

    at_start = loss(constants_K)
    (gradient_K,) = torch.autograd.grad(at_start, constants_K)
    assert at_start.item() == pytest.approx(1.0, abs=tolerance(k))
    assert gradient_K.abs().max() < tolerance(k)
    for step in (-0.2, 0.2):
        assert loss(constants_K + step * (torch.arange(K) == k)) > at_start + 1e-4


@objectives
@weighted
def test_the_start_s_value_is_the_label_s_mean(rng, k, weighted):
    feed = Feed(rng, weighted=weighted)
    starts_NK = feed.losses.start_K.expand(N, -1)
    assert feed.mean_values(starts_NK)[k] == pytest.approx(feed.mean_labels()[k], rel=tolerance(k) + 1e-6)


@weighted
def test_smeared_values_add_up_to_the_labels_whatever_was_learned(rng, weighted):
    feed = Feed(rng, weighted=weighted)
    outputs_NK = torch.randn(N, K, dtype=torch.float64)
    feed.losses.fit_smearing(outputs_NK.numpy(), *feed.arrays)
    smeared = [k for k, name in enumerate(NAMES) if OBJECTIVES[k].learned_by == "huber" or OBJECTIVES[k].kind == "watch_time"]
    np.testing.assert_allclose(feed.mean_values(outputs_NK)[smeared], feed.mean_labels()[smeared], rtol=1e-9)


def test_smearing_stays_where_no_row_is_observed(feed):
    outputs_NK = np.random.default_rng(1).normal(size=(N, K))
    feed.losses.fit_smearing(outputs_NK, *feed.arrays)
    before = {name: tensor.clone() for name, tensor in feed.losses.state_dict().items()}
    feed.losses.fit_smearing(outputs_NK, np.full((N, K), np.nan), feed.durations_NA)
    assert all(torch.equal(tensor, before[name]) for name, tensor in feed.losses.state_dict().items())


def test_smearing_stays_where_there_is_no_row(feed):
    """Such as on the first days of a log, before anybody has answered: D2Q ended in an error."""
    before = {name: tensor.clone() for name, tensor in feed.losses.state_dict().items()}
    feed.losses.fit_smearing(np.empty((0, K)), np.empty((0, K)), feed.durations_NA[:0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in feed.losses.state_dict().items())


def test_what_learns_a_mean_is_not_smeared():
    assert not any(LOSSES[name].is_smeared for name in ("binary", "squared", "ordinal"))
    assert ObjectiveLosses(OBJECTIVES).is_smeared
    assert not ObjectiveLosses([o for o in OBJECTIVES if o.kind in ("binary", "ordinal")]).is_smeared


@objectives
def test_null_labels_have_no_part_in_the_loss_or_its_gradient(feed, outputs, k):
    labels_BK, durations_BA, _ = feed.first(B)
    outputs.requires_grad_()
    losses_K, counts_K = feed.losses(outputs, labels_BK, durations_BA)
    losses_K[k].backward()
    known = ~labels_BK[:, k].isnan()
    assert outputs.grad.isfinite().all()
    assert not outputs.grad[~known].any()
    assert outputs.grad[known, k].all()
    assert counts_K[k] == known.sum()
    alone_K, _ = feed.losses(outputs[known], labels_BK[known], durations_BA[known])
    assert losses_K[k].item() == pytest.approx(alone_K[k].item(), rel=1e-5)


def test_a_loss_that_overflows_where_nothing_is_observed_is_not_felt(feed, outputs):
    labels_BK, durations_BA, _ = feed.first(B)
    expected_K, _ = feed.losses(outputs, labels_BK, durations_BA)
    outputs = torch.where(labels_BK.isnan(), 1e30, outputs).requires_grad_()
    losses_K, _ = feed.losses(outputs, labels_BK, durations_BA)
    losses_K.sum().backward()
    torch.testing.assert_close(losses_K, expected_K)
    assert outputs.grad.isfinite().all()


@objectives
@pytest.mark.parametrize("how", ["no label", "no weight"])
def test_nothing_observed_is_a_loss_of_exactly_zero(feed, outputs, k, how):
    labels_BK, durations_BA, _ = feed.first(B)
    weights_B = torch.ones(B) if how == "no label" else labels_BK[:, k].isnan().float()
    labels_BK[:, k] = float("nan") if how == "no label" else labels_BK[:, k]
    outputs.requires_grad_()
    losses_K, counts_K = feed.losses(outputs, labels_BK, durations_BA, weights_B)
    losses_K[k].backward()
    assert losses_K[k] == 0.0
    assert counts_K[k] == 0.0
    assert not outputs.grad.any()


def test_a_weight_of_two_is_a_row_said_twice(rng, monkeypatch):
    """In the constants, in the losses and in what makes sums agree.

    Only the number of bins, which group is too small and the half row that is added to each class go by rows.
    """
    monkeypatch.setattr(distribution, "FEWEST_ROWS", 1)
    monkeypatch.setattr(d2q, "FEWEST_ROWS", 1)
    monkeypatch.setattr(distribution, "BIN_ROWS", 1)
    monkeypatch.setattr(maps, "MOST_BINS", 5)
    monkeypatch.setattr(maps, "BIN_ROWS", 1)
    labels_NK, durations_NA = labels(rng, 2000)
    weights_N = rng.integers(0, 3, 2000).astype(np.float32)
    outputs_NK = rng.normal(size=(2000, K))
    said = np.repeat(np.arange(2000), weights_N.astype(int))
    once = ObjectiveLosses.fit(OBJECTIVES, labels_NK, durations_NA, weights_N)
    twice = ObjectiveLosses.fit(OBJECTIVES, labels_NK[said], durations_NA[said])

    def agree():
        for name, tensor in once.state_dict().items():
            apart = 0.01 if name in ("start_K", "scale_K") or "ordinal" in name else 1e-6
            torch.testing.assert_close(tensor, twice.state_dict()[name], rtol=apart, atol=apart, msg=name)

    agree()
    once.fit_smearing(outputs_NK, labels_NK, durations_NA, weights_N)
    twice.fit_smearing(outputs_NK[said], labels_NK[said], durations_NA[said])
    agree()
    pairs = [
        losses(*(torch.tensor(array) for array in arrays))
        for losses, arrays in (
            (once, (outputs_NK, labels_NK, durations_NA, weights_N)),
            (once, (outputs_NK[said], labels_NK[said], durations_NA[said])),
        )
    ]
    torch.testing.assert_close(pairs[0], pairs[1], rtol=1e-9, atol=0)


@pytest.mark.parametrize("unit", [2.0**-20, 2.0**20])
def test_only_the_ratios_of_weights_count(rng, unit):
    """Half a row is half a row in whatever unit weights come: in millionths a rate of .3 began at .5."""
    feed = Feed(rng, weighted=True)
    same = ObjectiveLosses.fit(OBJECTIVES, feed.labels_NK, feed.durations_NA, feed.weights_N * unit)
    for name, tensor in feed.losses.state_dict().items():
        torch.testing.assert_close(same.state_dict()[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.words
def test_rows_thinned_and_weighted_up_have_the_same_loss_in_expectation(feed):
    rng = np.random.default_rng(3)
    outputs_BK = torch.tensor(rng.normal(size=(B, K)))
    labels_BK, durations_BA, _ = feed.first(B)
    negative = (labels_BK[:, NAMES.index("click")] == 0).numpy()
    whole_K, counts_K = feed.losses(outputs_BK, labels_BK, durations_BA)
    sums = []
    for _ in range(300):
        kept = ~negative | (rng.random(B) < 0.25)
        weights_B = torch.tensor(np.where(negative, 4.0, 1.0)[kept])
        losses_K, weight_K = feed.losses(outputs_BK[kept], labels_BK[kept], durations_BA[kept], weights_B)
        sums.append((losses_K * weight_K).detach().numpy())
    error_K = np.std(sums, axis=0) / np.sqrt(len(sums))
    assert (np.abs(np.mean(sums, axis=0) - (whole_K * counts_K).detach().numpy()) < 4 * error_K).all()


@pytest.mark.words
def test_gradients_are_those_of_differences(rng):
    feed = Feed(rng, weighted=True)
    losses = feed.losses.double()
    labels_BK, durations_BA, weights_B = feed.first(6)
    outputs_BK = torch.randn(6, K, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in losses.named_parameters()]

    def loss(outputs_BK, *thresholds):
        changed = dict(zip(names, thresholds, strict=True))
        return torch.func.functional_call(losses, changed, (outputs_BK, labels_BK, durations_BA, weights_B))[0]

    assert torch.autograd.gradcheck(loss, (outputs_BK, *losses.parameters()))


@pytest.mark.parametrize("extreme", [30.0, 200.0, 1e4])
def test_extreme_outputs_stay_finite(feed, extreme):
    signs = torch.tensor([1.0, -1.0])[torch.randint(2, (B, K), generator=torch.Generator().manual_seed(1))]
    outputs = (extreme * signs).requires_grad_()
    labels_BK, durations_BA, _ = feed.first(B)
    losses_K, _ = feed.losses(outputs, labels_BK, durations_BA)
    losses_K.sum().backward()
    assert losses_K.isfinite().all()
    assert outputs.grad.isfinite().all()
    if extreme < 1e4:  # exp of 10,000 is no number of seconds
        assert feed.losses.values(outputs.detach(), durations_BA).isfinite().all()


def test_float32_says_what_float64_says(feed, outputs):
    labels_BK, durations_BA, _ = feed.first(B)
    low_K, counts_K = feed.losses(outputs, labels_BK, durations_BA)
    high_K, _ = feed.losses(outputs.double(), labels_BK, durations_BA)
    assert (low_K.dtype, counts_K.dtype, high_K.dtype) == (torch.float32, torch.float32, torch.float64)
    torch.testing.assert_close(low_K.double(), high_K, rtol=1e-5, atol=1e-6)


def test_autocast_changes_nothing(feed, outputs):
    labels_BK, durations_BA, _ = feed.first(B)
    expected_K = feed.losses(outputs, labels_BK, durations_BA)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(feed.losses(outputs, labels_BK, durations_BA)[0], expected_K)
    rounded = outputs.bfloat16()  # labels are not
    expected_K = feed.losses(rounded.float(), labels_BK, durations_BA)[0]
    torch.testing.assert_close(feed.losses(rounded, labels_BK, durations_BA)[0], expected_K)


def test_the_order_of_objectives_means_nothing(feed, outputs):
    labels_BK, durations_BA, _ = feed.first(B)
    order = np.random.default_rng(2).permutation(K)
    others = [OBJECTIVES[k] for k in order]
    swap = [1, 0] if durations(others)[0] == "song_length" else [0, 1]
    other = ObjectiveLosses.fit(others, feed.labels_NK[:, order], feed.durations_NA[:, swap])
    torch.testing.assert_close(
        other(outputs[:, order], labels_BK[:, order], durations_BA[:, swap])[0], feed.losses(outputs, labels_BK, durations_BA)[0][order]
    )
    values = dict(zip(value_names(OBJECTIVES), feed.losses.values(outputs, durations_BA).T, strict=True))
    for name, value_B in zip(value_names(others), other.values(outputs[:, order], durations_BA[:, swap]).T, strict=True):
        torch.testing.assert_close(value_B, values[name], msg=name)


def test_values_stand_in_the_order_of_their_names(feed, outputs):
    values_BV = feed.losses.values(outputs, feed.first(B)[1]).detach()
    assert values_BV.dtype == torch.float64
    named = dict(zip(value_names(OBJECTIVES), values_BV.T, strict=True))
    for name, levels in (("stars", (1, 2, 3, 4, 5)), ("mood", (-1, 0.1, 2))):
        probabilities = [named[f"{name}={level:g}"] for level in levels]
        torch.testing.assert_close(sum(probabilities), torch.ones(B, dtype=torch.float64))
        torch.testing.assert_close(sum(p * level for p, level in zip(probabilities, levels, strict=True)), named[name])
    assert (named["share"] < named["like"]).all()
    assert (named["like"] < named["click"]).all()


def test_saved_and_loaded_into_a_fresh_one_it_says_the_same_bits(feed, outputs):
    labels_BK, durations_BA, _ = feed.first(B)
    loaded = ObjectiveLosses(OBJECTIVES)
    loaded.load_state_dict(load(save(feed.losses.state_dict())))
    assert torch.equal(loaded(outputs, labels_BK, durations_BA)[0], feed.losses(outputs, labels_BK, durations_BA)[0])
    assert torch.equal(loaded.values(outputs, durations_BA), feed.losses.values(outputs, durations_BA))


def test_the_only_parameters_are_thresholds(feed):
    assert [name for name, _ in feed.losses.named_parameters()] == ["methods.distribution.cuts_JGC", "methods.ordinal.cuts_JC"]
    assert not list(ObjectiveLosses([o for o in OBJECTIVES if o.learned_by not in ("ordinal", "distribution")]).parameters())


def test_durations_that_are_needed_and_not_given_are_an_error(feed, outputs):
    labels_BK, _, _ = feed.first(B)
    for call in (
        lambda: feed.losses(outputs, labels_BK),
        lambda: feed.losses.values(outputs),
        lambda: feed.losses.fit_smearing(outputs.numpy(), labels_BK.numpy()),
        lambda: ObjectiveLosses.fit(OBJECTIVES, feed.labels_NK),
    ):
        with pytest.raises(ValueError, match="found no durations, expected columns of video_length, song_length"):
            call()


def test_an_objective_without_training_labels_is_an_error(feed):
    feed.labels_NK[:, 2] = np.nan
    with pytest.raises(DataError, match=r"column label\.stars: found no label on any training day.*4,000 of 4,000 rows\. Fix: "):
        ObjectiveLosses.fit(OBJECTIVES, *feed.arrays)
    with pytest.raises(DataError, match=r"found labels on training rows of weight 0 alone, .* mend train\.weight"):
        ObjectiveLosses.fit(OBJECTIVES[5:6], feed.labels_NK[:, 5:6], weights_N=np.zeros(N))


@pytest.mark.parametrize(
    ("options", "good", "bad", "message"),
    [
        ({}, [0, 1], [0.5, -1], "found -1, 0.5, expected 0 or 1 \\(binary\\); 2 of 4 rows"),
        ({"kind": "regression"}, [-3, 2.5], [np.inf], "found inf, expected a finite number \\(regression\\); 1 of 3 rows"),
        ({"kind": "regression", "loss": "huber"}, [-3, 2.5], [np.inf], "found inf, expected a finite number"),
        ({"kind": "watch_time"}, [0, 9], [-0.1], "found -0.1, expected a finite number of 0 or more"),
        (
            {"kind": "watch_time", "method": "log_squared"},
            [0, 9],
            [-0.1, np.inf],
            "found -0.1, inf, expected a finite number of 0 or more \\(watch_time\\)",
        ),
        ({"kind": "watch_time", "method": "weighted_logistic"}, [0, 9], [-0.1], "found -0.1, expected a finite number of 0 or more"),
        ({"kind": "watch_time", "method": "d2q", "duration": "length"}, [0, 9], [-0.1], "found -0.1, expected a finite number of 0 or "),
        ({"kind": "ordinal", "levels": (0.1, 2)}, [0.1, 2], [1, 3, 3], "found 1, 3, expected one of 0.1, 2 \\(ordinal\\)"),
    ],
)
def test_only_what_a_method_can_learn_is_valid(options, good, bad, message):
    objectives = [Objective(name="o", label="x", **options)]

    def fit(labels):
        ObjectiveLosses.fit(objectives, np.array([*labels, np.nan], dtype=np.float32)[:, None], np.ones((len(labels) + 1, 1)))

    fit(good)
    with pytest.raises(DataError, match=rf"column label\.o: {message}.*Fix: "):
        fit([*good, *bad])


def test_inputs_are_left_as_they_were(feed, outputs):
    arrays = (feed.labels_NK, feed.durations_NA, outputs.numpy())
    copies = [array.copy() for array in arrays]
    feed.losses(outputs, *feed.first(B))
    feed.losses.values(outputs, feed.first(B)[1])
    feed.losses.fit_smearing(outputs.numpy(), feed.labels_NK[:B], feed.durations_NA[:B])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
