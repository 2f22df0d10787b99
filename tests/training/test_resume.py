"""An interrupted training ends as an uninterrupted one: the same bytes, the same lines."""

import json
import signal
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recsys import artifacts
from recsys.balancing.fixed import Fixed
from recsys.config import Pipeline
from recsys.errors import ArtifactError
from recsys.nn import embeddings
from recsys.training.checkpoint import Checkpoints
from recsys.training.interruption import Guard
from recsys.training.state import State

from .conftest import Said, Toy, journal, kinds_pipeline, pipeline_of, run_train

ORDERS = [  # how many members there are, and how many looks between two interruptions
    ({"order": "time"}, 2, 7),
    ({"order": "time", "day_passes": 2}, 1, 7),
    ({"order": "shuffled", "passes": 3, "patience": 1, "learning_rate": 0.05}, 1, 11),
]


def assert_equal(run: Path, other: Path) -> None:
    assert (run / "model/model.safetensors").read_bytes() == (other / "model/model.safetensors").read_bytes()
    assert pq.read_table(run / "model/validation.parquet").equals(pq.read_table(other / "model/validation.parquet"))
    assert (run / "training.jsonl").read_bytes() == (other / "training.jsonl").read_bytes()
    assert artifacts.verify(run / "model").content == artifacts.verify(other / "model").content
    assert not (run / "checkpoint").exists()


