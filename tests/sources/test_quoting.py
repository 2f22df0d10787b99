"""Rows that a quote which is not closed would swallow are never lost, and cells that span lines are no mistake."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys import sources
from recsys.errors import DataError
from tests.sources.logs import COLUMNS, make_log, make_pipeline


def _lines(last: dict[int, str], separator: str = ",", rows: int = 200) -> str:
    """A log whose last column is a title; `last` holds the titles of some rows (from 1)."""
    log = make_log(rows)[["uid", "vid", "ts"]].astype(str)
    lines = [separator.join(["uid", "vid", "ts", "title"])]
    lines += [separator.join([*row, last.get(place, "plain")]) for place, row in enumerate(log.itertuples(index=False), 1)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("titles", [{6: '"x'}, {6: '"x', 80: 'y "z" w'}, {3: '"two\nlines"', 6: '"x', 80: '5" pipe'}])
def test_a_quote_that_would_swallow_the_rest_of_the_file(tmp_path: Path, ingest: Callable, titles: dict[int, str]) -> None:
    (tmp_path / "log.tsv").write_text(_lines(titles, "\t"))
    line = 7 + (3 in titles)
    with pytest.raises(DataError, match=rf"log\.tsv:{line}: found a quote that is not closed .*, expected quotes in pairs"):
        ingest("log.tsv")
    (problem,) = sources.check(make_pipeline({"kind": "table", "log": tmp_path / "log.tsv", "columns": COLUMNS}))
    assert f"log.tsv:{line}: found a quote that is not closed" in problem


def test_cells_may_span_lines_and_hold_quotes(tmp_path: Path, ingest: Callable) -> None:
    titles = {2: '"a ""quoted"" word,\r\nand more"', 9: '5" pipe', 10: '"\n\n"'}
    (tmp_path / "log.csv").write_bytes(_lines(titles).encode())
    result = ingest()
    assert (result.account.read, result.account.kept) == (200, 200)
    assert set(result.events()["log.title"]) == {"plain", 'a "quoted" word,\r\nand more', '5" pipe', "\n\n"}


def test_a_row_of_several_lines_with_too_many_fields_goes_to_quarantine(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "log.csv").write_text(_lines({7: '"two\nlines",more'}))
    result = ingest()
    (row,) = result.table("quarantine").to_pylist()
    assert (row["source_row"], row["reason"]) == (8, "found 5 fields, expected 4, as in the header")
    assert (result.account.read, result.account.kept) == (200, 199)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_quote_that_is_not_closed_near_the_end_of_the_file(tmp_path: Path, ingest: Callable, end: str) -> None:
    (tmp_path / "log.csv").write_bytes(_lines({198: '"x'}).replace("\n", end).encode())
    with pytest.raises(DataError, match=r"log\.csv:199: found a quote that is not closed"):
        ingest()
