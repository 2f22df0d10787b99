"""A log in any form of text: separators, headers, quotes, encodings, names without a suffix. The rows are those of the plain csv."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from recsys import sources
from recsys.config import FileFormat
from recsys.errors import DataError
from recsys.progress import Console
from recsys.sources.decoding import Utf8Bytes
from recsys.sources.input_files import resolve
from recsys.sources.lines import lines_of
from recsys.sources.separators import with_separators
from tests.sources.logs import COLUMNS, START, make_log, make_pipeline


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
    assert rows[1]["reason"] == f"found 8 fields, expected 7, as {'its names say' if form.said.get('names') else 'in the header'}"
    assert f"a{form.separator}b" in str(rows[1]["raw"]).encode().decode("unicode_escape").encode("latin-1").decode()


def _rewrite(path: Path, form: Form, old: str, new: str) -> None:
    path.write_bytes(path.read_bytes().decode(form.encoding).replace(old, new).encode(form.encoding))


def test_the_separator_that_was_found_is_said(tmp_path: Path, ingest: Callable, capfd: pytest.CaptureFixture[str]) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False, sep="\t")
    ingest(console=Console())
    message = "log: the fields of log.csv are separated by '\\t', as the first rows show; set source.format.log.separator to read another"
    assert message in capfd.readouterr().out.splitlines()
    ingest(format={"log": {"separator": "\t"}}, to="told", console=Console())
    assert "separated" not in capfd.readouterr().out


def test_torn_rows_and_one_column_do_not_change_the_separator(tmp_path: Path) -> None:
    def found(name: str, text: str) -> str | None:
        (tmp_path / name).write_text(text)
        return with_separators(resolve([tmp_path / name]))[0].separator

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
    (file,) = with_separators(resolve([tmp_path], FileFormat(header=False, names=("n", "x"))))
    assert lines_of(file, [1, 2, 3]) == [1, 3, 5]


@pytest.mark.parametrize(("quote", "cells"), [("'", ["'a, b'", '"c"']), ("", ['"c', "d'e"])])
def test_other_quotes_and_none(tmp_path: Path, ingest: Callable, quote: str, cells: list[str]) -> None:
    log = make_log(2).astype(object)
    log["title"] = cells
    rows = [",".join(map(str, row)) for row in [list(log.columns), *log.itertuples(index=False)]]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    titles = ingest(format={"log": {"quote": quote}}).events().sort_values("timestamp")["log.title"].tolist()
    assert titles == [cell.strip(quote or None) for cell in cells]


def test_a_byte_that_parts_fields_by_itself_may_stand_in_quotes(tmp_path: Path, ingest: Callable) -> None:
    log = make_log(2).astype(object)
    log["title"] = "a\x1fb"
    log.to_csv(tmp_path / "log.txt", sep="\x1f", index=False)
    assert ingest("log.txt", format={"log": {"separator": "\x1f"}}).events()["log.title"].tolist() == ["a\x1fb"] * 2


def test_quotes_beside_a_long_separator_that_was_found_are_refused(tmp_path: Path, ingest: Callable) -> None:
    _write(tmp_path / "log.dat", Form(separator="::"), _log())
    with pytest.raises(DataError, match=r"fields separated by '::', and quote = \"'\", expected no quotes"):
        ingest("log.dat", format={"log": {"quote": "'"}})


def test_names_may_be_more_than_the_header_has(tmp_path: Path, ingest: Callable) -> None:
    """As R's write.table writes a table with row names."""
    log = _log()
    lines = [",".join(NAMES), *(f"{n},{line}" for n, line in enumerate(log.to_csv(index=False, header=False).splitlines()))]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    found = ingest(format={"log": {"names": ["row", *NAMES]}})
    assert found.events()["log.row"].sort_values().tolist() == list(range(len(log)))
    assert found.account.quarantined == 0


def test_names_that_replace_different_headers_are_refused(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "logs").mkdir()
    _log().to_csv(tmp_path / "logs" / "a.csv", index=False)
    _log()[NAMES[::-1]].to_csv(tmp_path / "logs" / "b.csv", index=False)
    with pytest.raises(DataError, match=r"b\.csv: found the header title, watch, .*, expected that of a\.csv, uid, vid"):
        ingest("logs", format={"log": {"names": NAMES}})
    assert len(ingest("logs", to="by-name").events()) == len(_log())


