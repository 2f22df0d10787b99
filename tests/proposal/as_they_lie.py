"""Made-up logs in the exact layout in which known ones lie on disk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

START = 1_704_067_200  # 2024-01-01 in seconds
DAY = 86_400
GENRES = 19


@dataclass(frozen=True)
class Lying:
    """A log as it lies, and what a person would say of it. `write` returns the files in the order in which they are given."""

    write: Callable[[Path], list[Path]]
    kind: str
    columns: dict[str, str]
    time: dict[str, str]
    objectives: list[str]
    source: dict[str, object] = field(default_factory=dict)
    features: dict[str, object] = field(default_factory=dict)


def _joined(path: Path, separator: str, rows: list[list[object]], encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(f"{separator.join(map(str, row))}\n" for row in rows).encode(encoding))
    return path


def movielens_100k(folder: Path) -> list[Path]:
    """u.data with tabs and times of 1997, u.item with bars, no header, Latin-1 and 19 columns of genres, u.user with bars."""
    rng = np.random.default_rng(0)
    users, movies, ratings = 500, 120, 6_000
    start = rng.integers(874_724_710, 874_724_710 + 9 * DAY, users)
    user = rng.integers(0, users, ratings)
    rows = pd.DataFrame({"user": user + 1, "movie": rng.integers(1, movies + 1, ratings), "rating": rng.integers(1, 6, ratings),
                         "at": start[user] + rng.integers(0, 3_000, ratings)}).drop_duplicates(["user", "movie"])  # fmt: skip
    log = _joined(folder / "u.data", "\t", rows.to_numpy().tolist())
    flags = (rng.random((movies, GENRES)) < 0.15).astype(int)
    flags[0], flags[1] = 0, 1  # no genre is everywhere or nowhere
    items = [
        [n + 1, f"Café, the {n}th ({1950 + n % 48})", f"01-Jan-{1950 + n % 48}", "", f"http://us.imdb.com/M/?{n}", *flags[n]]
        for n in range(movies)
    ]
    people = [
        [n + 1, int(rng.integers(14, 70)), "MF"[n % 2], "student" if n % 3 else "writer", f"{n * 97 % 99_999:05d}"] for n in range(users)
    ]
    return [log, _joined(folder / "u.item", "|", items, "latin-1"), _joined(folder / "u.user", "|", people)]


def tianchi(folder: Path) -> list[Path]:
    """An event log whose actions are numbers and whose times are whole hours; one column is mostly empty."""
    rng = np.random.default_rng(1)
    rows = 6_000
    user, item = rng.integers(0, 150, rows), rng.integers(0, 200, rows)
    views = pd.DataFrame({
        "user_id": 10_001_082 + user, "item_id": 285_259_775 + item, "behavior_type": 1,
        "user_geohash": np.where(rng.random(rows) < 0.7, "", [f"9{n:04x}" for n in rng.integers(0, 4_096, rows)]),
        "item_category": 4_076 + item % 12, "hour": rng.integers(0, 24 * 6, rows),
    })  # fmt: skip
    carts = views[rng.random(rows) < 0.1].assign(behavior_type=3)
    buys = views[rng.random(rows) < 0.05].assign(behavior_type=4)
    log = pd.concat([views, carts, buys]).sample(frac=1, random_state=1)
    log["time"] = (pd.Timestamp("2014-12-01") + pd.to_timedelta(log.pop("hour"), unit="h")).dt.strftime("%Y-%m-%d %H")
    log.to_csv(folder / "tianchi_mobile_recommend_train_user.csv", index=False)
    return [folder / "tianchi_mobile_recommend_train_user.csv"]


def _feed() -> pd.DataFrame:
    """Lists of ten with one moment each; a click becomes rarer down the list."""
    rng = np.random.default_rng(2)
    lists = 700
    feed = pd.DataFrame({
        "user": np.repeat(rng.integers(0, 120, lists), 10),
        "item": np.concatenate([rng.choice(150, 10, replace=False) for _ in range(lists)]),
        "ms": np.repeat(START * 1_000 + np.sort(rng.integers(0, 6 * DAY * 1_000, lists)), 10),
        "network": np.repeat(rng.integers(1, 5, lists), 10),
        "refresh": np.repeat(rng.integers(0, 9, lists), 10), "position": np.tile(np.arange(1, 11), lists),
    })  # fmt: skip
    feed["click"] = (rng.random(len(feed)) < 0.3 - 0.02 * feed["position"]).astype(int)
    feed["duration"] = np.where(feed["click"] == 1, np.round(rng.exponential(30, len(feed)), 1), 0)
    return feed


def tabs_without_a_header(folder: Path) -> list[Path]:
    _feed().to_csv(folder / "impressions.txt", sep="\t", index=False, header=False)
    return [folder / "impressions.txt"]


def csv_with_tabs(folder: Path) -> list[Path]:
    """A .csv with tabs; videos with tags in a cell, people whose key has another name than in the log."""
    rng = np.random.default_rng(3)
    feed = _feed().rename(
        columns={"user": "userId", "item": "video_id", "ms": "shown_at", "click": "is_click", "duration": "watch_seconds"}
    )
    feed["shown_at"] = pd.to_datetime(feed["shown_at"], unit="ms").dt.strftime("%Y-%m-%d %H:%M:%S")
    feed.to_csv(folder / "feed.csv", sep="\t", index=False)
    tags = ["|".join(rng.choice(["a", "b", "c", "d"], rng.integers(1, 3), replace=False)) for _ in range(150)]
    videos = pd.DataFrame(
        {"video_id": range(150), "length": rng.integers(5, 600, 150), "tags": tags, "title": [f"Film {n}" for n in range(150)]}
    )
    videos.to_csv(folder / "videos.csv", index=False)
    people = pd.DataFrame({"id": range(120), "age": rng.integers(14, 80, 120), "country": rng.choice(["de", "fr"], 120)})
    people.to_csv(folder / "people.csv", index=False)
    return [folder / "videos.csv", folder / "feed.csv", folder / "people.csv"]


LOGS = {
    "movielens-100k": Lying(
        movielens_100k, "table", {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp"}, {"unit": "s"}, ["liked", "rating"],
        source={"log": "u.data", "items": "u.item", "users": "u.user"},
        features={"item": ["item_column_3", *(f"item_column_{n}" for n in range(6, 25))], "signals": ["column_3"]},
    ),
    "tianchi": Lying(
        tianchi, "events", {"user_id": "user_id", "item_id": "item_id", "timestamp": "time", "action": "behavior_type"},
        {"format": "%Y-%m-%d %H"}, ["action_3", "action_4"], source={"views": ["1"]},
        features={"context": ["item_category"], "category": ["item_category"], "signals": ["action_3", "action_4"]},
    ),
    "tabs-without-a-header": Lying(
        tabs_without_a_header, "table", {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp", "position": "column_6"},
        {"unit": "ms"}, ["column_7"], features={"bias": ["position"], "signals": ["column_7"]},
    ),
    "csv-with-tabs": Lying(
        csv_with_tabs, "table", {"user_id": "userId", "item_id": "video_id", "timestamp": "shown_at", "position": "position"},
        {"unit": "iso"}, ["click", "watch_seconds"], source={"log": "feed.csv", "items": "videos.csv", "users": "people.csv"},
        features={"user": ["age", "country"], "item": ["length", "tags"], "multi": {"tags": "|"}, "context": ["network", "refresh"]},
    ),
}  # fmt: skip
