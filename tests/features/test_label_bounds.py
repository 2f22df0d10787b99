"""What a label's expression may be: bounded, and computable on every row, whatever the rows hold."""

import math

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.features.labels import UnknownColumns, translate
from recsys.features.operands import LabelError
from tests.faults.amounts import EXPRESSIONS as MANY

ROWS = pa.table(
    {
        "log.big": [1e300, -1e300, math.inf, math.nan, 2.5, None],
        "log.whole": [2**63 - 1, -(2**63), 0, 1, None, 7],
        "log.name": ["u", "1e400", "", None, "7", "nan"],
        "log.seen": [True, False, None, True, False, None],
        "log.share": pa.array([0.7, 0.1, None, math.nan, 2.5, math.inf], pa.float64()),
        "feedback.stars": [1.0, None, 5.0, 2.0, None, 3.0],
    }
)
EVENTS = ibis.table(ibis.schema(ROWS.schema), name="events")


def values(text: str) -> list[float | None]:
    with duckdb.connect() as connection:
        connection.register("events", ROWS)
        sql = ibis.to_sql(EVENTS.select(label=translate(text, EVENTS)), dialect="duckdb")
        return [row[0] for row in connection.execute(str(sql)).fetchall()]


@pytest.mark.parametrize("function", ["cast(big as int)", "floor(big)", "ceil(big)", "round(big)", "round(big, 0)"])
def test_what_is_too_large_for_an_integer_is_whole_already(function: str) -> None:
    assert values(function)[:4] == [1e300, -1e300, math.inf, None]
    assert values(function)[4] in (2.0, 3.0)


def test_digits_beyond_those_of_a_double_are_refused() -> None:
    assert values("round(big, 15)")[4] == 2.5
    for digits in ("16", "99999999999", "1.5", "stars"):
        with pytest.raises(LabelError, match=rf"found round to {digits} digits, expected a whole number from 0 to 15"):
            translate(f"round(big, {digits})", EVENTS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stars" + " + 1" * 3_000, "10,000|cannot be parsed|expected at most"),
        ("stars" + " + 1" * 250, "operations in one another, expected at most 100"),
        ("(" * 200 + "stars" + ")" * 200, "operations in one another, expected at most 100|cannot be parsed"),
        (f"stars in ({', '.join(map(str, range(2_100)))})", "10,000|parts, expected at most 2,000"),
        ("stars + " * 4_000 + "1", "characters, expected at most 10,000"),
        ("'" + "x" * 5_000, "cannot be parsed"),
        ("select " + "stars, " * 1_000 + "1", "found"),
        ("sqrt(" * 30 + "stars" + ")" * 30, "parts once it is written as SQL, expected at most 20,000"),
        ("floor(" * 12 + "stars" + ")" * 12, "parts once it is written as SQL"),
        ("sum(" + "stars + " * 60 + "1)", r"\(sum\)"),
    ],
)
def test_what_is_long_or_deep_is_refused_in_few_words(text: str, words: str) -> None:
    with pytest.raises(LabelError, match=words) as caught:
        translate(text, EVENTS)
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize("text", ["big - big", "big * 0", "big % 2", "big / big", "-big + big"])
def test_what_is_undefined_for_infinity_is_null(text: str) -> None:
    assert values(text)[2] is None


def test_a_long_chain_is_computed() -> None:
    assert values(" or ".join(f"stars = {number}" for number in range(95)))[0] == 1.0
    assert values("stars" + " + 1" * 95)[0] == 96.0


# --- Any expression at all ----------------------------------------------------------------------------------------
ATOMS = [
    "big", "whole", "name", "seen", "share", "stars", "feedback.stars", "nothing", "null", "true", "0", "1", "-1", "0.5", "0.7", "1e300",
    "9" * 25, "'u'", "'",
]  # fmt: skip
UNARY = [
    "-{}", "not {}", "({})", "abs({})", "ln({})", "log({})", "exp({})", "sqrt({})", "floor({})", "ceil({})", "round({})", "round({}, 3)",
    "round({}, 400)", "cast({} as int)", "{}::double", "{}::varchar", "{} is null", "{} is true", "{} in (1, 2)", "{} in ('u')", "sum({})",
    "lower({})", "(select {})",
]  # fmt: skip
BINARY = [
    "{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} % {}", "{} = {}", "{} < {}", "{} and {}", "{} or {}", "nullif({}, {})",
    "coalesce({}, {})", "least({}, {})", "log({}, {})", "{} ; {}", "{} , {}",
]  # fmt: skip
TERNARY = ["case when {} then {} else {} end", "if({}, {}, {})", "{} between {} and {}", "case {} when {} then {} end"]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def of(forms: list[str], operands: int) -> st.SearchStrategy[str]:
        return st.builds(lambda form, parts: form.format(*parts), st.sampled_from(forms), st.tuples(*[inner] * operands))

    return of(UNARY, 1) | of(BINARY, 2) | of(TERNARY, 3)


EXPRESSIONS = st.recursive(st.sampled_from(ATOMS), _grown, max_leaves=8) | st.text(max_size=40)


def _is_computed_or_refused(text: str) -> None:
    refused, found = "", []
    try:
        found = values(text)
    except (LabelError, UnknownColumns) as error:
        refused = str(error)
    assert len(refused) < 350
    assert refused or len(found) == len(ROWS)
    assert all(value is None or not math.isnan(float(value)) for value in found), (text, found)  # a literal such as 0.5 is a decimal here


@pytest.mark.words
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(EXPRESSIONS)
def test_any_expression_is_computed_on_every_row_or_refused(text: str) -> None:
    _is_computed_or_refused(text)


@pytest.mark.faults
@settings(max_examples=MANY, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(EXPRESSIONS)
def test_many_expressions(text: str) -> None:
    _is_computed_or_refused(text)
