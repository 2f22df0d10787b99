"""Small random logs with ties, gaps and nulls, and workspaces that hold them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.config import Pipeline
from recsys.progress import Console
from recsys.workspace import days_in
from tests.staged import Built, build

ZONE = "Asia/Shanghai"
DAYS = ("2022-03-01", "2022-03-02", "2022-03-04", "2022-03-05")  # 03-03 has no events
EVENTS = pa.schema(
    [
        *(("event_id", pa.int64()), ("user_id", pa.int64()), ("item_id", pa.string()), ("timestamp", pa.int64()), ("position", pa.int64())),
        *(("log.is_click", pa.int64()), ("log.watch", pa.float64()), ("log.tab", pa.int64()), ("feedback.survey", pa.int64())),
    ]
)
USERS = pa.schema([("user_id", pa.int64()), ("grade", pa.string()), ("level", pa.float64())])
ITEMS = pa.schema([("item_id", pa.string()), ("author_id", pa.int64()), ("tag", pa.string()), ("uploaded", pa.date32())])

Rows = list[dict[str, Any]]


def midnight(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)


def random_events(seed: int, n: int = 240) -> Rows:
    """Moments on a grid of ten minutes, some a millisecond beside it (the label delay and the pause of a session, to the point).

    Some are in the seconds after it: with positions that ascend, they are lists.
    """
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for event_id in rng.permutation(10 * n)[:n].tolist():
        day = DAYS[rng.integers(len(DAYS))]
        moment = midnight(day) + int(rng.choice([rng.integers(0, 8), rng.integers(60, 66), rng.integers(138, 144)])) * 600_000
        rows.append(
            {
                "event_id": event_id,
                "user_id": int(rng.integers(5)),
                "item_id": f"v{rng.integers(7)}",
                "timestamp": max(midnight(day), moment + int(rng.choice([0, 0, 0, -1, 1, 2_000, 4_000]))),
                "position": int(rng.integers(4)),
                "log.is_click": None if rng.random() < 0.1 else int(rng.random() < 0.4),
                "log.watch": float(np.round(rng.exponential(5), 3)),
                "log.tab": None if rng.random() < 0.1 else int(rng.integers(2)),
                "feedback.survey": None if rng.random() < 0.6 else int(rng.integers(1, 6)),
            }
        )
    return rows


def tasteful_events(seed: int, n: int = 480) -> Rows:
    """The same, where clicks and answers are a matter of taste: every other user likes every other video, nine times of ten."""
    rng = np.random.default_rng(seed)
    rows = random_events(seed, n)
    for row in rows:
        likes = ((row["user_id"] + int(row["item_id"][1:])) % 2 == 0) != (rng.random() < 0.1)
        for signal, value in (("log.is_click", int(likes)), ("feedback.survey", 5 if likes else 1)):
            row[signal] = None if row[signal] is None else value
    return rows


USER_ROWS: Rows = [{"user_id": user, "grade": ["a", None, "b"][user % 3], "level": float(user)} for user in range(4)]  # user 4 is unknown
ITEM_ROWS: Rows = [
    {
        "item_id": f"v{item}",
        "author_id": [10, 11, None][item % 3],
        "tag": ["x,y", "y", None, " x ,, z,x"][item % 4],
        "uploaded": date(2022, 2, 20 + item),
    }
    for item in range(6)  # v6 is unknown
]


def day_of(row: Mapping[str, Any]) -> str:
    return datetime.fromtimestamp(row["timestamp"] / 1000, ZoneInfo(ZONE)).date().isoformat()


def write_workspace(folder: Path, rows: Iterable[Mapping[str, Any]], more: Iterable[pa.Field] = (), without: Collection[str] = ()) -> Path:
    """A workspace as `sources` leaves it; rows stand in the files in the order given. `more`: further columns of events.

    `without`: columns that this log does not have.
    """
    columns = pa.schema([field for field in (*EVENTS, *more) if field.name not in without])
    by_day: dict[str, Rows] = {}
    for row in rows:
        by_day.setdefault(day_of(row), []).append(dict(row))
    with artifacts.writing(folder / "events", stage="ingest", fingerprint="test") as output:
        for day, some in by_day.items():
            output.write_table(f"day={day}/part-0.parquet", pa.Table.from_pylist(some, schema=columns))
    for name, schema, some in (("users", USERS, USER_ROWS), ("items", ITEMS, ITEM_ROWS)):
        with artifacts.writing(folder / name, stage="ingest", fingerprint="test") as output:
            output.write_table("part-0.parquet", pa.Table.from_pylist(some, schema=schema))
    return folder


def small_pipeline(**changes: Any) -> Pipeline:
    """The default small pipeline; `changes` are whole tables of the TOML, except `features`, which is merged."""
    features = {
        "user": ["grade", "level"],
        "item": ["tag", "uploaded"],
        "context": ["tab"],
        "category": ["tab"],
        "multi": {"tag": ","},
        "signals": ["is_click", "watch", "survey", "part", "glad"],
        "expressions": {"part": "case when tab > 0 then least(watch / (tab * 4), 3) end", "glad": "survey >= 4"},
        "entities": [["user_id"], ["item_id"], ["author_id"], ["user_id", "tag"], ["tag", "tab"]],
        "today": [["user_id"], ["user_id", "tag"], ["tab", "user_id"]],
        "windows": [1, 3],
        "shrinkage": 2.5,
        "history": 3,
        "label_delay": "10m",
        "bias": ["position"],
        "slices": ["tab", "grade", "cold_user", "cold_item", "item_age"],
        "ids": ["author_id"],
    } | changes.pop("features", {})
    tables = {
        "name": "small",
        "source": {
            "kind": "table",
            "log": "/nowhere/log.csv",
            "time": {"zone": ZONE},
            "feedback": [{"name": "survey", "file": "/nowhere/survey.csv", "within": "20h"}],
        },
        "split": {"train": ["2022-03-01", "2022-03-02"], "validation": ["2022-03-04", "2022-03-04"], "test": ["2022-03-05", "2022-03-05"]},
        "objective": [
            {"name": "click", "label": "is_click = 1"},
            {"name": "watch", "kind": "watch_time", "label": "watch", "observed": "is_click = 1"},
        ],
        "features": features,
    } | changes
    return Pipeline.model_validate(tables)


def read_examples(folder: Path) -> dict[str, pa.Table]:
    """Day → examples."""
    return {day: artifacts.read_table(folder / f"day={day}" / "part-0.parquet") for day in days_in(folder)}


def read_bytes(folder: Path) -> dict[str, bytes]:
    """Every data file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


class Feed:
    """Workspaces of small logs below one folder, and what is built from them."""

    days, users, items, zone = DAYS, USER_ROWS, ITEM_ROWS, ZONE

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    events = staticmethod(random_events)
    tasteful_events = staticmethod(tasteful_events)
    pipeline = staticmethod(small_pipeline)
    day_of = staticmethod(day_of)
    midnight = staticmethod(midnight)
    examples = staticmethod(read_examples)
    bytes = staticmethod(read_bytes)

    def write(self, name: str, rows: Iterable[Mapping[str, Any]], more: Iterable[pa.Field] = (), without: Collection[str] = ()) -> Path:
        return write_workspace(self.folder / name, rows, more, without)

    def build(self, name: str, rows: Iterable[Mapping[str, Any]], pipeline: Pipeline | None = None, more: Iterable[pa.Field] = ()) -> Built:
        """Writes the rows as a workspace of their own and builds its examples."""
        return build(pipeline or small_pipeline(), self.write(name, rows, more), console=Console(quiet=True))


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path)
