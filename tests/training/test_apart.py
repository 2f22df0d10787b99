"""Objectives that share nothing: one training of all is a training of each alone, early stopping included."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from recsys.balancing.baseline import losses_of
from recsys.config import Pipeline
from recsys.scoring import load
from recsys.training.apart import groups, take
from tests.training.states import batch_of, state_of

from .conftest import DAYS, encoded_of, journal, pipeline_of, run_train, tables, with_label

OBJECTIVES = ({"name": "coin", "label": "is_coin = 1", "group": "satisfaction"}, {"name": "click", "label": "is_click = 1"})
TRAIN = {"order": "shuffled", "schedule": "constant", "passes": 8, "patience": 2, "learning_rate": 4e-3, "batch_size": 64}


def _pipeline(**train: Any) -> Pipeline:
    return pipeline_of(objectives=OBJECTIVES, model={"architecture": "single_task"}, train={**TRAIN, **train})


def _alone(pipeline: Pipeline, name: str) -> Pipeline:
    learned = (o.model_copy(update={"loss_weight": float(o.name == name)}) for o in pipeline.objective)
    return pipeline.model_copy(update={"objective": tuple(learned)})


def _with_coin(days: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """A label that nothing tells: what is learned of it is overfitted from the first pass on."""
    rng = np.random.default_rng(9)
    return {day: with_label(table, "coin", rng.permutation(len(table)) % 2.0) for day, table in days.items()}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoded_of(tmp_path_factory.mktemp("coin"), _with_coin(tables(150)), _pipeline())[1]


def _passes(run: Path) -> dict[str, int]:
    (passes,) = json.loads((run / "model/inside.json").read_text())["passes_chosen"]
    return dict(passes)


@pytest.mark.words
def test_each_objective_is_what_it_is_when_trained_alone(encoded: Path, tmp_path: Path) -> None:
    """Its number of passes, its loss on the validation days, its predictions there before the refit and of the test day after it."""
    pipeline, together = _pipeline(), tmp_path / "together"
    test = _with_coin(tables(150))[DAYS[5]]
    run_train(pipeline, encoded, together)
    found = load(together / "model").predict(test, position="logged")
    passes = [line["loss"] for line in journal(together, event="pass", phase="choose")]
    assert min(passes, key=lambda loss: loss["coin"]) is passes[0]
    assert min(passes, key=lambda loss: loss["click"]) not in passes[:3]  # or this test shows nothing
    for place, name in enumerate(("coin", "click")):
        alone = tmp_path / name
        run_train(_alone(pipeline, name), encoded, alone)
        (kept,), (kept_alone,) = (journal(run, event="kept") for run in (together, alone))
        assert kept["loss"][name] == pytest.approx(kept_alone["loss"][name], rel=1e-5)
        assert kept["loss"][name] == pytest.approx(min(loss[name] for loss in passes), rel=1e-9)
        assert _passes(together)[name] == _passes(alone)[name]
        chosen, chosen_alone = (pq.read_table(run / "model/validation.parquet")[f"pred.{name}"].to_numpy() for run in (together, alone))
        np.testing.assert_allclose(chosen, chosen_alone, rtol=1e-4)
        expected = load(alone / "model").predict(test, position="logged")
        np.testing.assert_allclose(found[:, place], expected[:, place], rtol=1e-4)


@pytest.mark.words
def test_training_stops_when_the_last_objective_has_waited_long_enough(encoded: Path, tmp_path: Path) -> None:
    run_train(_pipeline(passes=12, patience=1, learning_rate=1e-2), encoded, tmp_path / "run")
    passes = [line["loss"] for line in journal(tmp_path / "run", event="pass")]
    first_worse = {}
    for name in ("coin", "click"):
        first_worse[name] = next(n for n in range(1, len(passes)) if passes[n][name] >= min(loss[name] for loss in passes[:n]))
    assert _passes(tmp_path / "run") == first_worse
    assert len(passes) == max(first_worse.values()) + 1 < 12


@pytest.mark.words
def test_what_shares_something_has_one_choice_for_all(encoded: Path, tmp_path: Path) -> None:
    pipeline = pipeline_of(objectives=OBJECTIVES, model={"architecture": "shared_bottom"}, train={**TRAIN, "refit": False})
    run_train(pipeline, encoded, tmp_path / "run")
    sums = [sum(line["loss"].values()) for line in journal(tmp_path / "run", event="pass")]
    assert _passes(tmp_path / "run") == dict.fromkeys(("coin", "click"), int(np.argmin(sums)) + 1)
    (kept,) = journal(tmp_path / "run", event="kept")
    assert sum(kept["loss"].values()) == pytest.approx(min(sums), rel=1e-9)
    assert losses_of(tmp_path / "run", pipeline.objective) == list(kept["loss"].values())  # what balance.worst_case.baseline reads


@pytest.mark.words
def test_an_objective_that_no_validation_label_judges_takes_the_passes_of_the_one_that_takes_most(tmp_path: Path) -> None:
    days = _with_coin(tables(150))
    for day in DAYS[3:5]:
        days[day] = with_label(days[day], "coin", np.full(150, np.nan))
    pipeline = _pipeline(passes=3, refit=False)
    run_train(pipeline, encoded_of(tmp_path, days, pipeline)[1], tmp_path / "run")
    passes = _passes(tmp_path / "run")
    assert passes["coin"] == passes["click"] > 1


def test_what_given_ties_into_one_loss_is_chosen_together() -> None:
    objectives = pipeline_of(
        objectives=(
            {"name": "like", "label": "a = 1", "given": "click"},
            {"name": "stars", "kind": "regression", "label": "b"},
            {"name": "click", "label": "c = 1"},
        )
    ).objective
    assert groups("single_task", objectives) == ((0, 2), (1,))
    assert groups("soft", objectives) == ((0, 1, 2),)


@pytest.mark.parametrize("group", [(0,), (1, 4), (2,), (3,)])
@pytest.mark.parametrize("position", ["tower", "input"])
def test_what_is_taken_of_a_group_makes_its_outputs_and_losses_and_nobody_elses(position: str, group: tuple[int, ...]) -> None:
    """Thresholds of two ordinal objectives and one that is given another among them."""
    kinds = ("ordinal", "binary", "watch_time", "ordinal", "binary|1")
    old, new = (state_of(architecture="single_task", kinds=kinds, position=position, noise=noise).member for noise in (0.1, 0.3))
    with torch.no_grad():
        for parameter in new.losses.parameters():
            parameter.add_(0.7)  # thresholds stay in order
        for member in (old, new):
            member.ranker.inputs.embeddings.tables.table[0] = 0.0  # padding, which is nobody's and never learned
    best: dict[str, torch.Tensor] = {}
    for each in range(len(kinds)):
        take(best, old, (each,))
    before, after = _losses(old, kinds), _losses(new, kinds)
    take(best, new, group)
    new.load_state_dict(best)
    expected = before.clone()
    expected[list(group)] = after[list(group)]
    assert (before - after).abs().min() > 1e-3  # or this test shows nothing
    torch.testing.assert_close(_losses(new, kinds), expected)


@torch.no_grad()
def _losses(member: torch.nn.Module, kinds: tuple[str, ...]) -> torch.Tensor:
    batch = batch_of(kinds)
    output = member.ranker.eval()(batch, position="logged")
    losses: torch.Tensor = member.losses(output.outputs_BK, batch.labels, batch.durations, batch.weights)[0]
    return losses
