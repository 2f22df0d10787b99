"""Every kind of bad input gets one message in the one form, exit code 3, and nothing half-written."""

import bz2
import gzip
import lzma
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from recsys.days import Day
from recsys.errors import ConfigError, DataError
from recsys.sources import stage_candidates
from tests.sources.logs import COLUMNS, make_log, make_pipeline

FORM = re.compile(r"^\S+?(:\d+)?( column \S+)?: found .+, expected .+\. Fix: .+", re.DOTALL)


def _csv(log: pd.DataFrame | None = None) -> str:
    return (make_log() if log is None else log).to_csv(index=False)


def _refused(tmp_path: Path, ingest: Callable, name: str, content: bytes, **source: object) -> str:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        ingest(name, **source)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert FORM.match(message), message
    assert name in message
    out = tmp_path / "out"
    assert not out.exists() or not list(out.iterdir())
    return message


def _parquet(tmp_path: Path) -> bytes:
    make_log().to_parquet(tmp_path / "good.parquet")
    return (tmp_path / "good.parquet").read_bytes()


def test_an_empty_file(tmp_path: Path, ingest: Callable) -> None:
    assert "an empty file" in _refused(tmp_path, ingest, "log.csv", b"")
    assert "an empty file" in _refused(tmp_path, ingest, "log.csv", b"\n\n")
    assert "an empty file" in _refused(tmp_path, ingest, "log.csv.gz", gzip.compress(b""))


def test_a_header_without_rows(tmp_path: Path, ingest: Callable) -> None:
    for text in (b"uid,vid,ts\n", b"uid,vid,ts", b"\n\nuid,vid,ts\n\n"):
        assert "without rows" in _refused(tmp_path, ingest, "log.csv", text)
    make_log(0).to_parquet(tmp_path / "empty.parquet")
    assert "without rows" in _refused(tmp_path, ingest, "log.parquet", (tmp_path / "empty.parquet").read_bytes())


def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, ingest: Callable) -> None:
    parquet, text = _parquet(tmp_path), _csv().encode()
    assert "found a parquet file" in _refused(tmp_path, ingest, "log.csv", parquet)
    assert "found a gzip file" in _refused(tmp_path, ingest, "log.csv", gzip.compress(text))
    assert "found binary bytes" in _refused(tmp_path, ingest, "log.csv", b"uid,vid,ts\n\x00\x01\x02")
    assert "UTF-16" in _refused(tmp_path, ingest, "log.csv", text.decode().encode("utf-16"))
    assert "expected a parquet file" in _refused(tmp_path, ingest, "log.parquet", text)
    assert "expected a gzip file" in _refused(tmp_path, ingest, "log.csv.gz", text)
    assert "found a parquet file" in _refused(tmp_path, ingest, "log.csv.gz", gzip.compress(parquet))


@pytest.mark.parametrize("kind", ["zip", "zstd", "bzip2", "xz"])
def test_a_packed_file_that_is_not_read_is_named(tmp_path: Path, ingest: Callable, kind: str) -> None:
    text = _csv().encode()
    packed = {
        "zip": lambda: b"PK\x03\x04" + text,
        "zstd": lambda: pa.compress(text, codec="zstd", asbytes=True),
        "bzip2": lambda: bz2.compress(text),
        "xz": lambda: lzma.compress(text),
    }[kind]()
    for name in ("log.csv", f"log.csv.{kind}"):
        message = _refused(tmp_path, ingest, name, packed)
        assert re.search(rf"found an? {kind} file, expected .*Fix: unpack it, or pack it by gzip", message)


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv.gz"])
@pytest.mark.parametrize("form", ["lines", "one line", "several lines", "a blank line first"])
def test_json_is_told_and_how_to_convert_it(tmp_path: Path, ingest: Callable, name: str, form: str) -> None:
    log, of_records = make_log(2_000), form in ("one line", "several lines")
    text = log.to_json(orient="records", lines=not of_records, indent=1 if form == "several lines" else None)
    content = ("\n" if form == "a blank line first" else "").encode() + text.encode()
    message = _refused(tmp_path, ingest, name, gzip.compress(content) if name.endswith(".gz") else content)
    assert "found what looks like JSON lines, or JSON, expected text with a separator, or parquet (.csv, .tsv" in message
    command, target = re.findall(r'python -c "(.+)"', message)[0], (tmp_path / name).with_suffix(".parquet")
    subprocess.run([sys.executable, "-c", command], check=True)
    assert len(pd.read_parquet(target)) == len(log)
    assert ingest(target.name).account.kept == len(log)


