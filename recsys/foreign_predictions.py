"""Predictions that another system has written to files, read into the form of predictions.parquet.

Legend: N rows, K objectives.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from recsys import schema, sources
from recsys.errors import Place, data_error, no_columns
from recsys.objectives import Objective, chain
from recsys.predictions import conditional, fused_score

_NULLS = ("", "NULL", "null", "NA", "N/A", "NaN", "nan", "None", "\\N")
_PATTERN = re.compile(r"[*?\[{]")  # of several files
_IDS = (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.REQUEST_ID)


def name_of(path: Path) -> str:
    """Return the name of another system's scores in tables: that of the file, or of the folder before a pattern such as *.parquet."""
    if not _PATTERN.search(path.name):
        return path.stem
    return next(folder.name for folder in path.absolute().parents if not _PATTERN.search(folder.name)) or path.name


def read_foreign(path: Path, objectives: Sequence[Objective]) -> tuple[pa.Table, tuple[Objective, ...]]:
    """Read another system's scores, in files of any form that a log may have: parquet or text, one file, a pattern or a folder.

    Return them with the objectives that they hold: those with a `label.X` or a `pred.X`. `day` (UTC), `split` (all test), conditional forms
    and `score` are derived where absent. The probabilities of levels may be absent. Raises DataError where a file cannot be read or lacks
    event_id, user_id, timestamp (milliseconds), one of the two columns of an objective, or all objectives; the error names every missing
    column at once. Raises DataError also where a value is derived from a prediction that is not a
    number, or not a probability.
    """
    table = _read(path)
    objectives = _held(table, objectives)
    needed = [schema.EVENT_ID, schema.USER_ID, schema.TIMESTAMP]
    for objective in objectives:
        needed += [schema.label_column(objective.name), schema.prediction_column(objective.name)]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise data_error(
            path,
            found=no_columns(missing, table.column_names, needed),
            expected="event_id, user_id, timestamp and label.X, pred.X of each objective that is to be judged",
            fix="add them",
        )
    if not len(table):
        raise data_error(path, found="no rows", expected="one row per scored impression", fix="give the file that holds the scores")
    if not pa.types.is_int64(table.schema.field(schema.TIMESTAMP).type):
        raise data_error(
            f"{path} column {schema.TIMESTAMP}",
            found=str(table.schema.field(schema.TIMESTAMP).type),
            expected="int64 milliseconds since 1970",
            fix="write the time of the impression in milliseconds",
        )
    if schema.DAY not in table.column_names:
        stamps = table[schema.TIMESTAMP].cast(pa.timestamp("ms"))
        table = table.append_column(schema.DAY, pa.compute.strftime(stamps, format="%Y-%m-%d"))
    if schema.SPLIT not in table.column_names:
        table = table.append_column(schema.SPLIT, pa.array([schema.TEST] * len(table), pa.string()))
    for objective in objectives:
        if objective.given is None:
            continue
        name = schema.prediction_column(schema.conditional_name(objective.name, objective.given))
        if name not in table.column_names:
            joint_N, given_N = (_numbers(table, schema.prediction_column(of), path) for of in (objective.name, objective.given))
            table = table.append_column(name, pa.array(conditional(joint_N, given_N, Place(path, column=name))))
    if schema.SCORE not in table.column_names:
        by = [rank if (rank := schema.rank_column(o.name)) in table.column_names else schema.prediction_column(o.name) for o in objectives]
        values_NK = np.column_stack([_numbers(table, name, path) for name in by])
        table = table.append_column(schema.SCORE, pa.array(fused_score(values_NK, objectives)))
    return table, objectives


def _held(table: pa.Table, objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """Return the objectives of which the file has a column, and those by which they are `given`; all of them where it has none."""

    def is_there(objective: Objective) -> bool:
        columns = (schema.label_column(objective.name), schema.prediction_column(objective.name))
        return any(column in table.column_names for column in columns)

    needed = {of.name for objective in objectives if is_there(objective) for of in chain(objective, objectives)}
    return tuple(objective for objective in objectives if objective.name in needed or not needed)


def _numbers(table: pa.Table, column: str, path: Path) -> NDArray[np.float64]:
    """Return a column as float64, null as NaN."""
    try:
        return np.asarray(table[column].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowException as error:
        raise data_error(
            Place(path, column=column), found=f"values of type {table[column].type}", expected="numbers", fix="write the column as numbers"
        ) from error


def _read(path: Path) -> pa.Table:
    """Read the files that the path names. Columns of text files get the type of all their values."""
    file = sources.read_whole(path)
    table = file.rows
    for place, name in enumerate(() if file.is_typed else table.column_names):
        if pa.types.is_string(table.schema.field(place).type):
            typed = _as_ids if name in _IDS else _as_names if name.startswith(schema.SLICE) else _as_values
            table = table.set_column(place, name, typed(table.column(place)))
    return table


def _as_ids(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ids of a text file as whole numbers where each is written as one, else as texts: "007" and "7" are two.

    Empty is null. So is a word for null among whole numbers; among texts it may be a name.
    """
    numbers = _without_nulls(texts)
    if pa.compute.all(pa.compute.match_substring_regex(numbers, "^(0|-?[1-9][0-9]*)$")).as_py() is not False:
        try:
            return numbers.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond int64
            return numbers
    return pa.compute.if_else(pa.compute.equal(texts, ""), None, texts)


def _as_values(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as whole numbers, doubles or truth values where each is one, or null; else as they are, null where empty.

    Where a whole number has leading zeros or a plus sign, all are codes and no numbers, as in a log.
    """
    known = _without_nulls(texts)
    has_codes = pa.compute.any(pa.compute.match_substring_regex(known, r"^([+-]?0\d+|\+\d+)$")).as_py()
    for kind in () if has_codes else (pa.int64(), pa.float64(), pa.bool_()):
        try:
            return known.cast(kind)
        except pa.ArrowInvalid:
            continue
    return pa.compute.if_else(pa.compute.equal(texts, ""), None, texts)


def _as_names(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as `_as_values` does, but as they are where doubles do not hold each of their whole numbers: two would be one slice."""
    values = _as_values(texts)
    if pa.types.is_floating(values.type) and pa.compute.any(pa.compute.greater_equal(pa.compute.abs(values), float(sources.EXACT))).as_py():
        return pa.compute.if_else(pa.compute.equal(texts, ""), None, texts)
    return values


def _without_nulls(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    plain = pa.compute.utf8_trim_whitespace(texts)
    return pa.compute.if_else(pa.compute.is_in(plain, value_set=pa.array(_NULLS)), None, plain)
