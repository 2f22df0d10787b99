"""Odd bytes and odd amounts: zero bytes, the words for null, cells of megabytes, and a bad day in a long log."""

import contextlib
import gc
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.sources.input_files import resolve
from recsys.sources.read_ahead import _Held
from recsys.sources.readers import batches, header
from recsys.sources.separators import with_separators
from recsys.sources.text import Unbalanced
from tests.sources.logs import make_log

FAR = 5_000  # rows; more bytes than are looked at before a file is read


def _written(log: pd.DataFrame, path: Path) -> None:
    log.to_parquet(path) if path.suffix == ".parquet" else log.to_csv(path, index=False)


@pytest.mark.parametrize(("name", "line"), [("log.csv", 4_568), ("log.tsv.gz", 4_568), ("log.parquet", 4_567)])
def test_a_zero_byte_is_found_wherever_it_stands(tmp_path: Path, ingest: Callable, name: str, line: int) -> None:
    log = make_log(FAR)
    log.loc[4_566, "vid"] = "v\0004"
    if name.endswith(".parquet"):
        log.to_parquet(tmp_path / name)
    else:
        log.to_csv(tmp_path / name, index=False, sep="\t" if ".tsv" in name else ",")
    with pytest.raises(DataError, match=rf"{name}:{line} column vid: found a zero byte, expected text\. Fix: "):
        ingest(name)
    assert not list((tmp_path / "out").iterdir())


def test_a_zero_byte_in_a_name(tmp_path: Path, ingest: Callable) -> None:
    make_log().assign(**{"a\0b": 1}).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet column a\\x00b: found a zero byte"):
        ingest("log.parquet")


@pytest.mark.parametrize("word", ["", "NaN", "nan", "NULL", "null", "\\N"])
def test_words_for_null_are_null_in_every_format(tmp_path: Path, ingest: Callable, word: str) -> None:
    log = make_log().assign(title="plain")
    log.loc[7, "vid"] = word
    log.loc[8, "title"] = word
    results = []
    for name in ("log.csv", "log.parquet"):
        _written(log, tmp_path / name)
        results.append(ingest(name, to=f"{name}.out"))
        (row,) = results[-1].table("quarantine").to_pylist()
        assert row["reason"] == "column vid: found nothing, expected an id (string)"
        assert results[-1].events()["log.title"].isna().sum() == 1
    csv, parquet = (result.table("events") for result in results)
    assert csv.equals(parquet)


@pytest.mark.words
def test_a_cell_of_megabytes_is_kept_once_and_named_in_short(tmp_path: Path, ingest: Callable) -> None:
    log = make_log().astype({"ts": object})
    log.loc[41, "ts"] = "x" * 9_000_000
    log.to_csv(tmp_path / "log.csv", index=False)
    (row,) = ingest().table("quarantine").to_pylist()
    assert len(row["reason"]) < 400
    assert "… (9,000,002 characters), expected milliseconds" in row["reason"]
    assert row["raw"].count("x" * 9_000_000) == 1
    with pytest.raises(DataError) as caught:
        ingest(max_bad=0)
    assert len(str(caught.value)) < 600


def test_a_column_with_a_name_of_megabytes_is_named_in_short(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "log.csv").write_text("uid," + "v" * 100_000 + ",ts\n1,2,3\n")
    with pytest.raises(DataError, match="no such column") as caught:
        ingest()
    assert len(str(caught.value)) < 3_000


