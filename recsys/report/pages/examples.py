"""Example lists: the choice of lists from a sample, and what is known about their items."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import artifacts, schema
from recsys.days import clock
from recsys.errors import HUGE
from recsys.evaluation.inputs.rows import IntArray
from recsys.objectives import Objective
from recsys.report.pages.page_sample import Sample
from recsys.workspace import PART

LISTS = 4
SHORTEST = 8  # fewest items of a list that is worth looking at
MOST_FEATURES = 4  # per item

_KEEP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Shown:
    """One list: its user, its time, the item being watched (None: not known), and its items.

    Each item has its place in the sample (`rows`), its name and its features.
    """

    user: str
    when: str
    watching: str | None
    rows: tuple[int, ...]
    items: tuple[str, ...]
    features: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def shown_lists(sample: Sample, objectives: Sequence[Objective], examples: Path | None, *, zone: str, seed: int) -> list[Shown]:
    """Return up to four lists of different users. Without the folder `examples`, items are known only by their ids.

    Raises ArtifactError where a day of the examples cannot be read.
    """
    table = sample.table
    rows_of = [np.flatnonzero(sample.rows.list_N == at) for at in _chosen(sample, objectives, seed)]
    if not rows_of:
        return []
    shown = table.take(pa.array(np.concatenate(rows_of)))
    features = {} if examples is None else _features(shown, examples)
    return [_shown(table, rows_N, features, clock(zone)) for rows_N in rows_of]


def _chosen(sample: Sample, objectives: Sequence[Objective], seed: int) -> list[int]:
    """Return the chosen lists: they are long enough, and each user has at most one.

    First come lists with a label above 0 in both groups of objectives, then those with one in a single group, then the others. Only
    objectives count for which higher is better. Within each part the order is random.
    """
    rows = sample.rows
    size_G = np.bincount(rows.list_N, minlength=rows.lists)
    user_G = np.zeros(rows.lists, np.int64)
    user_G[rows.list_N] = rows.user_N
    wanted_G = np.zeros(rows.lists, np.int64)
    for group in (schema.ENGAGEMENT, schema.SATISFACTION):
        of_group = [k for k, o in enumerate(objectives) if o.group == group and o.better == schema.HIGHER]
        happened_N = (np.nan_to_num(rows.labels_NK[:, of_group]) > 0).any(axis=1)
        wanted_G += np.bincount(rows.list_N, happened_N, rows.lists) > 0
    order_G = np.random.default_rng(seed).permutation(rows.lists)
    order_G = order_G[np.argsort(-wanted_G[order_G], kind="stable")]
    order_G = order_G[size_G[order_G] >= SHORTEST]
    _, first = np.unique(user_G[order_G], return_index=True)
    return [int(at) for at in order_G[np.sort(first)][:LISTS]]


def _shown(table: pa.Table, rows_N: IntArray, features: dict[Any, dict[str, Any]], zone: ZoneInfo) -> Shown:
    known = table.take(pa.array(rows_N)).select(
        [name for name in (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP) if name in table.column_names]
    )
    lines = known.to_pylist()
    first = min(line[schema.TIMESTAMP] for line in lines)
    when = datetime.fromtimestamp(first / 1000, UTC).astimezone(zone)
    of_items = [features.get(line[schema.EVENT_ID], {}) for line in lines]
    return Shown(
        user=str(lines[0][schema.USER_ID]),
        when=f"{when:%Y-%m-%d %H:%M} ({zone.key})",
        watching=_watching(of_items[0]),
        rows=tuple(int(row) for row in rows_N),
        items=tuple(str(line.get(schema.ITEM_ID, f"impression {line[schema.EVENT_ID]}")) for line in lines),
        features=tuple(" · ".join(_words(found, schema.ITEM)) for found in of_items),
    )


def _features(shown: pa.Table, examples: Path) -> dict[Any, dict[str, Any]]:
    """Return event_id → the features of its item and of the watched item, texts before numbers."""
    event_ids = shown[schema.EVENT_ID].combine_chunks()
    found: dict[Any, dict[str, Any]] = {}
    for day in shown[schema.DAY].unique().to_pylist():
        folder = examples / f"{schema.DAY}={day}"
        kinds = artifacts.read_schema(folder / PART)
        names = [name for name in kinds.names if name.startswith((schema.ITEM, schema.QUERY))]
        names.sort(key=lambda name: _is_number(kinds.field(name).type))
        table = artifacts.read_table(folder, [schema.EVENT_ID, *names])
        found |= {line[schema.EVENT_ID]: line for line in table.filter(pc.is_in(table[schema.EVENT_ID], event_ids)).to_pylist()}
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _watching(found: dict[str, Any]) -> str | None:
    """Return the item that the list stood beside, as its id and its first known feature."""
    query = found.get(schema.QUERY + schema.ITEM_ID)
    names = {name: value for name, value in found.items() if schema.ITEM + name.removeprefix(schema.QUERY) in found}
    return None if query is None else " · ".join([str(query), *_words(names, schema.QUERY)[:1]])


def _words(found: dict[str, Any], prefix: str) -> list[str]:
    """Return the first few known features as texts. A number follows its column's name."""
    known = {schema.strip(name, prefix): value for name, value in found.items() if name.startswith(prefix) and value not in (None, [])}
    known.pop(schema.ITEM_ID, None)
    return [_text(name, value) for name, value in known.items()][:MOST_FEATURES]


def _text(name: str, value: Any) -> str:
    match value:
        case int():
            return f"{name}{_KEEP}{value:,}"
        case float():
            return f"{name}{_KEEP}{value:.3g}" if not 1e3 <= abs(value) < HUGE else f"{name}{_KEEP}{value:,.0f}"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
