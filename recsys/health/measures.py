"""Measure one day of a log, in numbers that another day can be held against. It reads events and examples, without an engine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.objectives import Objective
from recsys.workspace import EVENTS, PART, day_folder

# Legend: N rows of a day, E edges of bins.

SAMPLE = 20_000  # rows of a day whose features are looked at, evenly spread over it
_FEATURES = (schema.USER, schema.ITEM, schema.QUERY, schema.CONTEXT, schema.AGGREGATE, schema.BIAS)
OF_THE_DAY = schema.CONTEXT + "weekday"  # one value per day: never that of the days before
_ITEMS = schema.HISTORY + schema.ITEM_ID
LENGTH = schema.HISTORY + "length"  # how long the histories are: the one feature that is checked of them
_ROWS = 131_072


@dataclass(frozen=True)
class Numbers:
    """A numeric feature on one day: its values in ascending order, and how many are missing."""

    sorted_N: NDArray[np.float64]
    missing: int

    def counts(self, edges_E: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count the values in each bin, E + 1 of them, and then the missing ones. A value on an edge lies in the bin above it."""
        up_to_E = np.searchsorted(self.sorted_N, edges_E, side="left")
        return np.append(np.diff(np.concatenate([[0], up_to_E, [len(self.sorted_N)]])), self.missing)


@dataclass(frozen=True)
class Values:
    """A feature of texts on one day: how often each value comes. Null is a value; of lists each value counts."""

    counts: Mapping[str | None, int]


Spread = Numbers | Values


@dataclass(frozen=True)
class DayMeasures:
    """One day: what is counted in its impressions, and how its features are spread. Features are empty where the day has no examples.

    `counts`: impressions, users, items. `nulls`: column of the log → share. `unknown`: share of impressions whose user, or item, comes for
    the first time. `rates`: objective → mean label (None without any) and the number of labels. `due`: objective → impressions whose label
    is known by the end of the log, where not those of the whole day are; its rate is of these alone.
    """

    day: str
    counts: Mapping[str, int]
    nulls: Mapping[str, float]
    unknown: Mapping[str, float]
    rates: Mapping[str, tuple[float | None, int]]
    spreads: Mapping[str, Spread]
    due: Mapping[str, int] = field(default_factory=dict)

    @property
    def users(self) -> int:
        return self.counts["users"]

    def labelled(self, objective: str) -> int:
        """Return the impressions whose label is known by the end of the log."""
        return self.due.get(objective, self.counts["impressions"])

    def is_known(self, objective: str) -> bool:
        """Return whether the labels of half of the day or more are known by the end of the log: an answer that may still come is no 0."""
        return 2 * self.labelled(objective) >= self.counts["impressions"]


def measure(
    folder: Path,
    day: str,
    *,
    examples: Path,
    known: "Known | Mapping[str, float]",
    without: frozenset[str],
    end: int,
    label_delays: Mapping[str, int],
    feedback_delays: Mapping[str, int],
) -> DayMeasures:
    """Measure one day. `without`: columns left out. `end`: of the log, ms UTC. What becomes known from then on is left out.

    `label_delays` and `feedback_delays`: objective, or feedback → ms from an impression to when it is known. A feedback of which less than
    half is known has no nulls.
    `known` are the users and items of the days before, and is told those of this one; or the shares that are unknown, counted before.
    """
    events = artifacts.read_table(day_folder(folder / EVENTS, day) / PART)
    counts = {
        "impressions": len(events),
        "users": len(events[schema.USER_ID].unique()),
        "items": len(events[schema.ITEM_ID].unique()),
    }
    nulls = dict(_nulls(events, without, end, feedback_delays))
    unknown = known if isinstance(known, Mapping) else known.shares_new(events, without)
    path = day_folder(examples, day) / PART
    if not path.exists():
        return DayMeasures(day, counts, nulls, unknown, {}, {})
    rates, due = _rates(path, label_delays, end)
    return DayMeasures(day, counts, nulls, unknown, rates, dict(_spreads(path, without)), due)


