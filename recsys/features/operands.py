"""The types of the operands in a label's expression: casts to a number, to a condition, and to one common type."""

from collections.abc import Callable

import ibis
import ibis.expr.types as ir
from ibis.expr.operations import Field

LARGEST_FLOAT = 3.4e38  # float32


class LabelError(ValueError):
    """The error for an expression that is not a scalar of the log's columns. `str(error)` reads: found X, expected Y."""


class TextError(LabelError):
    """The error for text where a number or a condition is expected. `columns` are those of the events among the operands."""

    def __init__(self, words: str, *operands: ir.Value) -> None:
        super().__init__(words)
        fields = [operand.op() for operand in operands if operand.type().is_string()]
        self.columns = tuple(field.name for field in fields if isinstance(field, Field))


def shortened(text: str) -> str:
    """Return a text of the configuration for a message: its beginning and its end, where it is long."""
    return text if len(text) <= 80 else f"{text[:50]} … {text[-25:]}"


def double(value: float) -> ir.NumericValue:
    """Return a finite number as a float64. Engines take a plain 0.1 for a decimal."""
    return ibis.literal(repr(float(value))).cast("float64")


def whole(value: ir.NumericValue, rounding: Callable[[ir.NumericValue], ir.Value]) -> ir.NumericValue:
    """Round a float64 to a whole number, as float64. The engine rounds by way of int64, which does not hold all of them.

    A float of 2⁵³ or more is whole already.
    """
    small = value.abs() < 2.0**53
    return small.ifelse(rounding(small.ifelse(value, 0.0)).cast("float64"), value)


def number(value: ir.Value) -> ir.NumericValue:
    """Cast a value to float64; true is 1, false is 0. Raise TextError for text."""
    kind = value.type()
    if kind.is_string():
        raise TextError("found text where a number is expected", value)
    return value.cast("int8").cast("float64") if kind.is_boolean() else value.cast("float64")


def truth(value: ir.Value) -> ir.BooleanValue:
    """Cast a value to a condition; a number is true unless it is 0. Raise TextError for text."""
    kind = value.type()
    if kind.is_string():
        raise TextError("found text where a condition is expected", value)
    return value if kind.is_boolean() else value.cast("boolean") if kind.is_null() else value != 0


def alike(*values: ir.Value) -> list[ir.Value]:
    """Cast values to one type, for a comparison or the branches of a case. Raise TextError where text meets a number."""
    kinds = [value.type() for value in values if not value.type().is_null()]
    if not kinds:
        return list(values)
    if all(kind.is_string() for kind in kinds):
        return [value.cast("string") for value in values]
    if any(kind.is_string() for kind in kinds):
        raise TextError("found text beside a number, expected both alike (a number in quotes is text)", *values)
    if all(kind.is_boolean() for kind in kinds):
        return [value.cast("boolean") for value in values]
    if all(kind.is_integer() or kind.is_boolean() for kind in kinds):
        return [value.cast("int64") for value in values]
    return [number(value) for value in values]
