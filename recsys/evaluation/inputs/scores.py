"""Labels and predictions of one run, checked once. Every mistake in them is reported here. Shapes: N rows, L levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import predictions as prediction_files
from recsys import schema
from recsys.errors import DataError, data_error, many
from recsys.evaluation.inputs.prediction_columns import ids, numbers, place, plain, require
from recsys.evaluation.inputs.rows import FloatArray
from recsys.evaluation.inputs.targets import Target, targets
from recsys.objectives import Objective


@dataclass(frozen=True)
class Predicted:
    """The predictions of a run for one target. `ranking_N` is `expected_N` itself where the run has no separate prediction for lists.

    Percentiles (`predictions.ranking_names`), where the run has them, order impressions and lists in the place of these two.
    """

    expected_N: FloatArray
    ranking_N: FloatArray
    probability_NL: FloatArray | None = None  # of the levels of an ordinal objective, where the run has them
    percentile_N: FloatArray | None = None
    ranking_percentile_N: FloatArray | None = None  # `percentile_N` itself where the run has no separate prediction for lists

    @property
    def ordering(self) -> FloatArray:
        return self.expected_N if self.percentile_N is None else self.percentile_N

    @property
    def list_ordering(self) -> FloatArray:
        return self.ranking_N if self.ranking_percentile_N is None else self.ranking_percentile_N


@dataclass(frozen=True)
class Importance:
    """The importance weights w = target / logging propensity of each row, NaN where no label is known.

    `policy` is q̂(π) by target, where the run has it.
    """

    weight_N: FloatArray
    policy: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Scores:
    """One run's labels (NaN where not known) and predictions, by target (`like`, `like|click`), in the order of event_id."""

    run: str
    event_id: pa.Array
    label: Mapping[str, FloatArray]
    predicted: Mapping[str, Predicted]
    score_N: FloatArray | None = None  # the fused score, where the run has it
    importance: Importance | None = None  # where the run has the propensities of a logging and of a target policy
    split: pa.Array | None = None  # the part of the split of each row, where the run names it


def read_scores(table: pa.Table, objectives: Sequence[Objective], run: str, *, labels: bool) -> Scores:
    """Read the labels and predictions of an ordered table.

    With `labels`, every label column must be there. Without it, only those that are there are read. A conditional prediction that the table
    lacks is the quotient of its joint and given predictions. Raises DataError for a missing column (of a level: only where the table has
    other levels), for a label that the objective's kind or the given label does not allow, and for a quotient of values that are not
    probabilities.
    """
    names = [objective.name for objective in objectives]
    wanted = [schema.prediction_column(name) for name in names] + [schema.label_column(name) for name in names if labels]
    require(table, wanted, run)
    label = {o.name: _label(table, o, run) for o in objectives if schema.label_column(o.name) in table.column_names}
    predicted = {objective.name: _predicted(table, objective, run) for objective in objectives}
    for target in targets(objectives):
        if target.given is not None:
            joint, given = target.objective.name, target.given
            predicted[target.name] = _conditional(table, target, predicted[joint], predicted[given], run)
            if joint in label and given in label:
                label[target.name] = _label_where_given(label[joint], label[given], target, run)
    score_N = numbers(table, schema.SCORE, run) if schema.SCORE in table.column_names else None
    split = plain(table, schema.SPLIT) if schema.SPLIT in table.column_names else None
    named = split if split is not None and (pa.types.is_string(split.type) or pa.types.is_large_string(split.type)) else None
    return Scores(run, ids(table, schema.EVENT_ID, run), label, predicted, score_N, split=named)


def check_predictions(scores: Scores, label: Mapping[str, FloatArray]) -> None:
    """Raise DataError where a prediction is null, NaN or infinite although the label is known."""
    for name, predicted in scores.predicted.items():
        known_N = ~np.isnan(label[name])
        columns = {schema.prediction_column(name): predicted.expected_N, schema.rank_column(name): predicted.ranking_N}
        if predicted.percentile_N is not None and predicted.ranking_percentile_N is not None:
            percentile = schema.percentile_name(name)
            columns[schema.prediction_column(percentile)] = predicted.percentile_N
            columns[schema.rank_column(percentile)] = predicted.ranking_percentile_N
        if predicted.probability_NL is not None:
            columns[f"{schema.prediction_column(name)}=…"] = predicted.probability_NL.sum(axis=1)
        for column, values_N in columns.items():
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


