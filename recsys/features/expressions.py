"""The meaning in Ibis of each construct of a label's SQL expression: one function per kind of node, and a table of them."""

import math
import re
from collections.abc import Callable

import ibis
import ibis.expr.types as ir
from sqlglot import exp

from recsys import schema
from recsys.features.operands import LabelError, alike, double, number, shortened, truth, whole

Translation = Callable[[exp.Expression, ir.Table], ir.Value]
_NAN = ibis.literal(math.nan, "float64")  # the engine holds it equal to itself


def name_of(node: exp.Column) -> str:
    """Return the name that a column has in the expression, with its prefix where it has one."""
    return ".".join(part.name for part in node.parts)


def candidates(name: str, events: ir.Table) -> list[str]:
    """List the columns of `events` that `name` can mean: a column of the log, a feedback, both or neither."""
    names = (name,) if name.startswith((schema.LOG, schema.FEEDBACK)) else (schema.log_column(name), schema.feedback_column(name))
    return [candidate for candidate in names if candidate in events.columns]


def _column(node: exp.Column, events: ir.Table) -> ir.Value:
    found = candidates(name_of(node), events)
    if len(found) > 1:
        raise LabelError(
            f"found the name {shortened(name_of(node))}, which is a column of the log and a feedback, expected {' or '.join(found)}"
        )
    value = events[found[0]]
    if value.type().is_floating():
        return value.isnan().ifelse(ibis.null(value.type()), value)
    if value.type().is_decimal():
        return value.cast("float64")
    if not (value.type().is_numeric() or value.type().is_boolean() or value.type().is_string() or value.type().is_null()):
        raise LabelError(f"found the column {name_of(node)} of type {value.type()}, expected a number, text or true/false")
    return value


def value_of(node: exp.Expression, events: ir.Table) -> ir.Value:
    """Translate one node with what lies below it. Raise LabelError for operands of the wrong type."""
    if type(node) not in TRANSLATIONS:
        raise LabelError("found an operation that lacks an operand, expected a scalar SQL expression")
    return TRANSLATIONS[type(node)](node, events)


def _literal(node: exp.Literal, events: ir.Table) -> ir.Value:
    if node.is_string:
        return ibis.literal(node.name)
    if node.name.isdecimal() and node.name.isascii() and int(node.name) < 2**63:
        return ibis.literal(int(node.name), "int64")
    try:
        value = float(node.name)
    except ValueError as error:
        raise LabelError(f"found {shortened(node.name)}, expected a number such as 0.5 or 1e3") from error
    return double(value) if math.isfinite(value) else ibis.literal(value, "float64")


def _comparison(compare: Callable[[ir.Value, ir.Value], ir.BooleanValue]) -> Translation:
    return lambda node, events: compare(*alike(value_of(node.this, events), value_of(node.expression, events)))


def _logic(combine: Callable[[ir.BooleanValue, ir.BooleanValue], ir.BooleanValue]) -> Translation:
    return lambda node, events: combine(truth(value_of(node.this, events)), truth(value_of(node.expression, events)))


def _arithmetic(compute: Callable[[ir.NumericValue, ir.NumericValue], ir.NumericValue]) -> Translation:
    return lambda node, events: compute(number(value_of(node.this, events)), number(value_of(node.expression, events)))


def _function(compute: Callable[[ir.NumericValue], ir.NumericValue]) -> Translation:
    def translation(node: exp.Expression, events: ir.Table) -> ir.Value:
        _refuse_more(node, "this")
        return compute(number(value_of(node.this, events)))

    return translation


def _refuse_more(node: exp.Expression, *known: str) -> None:
    """Raise LabelError for an argument that would have no effect, instead of ignoring it."""
    more = [key for key, value in node.args.items() if key not in known and isinstance(value, exp.Expression)]
    if more:
        raise LabelError(f"found {shortened(node.sql(dialect='duckdb'))}, expected it without {', '.join(more)}")


def _variadic(compute: Callable[..., ir.Value]) -> Translation:
    return lambda node, events: compute(*alike(*(value_of(argument, events) for argument in (node.this, *node.expressions))))


def _where(value: ir.NumericValue, defined: ir.BooleanValue) -> ir.NumericValue:
    return defined.ifelse(value, ibis.null("float64"))


def _log(node: exp.Log, events: ir.Table) -> ir.Value:
    """Translate log(x) with base 10, as in DuckDB, and log(b, x) with base b."""
    first = _ln(number(value_of(node.this, events)))
    if node.expression is None:
        return first / double(10.0).ln()
    return (_ln(number(value_of(node.expression, events))) / first.nullif(0)).nullif(_NAN)


def _ln(value: ir.NumericValue) -> ir.NumericValue:
    return _where(value, value > 0).ln()


def _round(node: exp.Round, events: ir.Table) -> ir.Value:
    _refuse_more(node, "this", "decimals")
    digits = node.args.get("decimals")
    if digits is not None and not (isinstance(digits, exp.Literal) and re.fullmatch(r"[0-9]|1[0-5]", digits.name)):
        raise LabelError(f"found round to {shortened(digits.sql())} digits, expected a whole number from 0 to 15")
    value, places = number(value_of(node.this, events)), int(digits.name) if digits is not None else 0
    return value.round(places) if places else whole(value, lambda small: small.round())


