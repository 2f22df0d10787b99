"""Translate a label's SQL expression to Ibis. The expression is parsed, limited to scalar constructs, and never spliced into SQL.

Numbers are computed as float64. Results that SQL leaves undefined (x / 0, ln(0), sqrt(-1), text that is no number) are null.
NaN in the data is null too.
"""

from collections.abc import Callable, Iterable

import ibis
import ibis.expr.types as ir
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from recsys import schema

_ALLOWED = (
    "comparisons, and/or/not, arithmetic, case, if, in, between, is null, coalesce, nullif, least, greatest, abs, ln, log, exp, sqrt,"
    " round, floor, ceil, cast"
)
_MAX_LENGTH = 10_000  # characters of an expression; longer ones can nest so deeply that they exhaust the parser's stack


class LabelError(ValueError):
    """The error for an expression that is not a scalar of the log's columns. `str(error)` reads: found X, expected Y."""


class UnknownColumns(ValueError):  # noqa: N818 (what it holds, not what it is)
    """The error for names in an expression that are neither columns of the log nor feedback."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(", ".join(self.names))


def parse(text: str) -> exp.Expression:
    """Parse one scalar expression into its tree. Raises LabelError for anything else: a query, an aggregate, two statements, …"""
    if len(text) > _MAX_LENGTH:
        raise LabelError(f"found {len(text):,} characters, expected at most {_MAX_LENGTH:,}")
    try:
        statements = sqlglot.parse(text, read="duckdb")
    except (SqlglotError, RecursionError) as error:
        raise LabelError(f'found "{text}", which cannot be parsed, expected a scalar SQL expression such as "is_like = 1"') from error
    if len(statements) != 1 or statements[0] is None:
        count = sum(statement is not None for statement in statements)
        raise LabelError(f"found {count} expressions, expected one scalar SQL expression")
    tree: exp.Expression = statements[0]
    for node in tree.walk():
        if type(node) not in _TRANSLATIONS and type(node) not in _PARTS:
            kind = type(node).__name__.lower()
            raise LabelError(f"found {node.sql(dialect='duckdb')} ({kind}), expected scalars of the log's columns: {_ALLOWED}")
    return tree


def columns(text: str) -> tuple[str, ...]:
    """List the names that an expression reads, in order, each once."""
    return tuple(dict.fromkeys(_name(node) for node in parse(text).find_all(exp.Column)))


def translate(text: str, events: ir.Table) -> ir.NumericValue:
    """Translate `text` into a float64 expression over the columns of `events`. True is 1, false is 0.

    A bare name is a column of the log (`log.X`) or a feedback (`feedback.X`). Raises LabelError, or UnknownColumns with
    every unknown name.
    """
    tree = parse(text)
    unknown = [name for name in columns(text) if not _candidates(name, events)]
    if unknown:
        raise UnknownColumns(unknown)
    return _number(_value(tree, events))


# --- Columns ------------------------------------------------------------------------------------------------------
def _name(node: exp.Column) -> str:
    return ".".join(part.name for part in node.parts)


def _candidates(name: str, events: ir.Table) -> list[str]:
    names = (name,) if name.startswith((schema.LOG, schema.FEEDBACK)) else (schema.log_column(name), schema.feedback_column(name))
    return [candidate for candidate in names if candidate in events.columns]


def _column(node: exp.Column, events: ir.Table) -> ir.Value:
    found = _candidates(_name(node), events)
    if len(found) > 1:
        raise LabelError(f"found the name {_name(node)}, which is a column of the log and a feedback, expected {' or '.join(found)}")
    value = events[found[0]]
    if value.type().is_floating():
        return value.isnan().ifelse(ibis.null(value.type()), value)
    if value.type().is_decimal():
        return value.cast("float64")
    if not (value.type().is_numeric() or value.type().is_boolean() or value.type().is_string() or value.type().is_null()):
        raise LabelError(f"found the column {_name(node)} of type {value.type()}, expected a number, text or true/false")
    return value


# --- Types --------------------------------------------------------------------------------------------------------
def _number(value: ir.Value) -> ir.NumericValue:
    kind = value.type()
    if kind.is_string():
        raise LabelError("found text where a number is expected")
    return value.cast("int8").cast("float64") if kind.is_boolean() else value.cast("float64")


def _truth(value: ir.Value) -> ir.BooleanValue:
    kind = value.type()
    if kind.is_string():
        raise LabelError("found text where a condition is expected")
    return value if kind.is_boolean() else value.cast("boolean") if kind.is_null() else value != 0


def _alike(*values: ir.Value) -> list[ir.Value]:
    """Cast values to one type, for a comparison or the branches of a case. Raises LabelError where text meets a number."""
    kinds = [value.type() for value in values if not value.type().is_null()]
    if not kinds:
        return list(values)
    if all(kind.is_string() for kind in kinds):
        return [value.cast("string") for value in values]
    if any(kind.is_string() for kind in kinds):
        raise LabelError("found text beside a number, expected both alike (a number in quotes is text)")
    if all(kind.is_boolean() for kind in kinds):
        return [value.cast("boolean") for value in values]
    if all(kind.is_integer() or kind.is_boolean() for kind in kinds):
        return [value.cast("int64") for value in values]
    return [_number(value) for value in values]


# --- Translations -------------------------------------------------------------------------------------------------
Translation = Callable[[exp.Expression, ir.Table], ir.Value]


def _value(node: exp.Expression, events: ir.Table) -> ir.Value:
    return _TRANSLATIONS[type(node)](node, events)


def _literal(node: exp.Literal, events: ir.Table) -> ir.Value:
    if node.is_string:
        return ibis.literal(node.name)
    return (
        ibis.literal(int(node.name), "int64")
        if node.name.isdigit() and int(node.name) < 2**63
        else ibis.literal(float(node.name), "float64")
    )


def _comparison(compare: Callable[[ir.Value, ir.Value], ir.BooleanValue]) -> Translation:
    return lambda node, events: compare(*_alike(_value(node.this, events), _value(node.expression, events)))


def _logic(combine: Callable[[ir.BooleanValue, ir.BooleanValue], ir.BooleanValue]) -> Translation:
    return lambda node, events: combine(_truth(_value(node.this, events)), _truth(_value(node.expression, events)))


def _arithmetic(compute: Callable[[ir.NumericValue, ir.NumericValue], ir.NumericValue]) -> Translation:
    return lambda node, events: compute(_number(_value(node.this, events)), _number(_value(node.expression, events)))


def _function(compute: Callable[[ir.NumericValue], ir.NumericValue]) -> Translation:
    def translation(node: exp.Expression, events: ir.Table) -> ir.Value:
        _refuse_more(node, "this")
        return compute(_number(_value(node.this, events)))

    return translation


def _refuse_more(node: exp.Expression, *known: str) -> None:
    """Raise LabelError for an argument that would have no effect, instead of ignoring it."""
    more = [key for key, value in node.args.items() if key not in known and isinstance(value, exp.Expression)]
    if more:
        raise LabelError(f"found {node.sql(dialect='duckdb')}, expected it without {', '.join(more)}")


def _variadic(compute: Callable[..., ir.Value]) -> Translation:
    return lambda node, events: compute(*_alike(*(_value(argument, events) for argument in (node.this, *node.expressions))))


def _where(value: ir.NumericValue, defined: ir.BooleanValue) -> ir.NumericValue:
    return defined.ifelse(value, ibis.null("float64"))


def _log(node: exp.Log, events: ir.Table) -> ir.Value:
    """Translate log(x) with base 10, as in DuckDB, and log(b, x) with base b."""
    first = _ln(_number(_value(node.this, events)))
    if node.expression is None:
        return first / ibis.literal(10.0).ln()
    return _ln(_number(_value(node.expression, events))) / first.nullif(0)


def _ln(value: ir.NumericValue) -> ir.NumericValue:
    return _where(value, value > 0).ln()


def _round(node: exp.Round, events: ir.Table) -> ir.Value:
    _refuse_more(node, "this", "decimals")
    digits = node.args.get("decimals")
    if digits is not None and not (isinstance(digits, exp.Literal) and digits.name.isdigit()):
        raise LabelError(f"found round to {digits.sql()} digits, expected a whole number")
    return _number(_value(node.this, events)).round(int(digits.name) if digits is not None else 0).cast("float64")


def _is(node: exp.Is, events: ir.Table) -> ir.Value:
    value = _value(node.this, events)
    if isinstance(node.expression, exp.Null):
        return value.isnull()
    if isinstance(node.expression, exp.Boolean):
        return (_truth(value) == node.expression.this).fill_null(False)
    raise LabelError(f"found {node.sql(dialect='duckdb')}, expected is null, is true or is false")


def _in(node: exp.In, events: ir.Table) -> ir.Value:
    if not node.expressions or any(not isinstance(entry, exp.Literal | exp.Neg | exp.Boolean) for entry in node.expressions):
        raise LabelError(f"found {node.sql(dialect='duckdb')}, expected a list of literals behind in")
    value, *entries = _alike(_value(node.this, events), *(_value(entry, events) for entry in node.expressions))
    return value.isin(entries)


def _between(node: exp.Between, events: ir.Table) -> ir.Value:
    value, low, high = _alike(*(_value(node.args[key], events) for key in ("this", "low", "high")))
    return (value >= low) & (value <= high)


def _case(node: exp.Case, events: ir.Table) -> ir.Value:
    branches = node.args["ifs"]
    default = node.args.get("default")
    *results, otherwise = _alike(
        *(_value(branch.args["true"], events) for branch in branches), _value(default, events) if default else ibis.null()
    )
    if node.this is None:
        conditions = [_truth(_value(branch.this, events)) for branch in branches]
    else:
        subject, *cases = _alike(_value(node.this, events), *(_value(branch.this, events) for branch in branches))
        conditions = [subject == case for case in cases]
    return ibis.cases(*zip(conditions, results, strict=True), else_=otherwise)


def _if(node: exp.If, events: ir.Table) -> ir.Value:
    otherwise = node.args.get("false")
    yes, no = _alike(_value(node.args["true"], events), _value(otherwise, events) if otherwise else ibis.null())
    return _truth(_value(node.this, events)).ifelse(yes, no)


_INTEGERS = (exp.DataType.Type.INT, exp.DataType.Type.BIGINT)
_FLOATS = (exp.DataType.Type.DOUBLE, exp.DataType.Type.FLOAT)


def _cast(node: exp.Cast, events: ir.Table) -> ir.Value:
    kind = node.to.this
    if kind not in (*_INTEGERS, *_FLOATS):
        raise LabelError(f"found a cast to {node.to.sql(dialect='duckdb')}, expected int or double")
    value = _value(node.this, events)
    number = value.try_cast("float64") if value.type().is_string() else _number(value)
    number = _where(number, ~number.isnan())
    return number.round() if kind in _INTEGERS else number


def _nullif(node: exp.Nullif, events: ir.Table) -> ir.Value:
    value, other = _alike(_value(node.this, events), _value(node.expression, events))
    return (value == other).fill_null(False).ifelse(ibis.null(value.type()), value)


_PARTS = (exp.Identifier, exp.DataType)  # parts of a column and of a cast, never values by themselves

_TRANSLATIONS: dict[type[exp.Expression], Translation] = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Boolean: lambda node, events: ibis.literal(bool(node.this)),
    exp.Null: lambda node, events: ibis.null(),
    exp.Paren: lambda node, events: _value(node.this, events),
    exp.EQ: _comparison(lambda a, b: a == b),
    exp.NEQ: _comparison(lambda a, b: a != b),
    exp.LT: _comparison(lambda a, b: a < b),
    exp.LTE: _comparison(lambda a, b: a <= b),
    exp.GT: _comparison(lambda a, b: a > b),
    exp.GTE: _comparison(lambda a, b: a >= b),
    exp.And: _logic(lambda a, b: a & b),
    exp.Or: _logic(lambda a, b: a | b),
    exp.Not: lambda node, events: ~_truth(_value(node.this, events)),
    exp.Neg: lambda node, events: -_number(_value(node.this, events)),
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
    exp.Floor: _function(lambda x: x.floor().cast("float64")),
    exp.Ceil: _function(lambda x: x.ceil().cast("float64")),
    exp.Cast: _cast,
}
