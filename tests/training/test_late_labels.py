"""What a training learns when: each (row, label) of a small log against plain loops over its raw rows, from features to the steps."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import log_loss

from recsys import artifacts
from recsys.config import Pipeline
from recsys.encoding import Batch, EncodedDays
from recsys.errors import DataError
from recsys.progress import Console
from recsys.scoring.member import Outputs
from recsys.training import loop
from recsys.training.descend import descend
from recsys.training.state import State
from tests.staged import build, encode

from .conftest import DAYS as DAYS_OF_TOY
from .conftest import MODEL, OBJECTIVES, Said, encoded_of, journal, pipeline_of, run_train, tables, with_label
from .test_resume import _interrupt_every, _train_until_done, assert_equal

ZONE = "America/New_York"  # 2024-03-10 has 23 hours
TRAIN = ("2024-03-07", "2024-03-08", "2024-03-10")  # without a row on 03-09
VALIDATION, TEST = ("2024-03-11", "2024-03-12"), ("2024-03-13",)
DAYS = (*TRAIN, *VALIDATION, *TEST)
MINUTE, HOUR = 60_000, 3_600_000
DELAYS = {"click": 10 * MINUTE, "survey": 24 * HOUR + 10 * MINUTE, "like": 50 * HOUR + 10 * MINUTE, "watch": 24 * HOUR + 10 * MINUTE}
NAMES = tuple(DELAYS)
EVENTS = pa.schema(
    [
        *((name, pa.int64()) for name in ("event_id", "user_id", "item_id", "timestamp")),
        *(("log.is_click", pa.int64()), ("log.watch", pa.float64()), ("log.serial", pa.float64())),
        *(("feedback.survey", pa.int64()), ("feedback.like_back", pa.int64())),
    ]
)
Row = Mapping[str, Any]
Learned = dict[tuple[int, str], list[float]]  # (row, objective) → its label, as often as it was learned


def start(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)


def day_of(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, ZoneInfo(ZONE)).date().isoformat()


def raw_rows() -> list[Row]:
    """Random rows, and for each label and border one that is known 1 ms before it and one that is known with it."""
    rng = np.random.default_rng(3)
    moments = [start(day) + int(moment) for day in DAYS for moment in rng.integers(0, 22 * HOUR, 60)]
    edges = [start(day) - delay - early for day in DAYS[1:] for delay in set(DELAYS.values()) for early in (0, 1)]
    rows: list[Row] = []
    for number, moment in enumerate([*moments, *(moment for moment in edges if day_of(moment) in DAYS)]):
        sure = number >= len(moments)
        rows.append(
            {
                "event_id": number,
                "user_id": int(rng.integers(6)),
                "item_id": int(rng.integers(9)),
                "timestamp": moment,
                "log.is_click": 1 if sure else None if rng.random() < 0.1 else int(rng.random() < 0.5),
                "log.watch": float(rng.integers(1, 50)),
                "log.serial": float(rng.random()),
                "feedback.survey": int(rng.integers(1, 6)) if sure or rng.random() < 0.4 else None,
                "feedback.like_back": int(rng.random() < 0.5) if sure or rng.random() < 0.6 else None,
            }
        )
    return rows


def labels(row: Row) -> dict[str, float]:
    """By the words of docs/architecture.md; without those that are not observed."""
    click, survey, back = (row[name] for name in ("log.is_click", "feedback.survey", "feedback.like_back"))
    found = {"click": click, "survey": survey, "watch": None if survey is None else row["log.watch"]}
    found["like"] = None if click is None else 0 if click == 0 else back
    return {name: float(value) for name, value in found.items() if value is not None}


def pipeline(**tables: Any) -> Pipeline:
    """`tables` replace whole tables of the TOML."""
    train = {"order": "time", "batch_size": 32, "warm_days": len(TRAIN) + 1} | tables.pop("train", {})
    feedback = [{"name": name, "file": "/nowhere/log.csv", "within": within} for name, within in (("survey", "24h"), ("like_back", "50h"))]
    return Pipeline.model_validate(
        {
            "name": "late",
            "source": {"kind": "table", "log": "/nowhere/log.csv", "time": {"zone": ZONE}, "feedback": feedback},
            "split": {"train": (TRAIN[0], TRAIN[-1]), "validation": VALIDATION, "test": (TEST[0], TEST[0])},
            "objective": [
                {"name": "click", "label": "is_click = 1"},
                {"name": "survey", "kind": "regression", "label": "survey", "observed": "feedback.survey is not null"},
                {"name": "like", "label": "like_back = 1", "given": "click"},
                {"name": "watch", "kind": "watch_time", "label": "watch", "observed": "survey is not null"},
            ],
            "features": {"context": ["serial"], "entities": [["user_id"]], "windows": [1], "history": 0, "min_count": 1, "today": []},
            "model": MODEL,
            "train": train,
            **tables,
        }
    )


class Log:
    """A log from its raw rows to encoded days. A row is named by its place in time."""

    def __init__(self, folder: Path) -> None:
        self.rows = sorted(raw_rows(), key=lambda row: (row["timestamp"], row["event_id"]))
        by_day: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            by_day[day_of(row["timestamp"])].append(row)
        with artifacts.writing(folder / "events", stage="ingest", fingerprint="test") as output:
            for day, some in by_day.items():
                output.write_table(f"day={day}/part-0.parquet", pa.Table.from_pylist(some, schema=EVENTS))
        self.examples = build(pipeline(), folder, console=Console(quiet=True)).folder
        self.encoded = encode(pipeline(), self.examples, console=Console(quiet=True)).folder
        self.place = {dense.tobytes(): number for number, dense in enumerate(EncodedDays(self.encoded, DAYS).dense())}
        assert len(self.place) == len(self.rows), "each row has features of its own, or this test cannot tell them apart"

    def learned(self, run: Path, monkeypatch: pytest.MonkeyPatch, trained: Pipeline) -> dict[tuple[str, str, int], Learned]:
        """(phase, last day done, round) → what steps were taken on in a training."""
        encoded = encode(trained, self.examples, console=Console(quiet=True)).folder
        names = [objective.name for objective in trained.objective]
        found: dict[tuple[str, str, int], dict[tuple[int, str], list[float]]] = defaultdict(lambda: defaultdict(list))

        def watched(state: State, batch: Batch, *arguments: Any, **keywords: Any) -> Any:
            here = found[state.place.phase, state.place.day, state.place.round]
            for dense, row_labels in zip(batch.dense.numpy(), batch.labels.numpy(), strict=True):
                for name, label in zip(names, row_labels.tolist(), strict=True):
                    if not np.isnan(label):
                        here[self.place[dense.tobytes()], name].append(label)
            return descend(state, batch, *arguments, **keywords)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "descend", watched)
            run_train(trained, encoded, run)
        return {key: dict(labels) for key, labels in found.items()}

    def known(self, days: Sequence[str], before: str | None, names: Sequence[str] = NAMES) -> Learned:
        """Of the rows of some days the labels that are known before a day begins; None: all."""
        return {
            (number, name): [label]
            for number, row in enumerate(self.rows)
            if day_of(row["timestamp"]) in days
            for name, label in labels(row).items()
            if name in names and (before is None or row["timestamp"] + DELAYS[name] < start(before))
        }

    def day(self, number: int) -> str:
        return day_of(self.rows[number]["timestamp"])


def round_of(day: str, number: int = 0) -> tuple[str, str, int]:
    """Phase, last day done, and round of a pass over a day, in time order."""
    return "choose" if day in TRAIN else "refit", ("", *DAYS)[DAYS.index(day)], number


def after(day: str) -> str:
    """The next day of the calendar, whether it has rows or not."""
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log(tmp_path_factory.mktemp("late"))


@pytest.mark.parametrize("passes", [pytest.param(1, marks=pytest.mark.words), 2])
def test_in_time_order_a_label_is_learned_on_the_first_day_that_begins_after_it_is_known(log: Log, tmp_path, monkeypatch, passes) -> None:
    got = log.learned(tmp_path / "run", monkeypatch, pipeline(train={"day_passes": passes}))
    done: set[tuple[int, str]] = set()
    late = set()
    for place, day in enumerate(DAYS[:-1]):
        known = log.known(DAYS[: place + 1], after(day))
        expected = {key: label for key, label in known.items() if key not in done}
        late |= {name for number, name in expected if log.day(number) != day}
        done |= set(known)
        for number in range(passes):
            assert got.pop(round_of(day, number)) == expected, (day, number)
    assert not got
    assert late == set(NAMES), "labels of earlier days are learned of each objective, or this test shows little"


@pytest.mark.words
def test_a_millisecond_decides_on_which_day(log: Log, tmp_path, monkeypatch) -> None:
    got = log.learned(tmp_path / "run", monkeypatch, pipeline())
    rounds_learned: dict[tuple[int, str], list[tuple[str, str, int]]] = defaultdict(list)
    for place, found in got.items():
        for key in found:
            rounds_learned[key].append(place)
    looked_at = 0
    for border in DAYS[1:-1]:
        for number, row in enumerate(log.rows):
            for name in labels(row):
                known = row["timestamp"] + DELAYS[name]
                if known in (start(border) - 1, start(border)):
                    expected = round_of(next(day for day in DAYS if known < start(after(day))))
                    assert rounds_learned[number, name] == [expected], (name, border)
                    looked_at += 1
    assert looked_at >= 20


@pytest.mark.words
def test_late_labels_that_are_dropped_are_never_learned(log: Log, tmp_path, monkeypatch) -> None:
    """Of clicks alone: no other label is known by the end of its day."""
    trained = pipeline(objective=pipeline().objective[:1], train={"late": "drop"})
    got = log.learned(tmp_path / "run", monkeypatch, trained)
    dropped = 0
    for day in DAYS[:-1]:
        expected = log.known((day,), after(day), ("click",))
        dropped += len(log.known((day,), None, ("click",))) - len(expected)
        assert got.pop(round_of(day)) == expected, day
    assert not got
    assert dropped >= 4, "one known with each border that follows a day at once"


@pytest.mark.parametrize("late", ["next_day", "drop"])
def test_shuffled_a_label_is_learned_if_it_is_known_before_the_next_part_begins(log: Log, tmp_path, monkeypatch, late: str) -> None:
    train = {"order": "shuffled", "passes": 2, "patience": 9, "late": late}
    got = log.learned(tmp_path / "run", monkeypatch, pipeline(train=train))
    assert {phase for phase, _, _ in got} == {"choose", "refit"}
    for (phase, _, number), found in got.items():
        days, following = (TRAIN, VALIDATION[0]) if phase == "choose" else (TRAIN + VALIDATION, TEST[0])
        assert found == log.known(days, following), (phase, number)


@pytest.mark.words
def test_without_a_later_part_every_label_is_learned_once_in_time_order_what_is_known_when_the_last_day_ends(
    log: Log, tmp_path, monkeypatch
) -> None:
    split = {"train": (TRAIN[0], TRAIN[-1])}
    got = log.learned(tmp_path / "a", monkeypatch, pipeline(split=split, train={"order": "shuffled", "passes": 1}))
    assert got == {("choose", "", 0): log.known(TRAIN, None)}
    got = log.learned(tmp_path / "b", monkeypatch, pipeline(split=split))
    expected = log.known(TRAIN, after(TRAIN[-1]))
    assert {key: label for found in got.values() for key, label in found.items()} == expected
    assert sum(map(len, got.values())) == len(expected)


# --- On the toy feed ----------------------------------------------------------------------------------------------
HALF_DAY, ROWS = 43_200_000, 160  # rows a day


def late_tables(flipped_from: str | None = None) -> dict[str, pa.Table]:
    """Clicks known at once, watch times half a day later and after midnight, likes a day and a half later.

    `flipped_from`: labels that are known once this day has begun are others.
    """
    days = {}
    for number, (day, table) in enumerate(tables(ROWS).items()):
        day_start = 1_704_067_200_000 + number * 86_400_000
        moments = day_start + np.linspace(0, 86_399_999, len(table)).astype(np.int64)  # over the day, to its last millisecond
        table = table.set_column(table.column_names.index("timestamp"), "timestamp", pa.array(moments))
        for name, delay in (("click", 0), ("watch", HALF_DAY), ("like", 3 * HALF_DAY)):
            label = table[f"label.{name}"].to_numpy(zero_copy_only=False).astype(float)
            if flipped_from is not None:
                border = 1_704_067_200_000 + DAYS_OF_TOY.index(flipped_from) * 86_400_000
                other = label + 7 if name == "watch" else 1 - label
                label = np.where(moments + delay >= border, other, label)
            table = with_label(table, name, label, delay)
        days[day] = table
    return days


@pytest.mark.parametrize(
    ("flipped", "objectives"),
    [(DAYS_OF_TOY[1], 2), pytest.param(DAYS_OF_TOY[2], 2, marks=pytest.mark.words), (DAYS_OF_TOY[4], 3)],
)
def test_labels_that_are_known_from_a_day_on_change_no_prediction_up_to_it(
    tmp_path: Path, seen: list[Outputs], flipped, objectives
) -> None:
    """Constants, steps and all: outputs on the days up to this one are equal to the bit, on the next ones they are not.

    Constants come from the first day, with likes from all three: fewer are known early on than constants need. A distribution of
    watch times would need more than the first day too, so watch time is learned on logarithms.
    """
    of_logs = [objective | ({"method": "log_squared"} if objective["name"] == "watch" else {}) for objective in OBJECTIVES]
    pipeline, runs = pipeline_of(objectives=of_logs[:objectives]), []
    for name, days in (("before", late_tables()), ("after", late_tables(flipped))):
        run_train(pipeline, encoded_of(tmp_path / name, days, pipeline)[1], tmp_path / f"run-{name}")
        runs.append([outputs.raw_NK for outputs in seen])
        seen.clear()
    progressive = [0, 2, 4, 8, 10]  # of all predictions: those of a day before it is learned; smearing and the kept ones are between
    assert [len(runs[0][place]) for place in progressive] == [ROWS] * 5
    until = DAYS_OF_TOY.index(flipped)
    for day, place in enumerate(progressive):
        assert torch.equal(runs[0][place], runs[1][place]) is (day <= until), DAYS_OF_TOY[day]


@pytest.mark.words
@pytest.mark.parametrize("order", ["time", pytest.param("shuffled", marks=pytest.mark.words)])
def test_labels_that_are_known_once_the_test_has_begun_change_nothing_of_the_model(tmp_path: Path, order: str) -> None:
    train = {"order": order, "passes": 3, "batch_size": 64}
    weights = []
    for name, days in (("before", late_tables()), ("after", late_tables(DAYS_OF_TOY[5]))):
        run_train(pipeline_of(train=train), encoded_of(tmp_path / name, days)[1], tmp_path / f"run-{name}")
        weights.append((tmp_path / f"run-{name}/model/model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.words
def test_the_validation_loss_that_chooses_is_of_labels_known_before_the_test(tmp_path: Path, seen: list[Outputs]) -> None:
    """Two validation days: no like of the second, and half of the first's are known by then. A replay by hand of the first pass."""
    days = late_tables()
    train = {"order": "shuffled", "passes": 1, "refit": False}
    objectives = ({"name": "like", "label": "l"},)
    pipeline = pipeline_of(objectives=objectives, train=train)
    encoded = encoded_of(tmp_path, days, pipeline)[1]
    run_train(pipeline, encoded, tmp_path / "run")
    training, validation = (pa.concat_tables([days[day] for day in some]).to_pandas() for some in (DAYS_OF_TOY[:3], DAYS_OF_TOY[3:5]))
    starts = [1_704_067_200_000 + day * 86_400_000 for day in (3, 5)]
    training, validation = (some[some["known.like"] < moment] for some, moment in zip((training, validation), starts, strict=True))
    rate = (training["label.like"].sum() + 0.5) / (len(training) + 1)
    raw = seen[0].raw_NK.double().numpy()[:, 0]
    loss = log_loss(validation["label.like"], 1 / (1 + np.exp(-raw))) / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    (line,) = journal(tmp_path / "run", event="pass")
    assert line["loss"]["like"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize(
    ("order", "sampling"),
    [
        pytest.param("time", "joint", marks=pytest.mark.words),
        pytest.param("time", "uniform", marks=pytest.mark.words),
        pytest.param("shuffled", "joint", marks=pytest.mark.words),
    ],
)
def test_interrupted_it_ends_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, sampling: str) -> None:
    negatives = {"objective": "click", "keep": 0.5}
    train = {"order": order, "passes": 2, "day_passes": 2, "batch_size": 60, "negatives": negatives, "sampling": sampling}
    pipeline = pipeline_of(train=train)
    encoded = encoded_of(tmp_path, late_tables(), pipeline)[1]
    run_train(pipeline, encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 7)
    assert _train_until_done(pipeline, encoded, tmp_path / "parts") >= 4
    assert_equal(tmp_path / "parts", tmp_path / "whole")


