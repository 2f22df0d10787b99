"""Averaged parameters: the formula, what is not averaged, and who gets the averages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from recsys.encoding import EncodedDays
from recsys.nn import embeddings
from recsys.scoring.member import Member, new_member
from recsys.scoring.model_folder import read_model
from recsys.training import loop
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
        for name, parameter in average.predicting().named_parameters():
            torch.testing.assert_close(parameter.double(), expected[name], rtol=1e-4, atol=1e-4)
    assert len(expected) > 20


def test_a_window_of_one_step_is_the_member_itself(toy: Toy) -> None:
    member = _member(toy)
    average = Average(member)
    for _ in _walk(member, 3):
        average.update(1.0)
        assert all(torch.equal(a, b) for a, b in zip(average.member.parameters(), member.parameters(), strict=True))


def test_buffers_are_the_members_own_and_a_large_table_is_shared(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0)
    member = _member(toy)
    average = Average(member)
    for _ in _walk(member, 3):
        average.update(10.0)
    table = member.ranker.inputs.embeddings.tables.table
    assert average.member.ranker.inputs.embeddings.tables.table is table
    assert not any("tables.table" in name for name in average.means)
    member.losses.start_K.add_(7.0)
    assert torch.equal(average.predicting().losses.start_K, member.losses.start_K)
    heads = [each.ranker.towers.heads.weight for each in (average.member, member)]
    assert not torch.equal(*heads)


# --- In a training ------------------------------------------------------------------------------------------------
def _run(toy: Toy, run: Path, monkeypatch: pytest.MonkeyPatch, **train: Any) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """Train one member in shuffled order. Return what is served, and the parameters after each step of the refit."""
    steps: list[dict[str, Tensor]] = []
    whole = loop._step

    def watched(this: Any, state: State, batch: Any) -> Any:
        stepped = whole(this, state, batch)
        if state.place.phase == "refit":
            steps.append({name: parameter.detach().clone() for name, parameter in state.member.named_parameters()})
        return stepped

    monkeypatch.setattr(loop, "_step", watched)
    run_train(pipeline_of(train={"order": "shuffled", "passes": 1, "batch_size": 50, **train}), toy.encoded, run)
    return dict(read_model(run / "model").members[0].named_parameters()), steps


@pytest.mark.parametrize("averaging", [0.0, 0.5])
def test_what_is_served_are_the_averages_of_the_refit(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, averaging: float) -> None:
    served, steps = _run(toy, tmp_path / "run", monkeypatch, averaging=averaging)
    assert len(steps) >= 6
    expected = {name: tensor.double() for name, tensor in steps[0].items()}
    window = max(1.0, averaging * len(steps))
    for step, now in enumerate(steps, start=1):
        share = max(1 / step, 1 / window)
        expected = {name: mean + (now[name].double() - mean) * share for name, mean in expected.items()}
    for name, parameter in served.items():
        torch.testing.assert_close(parameter.double(), expected[name], rtol=1e-4, atol=1e-5)
    is_last = all(torch.equal(served[name], steps[-1][name]) for name in served)
    assert is_last == (averaging == 0)


def test_in_time_order_nothing_is_averaged(toy: Toy, tmp_path: Path) -> None:
    models = []
    for averaging in (0.0, 0.5):
        run_train(pipeline_of(train={"order": "time", "averaging": averaging}), toy.encoded, tmp_path / str(averaging))
        models.append(read_model(tmp_path / str(averaging) / "model").members[0].state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
