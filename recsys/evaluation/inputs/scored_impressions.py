"""Scored impressions as they come in, checked once. Every mistake in them is reported here or in `scores`; no metric checks again."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.config import MOST_CONFIDENCE, MOST_REPLICATES
from recsys.errors import ConfigError, data_error
from recsys.evaluation.inputs.groups import codes, shown_lists
from recsys.evaluation.inputs.position_bins import position_bins
from recsys.evaluation.inputs.prediction_columns import ids, milliseconds, no_nulls, numbers, place, plain, require, texts
from recsys.evaluation.inputs.rows import FloatArray, IntArray
from recsys.objectives import Objective, chain

_LARGEST_SEED = 2**63 - 1  # that a column of metrics holds


@dataclass(frozen=True)
class Impressions:
    """The scored impressions apart from labels and predictions, in the order of event_id.

    Users are numbered from 0 to `users` − 1, lists from 0 to `lists` − 1. Lists are numbered on first use, since not every metric reads
    them. `split`, `day` and `slices` hold codes and the values that the codes stand for (−1: null).
    """

    user_N: IntArray
    users: int
    timestamp_N: IntArray
    request: pa.Array | None
    position_N: FloatArray | None
    split: tuple[IntArray, list[str]]
    day: tuple[IntArray, list[str]]
    slices: Mapping[str, tuple[IntArray, list[str]]]

    @cached_property
    def list_N(self) -> IntArray:  # noqa: N802
        return shown_lists(self.user_N, self.timestamp_N, self.request, self.position_N)

    @cached_property
    def lists(self) -> int:
        return int(self.list_N.max()) + 1


def check_options(
    objectives: Sequence[Objective],
    run: str,
    against: Mapping[str, object] | None,
    also: Sequence[str] = (),
    *,
    bootstrap: int,
    seed: int,
    confidence: float = 0.95,
    list_k: Sequence[int] = (),
    top_percent: Sequence[float] = (),
) -> None:
    """Raise ConfigError that names every wrong option, if there are any."""
    require_objectives(objectives)
    against = {} if against is None else against
    if not isinstance(against, Mapping):
        raise ConfigError(f"against: found a {type(against).__name__}, expected a mapping of names to predictions. Fix: name the other run")
    if problems := _of_other_types(run, confidence, list_k=list_k, top_percent=top_percent):
        raise ConfigError(problems)
    names = [objective.name for objective in objectives]
    if not names or len(set(names)) < len(names):
        problems.append(f"objectives: found {names}, expected at least one and no name twice. Fix: pass each objective once")
    for objective in objectives:
        try:
            chain(objective, objectives)
        except ValueError as error:
            problems.append(f"objectives: {error}. Fix: pass the objective that it is given too")
    if unknown := [name for name in also if name not in against]:
        problems.append(f"also: found {', '.join(unknown)}, expected names of against. Fix: leave them out")
    if not (isinstance(bootstrap, int | np.integer) and 0 <= bootstrap <= MOST_REPLICATES):
        problems.append(f"bootstrap: found {bootstrap}, expected a number of replicates, from 0 to {MOST_REPLICATES:,}. Fix: 1000 is usual")
    if not (isinstance(seed, int | np.integer) and 0 <= seed <= _LARGEST_SEED):
        problems.append(f"seed: found {seed}, expected a whole number, 0 or more, below 2^63. Fix: any will do")
    if not 0 < confidence <= MOST_CONFIDENCE:
        problems.append(f"confidence: found {confidence}, expected more than 0, up to {MOST_CONFIDENCE}. Fix: 0.95 is usual")
    if bad_k := [k for k in list_k if not (isinstance(k, int | np.integer) and k > 0)]:
        problems.append(f"list_k: found {', '.join(map(str, bad_k))}, expected whole numbers above 0. Fix: 5 and 10 are usual")
    if bad_percent := [percent for percent in top_percent if not 0 < percent < 100]:
        found = ", ".join(map(str, bad_percent))
        problems.append(f"top_percent: found {found}, expected more than 0 and less than 100. Fix: 10 is usual")
    if run in against:
        problems.append(f"against: found run {run} itself, expected other runs. Fix: leave it out")
    if problems:
        raise ConfigError(problems)


def require_objectives(objectives: Any) -> None:
    """Raise ConfigError where these are no objectives: one alone, or their names."""
    if isinstance(objectives, str) or not isinstance(objectives, Sequence):
        raise ConfigError(f"objectives: found one {type(objectives).__name__}, expected a sequence of Objective. Fix: put it into a list")
    if other := next((each for each in objectives if not isinstance(each, Objective)), None):
        fix = f"recsys.Objective(name={other!r})" if isinstance(other, str) else "recsys.Objective(name=…) makes one"
        raise ConfigError(f"objectives: found {other!r}, expected values of Objective. Fix: {fix}")


def _of_other_types(run: Any, confidence: Any, **numbers: Any) -> list[str]:
    """Return the problems of options that cannot be compared with their bounds."""
    problems = [] if isinstance(run, str) else [f"run: found {run!r}, expected a text. Fix: name the run"]
    if not _is_number(confidence):
        problems.append(f"confidence: found {confidence!r}, expected a number. Fix: 0.95 is usual")
    for option, given in numbers.items():
        if isinstance(given, str) or not isinstance(given, Iterable) or not all(map(_is_number, given)):
            problems.append(f"{option}: found {given!r}, expected a list of numbers. Fix: [5, 10] is one")
    return problems


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def as_table(predictions: pa.Table | pd.DataFrame, run: str, *, needed: Sequence[str] = ()) -> pa.Table:
    """Return the predictions in the order of event_id, so that no result depends on the order of the rows.

    Raises DataError if there are no rows, if a column occurs twice, if event_id or a column of `needed` is missing, or if event_id is null
    or not unique.
    """
    if isinstance(predictions, pa.RecordBatch):
        predictions = pa.Table.from_batches([predictions])
    if not isinstance(predictions, pa.Table | pd.DataFrame):
        found = type(predictions).__name__
        raise ConfigError(f"predictions of run {run}: found a {found}, expected a frame of pandas or a table of Arrow. Fix: convert it")
    names = [str(name) for name in (predictions.column_names if isinstance(predictions, pa.Table) else predictions.columns)]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise data_error(
            place(run), found=f"the columns {', '.join(twice)} more than once", expected="each column once", fix="keep one of each"
        )
    table = predictions if isinstance(predictions, pa.Table) else _from_frame(predictions, run)
    require(table, [schema.EVENT_ID, *needed], run)
    if len(table) == 0:
        raise data_error(place(run), found="no rows", expected="one row per scored impression", fix="score at least one day")
    event_id = ids(table, schema.EVENT_ID, run)
    if pc.all(pc.less(event_id[:-1], event_id[1:])).as_py():
        return table
    order = _ascending(event_id)
    ordered = event_id.take(order)
    repeated = pc.sum(pc.equal(ordered[1:], ordered[:-1])).as_py() or 0
    if repeated:
        raise data_error(
            place(run, schema.EVENT_ID),
            found="ids that occur more than once",
            expected="one row per impression",
            bad_rows=repeated,
            rows=len(table),
            fix="keep one row of each event_id",
        )
    return table.take(order)


def _ascending(event_id: pa.Array) -> pa.Array:
    """Return the argsort. numpy sorts integers, in a third of Arrow's time. Equal ids are refused, so the sort need not be stable."""
    return pa.array(np.argsort(event_id.to_numpy())) if pa.types.is_integer(event_id.type) else pc.array_sort_indices(event_id)


