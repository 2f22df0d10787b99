"""Logs in which a row holds a whole list: its cells name the items that were shown, each with 0 or 1 behind it (N1-0 N2-1)."""

import shlex
from collections.abc import Sequence
from json import dumps

from recsys.errors import DataError, data_error, short
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.passed_over import quoted
from recsys.sources import UnknownFile

_LIST = r"\S+-[01](\s+\S+-[01])+"
_MOST = 0.5  # share of such cells above which a column holds lists: a list of one item is none


def raise_where_rows_are_lists(files: Sequence[UnknownFile], facts: Sequence[Sequence[ColumnFacts]]) -> None:
    """Raise DataError where a column of a file holds whole lists. Call it where nothing else tells what the user did."""
    for file, columns in zip(files, facts, strict=True):
        if error := _list_in_a_row(file, columns):
            raise error


def _list_in_a_row(file: UnknownFile, columns: Sequence[ColumnFacts]) -> DataError | None:
    """Return the error for a log with such a column, with the command that writes a row per impression; None of another."""
    texts = (column for column in columns if column.numbers is None and len(column.values))
    found = next((column for column in texts if column.values.astype(str).str.fullmatch(_LIST).mean() > _MOST), None)
    if found is None:
        return None
    cells = found.values.astype(str)
    example = str(cells[cells.str.fullmatch(_LIST)].iloc[0])
    first = file.head.file.path
    path = file.path / f"*{first.suffix}" if file.path.is_dir() else file.path
    target, name = str((file.path if file.path.is_dir() else first).with_suffix("")) + "-rows.parquet", quoted(found.name)
    how = f"header=False, names={list(file.head.fields)!r}" if not file.written.header else "header=True"
    is_parquet = file.head.file.format == "parquet"
    read = f"read_parquet({dumps(str(path))})" if is_parquet else f"read_csv({dumps(str(path))}, sep={file.head.file.separator!r}, {how})"
    rows = f"* EXCLUDE ({name}), unnest(regexp_split_to_array(trim({name}), '[ ]+')) AS one_of_list"
    marks = (
        "* EXCLUDE (one_of_list), regexp_replace(one_of_list, '-[01]$', '') AS item_id,"
        " TRY_CAST(regexp_extract(one_of_list, '-([01])$', 1) AS INTEGER) AS clicked"
    )
    code = f"import duckdb; duckdb.{read}.project({dumps(rows)}).project({dumps(marks)}).write_parquet({dumps(target)})"
    return data_error(
        f"{file.path} column {found.name}",
        found=f'a whole list in a row ("{short(example)}")',
        expected="a row per impression",
        fix=f"write them so: python -c {shlex.quote(code)} and give init that file",
    )
