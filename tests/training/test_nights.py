"""A training in time order that goes on from the states of days that are done: it ends as one that begins with the first day."""

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from recsys import artifacts, lineage
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.encoding import EncodedDays
from recsys.errors import ArtifactError
from recsys.progress import Console
from recsys.scoring import load
from recsys.training import KeptStates, train
from recsys.training.interruption import Guard
from recsys.training.state import State
from recsys.workspace import ENCODER, day_folder, days_in

from .conftest import DAYS, OBJECTIVES, Said, encoded_of, journal, pipeline_of, with_label
from .test_late_labels import late_tables
from .test_resume import _interrupt_every

CONSOLE = Console(quiet=True)


def growing_tables() -> dict[str, pa.Table]:
    """The toy feed with late labels and ids: each day brings items and tags that no day before it has."""
    days = {}
    for number, (day, table) in enumerate(late_tables().items()):
        rng = np.random.default_rng(number)
        item = pa.array(rng.integers(0, 20 + 15 * number, len(table)))
        tag = pa.array([f"tag {n}" for n in rng.integers(0, 3 + 2 * number, len(table))])
        for name, values in (("item_id", item), ("item.tag", tag), ("id.item_id", item.cast(pa.int64()))):
            kept = table.drop_columns([name]) if name in table.column_names else table
            table = kept.append_column(name, values)
        days[day] = table
    return days


def nightly(last: int, *, validation: int = 0, **more: Any) -> Pipeline:
    """Learns through the day of this number, and is tested on the next; `validation` of the learned days are those of validation."""
    split: dict[str, Any] = {"train": (DAYS[0], DAYS[last - validation]), "test": (DAYS[last + 1], DAYS[last + 1])}
    if validation:
        split["validation"] = (DAYS[last - validation + 1], DAYS[last])
    features = {"item": ["tag"], "context": ["tab"], "history": 2, "bias": ["position", "device"], "min_count": 3, "ids": ["item_id"]}
    options = {"batch_size": 60, "warm_days": 2, **more.pop("train", {})}
    return pipeline_of(split=split, features=features, train=options, **more)


class Nights:
    """A log, encoded, and a folder of states."""

    def __init__(self, folder: Path, pipeline: Pipeline, days: dict[str, pa.Table] | None = None) -> None:
        self.folder = folder
        self.examples, self.encoded = encoded_of(folder, days or growing_tables(), pipeline)

    def kept(self, name: str = "learned", most: int = 7) -> KeptStates:
        inputs = {ENCODER: artifacts.require_manifest(self.encoded / ENCODER).content}
        inputs |= lineage.inputs_of_days(self.encoded, days_in(self.encoded), learns_late=True)
        return KeptStates(self.folder / name, self.encoded, Origin("train", "options", inputs), most)

    def train(self, pipeline: Pipeline, name: str, kept: KeptStates | None, console: Console = CONSOLE) -> dict[str, torch.Tensor]:
        origin = Origin("train", artifacts.fingerprint(pipeline.model_dump()))
        train(pipeline, self.encoded, self.folder / name, origin, kept=kept, console=console)
        return load_file(self.folder / name / "model/model.safetensors")


def learned(run: Path) -> list[str]:
    """The days that a run's journal tells of, in order."""
    return list(dict.fromkeys(line["day"] for line in journal(run, event="step")))


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


CASES: list[Any] = [
    pytest.param({}, id="one net"),
    pytest.param({"validation": 1, "model": {"members": 2, "input_share": 0.7}}, id="two nets, a validation day", marks=pytest.mark.words),
    pytest.param({"train": {"batch_size": 50, "day_passes": 2, "sampling": 0.5}}, id="two passes, sampled", marks=pytest.mark.words),
    pytest.param({"model": {"architecture": "stem"}}, id="several tables", marks=pytest.mark.words),
    pytest.param({"balance": {"method": "gradnorm"}}, id="a balancer that remembers", marks=pytest.mark.words),
    pytest.param(
        {"validation": 2, "train": {"late": "drop"}, "objectives": OBJECTIVES[:2]}, id="late labels dropped", marks=pytest.mark.words
    ),
    pytest.param({"train": {"negatives": {"objective": "click", "keep": 0.6}}}, id="thinned", marks=pytest.mark.words),
]


@pytest.mark.parametrize("case", CASES)
def test_nights_one_by_one_end_as_all_days_at_once(tmp_path: Path, case: dict[str, Any]) -> None:
    log = Nights(tmp_path, nightly(4, **case))
    at_once = log.train(nightly(4, **case), "at once", None)
    for last in range(max(2, 1 + case.get("validation", 0)), 5):
        one_by_one = log.train(nightly(last, **case), f"night {last}", log.kept())
    assert_same(one_by_one, at_once)
    grown = at_once["member.0.ranker.inputs.embeddings.tables.table"]
    first = load_file(tmp_path / f"night {3 if case.get('validation') == 2 else 2}/model/model.safetensors")[
        "member.0.ranker.inputs.embeddings.tables.table"
    ]
    assert len(grown) > len(first) + 10, "the vocabulary has grown, or this shows little"


