"""Numbers as categories: how a value that arrives as a float is written."""

from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from recsys.features import impressions
from recsys.features.engine import Engine


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
    with Engine(memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("log", pa.table({"id": pa.array([value], pa.float64())}))
        log = ibis.table({"id": "float64"}, name="log")
        assert engine.arrow(log.select(text=impressions._text(log["id"])))["text"].to_pylist() == [text]


@pytest.mark.parametrize("value", [2.0**53, 1e300, float("inf")])
def test_beyond_whole_numbers_it_stays_a_float(tmp_path: Path, value: float) -> None:
    """There neighbouring integers are one float, so an integer would claim to know more than it does."""
    with Engine(memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("log", pa.table({"id": pa.array([value], pa.float64())}))
        log = ibis.table({"id": "float64"}, name="log")
        (text,) = engine.arrow(log.select(text=impressions._text(log["id"])))["text"].to_pylist()
    assert not text.isdigit()
    assert float(text) == value
