"""Any file as a log: never a traceback, never a wrong row account. Files from one seed, written by rows and cells that are known."""

import csv
import gzip
import io
import itertools
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys import sources
from recsys.errors import RecsysError
from recsys.progress import Console
from tests.sources.logs import COLUMNS, START, Ingested, make_pipeline

from .amounts import FILES

pytestmark = pytest.mark.faults

HEADER = ("uid", "vid", "ts", "clicked", "title")
T = TypeVar("T")
NULLS = {"", "NaN", "nan", "NULL", "null", "\\N"}
FORM = re.compile(r"^.+?: found .+, expected .+\. Fix: .+")
LONGEST = 3_000  # characters of a message
_numbers = itertools.count()


@dataclass(frozen=True)
class Written:
    """A file, and what must become of its rows. Rows and blank lines are in the order of the file."""

    name: str
    content: bytes
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]  # at which each row begins
    said: Mapping[str, object] = field(default_factory=dict)  # of its form, in the TOML

    @property
    def refused(self) -> set[int]:
        """The lines of the rows that cannot be used."""
        return {line for row, line in zip(self.rows, self.lines, strict=True) if not _usable(row)}

    @property
    def kept(self) -> set[tuple[str | int | None, ...]]:
        """The different contents of the other rows."""
        return {(row[0], row[1], int(row[2]), _or_none(row[3]), row[4]) for row in self.rows if _usable(row)}


def _usable(row: tuple[str, ...]) -> bool:
    return len(row) == len(HEADER) and row[0] not in NULLS and row[1] not in NULLS and re.fullmatch(r"17\d{11}", row[2]) is not None


def _or_none(text: str) -> str | None:
    return None if text in NULLS else text


def _text(value: str | float | None) -> str | None:
    return value if value is None or isinstance(value, str) else f"{value:g}"


def _mostly(usual: st.SearchStrategy[T], seldom: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    return st.sampled_from([usual] * 12 + [seldom]).flatmap(lambda chosen: chosen)


_null = st.sampled_from(sorted(NULLS))
_letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_small = _mostly(st.integers(1, 2).map(str), _null)
_id = _mostly(_small, st.sampled_from(["u1", "ü", "a b", '"', "007"]) | _letters.filter(bool))
_good = st.integers(0, 2).map(lambda n: str(START + n))
_moment = _mostly(_good, st.sampled_from(["never", "-1", "17", "1704103200000x", "9" * 30, "", "NaN"]))
_title = _letters.map(lambda text: f"t{text}")  # never a number, a date or null: its type is text
_short = st.sampled_from(["t", "t", "t\n", 't"'])
_click = st.sampled_from(["0", "1"]) | _null


@st.composite
def _rows(draw: st.DrawFn, *, torn: bool) -> list[tuple[str, ...]]:
    uid = draw(st.sampled_from([_id, _small]))
    whole = st.tuples(uid, _id, _moment, _click, draw(st.sampled_from([_short, _title])))
    broken = st.lists(st.sampled_from(["1", "u", "t,", '"']), min_size=1, max_size=8).filter(lambda row: len(row) != len(HEADER)).map(tuple)
    return draw(st.lists(_mostly(whole, broken) if torn else whole, min_size=4, max_size=12))


@st.composite
def text_files(draw: st.DrawFn, *, plain: bool = False) -> Written:
    """A text of known rows: quoted where it must be or by chance, with blank lines, any line end, perhaps a mark of byte order.

    Unless it is `plain`, its separator need not be that of its suffix, and it may have no header.
    """
    rows = draw(_rows(torn=True))
    separator = draw(st.sampled_from([",", "\t"] if plain else [",", "\t", ";", "|"]))
    header = plain or draw(st.booleans())
    suffix = draw(st.just({",": "csv", "\t": "tsv"}.get(separator, "txt")) if plain else st.sampled_from(["csv", "tsv", "dat"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r\n", "\r"]))
    packed = draw(st.booleans())
    text, lines = draw(st.sampled_from(["", "\ufeff"])), []
    for row in [HEADER, *rows] if header else rows:
        text += end * draw(st.sampled_from([0, 0, 0, 1, 2])) if lines else ""
        lines.append(1 + len(re.findall(r"\r\n|\r|\n", text)))
        text += separator.join(_cell(cell, separator, draw) for cell in row) + end
    if draw(st.booleans()):
        text = text.removesuffix(end)
    content = text.encode()
    said = {} if header else {"header": False, "names": HEADER, "separator": separator}
    name = f"log.{suffix}{'.gz' if packed else ''}"
    return Written(name, gzip.compress(content, 1) if packed else content, tuple(rows), tuple(lines[header:]), said)


def _cell(text: str, separator: str, draw: st.DrawFn) -> str:
    needs = any(letter in text for letter in (separator, '"', "\n", "\r"))
    return '"' + text.replace('"', '""') + '"' if needs or draw(st.integers(0, 5)) == 0 else text


@st.composite
def parquet_files(draw: st.DrawFn) -> Written:
    """A parquet file of known rows; its texts are plain, large or in a dictionary, and its clicks perhaps numbers."""
    rows = draw(_rows(torn=False))
    columns = {}
    for name, cells in zip(HEADER, zip(*rows, strict=True), strict=True):
        kind = draw(st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()]))
        columns[name] = pa.array([cell.encode() for cell in cells]) if kind == pa.binary() else pa.array(cells, pa.string()).cast(kind)
        if name == "clicked" and draw(st.booleans()):
            columns[name] = pa.array(
                [None if cell in NULLS else int(cell) for cell in cells], draw(st.sampled_from([pa.int8(), pa.float32()]))
            )
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=draw(st.integers(1, 4)))
    return Written("log.parquet", sink.getvalue(), tuple(rows), tuple(range(1, len(rows) + 1)))


@st.composite
def damaged_files(draw: st.DrawFn) -> Written:
    """A file with bytes changed, put in, left out, or cut off; mostly a text whose header stays. Its rows are no longer known."""
    written = draw(_mostly(text_files(plain=True), parquet_files()))
    content = bytearray(gzip.decompress(written.content) if written.name.endswith(".gz") else written.content)
    signs = st.sampled_from([b'"', b"\n", b"\r", b",", b"\t", b"9", b"", b" ", b'"\n'])
    odd = _mostly(signs, st.sampled_from([b"\0", b"\xff", b"\xe2\x80\xa8"]) | st.binary(max_size=3))
    first = draw(st.sampled_from([0] + [len(b"\xef\xbb\xbf") + len(",".join(HEADER)) + 10] * 9))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(min(first, len(content)), len(content)))
        content[place : place + draw(st.integers(0, 2))] = draw(odd)
    data = bytes(content)
    cut = draw(st.sampled_from(["", "", "", "", "", "text", "file"]))
    data = data[: draw(st.integers(0, len(data)))] if cut == "text" else data
    data = gzip.compress(data, 1) if written.name.endswith(".gz") else data
    data = data[: draw(st.integers(0, len(data)))] if cut == "file" else data
    return Written(written.name, data, (), ())