def _interrupt_every(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Presses Ctrl-C at every `looks`-th place where a training may stop: steps, and batches of predictions."""
    original: Callable[[Guard, State], None] = Guard.look
    count = 0

    def look(guard: Guard, state: State) -> None:
        nonlocal count
        count += 1
        if count % looks == 0:
            signal.raise_signal(signal.SIGINT)
        original(guard, state)

    monkeypatch.setattr(Guard, "look", look)


def _train_until_done(pipeline: Pipeline, encoded: Path, run: Path) -> int:
    """Types the same command again and again; returns how often it was interrupted."""
    for times in range(200):
        try:
            run_train(pipeline, encoded, run)
        except KeyboardInterrupt:
            assert not (run / "model").exists()
        else:
            return times
    raise AssertionError("never done")


@pytest.mark.parametrize(
    ("order", "members", "looks"),
    [
        pytest.param(*ORDERS[0], id="time", marks=pytest.mark.words),
        pytest.param(*ORDERS[1], id="two passes a day", marks=pytest.mark.words),
        pytest.param(*ORDERS[2], id="shuffled"),
    ],
)
def test_interrupted_again_and_again_it_ends_bit_equal(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: dict[str, Any], members: int, looks: int
) -> None:
    pipeline = pipeline_of(model={"members": members, "input_share": 0.8}, train={"batch_size": 100, **order})
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, looks)
    assert _train_until_done(pipeline, toy.encoded, tmp_path / "parts") >= 5
    assert_equal(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.words
def test_objectives_that_stop_apart_end_bit_equal_too(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = {"order": "shuffled", "passes": 4, "patience": 1, "learning_rate": 0.02, "batch_size": 100}
    pipeline = pipeline_of(model={"architecture": "single_task"}, train=train)
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    (passes,) = json.loads((tmp_path / "whole/model/inside.json").read_text())["passes_chosen"]
    assert len(set(passes.values())) > 1, passes  # or this test shows nothing
    _interrupt_every(monkeypatch, 17)
    assert _train_until_done(pipeline, toy.encoded, tmp_path / "parts") >= 5
    assert_equal(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.words
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_thinned_and_with_every_kind_of_label_it_ends_bit_equal_too(
    kinds_toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Thresholds and their moments, which rows are kept, and the looks of the choosing phase are gone on from."""
    negatives = {"objective": "click", "keep": 0.6}
    pipeline = kinds_pipeline(train={"order": order, "passes": 2, "batch_size": 80, "negatives": negatives})
    run_train(pipeline, kinds_toy.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 7)
    assert _train_until_done(pipeline, kinds_toy.encoded, tmp_path / "parts") >= 3
    assert_equal(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.words
@pytest.mark.parametrize("case", ["moments of a batch normalisation", "two members, tables that are not averaged"])
def test_with_averages_it_ends_bit_equal_too(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    model = {"architecture": "home", "home": {"hidden": [8]}} if "moments" in case else {"members": 2, "input_share": 0.7}
    monkeypatch.setattr(embeddings, "DENSE_ROWS", embeddings.DENSE_ROWS if "moments" in case else 0)
    pipeline = pipeline_of(model=model, train={"batch_size": 150, "order": "shuffled", "passes": 3, "averaging": 0.7})
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 6)
    assert _train_until_done(pipeline, toy.encoded, tmp_path / "parts") >= 3
    assert_equal(tmp_path / "parts", tmp_path / "whole")


STATEFUL = ("gradnorm", "worst_case", "uncertainty", *(f"torchjd.{name}" for name in ("dwa", "famo", "imtl_l", "gradvac", "cagrad")))
ALWAYS = ("gradnorm", "torchjd.famo")  # on gradients, by the losses after a step


@pytest.mark.words
@pytest.mark.parametrize(
    ("method", "order"),
    [
        pytest.param(method, order, marks=() if method in ALWAYS else pytest.mark.words)
        for method, order in zip(STATEFUL, cycle(["shuffled", "time"]), strict=False)  # rounds end alike in both
    ],
)
def test_with_a_way_of_balancing_that_remembers_it_ends_bit_equal_too(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, order: str
) -> None:
    """DWA needs three rounds of a phase before it weighs."""
    train = {"batch_size": 150, "order": order, "passes": 3, "refit": False}
    pipeline = pipeline_of(train=train, balance={"method": method})
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 5)
    assert _train_until_done(pipeline, toy.encoded, tmp_path / "parts") >= 2
    assert_equal(tmp_path / "parts", tmp_path / "whole")
    weights = [tuple(line["weight"].values()) for line in journal(tmp_path / "whole", event="step")]
    assert len(set(weights)) > 1


@pytest.mark.words
@pytest.mark.parametrize("order", ["time", pytest.param("shuffled", marks=pytest.mark.words)])
def test_a_round_ends_once_however_often_its_validation_is_interrupted(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    pipeline = pipeline_of(train={"batch_size": 300, "order": order, "passes": 3, "patience": 3})
    ended: list[None] = []
    monkeypatch.setattr(Fixed, "end_round", lambda self: ended.append(None))
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    rounds = len(ended)
    assert rounds >= 5
    original: Callable[[Guard, State], None] = Guard.look
    interrupted: dict[tuple[str, str, int], int] = {}

    def look(guard: Guard, state: State) -> None:
        place = (state.place.phase, state.place.day, state.place.round)
        if not state.judged.training and interrupted.get(place, 0) < 2:  # it predicts
            interrupted[place] = interrupted.get(place, 0) + 1
            signal.raise_signal(signal.SIGINT)
        original(guard, state)

    monkeypatch.setattr(Guard, "look", look)
    assert _train_until_done(pipeline, toy.encoded, tmp_path / "parts") == sum(interrupted.values()) >= 6
    assert len(ended) == 2 * rounds
    assert_equal(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("order", [pytest.param("time", marks=pytest.mark.words), "shuffled"])
def test_after_a_crash_it_goes_on_from_the_last_checkpoint(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    pipeline = pipeline_of(train={"batch_size": 100, "order": order, "passes": 2, "refit": False})
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    original, count = Guard.look, 0

    def crash(guard: Guard, state: State) -> None:
        nonlocal count
        count += 1
        if count == 8:
            raise OSError("the machine is gone")
        original(guard, state)

    monkeypatch.setattr(Guard, "look", crash)
    with pytest.raises(OSError, match="the machine is gone"):
        run_train(pipeline, toy.encoded, tmp_path / "parts")
    lines_of_the_crashed = len(journal(tmp_path / "parts"))
    assert lines_of_the_crashed > 0
    monkeypatch.setattr(Guard, "look", original)
    run_train(pipeline, toy.encoded, tmp_path / "parts")
    assert_equal(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.words
def test_a_checkpoint_of_another_config_is_not_gone_on_from(
    toy: Toy, plain_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _interrupt_every(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            run_train(pipeline_of(seed=8), toy.encoded, tmp_path / "run")
    said = Said()
    run_train(pipeline_of(), toy.encoded, tmp_path / "run", said)
    assert any("belongs to another config, other data or another version; starting afresh" in text for text in said.texts)
    assert_equal(tmp_path / "run", plain_run)


@pytest.mark.words
@pytest.mark.parametrize("gone", [True, False])
def test_a_journal_that_is_gone_or_damaged_means_starting_afresh(
    toy: Toy, plain_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    with monkeypatch.context() as patch:
        _interrupt_every(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            run_train(pipeline_of(), toy.encoded, tmp_path / "run")
    path = tmp_path / "run/checkpoint/journal-0.jsonl"
    path.unlink() if gone else path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    said = Said()
    run_train(pipeline_of(), toy.encoded, tmp_path / "run", said)
    assert any("shorter, or another one, than its checkpoint says" in text for text in said.texts)
    assert_equal(tmp_path / "run", plain_run)


@pytest.mark.words
def test_what_is_said_when_interrupted_and_when_going_on(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()
    with monkeypatch.context() as patch:
        _interrupt_every(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            run_train(pipeline_of(), toy.encoded, tmp_path / "run", said)
    assert "the same command goes on from it" in said.texts[-1]
    run_train(pipeline_of(), toy.encoded, tmp_path / "run", said)
    assert any(text.startswith("train: going on from the checkpoint (member 1, choose, step ") for text in said.texts)


def test_a_damaged_checkpoint_is_named_and_nothing_is_written(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _interrupt_every(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            run_train(pipeline_of(), toy.encoded, tmp_path / "run")
    state = tmp_path / "run/checkpoint/state-0.safetensors"
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    with pytest.raises(ArtifactError, match=r"state-0\.safetensors"):
        run_train(pipeline_of(), toy.encoded, tmp_path / "run")
    assert not (tmp_path / "run/model").exists()


def test_a_checkpoint_of_another_version_is_named(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _interrupt_every(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            run_train(pipeline_of(), toy.encoded, tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run/checkpoint", artifacts.fingerprint(pipeline_of().model_dump()))
    saved = checkpoints.read("state-0")
    assert saved is not None
    tensors = {name: tensor for name, tensor in saved.tensors.items() if name != "member.ranker.bias_tower.tables.position"}
    checkpoints.write("state-0", tensors, saved.facts)
    with pytest.raises(ArtifactError, match=r"checkpoint: found a checkpoint of another version \(.*bias_tower"):
        run_train(pipeline_of(), toy.encoded, tmp_path / "run")


@pytest.mark.words
def test_no_file_of_a_run_is_a_pickle(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupt_every(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        run_train(pipeline_of(), toy.encoded, tmp_path / "run")
    monkeypatch.undo()
    checkpoint = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert checkpoint == {".safetensors", ".jsonl"}
    pipeline = pipeline_of()
    run_train(pipeline, toy.encoded, tmp_path / "run")
    assert {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()} == {".safetensors", ".jsonl", ".json", ".parquet"}


@pytest.mark.words
def test_measured_gradients_are_kept_until_their_line(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 steps a round, a line every other one: the first step after measuring has none."""
    pipeline = pipeline_of(train={"batch_size": 12, "order": "time", "refit": False})
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    original: Callable[[Guard, State], None] = Guard.look
    interrupted: set[str] = set()

    def look(guard: Guard, state: State) -> None:
        if state.products_KK is not None and state.place.day not in interrupted:
            interrupted.add(state.place.day)
            signal.raise_signal(signal.SIGINT)
        original(guard, state)

    monkeypatch.setattr(Guard, "look", look)
    assert _train_until_done(pipeline, toy.encoded, tmp_path / "parts") == len(interrupted) == 3
    assert_equal(tmp_path / "parts", tmp_path / "whole")
    assert sum(bool(line["cosine"]) for line in journal(tmp_path / "parts")) == 3
