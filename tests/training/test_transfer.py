"""A run that starts from another's weights: what it takes over, what stays as it was, what it says."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from recsys.config import Pipeline
from recsys.config.split_options import Split
from recsys.encoding import PADDING_ROW, EncodedDays, Encoder, batches
from recsys.errors import ArtifactError, ConfigError
from recsys.nn import embeddings
from recsys.scoring import member as members
from recsys.scoring.devices import decide
from recsys.scoring.model_folder import read_model
from recsys.training.state import optimisers
from recsys.training.transfer import Transfer

from .conftest import DAYS, OBJECTIVES, Said, Toy, day_table, encoded_of, pipeline_of, run_train
from .test_resume import _interrupt_every, _train_until_done, assert_equal

OLD = OBJECTIVES[:2]  # click, watch
NEW = (OBJECTIVES[2], OBJECTIVES[0], OBJECTIVES[1])  # like, click, watch: another order
TABLE = "ranker.inputs.embeddings.tables.table"
EMBEDDING = 4


def _with_ids(table: pa.Table, shift: int = 0) -> pa.Table:
    return table.append_column("id.user_id", pa.array([str(user + shift) for user in table["user_id"].to_pylist()]))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of click and watch on the first two days."""
    return _first(tmp_path_factory.mktemp("first"), {})


def _first(folder: Path, model: dict[str, Any], objectives: Sequence[dict[str, Any]] = OLD, **options: Any) -> Path:
    days = {day: _with_ids(day_table(number)) for number, day in enumerate(DAYS)}
    pipeline = pipeline_of(
        objectives=objectives, model=model, features=_features(), split={"train": (DAYS[0], DAYS[1])}, train={"batch_size": 50, **options}
    )
    run_train(pipeline, encoded_of(folder, days, pipeline)[1], folder / "first")
    return folder / "first"


def _features(**changes: Any) -> dict[str, Any]:
    plain = {"item": ["tag"], "context": ["tab"], "history": 2, "bias": ["position", "device"], "min_count": 1}
    return plain | {"ids": ["user_id"]} | changes


def _next_days() -> dict[str, pa.Table]:
    """Days with users that the first run never saw, and a tag and a device that it did not know."""
    tables = {}
    for number, day in enumerate(DAYS):
        table = day_table(number, draws=number + 20)
        tags = pa.array(["opera" if n % 7 == 0 else tag for n, tag in enumerate(table["item.tag"].to_pylist())])
        table = _with_ids(table, shift=10)
        devices = pa.array(["car" if n % 5 == 0 else device for n, device in enumerate(table["bias.device"].to_pylist())])
        for name, values in {"item.tag": tags, "bias.device": devices}.items():
            table = table.set_column(table.column_names.index(name), name, values)
        tables[day] = table
    return tables


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("other")
    days = _next_days()
    examples, encoded = encoded_of(folder, days, pipeline_of(objectives=NEW, features=_features()))
    return Toy(examples, encoded, days)


def _pipeline(first: Path, *, objectives: Sequence[dict[str, Any]] = NEW, model: dict[str, Any] | None = None, **train: Any) -> Pipeline:
    options = {"batch_size": 64, "init_from": str(first), **train}
    return pipeline_of(objectives=objectives, model=model, features=_features(), train=options)


def _started(pipeline: Pipeline, encoded: Path, first: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Any]:
    """A new member's tensors, those it would have had, and what it was told."""
    encoder = Encoder.load(encoded / "encoder")
    days = EncodedDays(encoded, DAYS[:3])
    member = members.new_member(pipeline, days, 0)
    before = {name: tensor.clone() for name, tensor in member.state_dict().items()}
    held = Transfer(pipeline, encoder, first).start(member, 0, next(iter(batches(days, batch_size=1, order="time"))))
    return dict(member.state_dict()), before, held


def _rows(encoder: Encoder) -> dict[tuple[str, str | None], int]:
    known = {(row["space"], row["value"]): row["row"] for row in encoder.vocabulary.table().to_pylist()}
    return known | {(space, "any other value"): row for space, row in encoder.vocabulary.unknown_rows.items()}


