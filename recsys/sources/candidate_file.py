"""Candidates: rows of user, item and context that a trained model is asked to rank. Read with the types that events have.

A row that cannot be used is an error, and not left out: whoever asks for a ranking expects an answer for each row.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recsys import schema
from recsys.config import LogColumns, Pipeline, TimeOptions
from recsys.days import Day
from recsys.errors import DataError, data_error, no_columns
from recsys.sources.batch import LOCAL_TIME, SOURCE_ROW, UTC_TIME
from recsys.sources.database import engine, one_row
from recsys.sources.ids import INTEGRAL, id_columns
from recsys.sources.input_files import resolve
from recsys.sources.instants import iso_micros, local_micros, timestamp_column
from recsys.sources.output_columns import Column, Refusal, is_canonical_integer, matches, number
from recsys.sources.parquet import column_names
from recsys.sources.refusals import row_problems
from recsys.sources.staging import EXACT, SOURCE_FILE, Staged, TableFiles, stage
from recsys.sources.unknown_file import form_of

_ROW_GROUP = 131_072
_TRUE, _FALSE = "('true', '1', 'yes')", "('false', '0', 'no')"


def files_of(given: Path) -> list[Path]:
    """Return the files that a path of candidates names: one, or those of a pattern or a folder. Raises DataError where there is none."""
    return [file.path for file in resolve([given])]


def stage_candidates(
    pipeline: Pipeline, given: Path, needed: Mapping[str, pa.DataType], target: Path, *, at: int | None, first: Day, scratch: Path
) -> int:
    """Write the candidates of a file as parquet to `target`, and return the last moment that is asked for (ms UTC).

    Its columns are `schema.CANDIDATE`, those `needed` (columns of events, with their types), the moment as `timestamp`, and event_id and
    request_id where the file has them. A column of the log, `log.X`, may be called X in the file. With `at` (ms UTC) all candidates have
    that moment. Else timestamps are written as the log's are, as ISO texts, or in whole ms. No moment is before `first`, the first day of
    the log. `scratch` is a folder for what does not fit into memory.

    Raises DataError where the file cannot be read, has no row, lacks a column (all of them are named), or holds a cell that cannot be used.
    """
    files = TableFiles("candidates", (given,), written=form_of(given, has_header=True))
    with engine(scratch, pipeline.features.memory_limit) as con:
        names = _names(files)
        wanted = _wanted(names, needed, at)
        _require(wanted, names, given, at, pipeline)
        staged = stage(
            con, files, "staged_candidates", separators=pipeline.features.multi, max_bad=None, only=wanted.values(), may_be_empty=True
        )
        if not staged.rows:
            raise data_error(str(given), found="no rows", expected="one per candidate", fix="write the candidates into it")
        columns = [_column(con, staged, ours, theirs, needed, pipeline, first) for ours, theirs in wanted.items()]
        if problems := row_problems(con, staged, columns, max_bad=None)[0]:
            raise DataError("\n".join(map(str, problems)))
        fields = [(schema.CANDIDATE, pa.int64()), *((column.name, column.type) for column in columns)]
        fields += [(schema.TIMESTAMP, pa.int64())] if at is not None else []
        _write(con, staged, columns, pa.schema(fields), target, at)
        return at if at is not None else int(one_row(con, f"SELECT max({columns[-1].sql}) FROM {staged.table}")[0])


def _names(files: TableFiles) -> Sequence[str]:
    """Return the names of the columns of the first file; of a parquet file, of those too whose type nobody could read."""
    file = files.files()[0]
    return [*column_names(file.path), *dict(file.folders)] if file.format == "parquet" else files.headers()[0].names


def _wanted(names: Sequence[str], needed: Mapping[str, pa.DataType], at: int | None) -> dict[str, str]:
    """Return our name → the file's, of the columns that are needed, and of the ids that the file has besides."""
    ids = [name for name in (schema.EVENT_ID, schema.REQUEST_ID) if name in names and name not in needed]
    moment = [] if at is not None else [schema.TIMESTAMP]
    wanted = {name: name for name in [*ids, *needed, *moment]}
    for name in needed:
        if name.startswith(schema.LOG) and name not in names:
            wanted[name] = schema.strip(name, schema.LOG)
    return wanted


