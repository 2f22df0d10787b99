"""What is frozen of the weights that a run starts from, and what learns beside it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from recsys.config import Pipeline
from recsys.encoding import PADDING_ROW, EncodedDays, Encoder, batches
from recsys.errors import ConfigError
from recsys.nn import embeddings
from recsys.scoring import member as members
from recsys.scoring.model_folder import read_model
from recsys.training.state import optimisers
from recsys.training.transfer import Transfer
from tests.training.conftest import DAYS, Toy, day_table, encoded_of, pipeline_of, run_train
from tests.training.transfer.conftest import EMBEDDING, TABLE, features_of, first_run, pipeline_from, rows_of, started, with_ids


def _trained(pipeline: Pipeline, encoded: Path, run: Path) -> dict[str, Tensor]:
    run_train(pipeline, encoded, run)
    return dict(read_model(run / "model").members[0].state_dict())


@pytest.mark.parametrize("method", ["fixed", "torchjd.upgrad"])
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_what_is_frozen_keeps_its_bits_and_what_is_new_learns(
    first: Path, other: Toy, tmp_path: Path, order: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time order with a sparse gradient of the tables, shuffled with a dense one."""
    monkeypatch.setattr(embeddings, "DENSE_ROWS", 0 if order == "time" else embeddings.DENSE_ROWS)
    train = {"freeze": ["embeddings", "shared", "experts", "towers"], "embedding_decay": 0.1, "order": order, "passes": 2}
    pipeline = pipeline_from(first, **train).model_copy(update={"balance": pipeline_of(balance={"method": method}).balance})
    start, _, held = started(pipeline, other.encoded, first)
    end = _trained(pipeline, other.encoded, tmp_path / "run")
    for name in held.frozen:
        mask = held.loaded[name]
        assert torch.equal(end[f"ranker.{name}"][mask], start[f"ranker.{name}"][mask]), name
    known_R, learned_R, moved_RW = _known(other.encoded, first), _with_likes(other.encoded), end[TABLE] != start[TABLE]
    assert (known_R & learned_R).sum() > 30
    assert (learned_R & ~known_R).sum() > 10
    assert not moved_RW[known_R, :EMBEDDING].any()
    assert not moved_RW[known_R, EMBEDDING + 1 :].any()  # click, watch
    assert moved_RW[known_R & learned_R, EMBEDDING].all()  # like
    assert moved_RW[learned_R & ~known_R].any(1).all()
    assert not torch.equal(end["ranker.towers.heads.weight"][0], start["ranker.towers.heads.weight"][0])
    assert not torch.equal(end["ranker.inputs.skip.weight"], start["ranker.inputs.skip.weight"])


@pytest.mark.words
@pytest.mark.parametrize(("architecture", "shared"), [("single_task", []), ("stem", ["shared"])])
def test_of_a_table_for_each_objective_a_new_ones_learns(other: Toy, tmp_path: Path, architecture: str, shared: list[str]) -> None:
    model = {"architecture": architecture, architecture: {"hidden": [8]}}
    first = first_run(tmp_path, model)
    pipeline = pipeline_from(first, model=model, freeze=["embeddings"], embedding_decay=0.1)
    start, _, _ = started(pipeline, other.encoded, first)
    end = _trained(pipeline, other.encoded, tmp_path / "run")
    known_R, learned_R = _known(other.encoded, first), _with_likes(other.encoded)
    tables = dict(
        zip([*shared, "like", "click", "watch"], (end[TABLE] != start[TABLE]).view(len(shared) + 3, len(known_R), -1), strict=True)
    )
    assert tables.pop("like")[learned_R].all()
    for name, moved_RW in tables.items():
        assert not moved_RW[known_R].any(), name
        assert moved_RW[learned_R & ~known_R].any(1).all(), name


def test_beside_held_numbers_a_new_one_learns_at_the_full_rate(first: Path, other: Toy) -> None:
    """Adagrad's first step on a number by itself is the learning rate, whatever its gradient."""
    pipeline = pipeline_from(first, freeze=["embeddings"])
    days = EncodedDays(other.encoded, DAYS[:3])
    member, batch = members.new_member(pipeline, days, 0), next(iter(batches(days, batch_size=len(days), order="time")))
    held = Transfer(pipeline, Encoder.load(other.encoded / "encoder"), first).start(member, 0, batch)
    dense, tables = optimisers(member, pipeline.train, 1e-3)
    held.hold(member.ranker, dense)
    losses_K, _ = member.losses(member.ranker(batch, position="logged").outputs_BK, batch.labels, batch.durations, batch.weights)
    losses_K.sum().backward()
    tables.step()
    moved_R = member.state_dict()[TABLE][_known(other.encoded, first) & _with_likes(other.encoded), EMBEDDING].abs()
    assert len(moved_R) > 30
    torch.testing.assert_close(moved_R, torch.full_like(moved_R, pipeline.train.embedding_learning_rate))