def test_a_bad_day_is_not_hidden_by_good_ones(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(FAR).astype({"slot": object})
    times = pd.to_datetime(log["ts"], unit="ms")
    of_day = log.index[times.dt.date == times.dt.date[2_500]]
    log.loc[of_day[:20], "slot"] = "?"
    log.to_csv(tmp_path / "log.csv", index=False)
    columns = {"user_id": "uid", "item_id": "vid", "timestamp": "ts", "position": "slot"}
    day = times.dt.date[2_500].isoformat()
    said = rf'log\.csv:{of_day[0] + 2} column slot: found "\?", expected a whole number .*; 20 of {len(of_day)} rows\. Fix: .*{day}'
    with pytest.raises(DataError, match=said):
        ingest(columns=columns)
    assert ingest(columns=columns, max_bad=0.1).account.quarantined == 20


def test_a_few_bad_rows_stop_no_day_however_few_rows_it_has(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(FAR).astype({"slot": object})
    log.loc[:9, "slot"] = "?"
    log = log.drop(index=range(10, 120))
    log.to_csv(tmp_path / "log.csv", index=False)
    columns = {"user_id": "uid", "item_id": "vid", "timestamp": "ts", "position": "slot"}
    assert ingest(columns=columns).account.quarantined == 10


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_texts_of_parquet_that_are_not_utf8(tmp_path: Path, ingest: Callable, kind: pa.DataType) -> None:
    bytes_of = pa.array([b"a", b"\xff\xfe", b"c"])
    titles = pa.Array.from_buffers(kind, 3, bytes_of.buffers())
    pq.write_table(pa.Table.from_pandas(make_log(3)).append_column("title", titles), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet column title: found values of type \w+ that do not fit \(.*UTF8.*\)"):
        ingest("log.parquet")


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_bytes_that_are_not_utf8_in_a_torn_row_are_named_as_those_of_any_other(tmp_path: Path, ingest: Callable, name: str) -> None:
    lines = make_log(400).to_csv(index=False).encode().splitlines()
    lines[300] += b",\xc2"
    text = b"\n".join(lines)
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.raises(DataError, match=rf"{name}:301: found bytes that are not UTF-8"):
        ingest(name)


@pytest.mark.parametrize("name", ["log.csv", "log.tsv.gz"])
def test_a_zero_byte_in_a_torn_row(tmp_path: Path, ingest: Callable, name: str) -> None:
    separator = "\t" if ".tsv" in name else ","
    lines = make_log(FAR).to_csv(index=False, sep=separator).splitlines()
    lines[4_567] += f"{separator}x\0y"
    text = "\n".join(lines).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with pytest.raises(DataError, match=rf"{name}:4568: found a zero byte, expected text"):
        ingest(name)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_the_place_of_a_byte_that_is_not_utf8(tmp_path: Path, ingest: Callable, end: str, start: str) -> None:
    """Behind quoted names, a quoted separator, a cell of two lines and a blank line."""
    lines = make_log(400).to_csv(index=False).splitlines()
    lines[0] = ",".join(f'"{name}"' for name in lines[0].split(","))
    lines[7] = lines[7].replace("v006", '"v,\n6"')
    lines[300] = lines[300].replace("110,v", '"110",v?')
    lines.insert(20, "")
    text = (start + end.join(lines)).encode().replace(b"?", b"\xff")
    (tmp_path / "log.csv").write_bytes(text)
    shown = next(place for place, line in enumerate(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), 1) if b"\xff" in line)
    assert shown == 303
    with pytest.raises(DataError, match=r"log\.csv:303 column vid: found bytes that are not UTF-8"):
        ingest()
    (tmp_path / "log.csv").write_bytes(text.replace(b"\xff", b"").replace(b'"uid"', b'"u\xffd"'))
    with pytest.raises(DataError, match=r"log\.csv:1: found bytes that are not UTF-8 \(b'\\xffd'\) in the header"):
        ingest()


@pytest.mark.words
def test_a_row_that_no_block_holds_is_named_as_such(tmp_path: Path, ingest: Callable) -> None:
    log = make_log().assign(title="plain")
    log.loc[41, "title"] = "x" * 20_000_000
    log.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r"log\.csv: found a longer row, expected rows of at most 8 MiB\. Fix: "):
        ingest()


_READS_SLOWLY = """
import sys, time
from pathlib import Path
from recsys.sources import read_ahead, read_unknown

class Slow:
    closed = False
    def __init__(self, raw):
        self.raw = raw
    def read(self, size=-1):
        data = self.raw.read(size)
        for _ in range(30):
            time.sleep(0.01)  # step by step: the thread comes back into Python again and again
        return data
    def close(self):
        self.raw.close()

start = read_ahead.Utf8Stream.__init__
read_ahead.Utf8Stream.__init__ = lambda stream, raw: start(stream, Slow(raw))
print(len(read_unknown(Path(sys.argv[1]), most=1_000).rows))
"""


@pytest.mark.words
def test_a_file_that_is_read_in_part_ends_python_as_usual(tmp_path: Path) -> None:
    """A thread of Arrow reads ahead of the rows that are taken. Python aborted, or waited for ever, where it ended meanwhile."""
    rows = "".join(f"{n % 99},{n % 77},{1_700_000_000 + n},{n % 2}\n" for n in range(900_000))
    (tmp_path / "log.csv").write_text(f"user,item,timestamp,click\n{rows}")
    ended = subprocess.run(
        [sys.executable, "-c", _READS_SLOWLY, str(tmp_path / "log.csv")], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1000\n", "")


@pytest.mark.parametrize("bad", ["1,2,3,\udcff", "1,2,3,\0", "cut"])
@pytest.mark.parametrize("rows", [FAR, 400_000])
def test_a_file_that_cannot_be_read_leaves_nothing_with_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, rows: int) -> None:
    """Else the error waits for what never comes back: its own traceback held the stream. `rows` reach to the first block, or beyond."""
    left: list[int] = []
    wait = _Held.wait
    monkeypatch.setattr(_Held, "wait", lambda held: (wait(held), left.append(held._number)))
    text = "user,item,timestamp,click\n" + "1,2,1700000000000,0\n" * rows
    path = tmp_path / ("log.csv.gz" if bad == "cut" else "log.csv")
    if bad == "cut":
        path.write_bytes(gzip.compress(text.encode())[:-12])
    else:
        path.write_bytes(f"{text}{bad}\n".encode(errors="surrogateescape"))
    (file,) = with_separators(resolve([path]))
    with pytest.raises(DataError):
        list(batches(header(file), ["user"], [pa.string()], nulls=(), separators={}, unbalanced=Unbalanced()))
    assert left == [0]


@pytest.mark.words
def test_a_bad_byte_behind_the_rows_that_are_taken_is_no_error_as_they_are_let_go_of(tmp_path: Path) -> None:
    """Arrow has met it meanwhile. What a generator raises as it is let go of is a warning, and so a failure here."""
    (tmp_path / "log.csv").write_bytes(b"user,item\n" + b"1,2\n" * 4_500_000 + b"\xff,2\n")
    (file,) = with_separators(resolve([tmp_path / "log.csv"]))
    for _ in range(5):
        rows = batches(header(file), ["user"], [pa.string()], nulls=(), separators={}, unbalanced=Unbalanced())
        with contextlib.suppress(DataError):  # on a busy machine Arrow may be so far ahead that it tells it now
            assert len(next(rows)) > 1_000_000
        time.sleep(0.05)
        del rows
        gc.collect()


def test_the_byte_that_stands_for_long_separators_stays_in_a_torn_row(tmp_path: Path, ingest: Callable) -> None:
    lines = make_log().to_csv(index=False).splitlines()
    lines[5] += ",a\x1fb"
    (tmp_path / "log.csv").write_text("\n".join(lines))
    (row,) = ingest().table("quarantine").to_pylist()
    assert json.loads(row["raw"]) == lines[5]
