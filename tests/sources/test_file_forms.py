"""A log in any form of text: separators, headers, quotes, encodings, names without a suffix. The rows are those of the plain csv."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recsys import sources
from recsys.config import FileFormat
from recsys.errors import DataError
from recsys.progress import Console
from recsys.sources.decoding import Utf8Bytes
from recsys.sources.input_files import resolve
from recsys.sources.lines import lines_of
from recsys.sources.separators import with_separator
from tests.sources.logs import COLUMNS, make_log, make_pipeline


@dataclass(frozen=True)
class Form:
    """How a log is written: its file's name, and the options that tell it; those that can be found are left out."""

    name: str = "log.csv"
    separator: str = ","
    header: bool = True
    encoding: str = "utf-8"
    packed: bool = False
    said: Mapping[str, Any] = field(default_factory=dict)


NAMES = [*make_log(1).columns, "title"]
FORMS = {
    "csv with tabs": Form(separator="\t"),
    "csv with semicolons": Form(separator=";"),
    "csv with bars": Form(separator="|"),
    "tsv with commas": Form("log.tsv"),
    "dat with ::": Form("ratings.dat", "::"),
    "data with tabs, no header": Form("u.data", "\t", header=False, said={"header": False, "names": NAMES}),
    "csv without header": Form(header=False, said={"header": False, "names": NAMES}),
    "no suffix at all": Form("part-00000", "\x01"),
    "a suffix of its own, packed": Form("log.2024-01-01.gz", "|", packed=True),
    "csv.gz with tabs": Form("log.csv.gz", "\t", packed=True),
    "a separator that must be told": Form("log.txt", "~", said={"separator": "~"}),
    "a separator of one letter and two bytes": Form("log.txt", "¦", said={"separator": "¦"}),
    "a separator of three letters": Form("log.txt", "<|>", said={"separator": "<|>"}),
    "latin-1": Form(encoding="latin-1", said={"encoding": "latin-1"}),
    "utf-16 with its mark": Form(encoding="utf-16", said={"encoding": "utf-16"}),
    "utf-16 without": Form(encoding="utf-16-le", said={"encoding": "utf-16-le"}),
    "utf-8 with its mark": Form(encoding="utf-8-sig"),
    "latin-1 with ::, no header": Form("m.dat", "::", header=False, encoding="latin-1",
                                       said={"header": False, "names": NAMES, "encoding": "latin-1"}),
    "names in place of a header": Form(said={"names": NAMES}),
}  # fmt: skip


def _log(rows: int = 120) -> pd.DataFrame:
    log = make_log(rows)
    log["title"] = [f"Amélie {n}, the film" if n % 2 else "" for n in range(rows)]
    return log


def _write(path: Path, form: Form, log: pd.DataFrame) -> None:
    """Write a log by hand, because pandas writes one-letter separators only. A cell with a comma stands in quotes in a csv."""

    def cell(value: object) -> str:
        return f'"{value}"' if form.separator == "," and "," in str(value) else str(value)

    rows = [[cell(value) for value in row] for row in log.astype(object).itertuples(index=False)]
    rows = [list(log.columns), *rows] if form.header else rows
    data = "".join(f"{form.separator.join(row)}\n" for row in rows).encode(form.encoding)
    path.write_bytes(gzip.compress(data) if form.packed else data)


@pytest.mark.parametrize("name", FORMS)
def test_a_log_in_any_form_is_the_same_log(tmp_path: Path, ingest: Callable, name: str) -> None:
    form, log = FORMS[name], _log()
    log.to_csv(tmp_path / "plain.csv", index=False)
    _write(tmp_path / form.name, form, log)
    plain = ingest("plain.csv", to="plain").events()
    assert len(plain) == len(log)
    pd.testing.assert_frame_equal(ingest(form.name, format={"log": form.said}).events(), plain)


@pytest.mark.parametrize("name", FORMS)
def test_check_finds_nothing_in_any_form(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    _write(tmp_path / form.name, form, _log())
    source = {"kind": "table", "log": tmp_path / form.name, "columns": COLUMNS, "format": {"log": form.said}}
    assert sources.check(make_pipeline(source)) == []


@pytest.mark.parametrize("name", FORMS)
def test_a_bad_row_is_found_at_its_line_in_any_form(tmp_path: Path, ingest: Callable, name: str) -> None:
    """One row has a field too many, one no user: each is reported at the line that an editor shows, with its text."""
    form, log = FORMS[name], _log(300).astype(object)
    log.loc[41, "uid"] = ""
    log.loc[90, "vid"] = f"a{form.separator}b"
    log["title"] = "x"
    _write(tmp_path / form.name, form, log)
    if form.separator == ",":  # no quotes around the one that is to be torn
        _rewrite(tmp_path / form.name, form, '"a,b"', "a,b")
    above = int(form.header)
    rows = ingest(form.name, format={"log": form.said}).table("quarantine").to_pylist()
    assert [row["source_row"] for row in rows] == [42 + above, 91 + above]
    assert "column uid: found nothing" in rows[0]["reason"]
    assert rows[1]["reason"] == f"found 8 fields, expected 7, as {'in the header' if form.header else 'its names say'}"
    assert f"a{form.separator}b" in str(rows[1]["raw"]).encode().decode("unicode_escape").encode("latin-1").decode()


def _rewrite(path: Path, form: Form, old: str, new: str) -> None:
    path.write_bytes(path.read_bytes().decode(form.encoding).replace(old, new).encode(form.encoding))


def test_the_separator_that_was_found_is_said(tmp_path: Path, ingest: Callable, capfd: pytest.CaptureFixture[str]) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False, sep="\t")
    ingest(console=Console())
    message = "log: the fields of log.csv are separated by '\\t', as the first rows show; source.format.log.separator says otherwise"
    assert message in capfd.readouterr().out.splitlines()
    ingest(format={"log": {"separator": "\t"}}, to="told", console=Console())
    assert "separated" not in capfd.readouterr().out


