"""A row is named by the line that an editor shows, whatever stands before it: blank lines, cells of several lines, refused rows."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.sources.input_files import resolve
from recsys.sources.lines import lines_of
from recsys.sources.separators import with_separators
from tests.sources.logs import make_log


def _rows(bad: int, rows: int = 200) -> list[str]:
    """The lines of a log, the header first; the timestamp of row `bad` (1 = the first behind the header) is no time."""
    log = make_log(rows).astype({"ts": object})
    log.loc[bad - 1, "ts"] = "never"
    return log.to_csv(index=False).splitlines()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_blank_lines_count(tmp_path: Path, ingest: Callable, end: str, last: bool, name: str) -> None:
    lines = _rows(42)
    lines[0:0] = ["", ""]
    lines[20:20] = [""] * 3
    text = end.join([*lines, ""] if last else lines).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    result = ingest(name)
    (row,) = result.table("quarantine").to_pylist()
    assert "never" in lines[row["source_row"] - 1]
    assert (result.account.read, result.account.kept) == (200, 199)


@pytest.mark.parametrize("last", ["", "\n", "\n\n"])
def test_one_blank_line_counts_whether_or_not_the_last_line_ends(tmp_path: Path, ingest: Callable, last: str) -> None:
    lines = _rows(42)
    lines.insert(10, "")
    (tmp_path / "log.csv").write_text("\n".join(lines) + last)
    (row,) = ingest().table("quarantine").to_pylist()
    assert row["source_row"] == 44


def test_cells_of_several_lines_count(tmp_path: Path, ingest: Callable) -> None:
    lines = [line + ",title" if n == 0 else line + ",plain" for n, line in enumerate(_rows(100))]
    lines[3] = lines[3].replace("plain", '"two\nlines"')
    lines[50] = lines[50].replace("plain", '"\n\nthree","torn"')
    text = "\n".join(lines)
    (tmp_path / "log.csv").write_text(text)
    torn, never = ingest().table("quarantine").sort_by("source_row").to_pylist()
    shown = text.split("\n")
    assert shown[torn["source_row"] - 1].startswith(lines[50].split("\n")[0])
    assert "never" in shown[never["source_row"] - 1]
    assert never["source_row"] == 1 + 100 + 1 + 2


def test_a_cell_of_many_megabytes_is_passed_over(tmp_path: Path, ingest: Callable) -> None:
    lines = [line + ",title" if n == 0 else line + ",plain" for n, line in enumerate(_rows(42))]
    lines[5] = lines[5].replace("plain", '"' + "x" * 300_000 + '\nmore"')
    (tmp_path / "log.csv").write_text("\n".join(lines))
    (row,) = ingest().table("quarantine").to_pylist()
    assert row["source_row"] == 44


def test_messages_name_the_same_lines(tmp_path: Path, ingest: Callable) -> None:
    lines = _rows(42)
    lines.insert(10, "")
    (tmp_path / "log.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r'log\.csv:44 column ts: found "never"'):
        ingest(max_bad=0)
    lines[99] = lines[99].replace("v", "v\udcff")
    (tmp_path / "log.csv").write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"log\.csv:100 column vid: found bytes that are not UTF-8"):
        ingest()


@st.composite
def _texts(draw: st.DrawFn) -> str:
    """A text of rows and blank lines, with cells that span lines."""
    cell = st.sampled_from(["a", "", '"q"', '"two\nlines"', '"\r\n\n"', '"a ""b"" c"', '5" pipe', "x y"])
    rows = draw(st.lists(st.lists(cell, min_size=2, max_size=4) | st.just([]), min_size=1, max_size=12))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(",".join(row) for row in [["h", "k"], *rows]) + draw(st.sampled_from(["", end]))


@given(_texts())
@settings(max_examples=300, deadline=None)
def test_lines_agree_with_a_count_of_line_ends(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("lines") / "t.csv"
    path.write_bytes(text.encode())
    begins = _begins(text)
    (file,) = with_separators(resolve([path]))
    rows = list(range(1, len(begins)))
    assert lines_of(file, rows) == begins[1:]
    assert lines_of(file, rows, of=len(rows)) == begins[1:]


def _begins(text: str) -> list[int]:
    """The lines at which rows begin, letter by letter: a quote opens a cell at its begin, and closes it where it is not doubled."""
    lines, line, quoted, at_cell, at_row, place = [], 1, False, True, True, 0
    while place < len(text):
        letter = text[place]
        if quoted:
            if letter == '"' and text[place + 1 : place + 2] == '"':
                place += 1
            elif letter == '"':
                quoted = False
        elif letter in "\r\n":
            at_row = at_cell = True
        else:
            if at_row:
                lines.append(line)
            quoted = at_cell and letter == '"'
            at_row, at_cell = False, letter == ","
        if letter == "\n" or (letter == "\r" and text[place + 1 : place + 2] != "\n"):
            line += 1
        place += 1
    return lines
