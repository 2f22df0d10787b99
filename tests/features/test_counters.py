"""Counters through the day against plain loops, where random logs seldom go: no past, missing values, equal moments, several keys."""

from dataclasses import dataclass, replace
from typing import Any, cast

import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys.days import Day
from recsys.features.counters import WINDOW, EntityPast, of_hours, of_today
from recsys.features.feature_columns import Column
from recsys.features.plan import Entity, OpenWindow, Plan, Signal

DAY, DELAY = Day("2024-01-02", "UTC"), 600_000
SLOW = DELAY + 86_400_000
USER = Column("user_id", "events", "user_id", "text", dt.string)
TAGS = Column("tags", "items", "tags", "multi", dt.Array(dt.string))
MOODS = replace(TAGS, name="moods", stored="moods")
TAB = Column("tab", "events", "log.tab", "text", dt.string)
ENTITIES = [(USER,), (USER, TAB), (TAGS, USER), (USER, TAGS, TAB), (USER, MOODS, TAGS)]

FIRST = 7  # the `ROW` of the first ask, which is not its place


@dataclass(frozen=True)
class _Plan:
    """As far as counters read one: a click that is known after ten minutes, and a survey a day later."""

    today: tuple[Entity, ...] = ()
    hours: tuple[int, ...] = ()
    delays = (DELAY, SLOW)
    signals = (Signal("click", "log.click", DELAY, 1), Signal("survey", "log.survey", SLOW, 1))

    def signals_of(self, delay: int) -> tuple[Signal, ...]:
        return tuple(signal for signal in self.signals if signal.delay == delay)


def random_rows(rng: np.random.Generator, rows: int, *, of_today: bool) -> list[dict[str, Any]]:
    """Moments are whole minutes, so that many are equal, and some lie exactly on a border."""

    def several(values: str) -> list[str] | None:
        return None if rng.random() < 0.1 else [value for value in values if rng.random() < 0.4]

    first = 0 if of_today else -3 * 1440
    return [
        {
            "user_id": str(rng.choice(list("abcz" if of_today else "abcd"))),
            "timestamp": int(DAY.start + 60_000 * rng.integers(first, 1440)),
            "key.tags": several("xyz"),
            "key.moods": several("uv"),
            "key.tab": None if rng.random() < 0.1 else str(rng.integers(4 if of_today else 3)),
            "signal.click": None if rng.random() < 0.2 else int(rng.integers(3)),
            "signal.survey": None if rng.random() < 0.5 else int(rng.integers(5)),
        }
        for _ in range(rows)
    ]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    lists = pa.list_(pa.string())
    kinds = {"user_id": pa.string(), "timestamp": pa.int64(), "key.tags": lists, "key.moods": lists, "key.tab": pa.string()}
    kinds |= {"signal.click": pa.int64(), "signal.survey": pa.int64()}
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds)).append_column("row", pa.array(range(FIRST, FIRST + len(rows)), pa.int64()))


def keys_of(row: dict[str, Any], entity: Entity) -> list[tuple[str, ...]]:
    """Each combination of the values of an entity's columns."""
    keys: list[tuple[str, ...]] = [()]
    for key in entity.keys:
        values = row[key] if key in entity.multi else [row[key]]
        keys = [(*start, value) for start in keys for value in values or [] if value is not None]
    return keys


def counted(asks: pa.Table, past: pa.Table, window: OpenWindow) -> pa.Table:
    other = replace(window.entity, columns=(USER,))
    if window.hours is None:
        found = of_today(past, asks, day=DAY, plan=cast(Plan, _Plan(today=(other, window.entity))))
    else:
        plan = cast(Plan, _Plan(hours=(99, window.hours)))
        found = of_hours(EntityPast(past, window.entity.keys, plan), asks, plan=plan)
    return found.filter(pc.field(WINDOW) == 1).drop(WINDOW)


def expected(ask: dict[str, Any], past: list[dict[str, Any]], window: OpenWindow) -> list[tuple[int, ...]]:
    """For each key of an ask: impressions, then the number and the sum of each signal, known in the window and before the ask."""
    found = []
    entity = window.entity
    begin = DAY.start if window.hours is None else ask["timestamp"] - window.hours * 3_600_000
    for key in keys_of(ask, entity):
        of_key = [row for row in past if key in keys_of(row, entity)]
        clicks, surveys = ([row for row in of_key if begin <= row["timestamp"] + delay < ask["timestamp"]] for delay in (DELAY, SLOW))
        numbers = [len(clicks)]
        for rows, name in ((clicks, "signal.click"), (surveys, "signal.survey")):
            known = [row[name] for row in rows if row[name] is not None]
            numbers += [len(known), sum(known)]
        found.append(tuple(numbers))
    return found


@pytest.mark.parametrize("columns", ENTITIES, ids=lambda columns: "+".join(column.name for column in columns))
@pytest.mark.parametrize("past_rows", [400, 1, 0])
@pytest.mark.parametrize("hours", [None, 1, 30])
def test_counters_are_what_plain_loops_give(
    rng: np.random.Generator, columns: tuple[Column, ...], past_rows: int, hours: int | None
) -> None:
    entity = Entity(columns)
    window = OpenWindow(entity, hours)
    asks, past = random_rows(rng, 60, of_today=True), random_rows(rng, past_rows, of_today=False)
    got = counted(table(asks), table(past), window)
    found: dict[int, list[tuple[int, ...]]] = {}
    for place, *numbers in zip(*(column.to_pylist() for column in got.columns), strict=True):
        found.setdefault(place - FIRST, []).append(tuple(numbers))
    assert set(found) == set(range(len(asks))), "each ask has a row"
    nothing = [(0, 0, 0, 0, 0)]
    for place, ask in enumerate(asks):
        of_keys = [numbers for numbers in expected(ask, past, window) if any(numbers)]
        assert sorted(numbers for numbers in found[place] if any(numbers)) == sorted(of_keys)
        if keys_of(ask, entity):
            assert len(found[place]) == len(keys_of(ask, entity))
        else:
            assert {*found[place]} == {*nothing}
    if past_rows == 400 and hours != 1:
        assert sum(any(numbers) for of in found.values() for numbers in of) > 10


def test_an_impression_counts_from_the_moment_after_it_is_known() -> None:
    (row,) = random_rows(np.random.default_rng(1), 1, of_today=True)
    row |= {"user_id": "a", "signal.click": 1, "timestamp": DAY.start}
    asks = [{**row, "timestamp": DAY.start + DELAY + extra} for extra in (-1, 0, 1)]
    got = counted(table(asks), table([row]), OpenWindow(Entity((USER,))))
    assert got["count"].to_pylist() == got["sum.click"].to_pylist() == [0, 0, 1]
    known_at_midnight = {**row, "timestamp": DAY.start - DELAY}
    known_before = {**row, "timestamp": DAY.start - DELAY - 1}
    got = counted(table(asks[:1]), table([known_before, known_at_midnight]), OpenWindow(Entity((USER,))))
    assert got["count"].to_pylist() == [1], "yesterday's belongs to the windows"


def test_an_impression_leaves_the_last_hour_an_hour_after_it_was_known() -> None:
    (row,) = random_rows(np.random.default_rng(1), 1, of_today=True)
    row |= {"user_id": "a", "signal.click": 1, "timestamp": DAY.start}
    asks = [{**row, "timestamp": DAY.start + DELAY + 3_600_000 + extra} for extra in (-1, 0, 1)]
    got = counted(table(asks), table([row]), OpenWindow(Entity((USER,)), hours=1))
    assert got["count"].to_pylist() == got["sum.click"].to_pylist() == [1, 1, 0]
