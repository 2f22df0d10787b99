"""Columns that are not read (`leave_out` of a table's format)."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.cli import run_command
from recsys.errors import DataError

from .logs import COLUMNS, make_log, make_pipeline

STRUCT = pa.array([{"a": 1}] * 200)


def left_out(*names: str, **more: object) -> dict[str, object]:
    return {"format": {"log": {"leave_out": list(names), **more}}}


def test_a_column_of_text_files_is_not_read_and_rows_keep_their_fields(tmp_path: Path, ingest: Callable) -> None:
    log = make_log()
    log.to_csv(tmp_path / "log.csv", index=False)
    whole = ingest().events()
    log.insert(1, "email", "a@b, c")
    log.to_csv(tmp_path / "log.csv", index=False)
    with (tmp_path / "log.csv").open("a", encoding="utf-8") as file:
        file.write("1,2\n")
    result = ingest(**left_out("email", "watch"))
    assert result.table("quarantine")["reason"].to_pylist() == ["found 2 fields, expected 7, as in the header"]
    assert result.events().drop(columns="event_id").equals(whole.drop(columns=["event_id", "log.watch"]))


def test_rows_that_differ_in_it_alone_are_duplicates(tmp_path: Path, ingest: Callable) -> None:
    log = make_log()
    pd.concat([log, log.assign(slot=0)]).to_csv(tmp_path / "log.csv", index=False)
    assert ingest().account.kept == 400
    account = ingest(**left_out("slot")).account
    assert (account.kept, account.duplicate) == (200, 200)


def test_a_header_that_is_too_short_is_told_by_all_its_fields(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "log.csv").write_text((tmp_path / "log.csv").read_text().replace(",slot,", ",", 1))
    with pytest.raises(DataError, match=r"found 6 fields, expected 5, as in the header; 200 of 200 rows"):
        ingest(**left_out("watch"))


def test_a_name_that_stands_in_the_place_of_the_headers_is_left_out(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    names = ["uid", "vid", "ts", "slot", "clicked", "seconds"]
    events = ingest(**left_out("seconds", names=names)).events()
    assert [name for name in events if name.startswith("log.")] == ["log.clicked", "log.slot"]


def test_a_column_whose_type_cannot_be_read_stops_nothing(tmp_path: Path, ingest: Callable) -> None:
    table = pa.Table.from_pandas(make_log())
    pq.write_table(table, tmp_path / "log.parquet")
    whole = ingest("log.parquet").events()
    pq.write_table(table.append_column("payload", STRUCT), tmp_path / "log.parquet")
    with pytest.raises(DataError, match="name it in leave_out"):
        ingest("log.parquet")
    assert ingest("log.parquet", **left_out("payload")).events().equals(whole)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_some_of_the_files_may_lack_it(tmp_path: Path, ingest: Callable, suffix: str) -> None:
    log = make_log()
    (tmp_path / "logs").mkdir()
    for name, part in (("a", log[:100]), ("b", log[100:].assign(added=1))):
        write = part.to_csv if suffix == "csv" else part.to_parquet
        write(tmp_path / "logs" / f"{name}.{suffix}", index=False)
    with pytest.raises(DataError, match=r"column added: found no such column, expected .* Fix: add it, name it in leave_out"):
        ingest("logs")
    assert ingest("logs", **left_out("added")).account.kept == 200


def test_a_name_that_no_file_has_is_told(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r"column wach: found no such column among .* in source\.format\.log\.leave_out.*watch"):
        ingest(**left_out("wach"))


def test_a_column_that_is_read_under_a_name_of_ours_is_not_left_out() -> None:
    message = "format.log.leave_out: found uid, expected no column that source.columns reads (user_id)"
    with pytest.raises(ValueError, match=re.escape(message)):
        make_pipeline({"kind": "table", "log": "log.csv", "columns": COLUMNS, **left_out("uid")})


def test_a_parquet_file_has_no_other_form(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="found a parquet file, expected a text file"):
        ingest("log.parquet", **left_out("watch", separator=";"))


@pytest.mark.words
def test_init_leaves_out_what_cannot_be_read_and_ingest_reads_the_rest(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(make_log(1_000).rename(columns={"uid": "user_id", "vid": "item_id", "ts": "timestamp"}))
    pq.write_table(table.append_column("payload", pa.array([{"a": 1}] * 1_000)), tmp_path / "log.parquet")
    own, workspace = tmp_path / "own.toml", tmp_path / "data"
    assert run_command(["init", str(tmp_path / "log.parquet"), "--out", str(own)]) == 0
    assert 'leave_out = ["payload"]' in own.read_text(encoding="utf-8")
    assert run_command(["check", str(own)]) == 0
    assert run_command(["run", str(own), "--until", "ingest", "--workspace", str(workspace)]) == 0
