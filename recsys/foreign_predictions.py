"""A file of predictions that another system has written, read into the form of predictions.parquet.

Legend: N rows, K objectives.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys import schema
from recsys.errors import DataError, Place, data_error, nearest
from recsys.objectives import Objective, chain
from recsys.predictions import conditional, fused_score

_SEPARATORS = (",", ";", "\t", "|")
_NULLS = ("", "NULL", "null", "NA", "N/A", "NaN", "nan", "None", "\\N")
_IDS = (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.REQUEST_ID)


def read_foreign(path: Path, objectives: Sequence[Objective]) -> tuple[pa.Table, tuple[Objective, ...]]:
    """Read another system's scores: parquet, or text with a header, separated by commas, semicolons, tabs or bars.

    Return them with the objectives that they hold: those with a `label.X` or a `pred.X`. `day` (UTC), `split` (all test), conditional forms
    and `score` are derived where absent. The probabilities of levels may be absent. Raises DataError where the file cannot be read or lacks
    event_id, user_id, timestamp (milliseconds), one of the two columns of an objective, or all objectives; the error names every missing
    column at once. Raises DataError also where a value is derived from a prediction that is not a
    number, or not a probability.
    """
    table = _read(path)
    if twice := [name for name, times in Counter(table.column_names).items() if times > 1]:
        raise data_error(path, found=f"the columns {', '.join(twice)} more than once", expected="each column once", fix="keep one of each")
    objectives = _held(table, objectives)
    needed = [schema.EVENT_ID, schema.USER_ID, schema.TIMESTAMP]
    for objective in objectives:
        needed += [schema.label_column(objective.name), schema.prediction_column(objective.name)]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise data_error(
            path,
            found=f"no column {', '.join(name + nearest(name, set(table.column_names) - set(needed)) for name in missing)}",
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
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 20)
        if first.startswith(b"PAR1"):
            return pq.read_table(path)
        separator = max(_SEPARATORS, key=lambda each: first.count(each.encode()))  # that of the header; a tie: the comma
        table = pa.csv.read_csv(
            path,
            parse_options=pa.csv.ParseOptions(delimiter=separator),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(_IDS, pa.string())),
        )
    except FileNotFoundError as error:
        raise DataError(f"{path}: found no such file, expected predictions as parquet or text. Fix: check the path") from error
    except (OSError, pa.ArrowException) as error:
        detail = str(error).splitlines()[0]
        raise data_error(
            path, found=f"a file that cannot be read ({detail})", expected="parquet, or text with a header", fix="write it again"
        ) from error
    places = [place for place, name in enumerate(table.column_names) if name in _IDS]  # a name may occur twice, which is refused later
    for place in places:
        table = table.set_column(place, table.column_names[place], _as_ids(table.column(place)))
    return table


def _as_ids(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ids of a text file as whole numbers where each is written as one, else as texts: "007" and "7" are two.

    Empty is null. So is a word for null among whole numbers; among texts it may be a name.
    """
    plain = pa.compute.utf8_trim_whitespace(texts)
    numbers = pa.compute.if_else(pa.compute.is_in(plain, value_set=pa.array(_NULLS)), None, plain)
    if pa.compute.all(pa.compute.match_substring_regex(numbers, "^(0|-?[1-9][0-9]*)$")).as_py() is not False:
        try:
            return numbers.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond int64
            return numbers
    return pa.compute.if_else(pa.compute.equal(texts, ""), None, texts)