def test_a_night_learns_its_own_day_alone_and_says_so(tmp_path: Path) -> None:
    log, said = Nights(tmp_path, nightly(4)), Said()
    log.train(nightly(3), "first", log.kept())
    log.train(nightly(4), "second", log.kept(), said)
    assert learned(tmp_path / "first") == list(DAYS[:4])
    log.train(nightly(4), "at once", None)
    assert (tmp_path / "second" / "training.jsonl").read_bytes() == (tmp_path / "at once" / "training.jsonl").read_bytes()
    assert f"train: goes on from the state of {DAYS[3]}, 1 day left to learn" in said.texts
    again = Said()
    log.train(nightly(4), "once more", log.kept(), again)
    assert f"train: goes on from the state of {DAYS[4]}, nothing left to learn" in again.texts
    assert (tmp_path / "once more" / "training.jsonl").read_bytes() == (tmp_path / "second" / "training.jsonl").read_bytes()


@pytest.mark.words
def test_validation_days_are_predicted_by_who_has_not_learned_them(tmp_path: Path) -> None:
    """The night before has learned what is a validation day tonight: the state before it predicts it."""
    log = Nights(tmp_path, nightly(4))
    at_once = log.train(nightly(4, validation=1), "at once", None)
    log.train(nightly(4), "night before", log.kept())
    night = log.train(nightly(4, validation=1), "night", log.kept())
    assert_same(night, at_once)
    kept = [artifacts.read_table(tmp_path / name / "model/validation.parquet") for name in ("at once", "night")]
    assert kept[0].equals(kept[1])
    assert set(kept[0]["day"].to_pylist()) == {DAYS[4]}


@pytest.mark.words
def test_an_interrupted_night_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Nights(tmp_path, nightly(4))
    at_once = log.train(nightly(4), "at once", None)
    log.train(nightly(2), "first", log.kept())
    _interrupt_every(monkeypatch, 3)
    times = 0
    for times in range(50):  # noqa: B007 -- read after the loop
        try:
            found = log.train(nightly(4), "night", log.kept())
            break
        except KeyboardInterrupt:
            continue
    assert times >= 2
    assert_same(found, at_once)


def test_a_death_before_the_oldest_state_is_removed_leaves_no_state_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, removed, original = Nights(tmp_path, nightly(3)), list[Path](), artifacts.remove

    def remove(path: Path) -> None:
        removed.append(path)
        if path.is_relative_to(tmp_path / "learned") and len(removed) == 2 * whole:
            raise ConnectionAbortedError  # as good as a death: nobody handles it
        original(path)

    monkeypatch.setattr(artifacts, "remove", remove)
    log.train(nightly(3), "once", log.kept("whole", most=1))
    whole = len(removed)
    assert whole > 1
    with pytest.raises(ConnectionAbortedError):
        log.train(nightly(3), "again", log.kept(most=1))
    log.train(nightly(3), "again", log.kept(most=1))
    states = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("member-*.safetensors"))
        for name in ("whole", "learned")
    ]
    assert states[0] == states[1]


