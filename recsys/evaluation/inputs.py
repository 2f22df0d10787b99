"""Predictions as they come in, checked once: every mistake in them is named here, and no metric checks again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.errors import DataError, data_error
from recsys.evaluation.columns import ids, milliseconds, no_nulls, numbers, place, plain, require, texts
from recsys.evaluation.groups import codes, shown_lists
from recsys.evaluation.rows import FloatArray, IntArray
from recsys.objectives import Objective


@dataclass(frozen=True)
class Scores:
    """One run's labels (NaN where not known) and predictions, by objective, in the order of event_id."""

    run: str
    event_id: pa.Array
    label: Mapping[str, FloatArray]
    prediction: Mapping[str, FloatArray]
    ranking: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Impressions:
    """What is known of the scored impressions apart from labels and predictions, in the order of event_id.

    Users and lists are numbered from 0 up to `users` and `lists`.
    `split`, `day` and `slices` are codes and the values that they stand for (−1: null).
    """

    user_N: IntArray
    users: int
    list_N: IntArray
    lists: int
    split: tuple[IntArray, list[str]]
    day: tuple[IntArray, list[str]]
    slices: Mapping[str, tuple[IntArray, list[str]]]


def as_table(predictions: pa.Table | pd.DataFrame, run: str) -> pa.Table:
    """The predictions in the order of event_id, so that no result depends on the order of the rows.

    Raises DataError without rows, and where event_id is missing, null or not unique.
    """
    table = predictions if isinstance(predictions, pa.Table) else _from_frame(predictions, run)
    require(table, [schema.EVENT_ID], run)
    if len(table) == 0:
        raise data_error(place(run), found="no rows", expected="one row a scored impression", fix="score at least one day")
    event_id = ids(table, schema.EVENT_ID, run)
    order = pc.array_sort_indices(event_id)
    ordered = event_id.take(order)
    repeated = pc.sum(pc.equal(ordered[1:], ordered[:-1])).as_py() or 0
    if repeated:
        raise data_error(
            place(run, schema.EVENT_ID),
            found="ids that occur more than once",
            expected="one row an impression",
            bad_rows=repeated,
            rows=len(table),
            fix="keep one row of each event_id",
        )
    return table.take(order)


def read_scores(table: pa.Table, objectives: Sequence[Objective], run: str, *, labels: bool) -> Scores:
    """Labels and predictions of an ordered table; without `labels`, those that it happens to have.

    Raises DataError for a missing column, a label that its kind does not allow, and a prediction that is null, NaN or
    infinite where the label is known.
    """
    names = [objective.name for objective in objectives]
    wanted = [schema.prediction_column(name) for name in names] + [schema.label_column(name) for name in names if labels]
    require(table, wanted, run)
    label, prediction, ranking = {}, {}, {}
    for objective in objectives:
        name = objective.name
        label_column, rank_column = schema.label_column(name), schema.rank_column(name)
        if label_column in table.column_names:
            label[name] = _labels(table, objective, run)
        prediction[name] = ranking[name] = numbers(table, schema.prediction_column(name), run)
        if rank_column in table.column_names:
            ranking[name] = numbers(table, rank_column, run)
    return Scores(run, ids(table, schema.EVENT_ID, run), label, prediction, ranking)


def check_predictions(scores: Scores, label: Mapping[str, FloatArray]) -> None:
    """Raises DataError where a prediction is null, NaN or infinite although the label is known."""
    for name in scores.prediction:
        known_N = ~np.isnan(label[name])
        for column, values_N in (
            (schema.prediction_column(name), scores.prediction[name]),
            (schema.rank_column(name), scores.ranking[name]),
        ):
            bad = int(np.count_nonzero(known_N & ~np.isfinite(values_N)))
            if bad:
                raise data_error(
                    place(scores.run, column),
                    found="null, NaN or infinite",
                    expected="a finite number wherever the label is known",
                    bad_rows=bad,
                    rows=int(np.count_nonzero(known_N)),
                    fix="score every impression with a known label",
                )


