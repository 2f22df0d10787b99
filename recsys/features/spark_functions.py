"""Rewrite expressions for Spark, so that it computes what DuckDB computes, to the bit.

The logarithm and the exponential of the JVM and of the C library differ in the last bit, so Arrow computes them. Floats are written as
`1.0E-5` there and as `1e-05` here. A sum of int64 has 64 bits there and 128 here. Other sums of integers, products, quotients, roots and
comparisons are the same everywhere.
"""

import decimal
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.features.operands import double

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _call(function: Callable[..., Any], name: str, *takes: str, returns: str) -> Callable[..., ir.Value]:
    """Return what calls a function that the session knows by this name (`register`). Only the name is compiled."""
    call: Callable[..., ir.Value] = ibis.udf.scalar.builtin(name=name, signature=(takes, returns))(function)
    return call


_ln = _call(lambda x: x, "arrow_ln", "float64", returns="float64")
_exp = _call(lambda x: x, "arrow_exp", "float64", returns="float64")
_text = _call(lambda x: x, "arrow_text", "float64", returns="string")
_shifted = _call(lambda x, bits: x, "shiftright", "int64", "int32", returns="int64")
_round = _call(lambda x, digits: x, "arrow_round", "float64", "int64", returns="float64")


def rewritten(relation: ops.Relation) -> ops.Relation:
    """Return the relation as it must be said to Spark."""

    def replaced(node: ops.Node, children: dict[str, Any] | None) -> ops.Node:
        return _in_spark(node.__recreate__(children) if children else node)

    found: ops.Relation = relation.replace(replaced)
    return found


def _in_spark(node: ops.Node) -> ops.Node:
    match node:
        case ops.Ln():
            return _defined(node.arg.to_expr(), _ln)
        case ops.Exp():
            return _defined(node.arg.to_expr(), _exp)
        case ops.Cast() if node.to.is_float64() and isinstance(node.arg, ops.Sum) and node.arg.arg.dtype.is_int64():
            return _long_sum(node.arg).op()
        case ops.Cast() if node.to.is_string() and node.arg.dtype.is_floating():
            return _text(node.arg.to_expr().cast("float64")).op()
        case ops.Literal() if node.dtype.is_floating() and node.value is not None and math.isfinite(node.value):
            return double(node.value).op()  # Spark reads 0.1 as a decimal
        case ops.StringSplit() if isinstance(node.delimiter, ops.Literal):  # Spark splits by a pattern
            return ops.StringSplit(node.arg, re.escape(node.delimiter.value))
        case ops.RegexReplace() if isinstance(node.replacement, ops.Literal):  # Java writes groups otherwise
            return ops.RegexReplace(node.arg, node.pattern, re.sub(r"\\(\d)", r"$\1", node.replacement.value))
        case ops.IsInf():  # Ibis has none for Spark
            return (node.arg.to_expr().abs() == ibis.literal(math.inf, "float64")).op()
        case ops.InValues() | ops.IsNull() | ops.NotNull():  # Spark refuses `a IS NULL IS NULL`: this stands for the parentheses
            return ops.Coalesce((node,))
        case ops.Round() if node.dtype.is_floating() and isinstance(node.digits, ops.Literal):
            digits = node.digits.to_expr().cast("int64")
            return _defined(node.arg.to_expr(), lambda value: _round(value, digits))
        case ops.TryCast() if node.to.is_floating() and node.arg.dtype.is_string():
            return _number_in(node.arg.to_expr()).op()
    return node


def _long_sum(total: ops.Sum) -> ir.Value:
    """Return a sum of int64 as float64 that may be beyond 64 bits: of high and of low halves, where DuckDB has 128 bits."""
    value = total.arg.to_expr()
    high = _shifted(value, ibis.literal(32, "int32"))
    of_high, of_low = (ops.Sum(part.op(), total.where).to_expr().cast("float64") for part in (high, value - high * 2**32))
    return of_high * double(2.0**32) + of_low


def _number_in(text: ir.StringValue) -> ir.Value:
    """Return the number that a text is, as DuckDB reads it; null of any other text. Java also reads `2d` and `0x1p3`, and no `1_000`."""
    plain = text.re_replace(r"(?<=[0-9])_(?=[0-9])", "").re_replace(r"^(\s*)\+(?=-)", "$1")
    is_number = plain.re_search(r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$")
    is_word = plain.lower().re_search(r"^\s*[+-]?(inf|infinity|nan)\s*$")
    return (is_number | is_word).ifelse(plain.try_cast("float64"), ibis.null("float64"))


def _defined(value: ir.Value, function: Callable[[ir.Value], ir.Value]) -> ops.Node:
    """Return the function's value; NaN of NaN, which the way to Arrow would turn into null."""
    return value.isnan().ifelse(value, function(value)).op()


def register(session: "SparkSession") -> None:
    """Tell a session the functions."""
    from pyspark.sql.functions import pandas_udf

    for name, kind, function in (
        ("arrow_ln", "double", ln),
        ("arrow_exp", "double", exp),
        ("arrow_round", "double", rounded),
        ("arrow_text", "string", text),
    ):
        session.udf.register(name, pandas_udf(function, kind))


# The names of the types must stand here as they are: PySpark reads them.
def ln(x: pd.Series) -> pd.Series:
    """Return the natural logarithm by the C library."""
    return pd.Series(pc.ln(pa.Array.from_pandas(x, type=pa.float64())).to_numpy(zero_copy_only=False))


def exp(x: pd.Series) -> pd.Series:
    """Return the exponential by the C library."""
    return pd.Series(pc.exp(pa.Array.from_pandas(x, type=pa.float64())).to_numpy(zero_copy_only=False))


def rounded(x: pd.Series, digits: pd.Series) -> pd.Series:
    """Return floats rounded as DuckDB does it: the exact value of the float, and half away from zero.

    Where the product with 10ⁿ is too large to have a fraction, it is that product over 10ⁿ; the float itself where this is no number.
    It goes number by number: only labels and expressions with `round(x, 2)` ask for it.
    """
    context = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_UP)

    def one(value: float, places: int) -> float:
        scaled = value * 10.0**places
        if abs(scaled) < 2.0**53:
            return float(decimal.Decimal(value).quantize(decimal.Decimal(1).scaleb(-places), context=context))
        return scaled / 10.0**places if math.isfinite(scaled) else value

    return pd.Series([one(*each) for each in zip(x.astype("float64"), digits, strict=True)], dtype="float64")


def text(x: pd.Series) -> pd.Series:
    """Return floats as DuckDB writes them: the shortest text that is read as the same number, as in Python."""
    return x.map(repr, na_action="ignore")
