"""Numbers as categories: how a value that arrives as a float is written."""

from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from recsys.features import values as cells
from recsys.features.duckdb_engine import DuckDBEngine


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-3.0, "-3"),
        (107.0, "107"),
        (2.0**53 - 1, "9007199254740991"),
        (-(2.0**53) + 1, "-9007199254740991"),
        (2.5, "2.5"),
        (float("nan"), None),
        (None, None),
    ],
)
def test_a_whole_float_is_written_as_an_integer(tmp_path: Path, value: float | None, text: str | None) -> None:
    with DuckDBEngine(memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("log", pa.table({"id": pa.array([value], pa.float64())}))
        log = ibis.table({"id": "float64"}, name="log")
        assert engine.arrow(log.select(text=cells.text(log["id"])))["text"].to_pylist() == [text]


@pytest.mark.parametrize("value", [2.0**53, 1e300, float("inf")])
def test_beyond_whole_numbers_it_stays_a_float(tmp_path: Path, value: float) -> None:
    """There neighbouring integers are one float, so an integer would claim to know more than it does."""
    with DuckDBEngine(memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("log", pa.table({"id": pa.array([value], pa.float64())}))
        log = ibis.table({"id": "float64"}, name="log")
        (text,) = engine.arrow(log.select(text=cells.text(log["id"])))["text"].to_pylist()
    assert not text.isdigit()
    assert float(text) == value


@pytest.mark.parametrize(
    ("cell", "separator", "values"),
    [
        ("12,65", ",", ["12", "65"]),
        ("[27, 9]", ",", ["27", "9"]),
        ("[8]", ",", ["8"]),
        ("[]", ",", []),
        ("""['a', "b's", c]""", ",", ["a", "b's", "c"]),
        ("Action|Children's", "|", ["Action", "Children's"]),
        ("'a', 'b'", ",", ["'a'", "'b'"]),
        ("[a", ",", ["[a"]),
        ("[news]|[sport]", "|", ["[news]", "[sport]"]),
        (" a ,, b ", ",", ["a", "b"]),
        ("", ",", []),
        (None, ",", None),
    ],
)
def test_a_cell_of_several_values_is_taken_apart(tmp_path: Path, cell: str | None, separator: str, values: list[str] | None) -> None:
    with DuckDBEngine(memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("log", pa.table({"tags": pa.array([cell], pa.string())}))
        log = ibis.table({"tags": "string"}, name="log")
        assert engine.arrow(log.select(tags=cells.texts(log["tags"], separator)))["tags"].to_pylist() == [values]