class Known:
    """The users and items that have come so far. `latest` are those that came for the first time on the last day."""

    def __init__(self) -> None:
        self._seen: dict[str, pa.Array] = {}
        self.latest: dict[str, pa.Array] = {}

    def add(self, name: str, ids: pa.Array) -> None:
        """Add ids that have not come before."""
        self._seen[name] = pa.concat_arrays([self._seen.get(name, pa.array([], ids.type)), ids])

    def shares_new(self, events: pa.Table, without: frozenset[str]) -> dict[str, float]:
        """Return per id the share of a day's rows in which it comes for the first time, and remember the day's ids."""
        shares = {}
        for name in (schema.USER_ID, schema.ITEM_ID):
            ids = events[name]
            is_new = pc.invert(pc.is_in(ids, value_set=self._seen.get(name, pa.array([], ids.type))))
            self.latest[name] = ids.filter(is_new).unique()
            self.add(name, self.latest[name])
            shares[name] = float(pc.mean(is_new).as_py())
        return {name: share for name, share in shares.items() if name not in without}


def _nulls(events: pa.Table, without: frozenset[str], end: int, feedback_delays: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """Yield the share of nulls in each column; of a feedback, among the impressions of which it is known before `end`."""
    delays = {schema.feedback_column(name): delay for name, delay in feedback_delays.items()}
    for name in events.column_names:
        if name in without:
            continue
        column, delay = events[name], delays.get(name)
        if delay is not None:
            column = column.filter(pc.less(events[schema.TIMESTAMP], end - delay))
        if 2 * len(column) >= len(events):
            yield name, column.null_count / len(column)


def _rates(path: Path, delays: Mapping[str, int], end: int) -> tuple[dict[str, tuple[float | None, int]], dict[str, int]]:
    """Return the rates of a day's labels that are known before `end`, and of how many impressions they are where not of all."""
    rates, due = {}, {}
    table = artifacts.read_table(path, [schema.TIMESTAMP, *map(schema.label_column, delays)])
    for name, delay in delays.items():
        label = table[schema.label_column(name)].filter(pc.less(table[schema.TIMESTAMP], end - delay))
        rates[name] = pc.mean(label).as_py(), len(label) - label.null_count
        if len(label) < len(table):
            due[name] = len(label)
    return rates, due


def delays_of_labels(paths: Sequence[Path], objectives: Sequence[Objective]) -> dict[str, int]:
    """Return objective → ms from an impression to when its label is known, as the examples of these days say; 0 where none has a label."""
    delays = {objective.name: 0 for objective in objectives}
    for path in paths:
        table = artifacts.read_table(path, [schema.TIMESTAMP, *map(schema.known_column, delays)])
        for name in delays:
            found = pc.max(pc.subtract(table[schema.known_column(name)], table[schema.TIMESTAMP])).as_py()
            delays[name] = max(delays[name], found or 0)
    return delays


def checked_features(fields: pa.Schema) -> list[str]:
    """Return the features that are checked, of examples with these columns."""
    return [*(name for name in fields.names if name.startswith(_FEATURES)), *([LENGTH] if _ITEMS in fields.names else [])]


def _spreads(path: Path, without: frozenset[str]) -> Iterator[tuple[str, Spread]]:
    """Yield how each feature is spread over a sample of the day's examples."""
    wanted = [name for name in checked_features(artifacts.read_schema(path)) if name not in without]
    names = [name for name in wanted if name != LENGTH]
    read = [*names, *([_ITEMS] if LENGTH in wanted else [])]
    step = -(-artifacts.count_rows(path) // SAMPLE)
    parts, start = [], 0
    for table in artifacts.read_batches(path, _ROWS, read):
        parts.append(table.take(pa.array(np.arange(-start % step, len(table), step))))
        start += len(table)
    sample = pa.concat_tables(parts)
    for name in names:
        yield name, _spread(sample[name].combine_chunks())
    if LENGTH in wanted:
        yield LENGTH, _spread(pc.list_value_length(sample[_ITEMS].combine_chunks()))


def _spread(column: pa.Array) -> Spread:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        column = pa.concat_arrays([pc.list_flatten(column).cast(pa.string()), pa.nulls(column.null_count, pa.string())])
        kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        values_N = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        there_N = values_N[np.isfinite(values_N)]
        return Numbers(np.sort(there_N), len(values_N) - len(there_N))
    counted = pc.value_counts(column)
    return Values(dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)))
