"""Logs in which a row holds a whole list.

Its cells name the items that were shown, each with 0 or 1 behind it (N1-0 N2-1, as in MIND). Or two columns of a parquet file hold lists:
of the items that were shown, and of those among them that were chosen (as in EB-NeRD).
"""

import shlex
from collections.abc import Sequence
from json import dumps

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.errors import DataError, data_error, short
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.draft import unique
from recsys.proposal.passed_over import quoted
from recsys.sources import UnknownFile

_LIST = r"\S+-[01](\s+\S+-[01])+"
_MOST = 0.5  # share of such cells above which a column holds lists: a list of one item is none
_NEARLY_ALL = 0.99  # share of rows whose chosen items were shown
_LOOKED_AT = 2_000  # rows of a parquet file whose lists are compared


def raise_where_rows_are_lists(files: Sequence[UnknownFile], facts: Sequence[Sequence[ColumnFacts]]) -> None:
    """Raise DataError where a column of a file holds whole lists. Call it where nothing else tells what the user did."""
    for file, columns in zip(files, facts, strict=True):
        if error := _list_in_a_row(file, columns):
            raise error
        raise_where_lists_were_shown(file)


def raise_where_lists_were_shown(file: UnknownFile) -> None:
    """Raise DataError where two columns of a parquet file hold what was shown and what of it was chosen, with the command for rows."""
    if not file.is_typed:
        return
    first = file.head.file.path
    names = [
        field.name for field in pq.read_schema(first) if pa.types.is_list(field.type) and not pa.types.is_nested(field.type.value_type)
    ]
    rows = next(pq.ParquetFile(first).iter_batches(_LOOKED_AT, columns=names), None)
    lists = {} if rows is None else {name: [set(cell or ()) for cell in rows[name].to_pylist()] for name in names}
    pair = next(((shown, chosen) for shown in lists for chosen in lists if _are_chosen(lists[shown], lists[chosen])), None)
    if pair is None:
        return
    shown, chosen = map(quoted, pair)
    item, label = (unique(name, file.head.fields) for name in ("item_id", "clicked"))
    source = str(file.path / "**" / "*.parquet" if file.path.is_dir() else file.path)
    target = str((file.path if file.path.is_dir() else first).with_suffix("")) + "-rows.parquet"
    one = f"* EXCLUDE ({shown}), unnest({shown}) AS {item}"
    marked = f"* EXCLUDE ({chosen}), coalesce(list_contains({chosen}, {item}), false) AS {label}"
    code = (
        f"import duckdb; duckdb.read_parquet({dumps(source)}).project({dumps(one)}).project({dumps(marked)}).write_parquet({dumps(target)})"
    )
    raise data_error(
        f"{file.path} columns {', '.join(pair)}",
        found="lists: what was shown, and what of it was chosen",
        expected="a row per impression",
        fix=f"write them so: python -c {shlex.quote(code)} and give init that file; if they are none, say --column item_id=NAME",
    )


def _are_chosen(shown: Sequence[set[object]], chosen: Sequence[set[object]]) -> bool:
    """Return whether the lists of one column are those of another one without what was not chosen."""
    both = [(all_, some) for all_, some in zip(shown, chosen, strict=True) if some]
    inside = [some <= all_ for all_, some in both]
    fewer = [len(some) < len(all_) for all_, some in both]
    return len(both) > 0 and sum(inside) >= _NEARLY_ALL * len(both) and sum(fewer) > _MOST * len(both)


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
