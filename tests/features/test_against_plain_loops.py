"""Every feature of small random logs against plain loops over the whole log: by the letter of docs/architecture.md, no engine, no state."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

Row = Mapping[str, Any]
ENTITIES = (("user_id",), ("item_id",), ("author_id",), ("user_id", "tag"), ("tag", "tab"))
RECENT, HOURS = (("item_id",), ("tag", "tab")), (2, 30)
TODAY = (("user_id",), ("user_id", "tag"), ("tab", "user_id"))
SIGNALS = {"is_click": "log.is_click", "watch": "log.watch", "survey": "feedback.survey", "part": "part", "glad": "glad"}
DELAYS = dict.fromkeys(("is_click", "watch", "part"), 600_000) | dict.fromkeys(("survey", "glad"), 600_000 + 20 * 3_600_000)
DELAY, PAUSE, SHRINKAGE, HISTORY, WINDOWS = 600_000, 600_000, 2.5, 3, (1, 3)


class Oracle:
    def __init__(
        self, rows: Sequence[Row], items: Sequence[Row], day_number: Callable[[int], int], day_start: Callable[[int], int]
    ) -> None:
        self.rows = sorted((row | computed(row) for row in rows), key=lambda row: (row["timestamp"], row["event_id"]))
        self.items = {item["item_id"]: item for item in items}
        self.day_number, self.day_start = day_number, day_start
        self.base = cache(self._base)
        self.of_key: dict[tuple[tuple[str, ...], tuple[Any, ...]], list[Row]] = {}
        for row in self.rows:
            for entity in {*ENTITIES, *TODAY, *RECENT}:
                for key in self.keys(row, entity):
                    self.of_key.setdefault((entity, key), []).append(row)

    def values(self, row: Row, name: str) -> list[Any]:
        """The distinct values of one column of an entity; empty where unknown."""
        if name in ("user_id", "item_id"):
            return [row[name]]
        if name == "tab":
            return [row["log.tab"]] if row["log.tab"] is not None else []
        value = self.items.get(row["item_id"], {}).get(name)
        if name == "tag" and value is not None:
            return sorted({part.strip() for part in value.split(",") if part.strip()})
        return [value] if value is not None else []

    def keys(self, row: Row, entity: Sequence[str]) -> list[tuple[Any, ...]]:
        keys: list[tuple[Any, ...]] = [()]
        for name in entity:
            keys = [(*key, value) for key in keys for value in self.values(row, name)]
        return keys

    def in_window(self, moment: int, at: int, window: int) -> bool:
        return self.day_number(at) - window <= self.day_number(moment) <= self.day_number(at) - 1

    def rate(self, rows: Sequence[Row], signal: str, at: int, window: int) -> tuple[float, int]:
        known = [row[SIGNALS[signal]] for row in rows if self.in_window(row["timestamp"] + DELAYS[signal], at, window)]
        there = [value for value in known if value is not None]
        return math.fsum(there), len(there)

    def _base(self, signal: str, day_start: int, window: int) -> float:
        total, n = self.rate(self.rows, signal, day_start, window)
        return total / n if n else 0.0

    def aggregates(self, row: Row, entity: Sequence[str]) -> dict[str, float | None]:
        at, found = row["timestamp"], {}
        groups = [self.of_key[tuple(entity), key] for key in self.keys(row, entity)]
        for window in WINDOWS:
            counts = [sum(self.in_window(other["timestamp"] + DELAY, at, window) for other in group) for group in groups]
            found[f"agg.{'+'.join(entity)}.count.{window}"] = mean([math.log1p(count) for count in counts])
            for signal in SIGNALS:
                base = self.base(signal, self.day_start(at), window)
                lifts = [lift(*self.rate(group, signal, at, window), base) for group in groups]
                found[f"agg.{'+'.join(entity)}.{signal}.{window}"] = mean(lifts)
        if tuple(entity) != ("user_id",):
            days = [
                self.day_number(at) - self.day_number(other["timestamp"] + DELAY)
                for group in groups
                for other in group
                if self.in_window(other["timestamp"] + DELAY, at, max(WINDOWS))
            ]
            found[f"agg.{'+'.join(entity)}.recency"] = math.log1p(min(days)) if days else None
        return found

    def listed(self, row: Row) -> int:
        """The moment at which the row's list began: a run of ascending positions of its user, without a pause, within a day."""
        own = [other for other in self.rows if other["user_id"] == row["user_id"]]
        own = sorted(own, key=lambda other: (other["timestamp"], other["position"], other["event_id"]))
        place = next(place for place, other in enumerate(own) if other["event_id"] == row["event_id"])
        while place > 0:
            later, earlier = own[place], own[place - 1]
            is_pause = later["timestamp"] - earlier["timestamp"] >= PAUSE
            is_day = self.day_number(later["timestamp"]) != self.day_number(earlier["timestamp"])
            if later["position"] <= earlier["position"] or is_pause or is_day:
                break
            place -= 1
        return int(own[place]["timestamp"])

    def open_windows(self, row: Row) -> dict[str, float]:
        """Of each entity: what became known from the day's start, or from so many hours ago, to before the list began."""
        at, day_start = self.listed(row), self.day_start(row["timestamp"])
        windows = [(entity, "today", day_start) for entity in TODAY]
        windows += [(entity, f"{hours}h", at - hours * 3_600_000) for entity in RECENT for hours in HOURS]
        found = {}
        for entity, window, start in windows:
            groups = [self.of_key[entity, key] for key in self.keys(row, entity)]
            counts = [sum(start <= other["timestamp"] + DELAY < at for other in group) for group in groups]
            found[f"agg.{'+'.join(entity)}.count.{window}"] = mean([math.log1p(count) for count in counts])
            for signal, column in SIGNALS.items():
                base = self.base(signal, day_start, max(WINDOWS))
                known = [
                    [other[column] for other in group if start <= other["timestamp"] + DELAYS[signal] < at and other[column] is not None]
                    for group in groups
                ]
                found[f"agg.{'+'.join(entity)}.{signal}.{window}"] = mean([lift(math.fsum(of), len(of), base) for of in known])
        return found

    def history(self, row: Row) -> dict[str, list[Any]]:
        at = self.listed(row)
        own = [other for other in self.rows if other["user_id"] == row["user_id"] and other["timestamp"] + DELAY < at]
        newest = own[::-1][:HISTORY]
        found: dict[str, list[Any]] = {
            "history.item_id": [other["item_id"] for other in newest],
            "history.item.tag": [tags(self.items.get(other["item_id"], {}).get("tag")) for other in newest],
            "history.context.tab": [None if other["log.tab"] is None else str(other["log.tab"]) for other in newest],
            "history.age": [math.log1p((at - other["timestamp"]) / 1000) for other in newest],
        }
        for signal, column in SIGNALS.items():
            found[f"history.{signal}"] = [other[column] if other["timestamp"] + DELAYS[signal] < at else None for other in newest]
        return found

    def session(self, row: Row) -> dict[str, float | None]:
        at = self.listed(row)
        own = sorted(other["timestamp"] for other in self.rows if other["user_id"] == row["user_id"] and other["timestamp"] < at)
        place, begin, later = 0, at, at
        for moment in reversed(own):
            if later - moment >= PAUSE:
                break
            place, begin, later = place + 1, moment, moment
        first = min(self.day_number(other["timestamp"]) for other in self.rows if other["item_id"] == row["item_id"])
        age = self.day_number(at) - first
        return {
            "context.session_place": math.log1p(place),
            "context.session_elapsed": math.log1p((at - begin) / 1000),
            "agg.user_id.recency": math.log1p((at - own[-1]) / 3_600_000) if own else None,
            "agg.item_id.age": math.log1p(age) if age > 0 else None,
        }

    def ready_slices(self, row: Row) -> dict[str, str]:
        day = self.day_number(row["timestamp"])
        found = {}
        for word, key in (("cold_user", "user_id"), ("cold_item", "item_id")):
            before = sum(other[key] == row[key] and self.day_number(other["timestamp"]) < day for other in self.rows)
            found[f"slice.{word}"] = "new" if not before else "cold" if before < 10 else "warm"
        age = day - min(self.day_number(other["timestamp"]) for other in self.rows if other["item_id"] == row["item_id"])
        return found | {"slice.item_age": ("new today", "1 day", "2-3 days", "2-3 days", "4-7 days")[age]}

    def static(self, row: Row, users: Sequence[Row], local: tuple[date, int]) -> dict[str, Any]:
        """`local`: the day and the ms since its midnight, by the local clock."""
        user = next((user for user in users if user["user_id"] == row["user_id"]), {})
        item = self.items.get(row["item_id"], {})
        day, since_midnight = local
        tab = None if row["log.tab"] is None else str(row["log.tab"])
        return {
            "user.grade": user.get("grade"),
            "user.level": user.get("level"),
            "item.tag": tags(item.get("tag")),
            "item.uploaded": (day - item["uploaded"]).days + since_midnight / 86_400_000 if item else None,
            "context.tab": tab,
            "context.hour": str(since_midnight // 3_600_000),
            "context.weekday": str(day.weekday()),
            "id.author_id": item.get("author_id"),
            "bias.position": row["position"],
            "slice.tab": tab,
            "slice.grade": user.get("grade"),
            "label.click": None if row["log.is_click"] is None else float(row["log.is_click"] == 1),
            "label.watch": row["log.watch"] if row["log.is_click"] == 1 else None,
            "known.click": None if row["log.is_click"] is None else row["timestamp"] + DELAY,
            "known.watch": row["timestamp"] + DELAY if row["log.is_click"] == 1 and row["log.watch"] is not None else None,
        }


def computed(row: Row) -> dict[str, float | None]:
    """The named expressions: undefined in the tab 0 and where the tab is unknown, as is the answer that nobody gave."""
    survey = row["feedback.survey"]
    return {
        "part": min(row["log.watch"] / (row["log.tab"] * 4), 3.0) if row["log.tab"] else None,
        "glad": None if survey is None else float(survey >= 4),
    }


def lift(total: float, n: int, base: float) -> float:
    return math.log((total + SHRINKAGE * base) / (n + SHRINKAGE) / base) if base else 0.0


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def tags(cell: str | None) -> list[str] | None:
    return None if cell is None else [part.strip() for part in cell.split(",") if part.strip()]


@pytest.mark.parametrize(("seed", "with_hours"), [(0, True), pytest.param(1, False, marks=pytest.mark.words)])
def test_every_feature_of_a_random_log_is_what_plain_loops_give(feed: Any, seed: int, with_hours: bool) -> None:
    """Without windows of hours, less of the past is kept from day to day."""
    rows = feed.events(seed)
    built = feed.build("log", rows, feed.pipeline(features={"recent": RECENT, "hours": HOURS} if with_hours else {}))
    zone = ZoneInfo(feed.zone)

    def local(moment: int) -> datetime:
        return datetime.fromtimestamp(moment / 1000, zone)

    oracle = Oracle(
        rows,
        feed.items,
        day_number=cache(lambda moment: local(moment).toordinal()),
        day_start=lambda moment: feed.midnight(local(moment).date().isoformat()),
    )
    by_id = {row["event_id"]: row for row in rows}
    checked = 0
    for day, table in feed.examples(built.folder).items():
        expected_order = [row["event_id"] for row in oracle.rows if feed.day_of(row) == day]
        assert table["event_id"].to_pylist() == expected_order
        for example in table.to_pylist():
            row = by_id[example["event_id"]]
            at = row["timestamp"]
            expected: dict[str, Any] = {name: row[name] for name in ("event_id", "user_id", "item_id", "timestamp")}
            expected |= oracle.static(row, feed.users, (local(at).date(), at - oracle.day_start(at)))
            expected |= oracle.session(row) | oracle.history(row) | oracle.ready_slices(row)
            expected |= {name: value for name, value in oracle.open_windows(row).items() if with_hours or name.endswith(".today")}
            for entity in ENTITIES:
                expected |= oracle.aggregates(row, entity)
            assert example == {name: close(value) for name, value in expected.items()}
            checked += 1
    assert checked == len(rows)
    assert sum(oracle.listed(row) != row["timestamp"] for row in rows) > 5, "some lists have several moments"


def close(value: Any) -> Any:
    """Whole numbers, text and null to the letter, floats to float32's precision."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-5, abs=1e-6)
    if isinstance(value, list):
        return [close(entry) for entry in value]
    return value
