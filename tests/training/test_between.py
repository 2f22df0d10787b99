"""Products of one batch's gradients with another's, against all rows at once and against sums written out.

Shape letters: B rows, K objectives, P weights of the shared layer, b batches.
"""

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from recsys.scoring.devices import Compute
from recsys.training import loop
from recsys.training.between import products_between
from recsys.training.gradients import cosines, gramian, weight_gradients
from recsys.training.measure import gradients_by_name
from tests.models import factory

from .conftest import DAYS, Toy, journal, pipeline_of, run_train
from .states import COUPLED, FP32, batch_of, forward, opposed, state_of

ROWS = 512
BF16 = Compute(torch.device("cpu"), "bf16")


def parts(batch, number, rows=ROWS):
    """The first batches of one of many rows."""
    return [type(batch)(*(column[start : start + rows] for column in batch)) for start in range(0, number * rows, rows)]


def gradients_of(state, batch):
    """[K, P] float64."""
    output, losses_K = forward(state, batch)
    return torch.stack(weight_gradients(losses_K, output, coupled=True)).double()


@pytest.mark.parametrize(
    ("architecture", "by", "rounds"),
    [("shared_bottom", 0.08, 1), pytest.param("shared_bottom", 0.06, 5, marks=pytest.mark.words), ("mmoe", 0.08, 5)],
)
def test_they_tell_the_cosine_of_all_rows_through_the_noise_of_labels(architecture, by, rounds):
    """20 batches of 512 a round. The mean cosine of single batches does not."""
    state, rows = opposed(architecture, rows=52_000, by=by)
    of_all = cosines(gramian(list(gradients_of(state, rows))))[0, 1].item()
    assert of_all < -0.5
    batches = parts(rows, 20 * rounds)
    products = [products_between(state, batches[20 * number : 20 * number + 20], FP32) for number in range(rounds)]
    named = gradients_by_name(torch.stack(products).mean(0), state.member.losses.objectives)["cosine"]
    assert named["o0"]["o1"] == pytest.approx(of_all, abs=0.1)
    single = [cosines(gramian(list(gradients_of(state, batch))))[0, 1].item() for batch in batches]
    assert np.mean(single) > of_all + 0.1


@pytest.mark.parametrize("kinds", [factory.KINDS, COUPLED], ids=["apart", "coupled"])
def test_they_are_means_over_pairs_of_different_batches(kinds):
    """Written out. An objective that is absent from a batch has no part in its pairs, nor in how many they are."""
    state = state_of(kinds=kinds)
    batches = [batch_of(kinds, seed) for seed in range(4)]
    present = np.ones((4, 4), bool)
    for b, k in ((0, 2), (1, 2), (3, 0)):
        batches[b].labels[:, k] = float("nan")
        present[b, k] = False
    gradients = [gradients_of(state, batch) for batch in batches]
    expected_KK = np.empty((4, 4))
    for j, k in itertools.product(range(4), repeat=2):
        pairs = [(b, c) for b, c in itertools.permutations(range(4), 2) if present[b, j] and present[c, k]]
        expected_KK[j, k] = np.mean([(gradients[b][j] @ gradients[c][k]).item() for b, c in pairs])
    np.testing.assert_allclose(products_between(state, batches, FP32).numpy(), expected_KK, rtol=1e-4, atol=1e-8)


def test_where_nothing_is_shared_there_are_none():
    assert products_between(state_of(architecture="single_task"), [batch_of(), batch_of(seed=1)], FP32) is None


@pytest.mark.parametrize("architecture", ["mmoe", "home"])
def test_measuring_changes_nothing_and_draws_no_number(architecture):
    state = state_of(architecture=architecture, dropout=0.3)
    before, random = copy.deepcopy(state.member.state_dict()), torch.get_rng_state()
    found, again = (products_between(state, [batch_of(), batch_of(seed=1)], FP32) for _ in range(2))
    assert torch.equal(found, again)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.member.state_dict().items())
    assert all(parameter.grad is None for parameter in state.member.parameters())
    assert state.member.training