# --- What is taken over -------------------------------------------------------------------------------------------
@pytest.mark.words
def test_vectors_go_by_space_and_value(first: Path, other: Toy) -> None:
    now, before, _ = _started(_pipeline(first), other.encoded, first)
    old = read_model(first / "model")
    theirs = old.members[0].state_dict()[TABLE]
    ours, known = _rows(Encoder.load(other.encoded / "encoder")), _rows(old.encoder)
    fresh = 0
    for key, row in ours.items():
        if key in known:
            assert torch.equal(now[TABLE][row, :EMBEDDING], theirs[known[key], :EMBEDDING])
            assert torch.equal(now[TABLE][row, EMBEDDING + 1 :], theirs[known[key], EMBEDDING:])  # click, watch
            assert now[TABLE][row, EMBEDDING] == 0  # like
        else:
            assert torch.equal(now[TABLE][row], before[TABLE][row])
            fresh += 1
    assert fresh == 1 + 10  # opera, and ten users
    assert len(ours) - fresh > 30


def test_what_is_an_objectives_goes_by_its_name(first: Path, other: Toy) -> None:
    now, before, _ = _started(_pipeline(first), other.encoded, first)
    theirs = read_model(first / "model").members[0].state_dict()
    for name in ("ranker.towers.hidden.layers.0.weight", "ranker.towers.heads.weight", "ranker.towers.heads.bias"):
        if name in now:
            assert torch.equal(now[name][1:], theirs[name])
            assert torch.equal(now[name][0], before[name][0])
    gates, old_gates = (tensors["ranker.architecture.gates.linear.weight"] for tensors in (now, theirs))
    experts = 2
    assert torch.equal(gates[..., experts:], old_gates)
    assert torch.equal(gates[..., :experts], before["ranker.architecture.gates.linear.weight"][..., :experts])
    assert torch.equal(now["ranker.bias_tower.tables.position"][:, 1:], theirs["ranker.bias_tower.tables.position"])
    assert torch.equal(now["losses.start_K"][1:], theirs["losses.start_K"])
    assert now["losses.start_K"][0] == before["losses.start_K"][0]
    assert torch.equal(now["losses.methods.distribution.corrected_JP"], theirs["losses.methods.distribution.corrected_JP"])


def test_devices_go_by_name(first: Path, other: Toy) -> None:
    now, _, _ = _started(_pipeline(first), other.encoded, first)
    old, devices = read_model(first / "model"), Encoder.load(other.encoded / "encoder").bias.devices
    assert devices == ("car", "phone", "tv")  # in the order of the codes 1 …
    assert old.encoder.bias.devices == ("phone", "tv")
    theirs = old.members[0].state_dict()
    known = [0, 2, 3]  # missing, phone, tv
    for table, shape in {"device": (-1, 3), "together": (5 + 1, -1, 3)}.items():
        name = f"ranker.bias_tower.tables.{table}"
        found_PDK = now[name].view(*shape)
        assert torch.equal(found_PDK[..., known, 1:], theirs[name].view(*shape[:-1], 2))
        assert not found_PDK[..., 1, :].any()  # a car's
        assert theirs[name].any()


def test_the_edges_of_bins_come_with_the_weights_that_were_made_for_them(first: Path, other: Toy) -> None:
    now, before, _ = _started(_pipeline(first), other.encoded, first)
    name = "ranker.inputs.bins.edges_DE"
    assert torch.equal(now[name], read_model(first / "model").members[0].state_dict()[name])
    assert not torch.equal(now[name], before[name]), "the other log has the same quantiles, so this shows nothing"


NAMES = ("single_task", "shared_bottom", "soft", "concat_task", "film", "mtan", "mmoe", "cgc", "ple", "home", "pepnet", "stem", "aitm")
ALWAYS = ("single_task", "mmoe", "ple", "stem", "aitm")  # nothing shared, one gate each, gates of groups, tables of their own, a chain
READS_THE_NEW_ONES = ("ple", "stem", "home")  # a gate over all experts weighs the new objective's, or its group's, too