def test_torn_rows_and_one_column_do_not_change_the_separator(tmp_path: Path) -> None:
    def found(name: str, text: str) -> str | None:
        (tmp_path / name).write_text(text)
        return with_separator(resolve([tmp_path / name])[0]).separator

    assert found("a.csv", "a,b,c\n1,2,x;y;z\n1,2\n1,2,3\n") == ","
    assert found("a.tsv", "a\tb\n1|2\t3\n") == "\t"
    assert found("users.csv", "user\n1\n2\n") == ","
    assert found("users.tsv", "user\n1\n2\n") == "\t"
    assert found("m.item", "1|Toy, Story|1995\n2|Heat|1995\n") == "|"
    assert found("m.dat", "1::One: two::Drama|War\n2::Three::War\n") == "::"
    assert found("log.csv", 'a;b\n"x,y";1\n') == ";"


def test_a_header_in_another_encoding_names_the_option(tmp_path: Path, ingest: Callable) -> None:
    log = _log()
    _write(tmp_path / "log.csv", Form(encoding="latin-1"), log)
    with pytest.raises(DataError, match=r'log\.csv:3 column title: found bytes.*source\.format\.log\.encoding = "latin-1"'):
        ingest()
    _write(tmp_path / "log.csv", Form(encoding="utf-16"), log)
    with pytest.raises(DataError, match=r'UTF-16 text.*set source\.format\.log\.encoding = "utf-16"'):
        ingest()


def test_wrong_names_are_counted(tmp_path: Path, ingest: Callable) -> None:
    _write(tmp_path / "log.csv", Form(header=False), _log())
    with pytest.raises(DataError, match=r"found 7 fields in most of the first rows, expected 6, as source\.format\.log\.names says"):
        ingest(format={"log": {"header": False, "names": NAMES[:6]}})


def test_a_file_without_a_header_that_is_not_said_to_have_none(tmp_path: Path, ingest: Callable) -> None:
    _write(tmp_path / "log.csv", Form(header=False), _log().drop(columns=["vid", "title"]))
    with pytest.raises(DataError, match=r"the first row looks like data; .* set header = false and names = \[\.\.\.\]"):
        ingest()


def test_the_readers_own_byte_in_a_text_is_refused(tmp_path: Path, ingest: Callable) -> None:
    log = _log()
    log.loc[60, "title"] = "a\x1fb"
    _write(tmp_path / "log.dat", Form(separator="::"), log)
    with pytest.raises(DataError, match=r"log\.dat: found the byte 0x1F in a text whose fields are separated by '::'"):
        ingest("log.dat")
    _write(tmp_path / "log.csv", Form(), log)
    assert len(ingest(to="again").events()) == len(log)


def test_text_that_breaks_off_within_a_letter(tmp_path: Path, ingest: Callable) -> None:
    data = _log().to_csv(index=False).encode("utf-16")
    (tmp_path / "log.csv").write_bytes(data[:-1])
    with pytest.raises(DataError, match=r"log\.csv: found bytes that do not fit .*, expected text in utf-16\. Fix: name its encoding"):
        ingest(format={"log": {"encoding": "utf-16"}})


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("text", ["a:::b\nx::y:\n", "::", ":", "", "a::é::\n", "é" * 9])
def test_a_separator_is_found_wherever_a_block_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setattr("recsys.sources.decoding._BLOCK", size)
    (tmp_path / "a").write_bytes(text.encode())
    with (tmp_path / "a").open("rb") as raw, Utf8Bytes(raw, tmp_path / "a", "utf-8", "::") as stream:
        assert stream.read() == text.replace("::", "\x1f").encode()


def test_lines_are_those_of_an_editor_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text('1,a\n\n2,"b\nc"\n3,d\n')
    (file,) = resolve([tmp_path], FileFormat(header=False, names=("n", "x")))
    assert lines_of(with_separator(file), [1, 2, 3]) == [1, 3, 5]
