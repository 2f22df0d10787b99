"""Averaged parameters: the formula, what is not averaged, and who gets the averages."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recsys.config import Pipeline
from recsys.encoding import EncodedDays
from recsys.nn import embeddings
from recsys.scoring.member import Member, new_member
from recsys.scoring.model_folder import read_model
from recsys.training import fit, loop, measure
from recsys.training.averaging import Average
from recsys.training.state import State

from .conftest import DAYS, Toy, pipeline_of, run_train


def _member(toy: Toy) -> Member:
    return new_member(pipeline_of(), EncodedDays(toy.encoded, DAYS[:2]), 0)


def _walk(member: Member, steps: int) -> Iterator[dict[str, Tensor]]:
    """Move all parameters at random, and yield them as they are after each step."""
    torch.manual_seed(0)
    for _ in range(steps):
        with torch.no_grad():
            for parameter in member.parameters():
                parameter.add_(torch.randn_like(parameter))
        yield {name: parameter.detach().clone() for name, parameter in member.named_parameters()}


def test_means_are_plain_at_first_and_exponential_from_the_window_on(toy: Toy) -> None:
    member = _member(toy)
    average, seen = Average(member), []
    expected: dict[str, Tensor] = {}
    for step, now in enumerate(_walk(member, 12), start=1):
        average.update(5.0)
        seen.append(now)
        if step <= 5:
            expected = {name: torch.stack([old[name].double() for old in seen]).mean(0) for name in now}
        else:
            expected = {name: mean + (now[name].double() - mean) / 5 for name, mean in expected.items()}
        for name, parameter in average.member.named_parameters():
            torch.testing.assert_close(parameter.double(), expected[name], rtol=1e-4, atol=1e-4)
    assert len(expected) > 20


def test_a_window_of_one_step_is_the_member_itself(toy: Toy) -> None:
    member = _member(toy)
    average = Average(member)
    for _ in _walk(member, 3):
        average.update(1.0)
        assert all(torch.equal(a, b) for a, b in zip(average.member.parameters(), member.parameters(), strict=True))


def test_a_large_table_is_shared(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0)
    member = _member(toy)
    average = Average(member)
    for _ in _walk(member, 3):
        average.update(10.0)
    table = member.ranker.inputs.embeddings.tables.table
    assert average.member.ranker.inputs.embeddings.tables.table is table
    assert not any("tables.table" in name for name in average.means)
    heads = [each.ranker.towers.heads.weight for each in (average.member, member)]
    assert not torch.equal(*heads)


# --- In a training ------------------------------------------------------------------------------------------------
PASSES, ROWS, BATCH = 3, 1_500, 100  # of the refit, on five days


def _watch(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Return a list that fills with the parameters after each step of a refit."""
    steps: list[dict[str, Tensor]] = []
    whole = loop._step

    def watched(this: Any, state: State, batch: Any, share: float) -> Any:
        stepped = whole(this, state, batch, share)
        if state.place.phase == "refit":
            steps.append({name: parameter.detach().clone() for name, parameter in state.member.named_parameters()})
        return stepped

    monkeypatch.setattr(loop, "_step", watched)
    return steps


def _by_hand(steps: list[dict[str, Tensor]], averaging: float, schedule: str) -> dict[str, Tensor]:
    """Return the averages after these steps of PASSES planned passes: windows of passes, times the share of the learning rate."""
    total = PASSES * ROWS // BATCH
    warm_up = math.ceil(0.02 * total)
    expected = {name: tensor.double() for name, tensor in steps[0].items()}
    for step, now in enumerate(steps):
        rate = min(1.0, (step + 1) / warm_up) * (0.5 * (1 + math.cos(math.pi * step / total)) if schedule == "cosine" else 1.0)
        share = max(1 / (step + 1), 1 / max(1.0, averaging * rate * ROWS / BATCH))
        expected = {name: mean + (now[name].double() - mean) * share for name, mean in expected.items()}
    return expected


def _pipeline(**changes: Any) -> Pipeline:
    train = {"order": "shuffled", "passes": PASSES, "patience": PASSES, "batch_size": BATCH}
    return pipeline_of(train=train | changes.pop("train", {}), **changes)