def _require(wanted: Mapping[str, str], names: Sequence[str], given: Path, at: int | None, pipeline: Pipeline) -> None:
    """Raise DataError with every column that the file lacks, or where it has moments of its own beside `at`."""
    if at is not None and schema.TIMESTAMP in names:
        raise data_error(
            f"{given} column {schema.TIMESTAMP}",
            found="a moment of each candidate, and --at",
            expected="one of them",
            fix="leave out --at, or the column",
        )
    if missing := [theirs for theirs in wanted.values() if theirs not in names]:
        moment = ", or --at for all" if schema.TIMESTAMP in missing else ""
        raise data_error(
            str(given),
            found=no_columns(missing, names, wanted.values()),
            expected=f"{', '.join(theirs for theirs in wanted.values())}{moment}",
            fix=_renamed(pipeline, missing, names)
            + "add what is missing; a cell may be empty where the log's may be"
            + _wildcard(given, missing),
        )


def _renamed(pipeline: Pipeline, missing: Sequence[str], names: Sequence[str]) -> str:
    """Return which columns of the file have the log's name in the place of ours; empty where none has."""
    columns = getattr(pipeline.source, "columns", None)
    named = columns.named() if isinstance(columns, LogColumns) else {}
    theirs = [f"{named[ours]} {ours}" for ours in missing if named.get(ours) in names]
    return f"candidates have the names of recsys: call {', '.join(theirs)}; " if theirs else ""


def _wildcard(given: Path, missing: Sequence[str]) -> str:
    """Return how a folder that the path spells out (date=2024-01-31) becomes a column that is missing; empty where there is none."""
    folder = next((part for part in given.parts if "=" in part and part.split("=", 1)[0] in missing), None)
    if folder is None:
        return ""
    return f"; the folder {folder} gives a column only where a pattern finds it: {folder}*/**/*{files_of(given)[0].suffix}"


def _column(
    con: duckdb.DuckDBPyConnection,
    staged: Staged,
    ours: str,
    theirs: str,
    needed: Mapping[str, pa.DataType],
    pipeline: Pipeline,
    first: Day,
) -> Column:
    column, kind = staged.column(theirs), staged.type(theirs)
    if ours == schema.TIMESTAMP:
        return _moment(column, kind, pipeline, first)
    if ours not in needed:
        return id_columns(con, staged, {ours: theirs})[0]
    target = needed[ours]
    sql = _converted(column, kind, target, pipeline.zone)
    condition = f"{column} IS NOT NULL AND ({sql}) IS NULL"
    expected = _EXPECTED[target]
    if ours in (schema.USER_ID, schema.ITEM_ID):
        if target == pa.string() and kind == pa.float64():
            sql = f"CASE WHEN abs({column}) < {staged.exact_below(theirs)[1]} THEN {sql} END"
            expected = "a text or a whole number: a float has lost digits of such an id"
        condition = f"({sql}) IS NULL"
    return Column(ours, sql, target, (Refusal(theirs, condition, expected),))


_EXPECTED = {
    pa.int64(): "a whole number, as in the log",
    pa.float64(): "a finite number, as in the log",
    pa.string(): "a text",
    pa.bool_(): "true or false, as in the log",
    pa.date32(): "an ISO date, as in the log",
    LOCAL_TIME: "an ISO date and time, as in the log",
}