def _is(node: exp.Is, events: ir.Table) -> ir.Value:
    value = value_of(node.this, events)
    if isinstance(node.expression, exp.Null):
        return value.isnull()
    if isinstance(node.expression, exp.Boolean):
        return (truth(value) == node.expression.this).fill_null(False)
    raise LabelError(f"found {shortened(node.sql(dialect='duckdb'))}, expected is null, is true or is false")


def _in(node: exp.In, events: ir.Table) -> ir.Value:
    if not node.expressions or any(not isinstance(entry, exp.Literal | exp.Neg | exp.Boolean) for entry in node.expressions):
        raise LabelError(f"found {shortened(node.sql(dialect='duckdb'))}, expected a list of literals behind in")
    value, *entries = alike(value_of(node.this, events), *(value_of(entry, events) for entry in node.expressions))
    return value.isin(entries)


def _between(node: exp.Between, events: ir.Table) -> ir.Value:
    value, low, high = alike(*(value_of(node.args[key], events) for key in ("this", "low", "high")))
    return (value >= low) & (value <= high)


def _case(node: exp.Case, events: ir.Table) -> ir.Value:
    branches = node.args["ifs"]
    default = node.args.get("default")
    *results, otherwise = alike(
        *(value_of(branch.args["true"], events) for branch in branches), value_of(default, events) if default else ibis.null()
    )
    if node.this is None:
        conditions = [truth(value_of(branch.this, events)) for branch in branches]
    else:
        subject, *cases = alike(value_of(node.this, events), *(value_of(branch.this, events) for branch in branches))
        conditions = [subject == case for case in cases]
    return ibis.cases(*zip(conditions, results, strict=True), else_=otherwise)


def _if(node: exp.If, events: ir.Table) -> ir.Value:
    otherwise = node.args.get("false")
    yes, no = alike(value_of(node.args["true"], events), value_of(otherwise, events) if otherwise else ibis.null())
    return truth(value_of(node.this, events)).ifelse(yes, no)


_INTEGERS = (exp.DataType.Type.INT, exp.DataType.Type.BIGINT)
_FLOATS = (exp.DataType.Type.DOUBLE, exp.DataType.Type.FLOAT)


def _cast(node: exp.Cast, events: ir.Table) -> ir.Value:
    kind = node.to.this
    if kind not in (*_INTEGERS, *_FLOATS):
        raise LabelError(f"found a cast to {shortened(node.to.sql(dialect='duckdb'))}, expected int or double")
    value = value_of(node.this, events)
    cast = value.try_cast("float64") if value.type().is_string() else number(value)
    defined = cast.nullif(_NAN)
    return whole(defined, lambda small: small.round()) if kind in _INTEGERS else defined


def _nullif(node: exp.Nullif, events: ir.Table) -> ir.Value:
    value, other = alike(value_of(node.this, events), value_of(node.expression, events))
    return (value == other).fill_null(False).ifelse(ibis.null(value.type()), value)


NO_VALUES = (exp.Identifier, exp.DataType)  # parts of a column and of a cast, never values by themselves

# How often the SQL of a node repeats that of its operands; of nodes that are not named here, once.
COPIES = {
    **dict.fromkeys((exp.Floor, exp.Ceil, exp.Round, exp.Cast, exp.Log), 3),
    **dict.fromkeys((exp.Sqrt, exp.Ln, exp.Nullif, exp.Between, exp.Div, exp.Mod), 2),
}

TRANSLATIONS: dict[type[exp.Expression], Translation] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: lambda node, events: ibis.literal(bool(node.this)),
    exp.Null: lambda node, events: ibis.null(),
    exp.Paren: lambda node, events: value_of(node.this, events),
    exp.EQ: _comparison(lambda a, b: a == b),
    exp.NEQ: _comparison(lambda a, b: a != b),
    exp.LT: _comparison(lambda a, b: a < b),
    exp.LTE: _comparison(lambda a, b: a <= b),
    exp.GT: _comparison(lambda a, b: a > b),
    exp.GTE: _comparison(lambda a, b: a >= b),
    exp.And: _logic(lambda a, b: a & b),
    exp.Or: _logic(lambda a, b: a | b),
    exp.Not: lambda node, events: ~truth(value_of(node.this, events)),
    exp.Neg: lambda node, events: -number(value_of(node.this, events)),
    exp.Add: _arithmetic(lambda a, b: a + b),
    exp.Sub: _arithmetic(lambda a, b: a - b),
    exp.Mul: _arithmetic(lambda a, b: a * b),
    exp.Div: _arithmetic(lambda a, b: a / b.nullif(0)),
    exp.Mod: _arithmetic(lambda a, b: a % b.nullif(0)),
    exp.Is: _is,
    exp.In: _in,
    exp.Between: _between,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: _variadic(ibis.coalesce),
    exp.Nullif: _nullif,
    exp.Least: _variadic(ibis.least),
    exp.Greatest: _variadic(ibis.greatest),
    exp.Abs: _function(lambda x: x.abs()),
    exp.Ln: _function(_ln),
    exp.Log: _log,
    exp.Exp: _function(lambda x: x.exp()),
    exp.Sqrt: _function(lambda x: _where(x, x >= 0).sqrt()),
    exp.Round: _round,
    exp.Floor: _function(lambda x: whole(x, lambda small: small.floor())),
    exp.Ceil: _function(lambda x: whole(x, lambda small: small.ceil())),
    exp.Cast: _cast,
}