# --- What is said -------------------------------------------------------------------------------------------------
def said_by(tmp_path: Path, **tables: Any) -> list[str]:
    pipeline, said = pipeline_of(**tables), Said()
    run_train(pipeline, encoded_of(tmp_path, late_tables(), pipeline)[1], tmp_path / "run", said)
    return [text for text in said.texts if text.startswith(("train: labels", "train: no label"))]


@pytest.mark.words
def test_shares_of_late_labels_are_said_once(tmp_path: Path) -> None:
    """By hand, of five days: watch times of half a day are late, of the last one for good. Likes are by their counts."""
    likes = [table["label.like"].is_valid().to_numpy() for table in late_tables().values()][:5]
    first, second = (
        sum(half.sum() for half in halves) for halves in ([day[: ROWS // 2] for day in likes], [day[ROWS // 2 :] for day in likes])
    )
    total, never = first + second, likes[4].sum() + likes[3][ROWS // 2 :].sum()
    assert said_by(tmp_path) == [
        "train: labels known only when the next day has begun, and learned on a later day: "
        f"watch {0.4:.1%}, like {(total - never) / total:.1%}",
        f"train: labels not known before 2024-01-06 begins, and learned once they are known: watch {0.1:.1%}, like {never / total:.1%}",
    ]


@pytest.mark.words
def test_dropped_shares_are_said(tmp_path: Path) -> None:
    objectives = ({"name": "watch", "kind": "watch_time", "label": "w"},)
    assert said_by(tmp_path, objectives=objectives, train={"late": "drop"}) == [
        "train: labels not known in time, and not learned: watch 50.0%"
    ]


def test_where_nothing_can_choose_all_passes_are_run_and_that_is_said(tmp_path: Path) -> None:
    split = {"train": (DAYS_OF_TOY[0], DAYS_OF_TOY[2]), "validation": (DAYS_OF_TOY[3],) * 2, "test": (DAYS_OF_TOY[4],) * 2}
    train = {"order": "shuffled", "passes": 3, "patience": 1, "learning_rate": 0.1}
    said = said_by(tmp_path, objectives=({"name": "like", "label": "l"},), split=split, train=train)
    assert said[-1] == "train: no label of the validation days is known before 2024-01-05 begins, to choose a pass by: all passes are run"
    assert {line["pass"] for line in journal(tmp_path / "run", phase="choose")} == {1, 2, 3}


@pytest.mark.parametrize(("late", "days"), [("next_day", 1), ("drop", 3)])
def test_an_objective_without_a_label_known_in_time_is_an_error_that_says_what_to_do(tmp_path: Path, late: str, days: int) -> None:
    split = {"train": (DAYS_OF_TOY[0], DAYS_OF_TOY[days - 1]), "validation": (DAYS_OF_TOY[days],) * 2}
    message = r"column label\.like: found no label on the warm days that is known before .* begins"
    with pytest.raises(DataError, match=message) as caught:
        said_by(tmp_path, split=split, train={"late": late})
    assert "Fix: a shorter features.label_delay or within of the feedback, or more train.warm_days" in str(caught.value)
    assert ('train.late = "next_day"' in str(caught.value)) is (late == "drop")
