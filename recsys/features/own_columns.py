"""The columns of examples that are read from a user's own past: what factors make of it, then the history."""

from collections.abc import Sequence

import pyarrow as pa

from recsys.days import Day
from recsys.features.factors import DayFactors, factor_schema
from recsys.features.impressions import ROW
from recsys.features.plan import Plan
from recsys.features.running import OwnPast, history_schema


def own_columns(past: pa.Table, asks: pa.Table, *, day: Day, factors: Sequence[DayFactors], plan: Plan) -> pa.Table:
    """Compute the columns of `own_schema` per ask, in order. `past` is that of the asks' users (`running.own_past`)."""
    own = OwnPast(asks, past, plan)
    found = {ROW: asks[ROW]}
    for factor in factors:
        found |= _by_name(factor.scores(asks, past, own, day))
    if plan.features.history:
        found |= _by_name(own.history())
    return pa.table(found)


def own_schema(past: pa.Schema, plan: Plan) -> pa.Schema:
    """Return the schema of `own_columns`. `past` is the schema of `running.own_past`."""
    schemas = [factor_schema(factor) for factor in plan.factors] + ([history_schema(past, plan)] if plan.features.history else [])
    return pa.schema([(ROW, pa.int64()), *(field for part in schemas for field in part)])


def _by_name(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))
