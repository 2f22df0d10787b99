"""Label expressions: the values against DuckDB's own on the same rows where SQL defines one, and what is refused."""

import math

import duckdb
import ibis
import pyarrow as pa
import pytest

from recsys.features.labels import UnknownColumns, columns, parse, translate
from recsys.features.operands import LabelError

ROWS = pa.table(
    {
        "log.click": [1, 0, None, 3],
        "log.watch": [0.0, -1.0, math.nan, 4.0],
        "log.name": ["u", "v", None, "7"],
        "log.seen": [True, False, None, True],
        "log.Odd name": [1, 2, 3, 4],
        "log.share": pa.array([0.7, 0.1, None, 2.5], pa.float64()),
        "feedback.stars": [1, None, 2, 5],
    }
)
EVENTS = ibis.table(ibis.schema(ROWS.schema), name="events")


def values(text: str) -> list[float | None]:
    with duckdb.connect() as connection:
        connection.register("events", ROWS)
        sql = ibis.to_sql(EVENTS.select(label=translate(text, EVENTS)), dialect="duckdb")
        return [row[0] for row in connection.execute(str(sql)).fetchall()]


@pytest.mark.parametrize(
    "text",
    [
        *("click = 1", "click <> 1", "click >= 1 and stars < 3", "click = 1 or seen", "not seen", "click is null", "seen is true"),
        *("click in (1, 3)", "click not in (1, 3)", "name in ('u', 'v')", "click between 1 and 2", "name = 'u'", "seen = 1"),
        *("case when click = 1 then 5 when seen then 2.5 end", "case click when 1 then 5 else 0 end", "if(seen, click, -1)"),
        *("coalesce(stars, click, 9)", "nullif(click, 1)", "least(click, stars)", "greatest(click, stars, 2)"),
        *("click + stars * 2 - 1", "-click", "click / 2", "click % 2", "abs(-click)", "exp(click)", "floor(click / 2)", "ceil(click / 2)"),
        *("round(click / 3, 2)", "cast(click as double) / 2", "click::int", '"Odd name" > 2', "null", "1"),
        *("share >= 0.7", "0.7 > share", "share in (0.7, -1)", "share not between 0.1 and 0.7", "share = -0.7", "nullif(share, 0.1)"),
        *("case share when 0.1 then 5 else share end", "share < click", "share != null", "share < 1e30"),
    ],
)
def test_values_are_those_of_the_engine(text: str) -> None:
    plain = ROWS.rename_columns([name.split(".", 1)[1] for name in ROWS.column_names])
    with duckdb.connect() as connection:
        connection.register("events", plain)
        expected = [None if row[0] is None else float(row[0]) for row in connection.execute(f"select {text} from events").fetchall()]
    assert values(text) == [None if value is None else pytest.approx(value) for value in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("click / watch", [None, 0.0, None, 0.75]),
        ("click % 0", [None] * 4),
        ("ln(watch)", [None, None, None, math.log(4)]),
        ("sqrt(watch)", [0.0, None, None, 2.0]),
        ("log(2, watch)", [None, None, None, 2.0]),
        ("log(10 * watch)", [None, None, None, math.log10(40)]),
        ("watch > 1", [0.0, 0.0, None, 1.0]),  # NaN in the data is unknown; in DuckDB it is above every number
        ("cast(name as int)", [None, None, None, 7.0]),
    ],
)
def test_what_is_undefined_is_null(text: str, expected: list[float | None]) -> None:
    assert values(text) == [None if value is None else pytest.approx(value) for value in expected]


@pytest.mark.parametrize(
    "text",
    [
        *("", "-- nothing", "click; stars", "select 1", "(select 1)", "exists(select 1)", "click in (select 1)", "click in (stars)"),
        *("sum(click)", "avg(click) over ()", "row_number() over ()", "random()", "now()", "read_csv('x')", "foo(click)", "pow(click, 2)"),
        *(
            "*",
            "click stars",
            "click =",
            "click[1]",
            "name like 'u'",
            "cast(click as varchar)",
            "ceil(click, 2)",
            "(" * 600 + "a" + ")" * 400,
        ),
        *(
            "name",
            "name + 1",
            "name = 1",
            "case when name then 1 end",
            "round(click, stars)",
            "x" * 20_000,
            "(" * 600 + "a" + ")" * 400,
        ),
    ],
)
def test_what_is_no_scalar_number_is_refused(text: str) -> None:
    with pytest.raises(LabelError, match="found"):
        translate(text, EVENTS)


@pytest.mark.parametrize("text", ["like", "coalesce(like, 0)", "like > 0 and clicked = 1", "case"])
def test_a_name_that_is_a_word_of_sql_is_named_with_what_to_write(text: str) -> None:
    word = "case" if text == "case" else "like"
    with pytest.raises(LabelError, match=f'Fix: {word} is a word of SQL, too; in double quotes, "{word}", it is a name'):
        parse(text)
    parse(text.replace(word, f'"{word}"'))


def test_unknown_names_are_all_named() -> None:
    with pytest.raises(UnknownColumns) as caught:
        translate("clik = 1 and (stars > 3 or nope is null)", EVENTS)
    assert caught.value.names == ("clik", "nope")


def test_a_name_of_both_the_log_and_a_feedback_needs_its_prefix() -> None:
    events = ibis.table({"log.stars": "int64", "feedback.stars": "int64"}, name="events")
    with pytest.raises(LabelError, match=r"log\.stars or feedback\.stars"):
        translate("stars = 1", events)
    assert columns("log.stars = 1 or feedback.stars = 2") == ("log.stars", "feedback.stars")
    assert translate("log.stars = feedback.stars", events).type().is_floating()
