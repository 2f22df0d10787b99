"""Queries at once: the rows of each in order, the first error, and the end of all of them."""

from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from recsys.features.engine import Engine

LOG = ibis.table({"user": "int64", "seconds": "int64"}, name="log")


@pytest.fixture
def engine(tmp_path: Path):
    with Engine(memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("log", pa.table({"user": [1, 1, 2], "seconds": [10, 20, 30]}))
        yield engine


def test_several_queries_give_what_one_after_the_other_gives(engine: Engine) -> None:
    asked = [LOG.filter(LOG["seconds"] > least).group_by("user").agg(total=LOG["seconds"].sum()).order_by("user") for least in range(40)]
    assert [table.to_pylist() for table in engine.arrows(asked)] == [engine.arrow(each).to_pylist() for each in asked]
    assert engine.arrows([]) == []


def test_sums_keep_the_type_of_the_expression(engine: Engine) -> None:
    (table,) = engine.arrows([LOG.agg(total=LOG["seconds"].sum())])
    assert table.schema == pa.schema([("total", pa.int64())])


def test_a_query_that_fails_stops_all_and_the_engine_can_be_asked_again(engine: Engine) -> None:
    absent = ibis.table({"user": "int64"}, name="absent")
    with pytest.raises(Exception, match="absent"):
        engine.arrows([LOG.select("user"), absent.select("user"), *[LOG.select("seconds")] * 20])
    assert engine.arrows([LOG.agg(n=LOG.count())])[0].to_pylist() == [{"n": 3}]


def test_threads_see_what_was_named_after_they_began(engine: Engine) -> None:
    count = LOG.agg(n=LOG.count())
    assert engine.arrows([count, count])[0]["n"].to_pylist() == [3]
    engine.rows("log", pa.table({"user": [7], "seconds": [1]}))
    assert [table["n"].to_pylist() for table in engine.arrows([count, count])] == [[1], [1]]
