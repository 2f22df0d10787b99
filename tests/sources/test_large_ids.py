"""Ids that no int64 and no float holds: unsigned hashes, long decimals, UUIDs."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.days import Day
from recsys.errors import DataError
from recsys.sources import stage_candidates
from tests.sources.logs import make_log, make_pipeline


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("kind", [pa.uint64(), pa.decimal128(38, 0)])
@pytest.mark.parametrize("largest", [2**63 - 1, 2**63, 2**64 - 1])
def test_whole_numbers_that_no_int64_holds_are_texts(
    tmp_path: Path, ingest: Callable, largest: int, kind: pa.DataType, statistics: bool
) -> None:
    """Unsigned hashes as ids, in one file of two; no digit is lost, and users join."""
    ids = [largest - 16 + n for n in range(17)]
    log = pa.Table.from_pandas(make_log().drop(columns="uid"))
    log = log.append_column("uid", pa.array([ids[n % 17] for n in range(200)], kind))
    (tmp_path / "logs").mkdir()
    for name, some in (("a", pa.array([n % 17 == 0 for n in range(200)])), ("b", pa.array([n % 17 != 0 for n in range(200)]))):
        pq.write_table(log.filter(some), tmp_path / "logs" / f"{name}.parquet", write_statistics=statistics, row_group_size=50)
    pq.write_table(pa.table({"uid": pa.array(ids, kind), "age": range(17)}), tmp_path / "users.parquet", write_statistics=statistics)
    result = ingest("logs", users=tmp_path / "users.parquet")
    events, is_number = result.events(), largest < 2**63
    assert result.table("events").schema.field("user_id").type == (pa.int64() if is_number else pa.string())
    assert sorted(set(events["user_id"])) == (ids if is_number else [str(number) for number in ids])
    assert set(result.table("users")["user_id"].to_pylist()) == set(events["user_id"])


def test_a_column_of_small_unsigned_numbers_is_one_of_numbers(tmp_path: Path, ingest: Callable) -> None:
    log = make_log()
    log["clicked"] = log["clicked"].astype("uint64")
    log.loc[:, "unknown"] = pd.Series([None] * 200, dtype="UInt64")
    log.to_parquet(tmp_path / "log.parquet")
    fields = ingest("log.parquet").table("events").schema
    assert (fields.field("log.clicked").type, fields.field("log.unknown").type) == (pa.int64(), pa.int64())


def test_uuids_are_texts_of_the_usual_form(tmp_path: Path, ingest: Callable) -> None:
    """DuckDB writes them as parquet's UUID, and says what they are as text."""
    make_log().to_parquet(tmp_path / "plain.parquet")
    ids = "SELECT * REPLACE (md5(uid::VARCHAR)::UUID AS uid), CASE WHEN clicked = 1 THEN md5(vid)::UUID END AS other"
    log = duckdb.sql(f"{ids} FROM '{tmp_path}/plain.parquet'")
    log.write_parquet(str(tmp_path / "log.parquet"))
    pairs = log.select("uid::VARCHAR, other::VARCHAR").fetchall()
    events = ingest("log.parquet").table("events")
    found = zip(events["user_id"].to_pylist(), events["log.other"].to_pylist(), strict=True)
    assert sorted(found, key=str) == sorted(pairs, key=str)


def test_candidates_with_ids_that_have_lost_digits_are_refused(tmp_path: Path) -> None:
    """As floats, ids that the log has as texts would be those of nobody."""
    given, written = tmp_path / "given.parquet", tmp_path / "written.parquet"
    pipeline = make_pipeline({"kind": "table", "log": "log.csv"})

    def stage(user: float) -> list:
        pq.write_table(pa.table({"user_id": pa.array([user]), "item_id": ["a"]}), given)
        needed = {"user_id": pa.string(), "item_id": pa.string()}
        stage_candidates(pipeline, given, needed, written, at=0, first=Day("2024-01-01", "UTC"), scratch=tmp_path)
        return pq.read_table(written)["user_id"].to_pylist()

    assert stage(float(2**53 - 1)) == [str(2**53 - 1)]
    with pytest.raises(DataError, match=r"column user_id: found .*e\+19.*a float has lost digits"):
        stage(float(2**64 - 2048))