def _ingested(base: Path, written: Written, **source: object) -> Ingested | RecsysError:
    folder = base / str(next(_numbers))
    folder.mkdir()
    (folder / written.name).write_bytes(written.content)
    pipeline = make_pipeline(
        {"kind": "table", "log": folder / written.name, "columns": COLUMNS, "max_bad": 1, "format": {"log": written.said}, **source}
    )
    try:
        return Ingested(
            folder / "out",
            sources.ingest(pipeline, folder / "out", options=str(pipeline.source), fingerprint="f", console=Console(quiet=True)),
        )
    except RecsysError as error:
        message = str(error)
        assert FORM.match(message), message
        assert len(message) < LONGEST
        assert message.isprintable()
        assert not [path for path in (folder / "out").rglob("*") if path.is_file()]
        return error


_many = settings(
    max_examples=FILES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("files", [text_files, parquet_files], ids=["text", "parquet"])
def test_every_row_of_a_known_file_is_accounted_for(tmp_path: Path, files: st.SearchStrategy[Written]) -> None:
    @given(files())
    @_many
    def holds(written: Written) -> None:
        result = _ingested(tmp_path, written)
        if isinstance(result, RecsysError):
            assert not written.kept, result
            return
        account, quarantine = result.account, result.table("quarantine").to_pylist()
        assert account.read == len(written.rows)
        assert {row["source_row"] for row in quarantine} == written.refused
        assert account.quarantined == len(quarantine) == len(written.refused)
        assert account.kept + account.duplicate == account.read - account.quarantined
        events = result.table("events")
        found = [events[name].to_pylist() for name in ("user_id", "item_id", "timestamp", "log.clicked", "log.title")]
        assert {(str(u), str(v), t, _text(c), s) for u, v, t, c, s in zip(*found, strict=True)} == written.kept
        assert account.kept == len(events) == len(written.kept)
        by_line = dict(zip(written.lines, written.rows, strict=True))
        for row in quarantine:
            raw, cells = json.loads(row["raw"]), by_line[row["source_row"]]
            if isinstance(raw, dict):
                assert {name: _or_none(text) for name, text in zip(HEADER, cells, strict=True)} == {
                    name: _text(value) for name, value in raw.items()
                }
        shutil.rmtree(result.folder.parent)

    holds()


def test_a_damaged_file_is_read_in_full_or_refused(tmp_path: Path) -> None:
    accepted = []

    @given(damaged_files())
    @_many
    def holds(written: Written) -> None:
        result = _ingested(tmp_path, written)
        if isinstance(result, RecsysError):
            return
        account = result.account
        assert account.read == account.kept + account.duplicate + account.quarantined
        assert account.kept == len(result.table("events"))
        quarantine = result.table("quarantine").to_pylist()
        assert account.quarantined == len(quarantine)
        if written.name != "log.parquet":
            content = gzip.decompress(written.content) if written.name.endswith(".gz") else written.content
            text = content.decode("utf-8-sig")
            begins = _begins(text, "," if ".csv" in written.name else "\t")
            assert account.read == len(begins) - 1
            assert {row["source_row"] for row in quarantine} <= set(begins[1:])
        accepted.append(written.name)
        shutil.rmtree(result.folder.parent)

    holds()
    assert len(accepted) > FILES / 4  # the test does not hold because every file is refused


def _begins(text: str, separator: str) -> list[int]:
    """The lines at which the rows of a text begin, by the csv module."""
    rows, begins = csv.reader(io.StringIO(text, newline=""), delimiter=separator), []
    line = 1
    for row in rows:
        begins += [line] if row else []
        line = rows.line_num + 1
    return begins