def read_impressions(table: pa.Table, run: str, slices: Sequence[str] | None) -> Impressions:
    """Users, lists, splits, days and slices of an ordered table; `slices` None: all that it has.

    Raises DataError for a missing column, and a user, time or split that is null or of another type.
    """
    if slices is None:
        slices = [schema.strip(column, schema.SLICE) for column in table.column_names if column.startswith(schema.SLICE)]
    require(table, [schema.USER_ID, schema.TIMESTAMP, *(schema.slice_column(name) for name in slices)], run)
    user_N, names = codes(ids(table, schema.USER_ID, run))
    request = plain(table, schema.REQUEST_ID) if schema.REQUEST_ID in table.column_names else None
    list_N = shown_lists(user_N, milliseconds(table, run), request)
    return Impressions(
        user_N=user_N,
        users=len(names),
        list_N=list_N,
        lists=int(list_N.max()) + 1,
        split=_split(table, run),
        day=texts(table, schema.DAY) if schema.DAY in table.column_names else (np.full(len(table), -1), []),
        slices={name: texts(table, schema.slice_column(name)) for name in slices},
    )


def _from_frame(frame: pd.DataFrame, run: str) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise data_error(place(run), found=f"a column of mixed types ({error})", expected="one type a column", fix="convert it") from error


def _labels(table: pa.Table, objective: Objective, run: str) -> FloatArray:
    column = schema.label_column(objective.name)
    label_N = numbers(table, column, run)
    known_N = ~np.isnan(label_N)
    allowed_N = np.isin(label_N, (0.0, 1.0)) if objective.is_probability else np.isfinite(label_N)
    bad = int(np.count_nonzero(known_N & ~allowed_N))
    if bad:
        raise data_error(
            place(run, column),
            found="other values",
            expected="0, 1 or null" if objective.is_probability else "finite numbers or null",
            bad_rows=bad,
            rows=int(np.count_nonzero(known_N)),
            fix="correct the label, or the kind of the objective",
        )
    return label_N


def _split(table: pa.Table, run: str) -> tuple[IntArray, list[str]]:
    if schema.SPLIT not in table.column_names:
        return np.zeros(len(table), np.int64), [schema.TEST]
    no_nulls(plain(table, schema.SPLIT), place(run, schema.SPLIT))
    return texts(table, schema.SPLIT)


def check_same_impressions(this: Scores, that: Scores) -> None:
    """Raises DataError unless both runs scored the same impressions with the same labels: differences are paired."""
    if not this.event_id.equals(that.event_id):
        raise _other_rows(this, that)
    for name, label_N in that.label.items():
        different = int(np.count_nonzero(~np.isclose(label_N, this.label[name], rtol=1e-6, equal_nan=True)))
        if different:
            raise data_error(
                place(that.run, schema.label_column(name)),
                found=f"other labels than in run {this.run}",
                expected="the same labels on the same impressions",
                bad_rows=different,
                rows=len(label_N),
                fix="evaluate both runs on one log and one definition of the objective",
            )


def _other_rows(this: Scores, that: Scores) -> DataError:
    if this.event_id.type != that.event_id.type:
        return data_error(
            place(that.run, schema.EVENT_ID),
            found=str(that.event_id.type),
            expected=f"{this.event_id.type} as in run {this.run}",
            fix="write event_id with one type",
        )
    shared = pc.sum(pc.is_in(this.event_id, value_set=that.event_id)).as_py()
    extra, lacking = len(that.event_id) - shared, len(this.event_id) - shared
    return data_error(
        place(that.run, schema.EVENT_ID),
        found=f"{extra:,} impressions that run {this.run} did not score, and {lacking:,} of its impressions missing",
        expected=f"the same {len(this.event_id):,} impressions",
        fix=f"score both runs on the same days, or keep the {shared:,} shared rows of both files first",
    )