def read_impressions(table: pa.Table, run: str, slices: Sequence[str] | None) -> Impressions:
    """Read users, lists, splits, days and slices of an ordered table. `slices` None: all its slices, and the bins of its `position`.

    Raises DataError for a missing column; for a user, time or split that is null or of another type; for a position that is not a whole
    number; and for requests, days and slices that are not names.
    """
    there = _slice_columns(table, run)
    columns = there if slices is None else {name: there.get(name, schema.slice_column(name)) for name in slices}
    require(table, [schema.USER_ID, schema.TIMESTAMP, *columns.values()], run)
    user_N, names = codes(ids(table, schema.USER_ID, run))
    return Impressions(
        user_N=user_N,
        users=len(names),
        timestamp_N=milliseconds(table, run),
        request=_request(table, run),
        position_N=numbers(table, schema.POSITION, run) if schema.POSITION in table.column_names else None,
        split=_split(table, run),
        day=texts(table, schema.DAY, run) if schema.DAY in table.column_names else (np.full(len(table), -1), []),
        slices={name: position_bins(table, run) if of == schema.POSITION else texts(table, of, run) for name, of in columns.items()},
    )


def _slice_columns(table: pa.Table, run: str) -> dict[str, str]:
    """Map each slice to its column. The bins of the position are a slice too, unless there is a `slice.position`.

    Raises DataError for a slice that has the name of the whole.
    """
    if schema.slice_column(schema.ALL) in table.column_names:
        raise data_error(
            place(run, schema.slice_column(schema.ALL)), found=f'a slice "{schema.ALL}", which names all rows', expected="another name",
            fix="rename the column",
        )  # fmt: skip
    columns = {schema.POSITION: schema.POSITION} if schema.POSITION in table.column_names else {}
    return columns | {schema.strip(column, schema.SLICE): column for column in table.column_names if column.startswith(schema.SLICE)}


def _request(table: pa.Table, run: str) -> pa.Array | None:
    if schema.REQUEST_ID not in table.column_names:
        return None
    request = plain(table, schema.REQUEST_ID)
    if pa.types.is_nested(request.type):
        raise data_error(
            place(run, schema.REQUEST_ID),
            found=f"values of type {request.type}",
            expected="an integer or text in each row",
            fix="write one id of the request, or leave the column out",
        )
    return request


def _from_frame(frame: pd.DataFrame, run: str) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise data_error(
            place(run), found=f"a column that Arrow cannot hold ({error})", expected="one plain type per column", fix="convert it"
        ) from error


def _split(table: pa.Table, run: str) -> tuple[IntArray, list[str]]:
    if schema.SPLIT not in table.column_names:
        return np.zeros(len(table), np.int64), [schema.TEST]
    no_nulls(plain(table, schema.SPLIT), place(run, schema.SPLIT))
    return texts(table, schema.SPLIT, run)
