"""Users and items made ready: what impressions take of them, computed once per user and item and not per impression.

A list of tags is parsed as often as there are items, not as often as they are shown. A side holds the id, and one column per use of a
column, such as `feature.tags` and `key.tags`.

Where there are snapshots, a day joins the newest one that is not after it, and the days before the first one join the first.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from recsys import artifacts, schema
from recsys.errors import ArtifactError, Place, data_error
from recsys.features.engine import Engine
from recsys.features.feature_columns import Column, Table
from recsys.features.plan import Plan
from recsys.features.values import Use, value_of
from recsys.workspace import ITEMS, PART, USERS, day_folder, days_in

_SIDES: dict[Table, tuple[str, str]] = {"users": (USERS, schema.USER_ID), "items": (ITEMS, schema.ITEM_ID)}  # folder and id


def side_file(folder: Path, day: str) -> Path | None:
    """Return the file of users/ or items/ that an ISO day joins; None where there is no such folder."""
    if not folder.exists():
        return None
    snapshots = days_in(folder)
    if not snapshots:
        return folder / PART
    return day_folder(folder, max((each for each in snapshots if each <= day), default=snapshots[0])) / PART


def side_tables(plan: Plan) -> tuple[ir.Table, ir.Table]:
    """Return users and items as `Sides` keeps them in the engine."""
    users, items = (ibis.table(_ready(table, plan).schema(), name=table) for table in _SIDES)
    return users, items


class Sides:
    """Keep users and items in an engine as they are on one day."""

    def __init__(self, engine: Engine, folder: Path, plan: Plan) -> None:
        """`folder` is the pipeline's workspace. A source without users or items gets empty tables."""
        self._engine, self._folder, self._plan = engine, folder, plan
        self._open: dict[Table, Path | None] = {}

    def at(self, day: str) -> None:
        """Keep users and items of an ISO day under their names.

        Raises DataError where an id has several rows, ArtifactError where a snapshot has other columns than the first day's.
        """
        for table, (name, key) in _SIDES.items():
            path = side_file(self._folder / name, day)
            if table in self._open and self._open[table] == path:
                continue
            if path is None:
                self._engine.empty(_stored(table), getattr(self._plan.columns, table))
            else:
                _require_columns(path, getattr(self._plan.columns, table))
                self._engine.files(_stored(table), [path])
                _require_unique(self._engine, table, key, path, self._plan)
            self._engine.keep(table, _ready(table, self._plan))
            self._open[table] = path


def joined_value(use: Use, column: Column, rows: ir.Table, plan: Plan, side: str | None = None) -> ir.Value:
    """Return a column's value from events joined to users and items.

    `side` is the prefix of the joined table, by default the name of the column's own table.
    """
    if column.table == "events":
        return value_of(use, column, rows[column.stored], plan)
    return rows[f"{side or column.table}.{_name(use, column)}"]


def _ready(table: Table, plan: Plan) -> ir.Table:
    side = ibis.table(dict(plan.columns.types(table)), name=_stored(table))
    _, key = _SIDES[table]
    used = ((use, column) for use, column in _uses(plan) if column.table == table)
    return side.select(key, **{_name(use, column): value_of(use, column, side[column.stored], plan) for use, column in used})


def _require_columns(path: Path, expected: pa.Schema) -> None:
    if not artifacts.read_schema(path).remove_metadata().equals(expected):
        raise ArtifactError(
            f"{path}: found other columns or types than on the first day, expected the same."
            f" Fix: delete {path.parent.parent} and run ingest again"
        )


def _require_unique(engine: Engine, table: Table, key: str, path: Path, plan: Plan) -> None:
    side = ibis.table(dict(plan.columns.types(table)), name=_stored(table))
    counted = engine.arrow(side.agg(rows=side.count(), unique=side[key].nunique())).to_pylist()[0]
    if counted["rows"] != counted["unique"]:
        raise data_error(
            Place(path, column=key),
            found=f"{counted['unique']:,} different values",
            expected="one row each",
            bad_rows=counted["rows"] - counted["unique"],
            rows=counted["rows"],
            fix="run ingest again",
        )


def _uses(plan: Plan) -> list[tuple[Use, Column]]:
    """List each use of a column once."""
    keys = (column for entity in plan.keyed for column in entity.columns)
    pairs: list[tuple[Use, Column]] = [
        *(("feature", column) for column in plan.outputs.values()),
        *(("key", column) for column in keys),
        *(("id", column) for column in plan.ids),
        *(("slice", column) for column in plan.slices),
    ]
    return list(dict.fromkeys(pairs))


def _stored(table: Table) -> str:
    return f"stored_{table}"


def _name(use: Use, column: Column) -> str:
    return f"{use}.{column.name}"