@pytest.mark.parametrize("architecture", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.words) for name in NAMES])
def test_with_the_same_encoder_old_objectives_are_predicted_as_before(toy: Toy, tmp_path: Path, architecture: str) -> None:
    """By architectures whose outputs of one objective do not read another's own part, or the new one comes last; and by no others."""
    model = {
        "architecture": architecture,
        "single_task": {"hidden": [8]},
        "ple": {"hidden": [8]},
        "cgc": {"hidden": [8]},
        "home": {"hidden": [8]},
    }
    features = {"item": ["tag"], "context": ["tab"], "history": 2, "bias": ["position", "device"], "min_count": 1}
    old = pipeline_of(objectives=OLD, model=model, features=features, train={"batch_size": 100})
    encoded = encoded_of(tmp_path, toy.tables, old)[1]
    run_train(old, encoded, tmp_path / "old")
    new = pipeline_of(model=model, features=features, train={"init_from": str(tmp_path / "old")})
    days = EncodedDays(toy.encoded, [DAYS[5]])
    batch = next(iter(batches(days, batch_size=64, order="time")))
    member = members.new_member(new, EncodedDays(toy.encoded, DAYS[:3]), 0)
    held = Transfer(new, Encoder.load(toy.encoded / "encoder"), tmp_path / "old").start(member, 0, batch)
    compute = decide(new.train)
    ours = members.predict(member, [batch], position="logged", compute=compute)
    before = read_model(tmp_path / "old/model").members[0]
    theirs = members.predict(before, [batch], position="logged", compute=compute)
    ours_B2, theirs_B2 = members.values(member, ours)[:, :2], members.values(before, theirs)[:, :2]
    assert np.allclose(ours_B2, theirs_B2, rtol=1e-4) == (architecture not in READS_THE_NEW_ONES), held.said
    not_there = [line for line in held.said if "another shape" in line]
    assert len(not_there) == (architecture == "aitm")  # one step more of the chain


# --- What is frozen -----------------------------------------------------------------------------------------------
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
    pipeline = _pipeline(first, **train).model_copy(update={"balance": pipeline_of(balance={"method": method}).balance})
    start, _, held = _started(pipeline, other.encoded, first)
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
    first = _first(tmp_path, model)
    pipeline = _pipeline(first, model=model, freeze=["embeddings"], embedding_decay=0.1)
    start, _, _ = _started(pipeline, other.encoded, first)
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
    pipeline = _pipeline(first, freeze=["embeddings"])
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
    ours, theirs = _rows(Encoder.load(encoded / "encoder")), _rows(read_model(first / "model").encoder)
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
    _, _, held = _started(_pipeline(first, freeze=["experts"]), other.encoded, first)
    assert {name.split(".")[1] for name in held.frozen} == {"experts"}


@pytest.mark.words
def test_without_freezing_all_learns(first: Path, other: Toy, tmp_path: Path) -> None:
    pipeline = _pipeline(first)
    start, _, held = _started(pipeline, other.encoded, first)
    end = _trained(pipeline, other.encoded, tmp_path / "run")
    assert held.frozen == frozenset()
    assert not torch.equal(end["ranker.architecture.experts.first.weight"], start["ranker.architecture.experts.first.weight"])
    assert not torch.equal(end[TABLE][:, :EMBEDDING], start[TABLE][:, :EMBEDDING])


# --- Going on -----------------------------------------------------------------------------------------------------
@pytest.mark.words
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_interrupted_it_ends_bit_equal(first: Path, other: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    pipeline = _pipeline(first, freeze=["embeddings", "towers"], order=order, passes=2, model={"members": 2})
    run_train(pipeline, other.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 9)
    assert _train_until_done(pipeline, other.encoded, tmp_path / "parts") >= 3
    assert_equal(tmp_path / "parts", tmp_path / "whole")


# --- What is said -------------------------------------------------------------------------------------------------
@pytest.mark.words
def test_it_says_what_is_loaded_what_is_fresh_and_what_is_frozen(first: Path, other: Toy, tmp_path: Path) -> None:
    said = Said()
    run_train(_pipeline(first, freeze=["embeddings"]), other.encoded, tmp_path / "run", said)
    lines = [line for line in said.texts if line.startswith(("train: from first", "train: frozen"))]
    assert lines[0] == "train: from first: objectives loaded click, watch, fresh like"
    assert "11 that it did not know fresh, 10 of its own are not met any more" in lines[1]
    assert lines[2].endswith("numbers are normalised by the encoder of this run, which is not the same")
    assert lines[3].startswith("train: frozen embeddings: ")
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("order", "split", "known"),
    [
        ("shuffled", {"train": (DAYS[0], DAYS[1]), "validation": (DAYS[2], DAYS[2]), "test": (DAYS[3], DAYS[3])}, None),
        ("time", {"train": (DAYS[2], DAYS[2]), "test": (DAYS[3], DAYS[3])}, None),
        ("shuffled", {"train": (DAYS[0], DAYS[0]), "validation": (DAYS[1], DAYS[1])}, f"validation days, {DAYS[1]}:"),
        ("shuffled", {"train": (DAYS[0], DAYS[0]), "test": (DAYS[1], DAYS[3])}, f"test days, {DAYS[1]} to {DAYS[3]}:"),
        ("time", {"train": (DAYS[1], DAYS[2]), "test": (DAYS[3], DAYS[3])}, f"train days, {DAYS[1]} to {DAYS[2]}:"),
    ],
)
def test_days_that_judge_this_run_and_that_the_first_one_has_learned_are_warned_of(
    first: Path, other: Toy, order: str, split: dict[str, Any], known: str | None
) -> None:
    """The first run has learned two days; in time order each day is judged before it is learned."""
    pipeline = _pipeline(first, order=order).model_copy(update={"split": Split.model_validate(split)})
    _, _, held = _started(pipeline, other.encoded, first)
    warnings = [line for line in held.said if "warning" in line]
    assert len(warnings) == (known is not None)
    if known is not None:
        assert warnings[0].startswith("train: warning: found first (train.init_from) to have learned all days up to 2024-01-02, expected")
        assert f"it to know none of the {known} if it is of the same log" in warnings[0]


