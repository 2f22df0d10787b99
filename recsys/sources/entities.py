"""Users and items: one row per key. The key has the log's type of id, and the source's other columns keep their names.

Where files have a day in their names, those of one day are a snapshot: one row per key and snapshot.
"""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.errors import Place, data_error, short
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.column_options import Reading
from recsys.sources.database import one_row
from recsys.sources.description import USERS, Description
from recsys.sources.ids import id_columns, refuse_null
from recsys.sources.naming import missing_column
from recsys.sources.output_columns import Column
from recsys.sources.refusals import DIGEST, Typed
from recsys.sources.staging import SOURCE_FILE, Staged


def key_column(description: Description, role: str, names: Sequence[str], file: Path) -> str:
    """Return the key's column: that of the TOML, else the log's name for it, else our name.

    Raises DataError where the file has no such column, or one of our name beside it.
    """
    ours, logs = description.key(role)
    option = f"source.format.{role}"
    theirs = description.told_key(role) or (logs if logs in names else ours)
    if theirs not in names:
        raise missing_column(file, theirs if description.told_key(role) else logs, names, f"{option}.key")
    if theirs != ours and ours in names:
        fix = f"rename one of them, or name {ours} in {option}.leave_out"
        raise data_error(Place(file, column=ours), found=f"that column beside {theirs}", expected="one key", fix=fix)
    return theirs


def entity_columns(
    con: duckdb.DuckDBPyConnection, staged: Staged, description: Description, reading: Reading, key_type: pa.DataType
) -> list[Column]:
    """Return the column of the key, then the other columns in the order of their names."""
    ours, _ = description.key(staged.role)
    theirs = key_column(description, staged.role, staged.names, staged.files[0].path)
    key = refuse_null(id_columns(con, staged, {ours: theirs}, key_type)[0], theirs)
    others = [name for name in staged.names if name != theirs]
    types = reading.columns(con, staged, others, description.time.zone)
    return [key, *(types[name] for name in others)]


def snapshots(entities: Typed) -> dict[str | None, list[int]]:
    """Return the ISO day of each snapshot → the places of its files; the one day None where files have no days."""
    found: dict[str | None, list[int]] = {}
    for place, file in enumerate(entities.staged.files):
        found.setdefault(file.day, []).append(place)
    return found


def count_entities(con: duckdb.DuckDBPyConnection, entities: Typed) -> int:
    """Return the number of different keys, of all snapshots together. Raises DataError where one key has two different rows in one."""
    return sum(_count(con, entities, f"{entities.table} WHERE {_of(places)}") for places in snapshots(entities).values())


def _count(con: duckdb.DuckDBPyConnection, entities: Typed, rows_of_snapshot: str) -> int:
    key = entities.columns[0]
    by_key = f"SELECT a0, min({DIGEST}) <> max({DIGEST}) AS differs FROM {rows_of_snapshot} GROUP BY a0"
    row = one_row(con, f"SELECT count(*), count(*) FILTER (differs), min(a0) FILTER (differs) FROM ({by_key})")
    if row[1]:
        rows = f"SELECT {SOURCE_FILE}, {SOURCE_ROW} FROM {rows_of_snapshot} AND a0 = ? ORDER BY {SOURCE_FILE}, {SOURCE_ROW}"
        first, second = (entities.staged.place(*place) for place in con.execute(rows, [row[2]]).fetchall()[:2])
        told = sorted({name for file in entities.staged.files for name, _ in file.folders if name in entities.staged.names})
        fix = "keep one row of each key"
        if told:
            fix += f", or write {{day}} in the path where folders are of days, or name what they tell ({', '.join(told)}) in leave_out"
        raise data_error(
            Place(second.file, second.row, key.name), found=f"the key {row[2]} of {Path(first.file).name}:{first.row} with other values",
            expected="one row per key", bad_rows=row[1], rows=entities.staged.rows, fix=fix,
        )  # fmt: skip
    return int(row[0])


def coverage(con: duckdb.DuckDBPyConnection, entities: Typed, impressions: Typed) -> tuple[str, str | None]:
    """Return in words how many ids of the log have a row. Where none has one, show both ways to write them, and return a warning, too.

    A low number shows that keys are written in another way than in the log: their rows describe nothing.
    """
    key = role_key(entities.staged.role)
    ids = f"SELECT DISTINCT {impressions.column(key)} AS id FROM {impressions.table}"
    there, found = one_row(con, f"SELECT count(*), count(*) FILTER (id IN (SELECT a0 FROM {entities.table})) FROM ({ids})")
    said = f"of {there:,} different {key} in the log {found:,} have a row"
    if found or not there:
        return said, None
    of_log, of_table = one_row(con, f"SELECT (SELECT min(id) FROM ({ids})), (SELECT min(a0) FROM {entities.table})")
    return f"{said}: the log has {short(str(of_log))!r}, this table has {short(str(of_table))!r}", (
        f"found a row for none of the {there:,} different {key} in the log, expected one for most: the columns of this table are empty on"
        f" every impression. Fix: write {key} in both the same way, or leave the table out"
    )


def entities_schema(entities: Typed | None, key: str, key_type: pa.DataType) -> pa.Schema:
    """Return the columns of users/ or items/, only the key where the source has no such table."""
    return pa.schema([(column.name, column.type) for column in entities.columns] if entities else [(key, key_type)])


def entities_query(entities: Typed, files: Sequence[int]) -> str:
    """Return SQL for every row of these files, sorted by the key, which is called a0."""
    columns = ", ".join(f"a{place}" for place in range(len(entities.columns)))
    return f"SELECT {columns} FROM {entities.table} WHERE {_of(files)} ORDER BY a0"


def _of(files: Sequence[int]) -> str:
    return f"{SOURCE_FILE} IN ({', '.join(map(str, files))})"


def role_key(role: str) -> str:
    return schema.USER_ID if role == USERS else schema.ITEM_ID
