"""Users and items made ready: what impressions take of them, computed once per user and item and not per impression.

A list of tags is parsed as often as there are items, not as often as they are shown. A side holds the id, and one column per use of a
column, such as `feature.tags` and `key.tags`.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.errors import Place, data_error
from recsys.features.engine import Engine
from recsys.features.feature_columns import Column, Table
from recsys.features.plan import Plan
from recsys.features.values import Use, value_of
from recsys.workspace import ITEMS, PART, USERS

_SIDES: dict[Table, tuple[str, str]] = {"users": (USERS, schema.USER_ID), "items": (ITEMS, schema.ITEM_ID)}  # folder and id


def side_tables(plan: Plan) -> tuple[ir.Table, ir.Table]:
    """Return users and items as `open_sides` keeps them in the engine."""
    users, items = (ibis.table(_ready(table, plan).schema(), name=table) for table in _SIDES)
    return users, items


def open_sides(engine: Engine, folder: Path, plan: Plan) -> None:
    """Keep users and items under their names. A source without them gets empty tables. Raise DataError where an id has several rows.

    `folder` is the pipeline's workspace.
    """
    for table, (name, key) in _SIDES.items():
        path = folder / name / PART
        if path.parent.exists():
            engine.files(_stored(table), [path])
            _require_unique(engine, table, key, path, plan)
        else:
            engine.empty(_stored(table), getattr(plan.columns, table))
        engine.keep(table, _ready(table, plan))


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