def test_days_that_the_runs_before_the_first_one_have_learned_are_warned_of(first: Path, other: Toy, tmp_path: Path) -> None:
    """The second run has learned one day itself, and starts from one that has learned two. That one need not stand any more."""
    last = shutil.copytree(first, tmp_path / "last")
    parts = {"train": (DAYS[0], DAYS[0]), "validation": (DAYS[1], DAYS[1])}
    split = Split.model_validate(parts)
    alone = _pipeline(last, refit=False).model_copy(update={"split": split.model_copy(update={"validation": None})})
    run_train(alone, other.encoded, tmp_path / "second")
    shutil.rmtree(last)
    pipeline = _pipeline(tmp_path / "second").model_copy(update={"split": split})
    (warning,) = [line for line in _started(pipeline, other.encoded, tmp_path / "second")[2].said if "warning" in line]
    assert "found second (train.init_from) to have learned all days up to 2024-01-02, with the runs that it started from," in warning
    assert f"validation days, {DAYS[1]}: if it is of the same log" in warning


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": {"d_embedding": 6}}, "model.d_embedding: found 6, expected 4 as the run first has it (train.init_from)"),
        ({"model": {"architecture": "cgc"}}, 'model.architecture: found "cgc", expected "mmoe" as the run first has it'),
        ({"model": {"mmoe": {"num_experts": 2, "hidden": [8, 8]}}}, "model.mmoe.hidden: found [8, 8], expected [8]"),
        (
            {"objectives": [{"name": "click", "kind": "regression", "label": "x"}]},
            'objective.click.kind: found "regression", expected "binary"',
        ),
    ],
)
def test_another_shape_is_refused_by_key_and_both_values(first: Path, toy: Toy, change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        Transfer(_pipeline(first, **change), read_model(first / "model").encoder, first)
    assert text in str(error.value)


def test_experts_that_are_not_there_cannot_be_frozen(tmp_path: Path, other: Toy) -> None:
    model = {"architecture": "single_task", "single_task": {"hidden": [8]}}
    first = _first(tmp_path, model)
    with pytest.raises(ConfigError, match=r'found "experts" with model\.architecture = "single_task"'):
        _started(_pipeline(first, model=model, freeze=["experts"]), other.encoded, first)


def test_a_shared_part_that_is_not_there_cannot_be_frozen(tmp_path: Path, other: Toy) -> None:
    """Nothing was frozen then."""
    model, features = {"d_shared": 0}, _features(history=0)
    days = {day: _with_ids(day_table(number)) for number, day in enumerate(DAYS)}
    pipeline = pipeline_of(model=model, features=features)
    encoded = encoded_of(tmp_path, days, pipeline)[1]
    run_train(pipeline, encoded, tmp_path / "first")
    frozen = pipeline_of(model=model, features=features, train={"init_from": str(tmp_path / "first"), "freeze": ["shared"]})
    with pytest.raises(ConfigError, match=r'found "shared" with model\.d_shared = 0 and without features\.history'):
        _started(frozen, encoded, tmp_path / "first")


@pytest.mark.parametrize(
    ("architecture", "towers", "rest"),
    [("pepnet", {"layers", "layer_gates"}, {"input_gate"}), ("aitm", {"below", "towers", "transfer"}, set())],
)
def test_towers_that_are_part_of_the_architecture_are_frozen_too(
    tmp_path: Path, other: Toy, architecture: str, towers: set[str], rest: set[str]
) -> None:
    """Only the output layer above them was."""
    model = {"architecture": architecture}
    first = _first(tmp_path, model)
    _, _, held = _started(_pipeline(first, model=model, freeze=["towers"]), other.encoded, first)
    parts = {name: name.split(".")[1] for name in held.loaded if name.startswith("architecture.")}
    assert {part for name, part in parts.items() if name in held.frozen} == towers
    assert {part for name, part in parts.items() if name not in held.frozen} == rest


def _with_number(table: pa.Table) -> pa.Table:
    return table.append_column("agg.item_id.is_click.7", pa.array(np.linspace(-1, 1, len(table)), pa.float32()))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_with_number, "numbers that differ from those of the run first (train.init_from): agg.item_id.is_click.7 added; expected"),
        (lambda table: table.drop_columns(["agg.item_id.count.7"]), "agg.item_id.count.7 missing; expected"),
        (lambda table: table.drop_columns(["context.tab"]), "found categories that differ from those of the run first"),
        (lambda table: table.drop_columns(["history.age"]), "found columns of the history that differ"),
        (lambda table: _replaced(table, "bias.position", [p + (p == 5) for p in table["bias.position"].to_pylist()]), "positions"),
        (lambda table: _replaced(table, "agg.item_id.count.7", [None, *[1.0] * (len(table) - 1)]), "agg.item_id.count.7? added"),
        (
            lambda table: table.select([*table.column_names[:4], *reversed(table.column_names[4:])]),
            "first (train.init_from): another order",
        ),
    ],
)
def test_other_columns_of_the_inputs_are_refused_by_name(
    first: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], text: str
) -> None:
    days = {day: change(_with_ids(day_table(number))) for number, day in enumerate(DAYS)}
    _, encoded = encoded_of(tmp_path, days, pipeline_of(objectives=NEW, features=_features()))
    with pytest.raises(ConfigError) as error:
        Transfer(_pipeline(first), Encoder.load(encoded / "encoder"), first)
    assert text in str(error.value)
    assert "Fix: the same [features]" in str(error.value)