@pytest.mark.words
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("averaging", [0.0, 0.01, 0.6])
def test_what_is_served_are_the_averages_of_the_refit(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, averaging: float, schedule: str
) -> None:
    steps = _watch(monkeypatch)
    run_train(_pipeline(train={"averaging": averaging, "schedule": schedule}), toy.encoded, tmp_path / "run")
    served = dict(read_model(tmp_path / "run/model").members[0].named_parameters())
    assert len(steps) % (ROWS // BATCH) == 0
    expected = _by_hand(steps, averaging, schedule)
    for name, parameter in served.items():
        torch.testing.assert_close(parameter.double(), expected[name], rtol=1e-4, atol=1e-5)
    is_last = all(torch.equal(served[name], steps[-1][name]) for name in served)
    falls_to_zero = schedule == "cosine" and len(steps) == PASSES * ROWS // BATCH
    assert is_last == (averaging < 0.1 or falls_to_zero), "a window of less than one step is one step"


@pytest.mark.words
def test_objectives_that_stop_apart_are_served_averages_of_their_own_passes(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _watch(monkeypatch)
    chosen = iter([{"click": 1, "watch": 3, "like": 2}] * 100)
    monkeypatch.setattr(fit, "passes_chosen", lambda work, state: next(chosen))
    model = {"architecture": "single_task", "single_task": {"hidden": [8]}}
    pipeline = _pipeline(model=model, train={"averaging": 0.6})
    run_train(pipeline, toy.encoded, tmp_path / "run")
    heads = read_model(tmp_path / "run/model").members[0].ranker.towers.heads.weight
    assert len(steps) == PASSES * ROWS // BATCH
    for k, passes in enumerate((1, 3, 2)):
        after = _by_hand(steps[: passes * ROWS // BATCH], 0.6, "cosine")["ranker.towers.heads.weight"]
        torch.testing.assert_close(heads[k].double(), after[k], rtol=1e-4, atol=1e-6)


def test_the_averages_choose_the_pass_with_thresholds_of_their_own(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution's thresholds are parameters of its loss."""
    judging, learning = [], []
    judged, stepped = measure.mean_losses, loop._step
    monkeypatch.setattr(measure, "mean_losses", lambda member, *rest: judging.append(member) or judged(member, *rest))
    monkeypatch.setattr(loop, "_step", lambda this, state, *rest: learning.append(state.member) or stepped(this, state, *rest))
    run_train(_pipeline(train={"refit": False}), toy.encoded, tmp_path / "run")
    *of_passes, kept = judging
    assert len(of_passes) == PASSES
    assert all(any("threshold" in name or "cut" in name for name, _ in member.losses.named_parameters()) for member in of_passes)
    assert all(member is not learning[0] for member in of_passes)
    assert kept is learning[0], "the phase has settled"


def test_moments_of_a_batch_normalisation_are_averaged_with_the_weights(toy: Toy) -> None:
    member = new_member(pipeline_of(model={"architecture": "home", "home": {"hidden": [8]}}), EncodedDays(toy.encoded, DAYS[:2]), 0)
    average = Average(member)
    (name, *others) = [name for name in average.means if "running" in name]
    assert others
    buffer = member.get_buffer(name)
    for value in (1.0, 2.0, 6.0):
        buffer.fill_(value)
        average.update(10.0)
    torch.testing.assert_close(average.member.get_buffer(name), torch.full_like(buffer, 3.0))


@pytest.mark.words
def test_in_time_order_the_window_is_so_many_days_and_goes_on_over_them(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 rows a day: 5 steps. A window of less than one step is the parameters themselves."""
    seen: list[tuple[int, float]] = []
    update = Average.update
    monkeypatch.setattr(Average, "update", lambda self, window: (update(self, window), seen.append((self.steps, window)))[0])
    models = []
    for averaging in (0.0, 0.1, 0.5):
        seen.clear()
        train = {"order": "time", "averaging": averaging, "batch_size": 64}
        run_train(pipeline_of(train=train), toy.encoded, tmp_path / str(averaging))
        models.append(read_model(tmp_path / str(averaging) / "model").members[0].state_dict())
    assert seen == [(step, 2.5) for step in range(1, 5 * 5 + 1)]
    learned = [name for name, tensor in models[0].items() if tensor.is_floating_point() and "ranker" in name]
    assert all(torch.equal(models[0][name], models[1][name]) for name in learned)
    assert not all(torch.equal(models[0][name], models[2][name]) for name in learned)


@pytest.mark.words
def test_a_day_of_several_passes_is_one_window_and_a_day_of_few_rows_does_not_narrow_it(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    update = Average.update
    monkeypatch.setattr(Average, "update", lambda self, window: (update(self, window), seen.append(window))[0])
    train = {"order": "time", "averaging": 1.0, "batch_size": 64, "day_passes": 2}
    run_train(pipeline_of(train=train), toy.encoded, tmp_path / "run")
    assert set(seen) == {10.0}
    seen.clear()
    monkeypatch.setattr("recsys.training.day_by_day.rows_of_pace", lambda pipeline, encoded: 3 * 64_000)  # as if warm days were longer
    run_train(pipeline_of(train=train), toy.encoded, tmp_path / "other")
    assert set(seen) == {2000.0}