def _moment(column: str, kind: pa.DataType | None, pipeline: Pipeline, first: Day) -> Column:
    """Return the timestamp in ms: written as the log's are, as ISO text, or in whole ms.

    No number is a time between 1971 and 2100 in two units, so each cell has one reading.
    """
    of_log = getattr(pipeline.source, "time", None)
    forms = [of_log] if isinstance(of_log, TimeOptions) else []
    forms += [TimeOptions(unit="ms", zone=pipeline.zone), TimeOptions(unit="iso", zone=pipeline.zone)]
    readings = [timestamp_column(schema.TIMESTAMP, column, kind, form).sql for form in forms]
    sql = f"coalesce({', '.join(f'({reading})' for reading in dict.fromkeys(readings))}) // 1000"
    expected = "a moment between 1971 and 2100: whole milliseconds since 1970-01-01 UTC, an ISO date and time, or as the log writes it"
    begun = f"a moment from {first.iso} on, where the log begins"
    refusals = (
        Refusal(schema.TIMESTAMP, f"({sql}) IS NULL", expected),
        Refusal(schema.TIMESTAMP, f"({sql}) < {first.start}", begun, fix="ask for a later moment"),
    )
    return Column(schema.TIMESTAMP, sql, pa.int64(), refusals)


def _converted(column: str, kind: pa.DataType | None, target: pa.DataType, zone: str) -> str:
    """Return SQL for a staged column in the type `target`; null where a cell cannot have it."""
    if target == LOCAL_TIME and kind in (LOCAL_TIME, UTC_TIME):
        return f"make_timestamp({local_micros(column, zone) if kind == LOCAL_TIME else f'epoch_us({column})'})"
    if kind == target and kind != pa.float64():
        return column
    if kind not in (None, pa.string(), pa.int64(), pa.float64(), pa.bool_()):
        column, kind = f"CAST({column} AS VARCHAR)", None
    is_text = kind in (None, pa.string())
    if target == pa.int64():
        return _whole(column, is_text)
    if target == pa.float64():
        return number(column, kind)
    if target == pa.string():
        whole = f"CASE WHEN {column} = trunc({column}) AND abs({column}) < {EXACT} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR)"
        return f"{whole} ELSE CAST({column} AS VARCHAR) END" if kind == pa.float64() else f"CAST({column} AS VARCHAR)"
    text = f"CAST({column} AS VARCHAR)"
    if target == pa.bool_():
        return f"CASE WHEN lower({text}) IN {_TRUE} THEN TRUE WHEN lower({text}) IN {_FALSE} THEN FALSE END"
    if target == pa.date32():
        return f"TRY_CAST({text} AS DATE)"
    assert target == LOCAL_TIME, f"events have no column of type {target}"
    return f"make_timestamp({iso_micros(text, zone)})"


def _whole(column: str, is_text: bool) -> str:
    value = f"TRY_CAST({column} AS DOUBLE)"
    exact = f"{value} = trunc({value}) AND abs({value}) < {EXACT} THEN CAST({value} AS BIGINT)"
    if not is_text:
        return f"CASE WHEN {exact} END"
    return f"CASE WHEN {is_canonical_integer(column)} THEN TRY_CAST({column} AS BIGINT) WHEN {matches(column, INTEGRAL)} AND {exact} END"


def _write(
    con: duckdb.DuckDBPyConnection, staged: Staged, columns: Sequence[Column], fields: pa.Schema, target: Path, at: int | None
) -> None:
    values = [f"row_number() OVER (ORDER BY {SOURCE_FILE}, {SOURCE_ROW}) - 1", *(column.sql for column in columns)]
    values += [] if at is None else [f"CAST({at} AS BIGINT)"]
    listed = ", ".join(f"{value} AS v{place}" for place, value in enumerate(values))
    rows = con.sql(f"SELECT {listed} FROM {staged.table} ORDER BY v0").to_arrow_reader(_ROW_GROUP)
    with pq.ParquetWriter(target, fields, compression="zstd") as writer:
        for batch in rows:
            writer.write_table(pa.Table.from_batches([batch]).rename_columns(fields.names).cast(fields))