def check_same_impressions(this: Scores, that: Scores) -> None:
    """Raise DataError unless both runs scored the same impressions with the same labels, since differences are paired.

    Nor may that run have trained, or stopped or been calibrated, on the test days of this one.
    """
    if not this.event_id.equals(that.event_id):
        raise _other_rows(this, that)
    if this.split is not None and that.split is not None:
        has_seen = pc.is_in(that.split, value_set=pa.array([schema.TRAIN, schema.VALIDATION], that.split.type))
        if seen := pc.sum(pc.and_(pc.equal(this.split, schema.TEST), has_seen)).as_py():
            raise data_error(
                place(that.run, schema.SPLIT),
                found=f"train or validation where run {this.run} has test",
                expected="test days that neither run has seen",
                bad_rows=seen,
                rows=len(that.event_id),
                fix="compare runs of one split",
            )
    for name, label_N in that.label.items():
        different = int(np.count_nonzero(~np.isclose(label_N, this.label[name], rtol=1e-6, atol=0, equal_nan=True)))
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
        found=f"{many(extra, 'impression')} that run {this.run} did not score, and {lacking:,} of its impressions missing",
        expected=f"the same {len(this.event_id):,} impressions",
        fix=f"score both runs on the same days, or keep the {shared:,} shared rows of both files first",
    )


def _predicted(table: pa.Table, objective: Objective, run: str) -> Predicted:
    expected_N = ranking_N = numbers(table, schema.prediction_column(objective.name), run)
    if (rank_column := schema.rank_column(objective.name)) in table.column_names:
        ranking_N = numbers(table, rank_column, run)
    percentile_N = ranking_percentile_N = None
    percentile = schema.percentile_name(objective.name)
    if objective.kind == "watch_time" and (column := schema.prediction_column(percentile)) in table.column_names:
        percentile_N = ranking_percentile_N = numbers(table, column, run)
        if (column := schema.rank_column(percentile)) in table.column_names:
            ranking_percentile_N = numbers(table, column, run)
    columns = [schema.prediction_column(schema.level_name(objective.name, level)) for level in objective.levels]
    if not any(column in table.column_names for column in columns):
        return Predicted(expected_N, ranking_N, None, percentile_N, ranking_percentile_N)
    require(table, columns, run)
    probability_NL = np.column_stack([numbers(table, column, run) for column in columns])
    return Predicted(expected_N, ranking_N, probability_NL, percentile_N, ranking_percentile_N)


def _conditional(table: pa.Table, target: Target, joint: Predicted, given: Predicted, run: str) -> Predicted:
    """Return the conditional prediction: its column where the table has one, else the joint probability divided by that of the given."""

    def column_or_quotient(column: str, joint_N: FloatArray, given_N: FloatArray) -> FloatArray:
        if column in table.column_names:
            return numbers(table, column, run)
        return prediction_files.conditional(joint_N, given_N, place(run, column))

    expected_N = column_or_quotient(schema.prediction_column(target.name), joint.expected_N, given.expected_N)
    if all(each.ranking_N is each.expected_N for each in (joint, given)):
        return Predicted(expected_N, expected_N)
    return Predicted(expected_N, column_or_quotient(schema.rank_column(target.name), joint.ranking_N, given.ranking_N))


def _label(table: pa.Table, objective: Objective, run: str) -> FloatArray:
    column = schema.label_column(objective.name)
    label_N = numbers(table, column, run)
    known_N = ~np.isnan(label_N)
    legal = objective.legal_labels()
    illegal_N = label_N[known_N & ~legal.allow(label_N)]
    if len(illegal_N):
        raise data_error(
            place(run, column),
            found=f"{float(illegal_N[0])!r}".removesuffix(".0"),
            expected=f"{legal.words}, or null",
            bad_rows=len(illegal_N),
            rows=int(np.count_nonzero(known_N)),
            fix="correct the label, or the kind of the objective",
        )
    return label_N


def _label_where_given(joint_N: FloatArray, given_N: FloatArray, target: Target, run: str) -> FloatArray:
    """Return the joint label where the given label is 1, NaN elsewhere. Raises DataError where the joint label is 1 and the given is 0."""
    impossible = int(np.count_nonzero((joint_N == 1) & (given_N == 0)))
    if impossible:
        raise data_error(
            place(run, schema.label_column(target.objective.name)),
            found=f"1 where label.{target.given} is 0",
            expected=f"0: it is given {target.given}, and cannot happen without it",
            bad_rows=impossible,
            rows=len(joint_N),
            fix="correct the label, or leave `given` out of the objective",
        )
    return np.where(given_N == 1, joint_N, np.nan)