@pytest.mark.words
def test_ctrl_c_while_a_day_is_predicted_writes_no_line_of_it_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day is predicted with the position as logged, then with it missing, each in one batch here."""
    log, original = Nights(tmp_path, nightly(3)), Guard.look
    log.train(nightly(3), "whole", log.kept("whole states"))
    predicting: list[str] = []

    def look(guard: Guard, state: State) -> None:
        if not state.judged.training:
            predicting.append(state.place.day)
            if predicting.count(state.place.day) == 2:
                signal.raise_signal(signal.SIGINT)
        original(guard, state)

    monkeypatch.setattr(Guard, "look", look)
    interrupted = 0
    for _ in range(10):
        try:
            log.train(nightly(3), "parts", log.kept())
            break
        except KeyboardInterrupt:
            interrupted += 1
    assert interrupted >= 2
    assert (tmp_path / "parts/training.jsonl").read_bytes() == (tmp_path / "whole/training.jsonl").read_bytes()


@pytest.mark.words
def test_another_encoder_or_other_options_begin_with_the_first_day(tmp_path: Path) -> None:
    log = Nights(tmp_path, nightly(4))
    log.train(nightly(3), "first", log.kept())
    kept = log.kept()
    for origin in (
        Origin("train", "other options", kept.origin.inputs),
        Origin("train", "options", {**kept.origin.inputs, ENCODER: "another"}),
        Origin("train", "options", {**kept.origin.inputs, "init_from": "a run"}),
    ):
        other = KeptStates(kept.folder, kept.encoded, origin, 7)
        assert other.newest(0, DAYS[5]) is None
    assert kept.newest(0, DAYS[5]) is not None


@pytest.mark.words
def test_a_day_that_has_changed_since_is_known_and_learned_again_only_where_its_states_are_gone(tmp_path: Path) -> None:
    days, pipeline = growing_tables(), nightly(4)
    log = Nights(tmp_path, pipeline, days)
    first = log.train(pipeline, "first", log.kept())
    days[DAYS[3]] = with_label(days[DAYS[3]], "click", 1 - days[DAYS[3]]["label.click"].to_numpy().astype(float))
    shutil.rmtree(log.examples)
    _, log.encoded = encoded_of(tmp_path, days, pipeline)
    assert_same(log.train(pipeline, "second", log.kept()), first)
    log.train(nightly(4, validation=1), "once more", log.kept())
    assert lineage.changed(tmp_path / "learned", 0, DAYS[4], log.kept().origin.inputs) == ([DAYS[3]], [])
    for day in DAYS[3:5]:
        shutil.rmtree(day_folder(tmp_path / "learned", day))
    said = Said()
    third = log.train(pipeline, "third", log.kept(), said)
    assert f"train: goes on from the state of {DAYS[2]}, 2 days left to learn" in said.texts
    assert_same(third, log.train(pipeline, "at once", None))
    assert lineage.changed(tmp_path / "learned", 0, DAYS[4], log.kept().origin.inputs) == ([], [])


@pytest.mark.words
@pytest.mark.parametrize("until_then", ["null", "0"])
def test_feedback_that_arrives_late_is_learned_when_it_is_known_and_changes_nothing_that_was_learned(
    tmp_path: Path, until_then: str
) -> None:
    """On each night, labels that are known later are null yet, or 0. The last night sees all."""
    days = growing_tables()
    at_once = Nights(tmp_path / "once", nightly(4), days).train(nightly(4), "at once", None)
    log = Nights(tmp_path, nightly(4), days)
    for last in (2, 3, 4):
        border = 1_704_067_200_000 + (last + 1) * 86_400_000
        shutil.rmtree(log.examples)
        _, log.encoded = encoded_of(tmp_path, {day: _as_known(table, border, until_then) for day, table in days.items()}, nightly(4))
        one_by_one = log.train(nightly(last), f"night {last}", log.kept())
        assert lineage.changed(tmp_path / "learned", 0, DAYS[last], log.kept().origin.inputs) == ([], [])
        assert learned(tmp_path / f"night {last}")[-1] == DAYS[last]
    assert_same(one_by_one, at_once)


@pytest.mark.words
@pytest.mark.parametrize("until_then", ["null", "0"])
def test_an_answer_that_comes_after_the_night_that_learns_its_day_is_known_and_learned_once_those_states_are_gone(
    tmp_path: Path, until_then: str
) -> None:
    """Of what becomes known on day 3, the night that learns day 3 lacks the answers to earlier days."""
    days = growing_tables()
    border = 1_704_067_200_000 + 3 * 86_400_000
    lacking = {day: table if day >= DAYS[3] else _as_known(table, border, until_then) for day, table in days.items()}
    log = Nights(tmp_path, nightly(4), lacking)
    log.train(nightly(3), "lacking", log.kept())
    shutil.rmtree(log.examples)
    _, log.encoded = encoded_of(tmp_path, days, nightly(4))
    log.train(nightly(4), "goes on", log.kept())
    now = log.kept().origin.inputs
    for day in DAYS[3:5]:
        assert lineage.changed(tmp_path / "learned", 0, day, now) == ([], [DAYS[3]])
    as_learned = lineage.as_learned(tmp_path / "learned", "options", now, DAYS[4])
    assert {name for name in now if now[name] != as_learned.get(name)} == {f"day={DAYS[3]}/late.json"}
    for day in DAYS[3:5]:
        shutil.rmtree(day_folder(tmp_path / "learned", day))
    assert_same(log.train(nightly(4), "again", log.kept()), log.train(nightly(4), "at once", None))
    assert lineage.changed(tmp_path / "learned", 0, DAYS[4], now) == ([], [])


def _as_known(table: pa.Table, border: int, until_then: str) -> pa.Table:
    """The table as it is at a moment: labels that are known later are null, or 0."""
    for name in ("watch", "like"):
        label, known = (table[f"{kind}.{name}"].to_numpy(zero_copy_only=False).astype(float) for kind in ("label", "known"))
        late = known >= border
        label = np.where(late, np.nan if until_then == "null" else label * 0, label)
        known_column = pa.array([None if np.isnan(value) else int(at) for value, at in zip(label, known, strict=True)], pa.int64())
        table = table.set_column(
            table.column_names.index(f"label.{name}"), f"label.{name}", pa.array(label, pa.float32(), from_pandas=True)
        )
        table = table.set_column(table.column_names.index(f"known.{name}"), f"known.{name}", known_column)
    return table


@pytest.mark.words
def test_a_day_that_brings_other_values_now_is_learned_again_because_the_rows_of_the_tables_are_others(tmp_path: Path) -> None:
    days, pipeline = growing_tables(), nightly(4)
    log = Nights(tmp_path, pipeline, days)
    log.train(pipeline, "first", log.kept())
    days[DAYS[3]] = days[DAYS[3]].slice(0, 100)
    shutil.rmtree(log.examples)
    _, log.encoded = encoded_of(tmp_path, days, pipeline)
    said = Said()
    second = log.train(pipeline, "second", log.kept(), said)
    assert (
        f"train: warning: found another vocabulary of {DAYS[3]} than the newest state has learned, expected the same: 2 days left to learn"
        in (said.texts)
    )
    assert_same(second, log.train(pipeline, "at once", None))
    assert (tmp_path / "second" / "training.jsonl").read_bytes() == (tmp_path / "at once" / "training.jsonl").read_bytes()


@pytest.mark.words
def test_states_of_the_last_days_are_kept(tmp_path: Path) -> None:
    log = Nights(tmp_path, nightly(4))
    log.train(nightly(4), "first", log.kept(most=2))
    assert standing(tmp_path) == list(DAYS[3:5])
    log.train(nightly(3), "an older night", log.kept(most=1))
    assert standing(tmp_path) == list(DAYS[3:5]), "a later state stays"


@pytest.mark.words
def test_states_are_dropped_on_the_way_and_those_before_the_validation_days_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, most_at_once = Nights(tmp_path, nightly(4)), []
    original = KeptStates.remove_older

    def remove_older(kept: KeptStates, *more: Any) -> None:
        original(kept, *more)
        most_at_once.append(len(standing(tmp_path)))

    monkeypatch.setattr(KeptStates, "remove_older", remove_older)
    log.train(nightly(4, validation=2), "first", log.kept(most=1))
    assert standing(tmp_path) == [DAYS[2], DAYS[4]], "the last training day, and the last validation day"
    assert max(most_at_once) == 2
    said = Said()
    log.train(nightly(4, validation=2), "again", log.kept(most=1), said)
    assert f"train: goes on from the state of {DAYS[2]}, nothing left to learn" in said.texts
    assert (tmp_path / "again" / "training.jsonl").read_bytes() == (tmp_path / "first" / "training.jsonl").read_bytes()


def standing(folder: Path) -> list[str]:
    return sorted({path.parent.name.removeprefix("day=") for path in (folder / "learned").glob("day=*/member-*.safetensors")})


@pytest.mark.words
def test_an_encoded_day_that_changes_during_the_training_is_an_error(tmp_path: Path) -> None:
    log = Nights(tmp_path, nightly(4))
    kept = log.kept()
    other = growing_tables()
    other[DAYS[4]] = other[DAYS[4]].slice(0, 99)
    shutil.rmtree(log.examples)
    encoded_of(tmp_path, other, nightly(4))
    with pytest.raises(ArtifactError, match=rf"day={DAYS[4]}: changed meanwhile"):
        log.train(nightly(4), "night", kept)
    assert standing(tmp_path)[-1] == DAYS[3]


def test_a_damaged_state_is_an_error_that_names_it(tmp_path: Path) -> None:
    log = Nights(tmp_path, nightly(4))
    log.train(nightly(3), "first", log.kept())
    path = tmp_path / "learned" / f"day={DAYS[3]}" / "member-0.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"member-0\.safetensors: found other bytes"):
        log.train(nightly(4), "second", log.kept())


@pytest.mark.words
def test_a_model_takes_later_values_for_unknown_as_its_own_encoder_does(tmp_path: Path) -> None:
    """Of a day that was encoded with a larger vocabulary than the model has."""
    log = Nights(tmp_path, nightly(4))
    log.train(nightly(2), "night", None)
    scorer = load(tmp_path / "night/model")
    day = EncodedDays(log.encoded, [DAYS[5]])
    assert day.layout.num_rows > scorer.model.encoder.layout.num_rows
    examples = artifacts.read_table(day_folder(log.examples, DAYS[5]) / "part-0.parquet")
    for position in ("logged", "missing"):
        np.testing.assert_allclose(scorer.predict_encoded(day, position), scorer.predict(examples, position), rtol=1e-6)
