"""A run that starts from another's weights: what it takes over, how it goes on, what it says."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recsys.config.split_options import Split
from recsys.encoding import EncodedDays, Encoder, batches
from recsys.scoring import member as members
from recsys.scoring.devices import decide
from recsys.scoring.model_folder import read_model
from recsys.training.transfer import Transfer
from tests.training.conftest import DAYS, OBJECTIVES, Said, Toy, encoded_of, pipeline_of, run_train
from tests.training.test_resume import _interrupt_every, _train_until_done, assert_equal
from tests.training.transfer.conftest import EMBEDDING, OLD, TABLE, first_run, pipeline_from, rows_of, started


# --- What is taken over -------------------------------------------------------------------------------------------
@pytest.mark.words
def test_vectors_go_by_space_and_value(first: Path, other: Toy) -> None:
    now, before, _ = started(pipeline_from(first), other.encoded, first)
    old = read_model(first / "model")
    theirs = old.members[0].state_dict()[TABLE]
    ours, known = rows_of(Encoder.load(other.encoded / "encoder")), rows_of(old.encoder)
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
    now, before, _ = started(pipeline_from(first), other.encoded, first)
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
    assert torch.equal(now["losses.methods.distribution.corrected_JGP"], theirs["losses.methods.distribution.corrected_JGP"])


def test_devices_go_by_name(first: Path, other: Toy) -> None:
    now, _, _ = started(pipeline_from(first), other.encoded, first)
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
    now, before, _ = started(pipeline_from(first), other.encoded, first)
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


# --- Going on -----------------------------------------------------------------------------------------------------
@pytest.mark.words
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_interrupted_it_ends_bit_equal(first: Path, other: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    pipeline = pipeline_from(first, freeze=["embeddings", "towers"], order=order, passes=2, model={"members": 2})
    run_train(pipeline, other.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 9)
    assert _train_until_done(pipeline, other.encoded, tmp_path / "parts") >= 3
    assert_equal(tmp_path / "parts", tmp_path / "whole")


# --- What is said -------------------------------------------------------------------------------------------------
@pytest.mark.words
def test_it_says_what_is_loaded_what_is_fresh_and_what_is_frozen(first: Path, other: Toy, tmp_path: Path) -> None:
    said = Said()
    run_train(pipeline_from(first, freeze=["embeddings"]), other.encoded, tmp_path / "run", said)
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
    pipeline = pipeline_from(first, order=order).model_copy(update={"split": Split.model_validate(split)})
    _, _, held = started(pipeline, other.encoded, first)
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
    alone = pipeline_from(last, refit=False).model_copy(update={"split": split.model_copy(update={"validation": None})})
    run_train(alone, other.encoded, tmp_path / "second")
    shutil.rmtree(last)
    pipeline = pipeline_from(tmp_path / "second").model_copy(update={"split": split})
    (warning,) = [line for line in started(pipeline, other.encoded, tmp_path / "second")[2].said if "warning" in line]
    assert "found second (train.init_from) to have learned all days up to 2024-01-02, with the runs that it started from," in warning
    assert f"validation days, {DAYS[1]}: if it is of the same log" in warning


def test_a_kind_of_label_that_the_first_run_did_not_have_is_fresh(other: Toy, tmp_path: Path) -> None:
    first = first_run(tmp_path, {}, objectives=OBJECTIVES[:1])
    now, before, _ = started(pipeline_from(first), other.encoded, first)
    assert torch.equal(now["losses.methods.distribution.corrected_JGP"], before["losses.methods.distribution.corrected_JGP"])
    assert now["losses.start_K"][1] == read_model(first / "model").members[0].losses.start_K[0]  # click


@pytest.mark.words
def test_a_member_without_a_counterpart_starts_from_the_first_ones_over_again(tmp_path: Path, other: Toy) -> None:
    first = first_run(tmp_path, {"members": 2})
    pipeline = pipeline_from(first, model={"members": 3})
    days = EncodedDays(other.encoded, DAYS[:3])
    transfer = Transfer(pipeline, Encoder.load(other.encoded / "encoder"), first)
    for index, source in enumerate((0, 1, 0)):
        member = members.new_member(pipeline, days, index)
        transfer.start(member, index, next(iter(batches(days, batch_size=1, order="time"))))
        theirs = transfer.first.members[source].state_dict()["ranker.architecture.experts.first.weight"]
        assert torch.equal(member.state_dict()["ranker.architecture.experts.first.weight"], theirs)


@pytest.mark.words
def test_members_that_are_auto_are_as_many_as_the_first_run_has(tmp_path: Path, other: Toy) -> None:
    first = first_run(tmp_path, {"members": 2})
    run_train(pipeline_from(first, model={"members": "auto"}), other.encoded, tmp_path / "run")
    assert len(read_model(tmp_path / "run/model").members) == 2