def test_bf16_is_fp32_but_for_three_digits():
    state = state_of()
    batch = batch_of()
    low_K, high_K = (products_between(state, [batch, batch], compute).diagonal().sqrt() for compute in (BF16, FP32))
    torch.testing.assert_close(low_K, high_K, rtol=0.1, atol=1e-3)


def test_what_noise_hides_or_no_two_batches_tell_is_null():
    objectives = factory.objectives(("binary", "binary"))
    found = gradients_by_name(torch.tensor([[25.0, -3.0], [-3.0, -1.0]]), objectives)
    assert found["gradient_norm"] == {"o0": 5.0, "o1": None}
    assert found["cosine"] == {"o0": {"o1": None}, "o1": {"o0": None}}
    assert found["gradient_product"] == {"o0": {"o0": 25.0, "o1": -3.0}, "o1": {"o0": -3.0, "o1": -1.0}}
    over = gradients_by_name(torch.tensor([[1.0, -2.0], [-2.0, 1.0]]), objectives)
    assert over["cosine"]["o0"]["o1"] == -1.0
    nothing = torch.full((2, 2), torch.nan)
    assert gradients_by_name(nothing, objectives)["gradient_product"]["o0"] == {"o0": None, "o1": None}


# --- Along a training ---------------------------------------------------------------------------------------------
@pytest.mark.words
@pytest.mark.parametrize("method", ["fixed", "torchjd.upgrad"])
def test_the_training_is_the_same_without_measuring(toy: Toy, tmp_path, monkeypatch, method):
    pipeline = pipeline_of(train={"batch_size": 64, "refit": False}, balance={"method": method})
    run_train(pipeline, toy.encoded, tmp_path / "measured")
    monkeypatch.setattr(loop, "products_between", lambda *_: None)
    run_train(pipeline, toy.encoded, tmp_path / "not")
    assert not any(line["cosine"] for line in journal(tmp_path / "not"))
    one, other = ((tmp_path / name / "model/model.safetensors").read_bytes() for name in ("measured", "not"))
    assert one == other


@pytest.mark.words
def test_each_days_first_pass_is_measured_halfway_on_the_rows_to_come(toy: Toy, tmp_path, monkeypatch):
    """Of 300 rows a day: 5 steps a round, each with a line."""
    seen = []
    original = loop.products_between

    def spied(state, batches, compute):
        seen.append((state.place.round, state.place.step, sum(len(batch.labels) for batch in batches)))
        return original(state, batches, compute)

    monkeypatch.setattr(loop, "products_between", spied)
    run_train(pipeline_of(train={"batch_size": 64, "order": "time", "day_passes": 2}), toy.encoded, tmp_path / "run")
    assert seen == [(0, 2, 300 - 2 * 64)] * 5, "nothing of the second passes"
    lines = journal(tmp_path / "run", event="step")
    measured = [line for line in lines if line["cosine"]]
    assert [(line["day"], line["pass"], line["step"]) for line in measured] == [(day, 1, 10 * n + 3) for n, day in enumerate(DAYS[:5])]
    for line in measured:
        for name, products in line["gradient_product"].items():
            norm, product = line["gradient_norm"][name], products[name]
            assert norm == (pytest.approx(math.sqrt(product)) if product > 0 else None)
    assert all(not line["gradient_norm"] and not line["gradient_product"] for line in lines if not line["cosine"])


def test_one_batch_tells_nothing(toy: Toy, tmp_path):
    run_train(pipeline_of(train={"batch_size": 512, "order": "time"}), toy.encoded, tmp_path / "run")
    lines = journal(tmp_path / "run", event="step", phase="choose")
    assert len(lines) == 3
    for line in lines:
        assert line["gradient_norm"] == dict.fromkeys(("click", "watch", "like"))
        assert {value for others in line["cosine"].values() for value in others.values()} == {None}