def _replaced(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))


def test_devices_that_are_inputs_are_refused_by_name(other: Toy, tmp_path: Path) -> None:
    first = _first(tmp_path, {"position": "input"})
    with pytest.raises(ConfigError, match=r"found devices that differ from those of the run first \(train.init_from\): car added"):
        _started(_pipeline(first, model={"position": "input"}), other.encoded, first)


def test_another_share_of_the_inputs_is_refused(other: Toy, tmp_path: Path) -> None:
    """A member's share is drawn by its seed."""
    model = {"input_share": 0.5}
    first = _first(tmp_path, model)
    same = _pipeline(first, model=model)
    _started(same, other.encoded, first)
    with pytest.raises(
        ConfigError, match=r"model\.input_share: found 0\.5, by which this member and that of the run first see other columns"
    ):
        _started(same.model_copy(update={"seed": same.seed + 1}), other.encoded, first)


def test_a_kind_of_label_that_the_first_run_did_not_have_is_fresh(other: Toy, tmp_path: Path) -> None:
    first = _first(tmp_path, {}, objectives=OBJECTIVES[:1])
    now, before, _ = _started(_pipeline(first), other.encoded, first)
    assert torch.equal(now["losses.methods.distribution.corrected_JP"], before["losses.methods.distribution.corrected_JP"])
    assert now["losses.start_K"][1] == read_model(first / "model").members[0].losses.start_K[0]  # click


@pytest.mark.words
def test_a_member_without_a_counterpart_starts_from_the_first_ones_over_again(tmp_path: Path, other: Toy) -> None:
    first = _first(tmp_path, {"members": 2})
    pipeline = _pipeline(first, model={"members": 3})
    days = EncodedDays(other.encoded, DAYS[:3])
    transfer = Transfer(pipeline, Encoder.load(other.encoded / "encoder"), first)
    for index, source in enumerate((0, 1, 0)):
        member = members.new_member(pipeline, days, index)
        transfer.start(member, index, next(iter(batches(days, batch_size=1, order="time"))))
        theirs = transfer.first.members[source].state_dict()["ranker.architecture.experts.first.weight"]
        assert torch.equal(member.state_dict()["ranker.architecture.experts.first.weight"], theirs)


@pytest.mark.words
def test_members_that_are_auto_are_as_many_as_the_first_run_has(tmp_path: Path, other: Toy) -> None:
    first = _first(tmp_path, {"members": 2})
    run_train(_pipeline(first, model={"members": "auto"}), other.encoded, tmp_path / "run")
    assert len(read_model(tmp_path / "run/model").members) == 2


def test_a_damaged_first_run_is_named(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "first")
    (tmp_path / "first/model/inside.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"inside\.json: found other bytes"):
        Transfer(_pipeline(tmp_path / "first"), read_model(first / "model").encoder, tmp_path / "first")