@pytest.mark.parametrize("parts", [1, 3])
def test_the_separator_does_not_depend_on_how_rows_are_parted(tmp_path: Path, ingest: Callable, parts: int) -> None:
    rows = [f"{n}::m{n}::{START + n}::{'a|b|c|d' if n % 3 == 0 else 'x'}" for n in range(9)]
    (tmp_path / "logs").mkdir()
    for part in range(parts):
        (tmp_path / "logs" / f"{part}.csv").write_text("\n".join(rows[part::parts]) + "\n")
    events = ingest("logs", format={"log": {"header": False, "names": ["uid", "vid", "ts", "tags"]}}).events()
    assert sorted(events["item_id"]) == [f"m{n}" for n in range(9)]


def test_a_torn_first_row_does_not_choose_the_separator(tmp_path: Path, ingest: Callable) -> None:
    rows = ["garbage,here", *(f"{n}\tm{n}\t{START + n}" for n in range(200))]
    (tmp_path / "u.data").write_text("\n".join(rows) + "\n")
    found = ingest("u.data", format={"log": {"header": False, "names": ["uid", "vid", "ts"]}})
    assert (found.account.kept, found.account.quarantined) == (200, 1)


def test_a_block_of_torn_rows_alone(tmp_path: Path, ingest: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a log that gets a column more from some day on."""
    monkeypatch.setattr("recsys.sources.text._BLOCK", 2_000)
    lines = make_log(200).to_csv(index=False).splitlines()
    torn = [f"{line},more" for line in lines[1:]]
    (tmp_path / "log.csv").write_text("\n".join([*lines, *torn]) + "\n")
    account = ingest(max_bad=1).account
    assert (account.kept, account.quarantined) == (200, 200)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_packed_file_that_is_cut_behind_its_first_block(tmp_path: Path, ingest: Callable, encoding: str) -> None:
    rng = np.random.default_rng(0)
    log = make_log(20_000)
    log["noise"] = rng.random(20_000)
    data = gzip.compress(log.to_csv(index=False, sep="|").replace("|", "::").encode())
    (tmp_path / "log.dat.gz").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DataError, match=r"log\.dat\.gz: found a damaged gzip file"):
        ingest("log.dat.gz", format={"log": {"encoding": encoding}})


def test_the_form_of_a_parquet_file_or_of_no_table_is_refused(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"found a parquet file, expected a text file, whose form source\.format\.log says"):
        ingest("log.parquet", format={"log": {"encoding": "latin-1"}})
    with pytest.raises(ValidationError, match=r"format\.users: found it without source\.users"):
        ingest("log.parquet", format={"users": {"encoding": "latin-1"}})


@pytest.mark.parametrize("encoding", ["idna", "hex", "utf-99", "undefined"])
def test_an_encoding_that_reads_no_file_is_refused(encoding: str) -> None:
    with pytest.raises(ValidationError, match=f'found "{encoding}", expected an encoding that Python knows'):
        FileFormat(encoding=encoding)


def test_a_column_with_a_blank_in_its_name_may_be_alone(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "users.csv").write_text("user id\n101\n")
    with pytest.raises(DataError, match=r"users\.csv column uid: found no such column among user id"):
        ingest(users=tmp_path / "users.csv")


def test_decimals_behind_a_comma_are_read_as_with_a_point(tmp_path: Path, ingest: Callable) -> None:
    """A cell of several numbers, and a text with a comma in it, stay what they are."""
    log = _log()
    log["title"] = [["1,2,3", "7, 5", "Amélie, 2"][n % 3] for n in range(len(log))]
    log.to_csv(tmp_path / "plain.csv", index=False)
    plain = ingest("plain.csv", to="plain").events()
    log["watch"] = [str(value).replace(".", ",") for value in log["watch"]]
    log.to_csv(tmp_path / "commas.csv", index=False, sep=";")
    pd.testing.assert_frame_equal(ingest("commas.csv", format={"log": {"decimal": ","}}).events(), plain)


def test_a_list_of_two_numbers_is_no_decimal(tmp_path: Path, ingest: Callable) -> None:
    log = _log()
    log["tags"] = [["12,34", "5", "1,2,3"][n % 3] for n in range(len(log))]
    log.to_csv(tmp_path / "log.csv", index=False, sep=";", decimal=",")
    events = ingest(format={"log": {"decimal": ","}}, features={"multi": {"tags": ","}}).events()
    assert set(events["log.tags"]) == {"12,34", "5", "1,2,3"}
    assert events["log.watch"].dtype == float


def test_commas_cannot_do_both() -> None:
    with pytest.raises(ValidationError, match="nothing tells the two apart"):
        FileFormat(decimal=",", separator=",")