@pytest.mark.parametrize("cell", ['{"a": 1}', "[1]", '[{"a": 1}]'])
def test_a_cell_of_json_in_the_first_row_is_no_json(tmp_path: Path, ingest: Callable, cell: str) -> None:
    log = make_log()
    log.insert(0, "context", cell)
    (tmp_path / "log.tsv").write_text("\n".join("\t".join(map(str, row)) for row in log.itertuples(index=False)))
    form = {"header": False, "names": [*log.columns], "quote": ""}
    assert ingest("log.tsv", format={"log": form}).account.kept == len(log)


def test_a_file_that_was_cut_short(tmp_path: Path, ingest: Callable) -> None:
    parquet = _parquet(tmp_path)
    assert "without its end" in _refused(tmp_path, ingest, "log.parquet", parquet[: len(parquet) // 2])
    packed = gzip.compress(_csv(make_log(5000)).encode())
    assert "damaged gzip" in _refused(tmp_path, ingest, "log.csv.gz", packed[: len(packed) // 2])


def test_parquet_with_damaged_pages(tmp_path: Path, ingest: Callable) -> None:
    parquet = bytearray(_parquet(tmp_path))
    parquet[4:200] = bytes(196)
    assert "damaged parquet" in _refused(tmp_path, ingest, "log.parquet", bytes(parquet))


def test_text_that_is_not_utf8(tmp_path: Path, ingest: Callable) -> None:
    lines = _csv().encode().split(b"\n")
    lines[5] = lines[5].replace(b"v004", b"v\xff04")
    assert "log.csv:6 column vid: found bytes that are not UTF-8" in _refused(tmp_path, ingest, "log.csv", b"\n".join(lines))


def test_a_header_that_is_not_utf8(tmp_path: Path, ingest: Callable) -> None:
    message = _refused(tmp_path, ingest, "log.csv", _csv().replace("watch", "durée").encode("latin-1"))
    assert "log.csv:1: found bytes that are not UTF-8" in message
    assert "in the header" in message


def test_a_missing_column_names_the_nearest(tmp_path: Path, ingest: Callable) -> None:
    content = _csv().replace("uid", "user_uid", 1).encode()
    message = _refused(tmp_path, ingest, "log.csv", content)
    assert "column uid: found no such column" in message
    assert 'did you mean "vid" or "user_uid"?' in message


def test_a_separator_that_the_file_does_not_have_is_noticed(tmp_path: Path, ingest: Callable) -> None:
    message = _refused(tmp_path, ingest, "log.csv", _csv().encode(), format={"log": {"separator": ";"}})
    assert "found a header of one field ('uid,vid,ts,slot,clicked,watch'), expected fields separated by ';'" in message
    assert "set source.format.log.separator to the one that the file has" in message


def test_a_column_twice(tmp_path: Path, ingest: Callable) -> None:
    assert "column uid: found that name more than once" in _refused(tmp_path, ingest, "log.csv", b"uid,vid,ts,uid\n1,2,3,4\n")


def test_a_column_that_one_file_lacks(tmp_path: Path, ingest: Callable) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    make_log().to_csv(folder / "a.csv", index=False)
    make_log().drop(columns="watch").to_csv(folder / "b.csv", index=False)
    with pytest.raises(DataError, match=r"b\.csv column watch: found no such column, expected the columns of a\.csv"):
        ingest("logs")


def test_text_and_parquet_together(tmp_path: Path, ingest: Callable) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    make_log().to_csv(folder / "a.csv", index=False)
    make_log().to_parquet(folder / "b.parquet")
    with pytest.raises(DataError, match="a parquet file among text files"):
        ingest("logs")


def test_a_missing_file_names_the_nearest(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "logs.csv", index=False)
    with pytest.raises(DataError, match=r'no such file.*did you mean "logs\.csv"\?'):
        ingest("log.csv")
    with pytest.raises(DataError, match="no such file"):
        ingest("none-*.csv")


def test_unbalanced_rows_go_to_quarantine_with_their_rows(tmp_path: Path, ingest: Callable) -> None:
    lines = _csv(make_log(400)).splitlines()
    lines[10] += ",more"
    lines[50] = lines[50].rsplit(",", 1)[0]
    lines[300] = lines[300].replace("v", "w,", 1)
    lines[350] = lines[350].replace("1", "x", 1).replace("0", "x", 1)  # a bad row of another kind: not at all unbalanced
    (tmp_path / "log.csv").write_text("\n".join(lines))
    result = ingest(max_bad=0.02)
    rows = {row["source_row"]: row["reason"] for row in result.table("quarantine").to_pylist()}
    assert {11, 51, 301} <= set(rows)
    assert rows[11] == "found 7 fields, expected 6, as in the header"
    assert rows[51] == "found 5 fields, expected 6, as in the header"
    assert result.account.read == 400
    assert result.account.quarantined == len(rows)


def test_a_refused_row_has_a_reason_per_bad_column(tmp_path: Path, ingest: Callable) -> None:
    log = make_log().astype(object)
    log.loc[7, ["vid", "ts", "slot"]] = [None, "never", 0]
    log.loc[9, "slot"] = "x"
    log.to_csv(tmp_path / "log.csv", index=False)
    rows = ingest(columns={**COLUMNS, "position": "slot"}).table("quarantine").to_pylist()
    assert [row["source_row"] for row in rows] == [9, 11]
    several, one = (row["reason"].split("; ") for row in rows)
    assert [reason.partition(":")[0] for reason in several] == ["column vid", "column ts", "column slot"]
    assert several[2] == 'column slot: found "0", expected a whole number from 1 to 2147483647'
    assert one == ['column slot: found "x", expected a whole number from 1 to 2147483647']


def test_rows_behind_unbalanced_ones_keep_their_numbers(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(400).astype({"ts": object})
    log.loc[99, "ts"] = "never"
    lines = _csv(log).splitlines()
    for row in (1, 2, 40):
        lines[row] += ",more"
    (tmp_path / "log.csv").write_text("\n".join(lines))
    found = {row["source_row"] for row in ingest(max_bad=0.02).table("quarantine").to_pylist()}
    assert found == {2, 3, 41, 101}


def test_a_quote_that_is_not_closed(tmp_path: Path, ingest: Callable) -> None:
    lines = _csv().splitlines()
    lines[7] = lines[7].replace("v", '"v', 1)
    assert "log.csv:8: found a quote that is not closed" in _refused(tmp_path, ingest, "log.csv", "\n".join(lines).encode())


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("uid", None, "column uid: found nothing, expected an id (int64)"),
        ("vid", None, "column vid: found nothing, expected an id (string)"),
        ("ts", None, "column ts: found nothing, expected milliseconds"),
        ("slot", 0, 'column slot: found "0", expected a whole number from 1'),
        ("slot", "1.5", 'column slot: found "1.5", expected a whole number from 1'),
        ("slot", 2**31, 'column slot: found "2147483648", expected a whole number from 1 to 2147483647'),
        ("chance", 0, 'column chance: found "0", expected a probability above 0, at most 1'),
        ("chance", 1.25, 'column chance: found "1.25", expected a probability'),
        ("goal", -0.25, 'column goal: found "-0.25", expected a probability from 0 to 1'),
    ],
)
def test_unusable_values_of_ours(tmp_path: Path, ingest: Callable, column: str, value: object, reason: str) -> None:
    log = make_log().assign(chance=0.5, goal=0).astype(object)
    log.loc[41, column] = value
    log.to_csv(tmp_path / "log.csv", index=False)
    result = ingest(columns={**COLUMNS, "position": "slot", "propensity": "chance", "target_propensity": "goal"})
    (row,) = result.table("quarantine").to_pylist()
    assert row["reason"].startswith(reason)
    assert row["source_row"] == 43
    assert (result.account.read, result.account.kept, result.account.quarantined) == (200, 199, 1)


def test_positions_from_0_are_told_to_count_from_1(tmp_path: Path, ingest: Callable) -> None:
    log = make_log().assign(slot=lambda rows: rows.index % 4)
    content = log.to_csv(index=False).encode()
    message = _refused(tmp_path, ingest, "log.csv", content, columns={**COLUMNS, "position": "slot"})
    assert message.endswith("50 of 200 rows. Fix: mend the rows; where positions count from 0, add 1 to all")


def test_too_many_unusable_rows_stop_the_run(tmp_path: Path, ingest: Callable) -> None:
    log = make_log().astype(object)
    log.loc[10:15, "uid"] = None
    log.loc[20, "ts"] = "?"
    message = _refused(tmp_path, ingest, "log.csv", log.to_csv(index=False).encode())
    assert "log.csv:12 column uid: found nothing, expected an id (int64); 6 of 200 rows" in message
    assert "7 rows refused in all" in message
    (tmp_path / "log.csv").write_text(log.to_csv(index=False))
    assert ingest(max_bad=0.05).account.quarantined == 7


def test_a_row_with_several_bad_columns_counts_for_each(tmp_path: Path, ingest: Callable) -> None:
    """The user stands first: its 6 rows hid those of the positions, of which there are more."""
    log, columns = make_log().astype(object), {**COLUMNS, "position": "slot"}
    log.loc[10:15, "uid"] = None
    log.loc[12:20, "slot"] = "?"
    message = _refused(tmp_path, ingest, "log.csv", log.to_csv(index=False).encode(), columns=columns)
    assert 'log.csv:14 column slot: found "?", expected ' in message
    assert "; 9 of 200 rows." in message
    assert "11 rows refused in all" in message
    (tmp_path / "log.csv").write_text(log.to_csv(index=False))
    assert ingest(max_bad=0.1, columns=columns).account.quarantined == 11


def test_a_day_with_several_bad_columns_names_the_worst(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(2_000).astype(object)
    day = log.index[pd.to_datetime(log["ts"].astype("int64"), unit="ms").dt.day == pd.to_datetime(int(log["ts"][0]), unit="ms").day]
    log.loc[day[:6], "uid"] = None
    log.loc[day[3:15], "slot"] = "?"
    message = _refused(tmp_path, ingest, "log.csv", log.to_csv(index=False).encode(), max_bad=0.01, columns={**COLUMNS, "position": "slot"})
    assert f"log.csv:{day[3] + 2} column slot: " in message
    assert f"; 12 of {len(day)} rows." in message
    assert "15 rows of that day refused in all" in message


def test_a_file_with_many_bad_rows_is_to_be_mended_and_not_to_be_borne(tmp_path: Path, ingest: Callable) -> None:
    log = make_log().astype(object)
    log.loc[30:80, "uid"] = None
    message = _refused(tmp_path, ingest, "log.csv", log.to_csv(index=False).encode())
    assert "51 of 200 rows" in message
    assert "max_bad" not in message


def test_infinity_in_parquet_goes_to_quarantine(tmp_path: Path, ingest: Callable) -> None:
    log = make_log()
    log.loc[3, "watch"] = float("inf")
    log.to_parquet(tmp_path / "log.parquet")
    (row,) = ingest("log.parquet").table("quarantine").to_pylist()
    assert row["reason"] == "column watch: found Infinity, expected a finite number"


def test_names_and_values_of_the_data_are_never_sql(tmp_path: Path, ingest: Callable) -> None:
    evil = 'x"); DROP TABLE staged_log; --'
    log = make_log().assign(**{evil: "'; DROP TABLE typed_log; --", "Clicked": 1})
    log.to_csv(tmp_path / "log.csv", index=False)
    events = ingest().events()
    assert len(events) == 200
    assert set(events[f"log.{evil}"]) == {"'; DROP TABLE typed_log; --"}
    assert {"log.clicked", "log.Clicked"} <= set(events.columns)


def test_a_memory_limit_that_is_too_small_is_said(tmp_path: Path, ingest: Callable) -> None:
    make_log(20_000).to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(ConfigError, match=r"features\.memory_limit: found 1MB, expected more"):
        ingest(features={"memory_limit": "1MB"})


def test_one_row_that_begins_with_json_is_a_row(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(1)
    log.insert(0, "context", '{"a": 1}')
    (tmp_path / "log.tsv").write_text("\t".join(map(str, next(log.itertuples(index=False)))))
    assert ingest("log.tsv", format={"log": {"header": False, "names": [*log.columns], "quote": ""}}).account.kept == 1


def test_brackets_without_end_are_no_bug(tmp_path: Path, ingest: Callable) -> None:
    assert "log.csv" in _refused(tmp_path, ingest, "log.csv", b"[" * 60_000)


def _of_a_torn_file(folder: Path) -> str:
    make_log(3_000).to_csv(folder / "log-1.csv", index=False)
    (folder / "log-2.csv").write_text((folder / "log-1.csv").read_text().split("\n", 1)[0] + "\n1,2,17040\n")
    return "log-*.csv"


def _of_a_long_cell(folder: Path) -> str:
    log = make_log(3_000)
    log.insert(0, "text", ["a line\n" * 12_000, *[""] * 2_999])
    log.to_csv(folder / "log.csv", index=False)
    return "log.csv"


def _of_a_bad_beginning(folder: Path) -> str:
    header, *rows = make_log(3_000).to_csv(index=False).splitlines()
    (folder / "log.csv").write_text("\n".join([header, *(row + ",x" for row in rows[:100]), *rows[100:]]))
    return "log.csv"


def _of_a_header_like_a_comment(folder: Path) -> str:
    header, *rows = make_log(3_000).rename(columns={"uid": "#uid"}).to_csv(index=False).splitlines()
    (folder / "log.csv").write_text("\n".join([header, "1,2", *rows]))
    return "log.csv"


@pytest.mark.parametrize(
    ("write", "counts"),
    [
        (_of_a_torn_file, (3_000, 1)),
        (_of_a_long_cell, (3_000, 0)),
        (_of_a_bad_beginning, (2_900, 100)),
        (_of_a_header_like_a_comment, (3_000, 1)),
    ],
)
def test_odd_first_rows_do_not_refuse_a_file(
    tmp_path: Path, ingest: Callable, write: Callable[[Path], str], counts: tuple[int, int]
) -> None:
    name = write(tmp_path)
    columns = COLUMNS | {"user_id": "#uid"} if write is _of_a_header_like_a_comment else COLUMNS
    account = ingest(name, max_bad=0.1, columns=columns).account
    assert (account.kept, account.quarantined) == counts


@pytest.mark.parametrize("role", ["position", "propensity"])
def test_a_day_is_no_number(tmp_path: Path, ingest: Callable, role: str) -> None:
    make_log().assign(day=date(2024, 1, 1)).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=rf"column day: found values of type date32\[day\], expected numbers, for source.columns.{role}"):
        ingest("log.parquet", columns={**COLUMNS, role: "day"})


def test_candidates_with_the_names_of_the_log_are_told_ours(tmp_path: Path) -> None:
    make_log().to_csv(tmp_path / "ask.csv", index=False)
    pipeline = make_pipeline({"kind": "table", "log": tmp_path / "log.csv", "columns": COLUMNS})
    needed = {"user_id": pa.int64(), "item_id": pa.int64()}
    with pytest.raises(DataError, match=r"Fix: candidates have the names of recsys: call uid user_id, vid item_id, ts timestamp; add"):
        stage_candidates(pipeline, tmp_path / "ask.csv", needed, tmp_path / "c", at=None, first=Day("2024-01-01", "UTC"), scratch=tmp_path)
