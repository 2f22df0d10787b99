"""Make of a cell what is read of it: a feature, the text of a slice, the identity by which it is counted, the values of a list."""

from collections.abc import Callable
from typing import Literal

import ibis
import ibis.expr.types as ir

from recsys.features.feature_columns import Column
from recsys.features.plan import Plan

Use = Literal["feature", "key", "id", "slice"]
_QUOTED = r"""^['"](.*)['"]$"""


def value_of(use: Use, column: Column, cell: ir.Value, plan: Plan) -> ir.Value:
    """Return what `use` makes of a column's cell. A date stays a date here: its age needs the impression's moment."""
    return _OF[use](column, cell, plan)


def _feature(column: Column, cell: ir.Value, plan: Plan) -> ir.Value:
    match column.kind:
        case "number":
            return finite(cell)
        case "text":
            return text(cell)
        case "multi":
            return _values(column, cell, plan)
        case "date":
            return cell


def _key(column: Column, cell: ir.Value, plan: Plan) -> ir.Value:
    """Return an entity's value. A multi-valued cell gives each value once, in order, so that an impression counts once per value."""
    return _values(column, cell, plan).unique().sort() if column.kind == "multi" else _identity(column, cell, plan)


def _identity(_column: Column, cell: ir.Value, _plan: Plan) -> ir.Value:
    return cell.cast("int64") if cell.type().is_integer() else text(cell)


def _slice(_column: Column, cell: ir.Value, _plan: Plan) -> ir.Value:
    return text(cell)


def _values(column: Column, cell: ir.Value, plan: Plan) -> ir.Value:
    return texts(cell, plan.features.multi.get(column.name))


_OF: dict[Use, Callable[[Column, ir.Value, Plan], ir.Value]] = {"feature": _feature, "key": _key, "id": _identity, "slice": _slice}


def finite(value: ir.Value) -> ir.Value:
    """Convert to float64. What is not finite is null."""
    if value.type().is_boolean():
        return value.cast("int8").cast("float64")
    number = value.cast("float64")
    return (number.isnan() | number.isinf()).ifelse(ibis.null("float64"), number) if value.type().is_floating() else number


def text(value: ir.Value) -> ir.Value:
    """Convert to text. A whole float is written as an integer, because a column of integers with gaps often arrives as float."""
    if not value.type().is_floating():
        return value.cast("string")
    bounded = (value.abs() < 2**53).ifelse(value, 0.5)  # the floor of a larger one does not fit an integer
    whole = bounded == bounded.floor()
    written = whole.ifelse(whole.ifelse(value, 0).cast("int64").cast("string"), value.cast("string"))
    return value.isnan().ifelse(ibis.null("string"), written)


def texts(value: ir.Value, separator: str | None) -> ir.Value:
    """Return the values of one cell, in the cell's order. Values are stripped, and empty ones are dropped.

    A text may be a list in brackets, whose values may stand in quotes, such as ['a', 'b']. A bracket within it makes it no list.
    """
    if value.type().is_array():
        parts = value.map(text).map(lambda part: part.strip())
    else:
        written, by = text(value), separator or ","
        inner = written.substr(1, written.length() - 2)
        values = inner.split(by).map(lambda part: part.strip().re_replace(_QUOTED, r"\1"))
        is_list = written.startswith("[") & written.endswith("]") & ~inner.contains("[") & ~inner.contains("]")
        parts = is_list.ifelse(values, written.split(by).map(lambda part: part.strip()))
    return parts.filter(lambda part: part.length() > 0)