def _known(encoded: Path, first: Path) -> Tensor:
    """Which rows of the vocabulary are of values that the first run knew too."""
    ours, theirs = rows_of(Encoder.load(encoded / "encoder")), rows_of(read_model(first / "model").encoder)
    known_R = torch.zeros(max(ours.values()) + 1, dtype=torch.bool)
    known_R[[row for key, row in ours.items() if key in theirs]] = True
    return known_R


def _with_likes(encoded: Path) -> Tensor:
    """Which rows of the vocabulary stand in a training row that has a label of likes."""
    days = EncodedDays(encoded, DAYS[:3])
    batch = next(iter(batches(days, batch_size=len(days), order="time")))
    labelled_N = ~batch.labels[:, days.layout.objectives.index("like")].isnan()
    met_R = torch.zeros(days.layout.num_rows, dtype=torch.bool)
    met_R[batch.rows[labelled_N].flatten()] = True
    met_R[PADDING_ROW] = False
    return met_R


def test_experts_are_what_lies_below_the_gates(first: Path, other: Toy) -> None:
    _, _, held = started(pipeline_from(first, freeze=["experts"]), other.encoded, first)
    assert {name.split(".")[1] for name in held.frozen} == {"experts"}


@pytest.mark.words
def test_without_freezing_all_learns(first: Path, other: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_from(first)
    start, _, held = started(pipeline, other.encoded, first)
    end = _trained(pipeline, other.encoded, tmp_path / "run")
    assert held.frozen == frozenset()
    assert not torch.equal(end["ranker.architecture.experts.first.weight"], start["ranker.architecture.experts.first.weight"])
    assert not torch.equal(end[TABLE][:, :EMBEDDING], start[TABLE][:, :EMBEDDING])


def test_experts_that_are_not_there_cannot_be_frozen(tmp_path: Path, other: Toy) -> None:
    model = {"architecture": "single_task", "single_task": {"hidden": [8]}}
    first = first_run(tmp_path, model)
    with pytest.raises(ConfigError, match=r'found "experts" with model\.architecture = "single_task"'):
        started(pipeline_from(first, model=model, freeze=["experts"]), other.encoded, first)


def test_a_shared_part_that_is_not_there_cannot_be_frozen(tmp_path: Path, other: Toy) -> None:
    """Nothing was frozen then."""
    model, features = {"d_shared": 0}, features_of(history=0)
    days = {day: with_ids(day_table(number)) for number, day in enumerate(DAYS)}
    pipeline = pipeline_of(model=model, features=features)
    encoded = encoded_of(tmp_path, days, pipeline)[1]
    run_train(pipeline, encoded, tmp_path / "first")
    frozen = pipeline_of(model=model, features=features, train={"init_from": str(tmp_path / "first"), "freeze": ["shared"]})
    with pytest.raises(ConfigError, match=r'found "shared" with model\.d_shared = 0 and without features\.history'):
        started(frozen, encoded, tmp_path / "first")


@pytest.mark.parametrize(
    ("architecture", "towers", "rest"),
    [("pepnet", {"layers", "layer_gates"}, {"input_gate"}), ("aitm", {"below", "towers", "transfer"}, set())],
)
def test_towers_that_are_part_of_the_architecture_are_frozen_too(
    tmp_path: Path, other: Toy, architecture: str, towers: set[str], rest: set[str]
) -> None:
    """Only the output layer above them was."""
    model = {"architecture": architecture}
    first = first_run(tmp_path, model)
    _, _, held = started(pipeline_from(first, model=model, freeze=["towers"]), other.encoded, first)
    parts = {name: name.split(".")[1] for name in held.loaded if name.startswith("architecture.")}
    assert {part for name, part in parts.items() if name in held.frozen} == towers
    assert {part for name, part in parts.items() if name not in held.frozen} == rest
