"""Scores of another system on the impressions of a run, joined by keys that both know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from recsys import schema, sources
from recsys.config import TimeOptions
from recsys.errors import DataError, Place, data_error, many, no_columns
from recsys.evaluation import METRICS
from recsys.objectives import Objective
from recsys.other_system.keys import in_words, key_texts, no_match, refuse_repeated, require_key

ENOUGH = 0.95  # share of the run's impressions below which a comparison is warned of
_BY_PREDICTION = {metric.name for metric in METRICS}  # the others are of the fused order, or of the policy that it makes


@dataclass(frozen=True)
class Joined:
    """Two tables of predictions with the same impressions in the same order: the run's, and one with the other system's scores in it.

    `predicted` names the objectives that the other system predicts. Of the others its table still holds the run's predictions, by which
    nothing may be judged. `has_order`: whether its `score` is its own. `of_split` counts, for each part of the split, the run's impressions
    that the file has, and all of them. `of_others` counts rows of the file that are impressions of the run in parts which are not
    judged, `unknown` those that are none of its impressions. `missing` says in words which impression is the first that the file does not
    have.
    """

    ours: pa.Table
    theirs: pa.Table
    predicted: tuple[str, ...]
    has_order: bool
    of_split: Mapping[str, tuple[int, int]]
    of_others: Mapping[str, int]
    unknown: int
    missing: str

    def has(self, metric: str, target: str) -> bool:
        """Return whether the other system has what a number of an objective, or of a conditional form, needs: predictions, or an order."""
        if metric not in _BY_PREDICTION:
            return self.has_order
        return all(name in self.predicted for name in schema.conditional_parts(target) or (target,))

    @property
    def without_rank(self) -> list[str]:
        """The columns `rank.X` of the run that the other system has no like of. Its lists are then ordered by its `pred.X`."""
        ranks = [schema.rank_column(name) for name in self.predicted]
        return [rank for rank in ranks if rank in self.ours.column_names and rank not in self.theirs.column_names]

    def said(self, file: Path) -> list[str]:
        """Return in words how many of the run's impressions the file has, and what is compared otherwise than in the run."""
        words = [f"{file}: left out {left_out}"] if (left_out := sources.said_left_out(file)) is not None else []
        for split, (found, rows) in self.of_split.items():
            words.append(f"{file}: has {found:,} of the run's {rows:,} {split} impressions ({found / rows:.1%})")
            if 0 < found < ENOUGH * rows:
                expected = f"expected {ENOUGH:.0%} or more: the others, such as {self.missing}, may differ from these"
                words.append(f"warning: {file}: found {found / rows:.1%} of the {split} impressions, {expected}")
        for split, rows in self.of_others.items():
            words.append(f"{file}: {many(rows, 'further row')} of the run's {split} impressions, which are not judged here")
        if self.unknown:
            words.append(f"{file}: {many(self.unknown, 'further row')} of other impressions")
        if self.without_rank:
            lacking = ", ".join(self.without_rank)
            words.append(f"{file}: has no {lacking}: its lists are ordered by its pred.X, the run's with the position missing")
        return words


def file_problems(path: Path, key: Mapping[str, str], objectives: Sequence[Objective]) -> list[str]:
    """Return what the header of a file of scores lacks: columns of the key, or all scores. Empty where it has what a join reads."""
    try:
        _require_columns(sources.read_unknown(path, most=1).rows.column_names, path, key, objectives)
    except DataError as error:
        return [str(error)]
    return []


def join(
    ours: pa.Table,
    path: Path,
    key: Mapping[str, str],
    objectives: Sequence[Objective],
    time: TimeOptions | None,
    others: pa.Table | None = None,
) -> Joined:
    """Join a file's scores to the impressions of a run.

    The file has the columns of `key`, and `pred.X` of some objectives, or `score`, or both. `time` says how its timestamps are written,
    None: in milliseconds. `others` are impressions of the run in other parts of the split: rows of the file that are some of these are
    counted as such. Raises DataError where a column is missing, where a key repeats on either side, where a score is no number, and where
    nothing matches.
    """
    file = sources.read_whole(path)
    theirs = file.rows
    predicted = tuple(objective for objective in objectives if schema.prediction_column(objective.name) in theirs.column_names)
    require_key(ours, key)
    _require_columns(theirs.column_names, path, key, objectives)
    exact_below = {name: file.exact_below(name) for name in key.values()}
    own = {name: name for name in key}
    left, right = key_texts(ours, own, None, path, {}), key_texts(theirs, key, time, path, exact_below)
    kind = theirs[key[schema.TIMESTAMP]].type if schema.TIMESTAMP in key else pa.null()
    written = partial(sources.as_written, time=time or TimeOptions(), kind=kind)
    refuse_repeated(left, "the run's impressions", path, key, written)
    refuse_repeated(right, "the file", path, key, written)
    left, right = (
        side.assign(**{name: np.arange(len(side))}).dropna() for name, side in (("ours", left), ("theirs", right))
    )  # null = null
    both = left.merge(right, on=list(key)).sort_values("ours")
    if both.empty:
        raise no_match(left[list(key)], right[list(key)], path, " and ".join(dict.fromkeys(ours[schema.SPLIT].to_pylist())), written)
    of_ours, of_theirs = ours.take(both["ours"].to_numpy()), theirs.take(both["theirs"].to_numpy())
    has_order = schema.SCORE in theirs.column_names
    table = _replaced(of_ours, of_theirs, path, predicted, has_score=has_order)
    names = tuple(objective.name for objective in predicted)
    found, there = (Counter(rows[schema.SPLIT].to_pylist()) for rows in (of_ours, ours))
    of_split = {split: (found[split], rows) for split, rows in there.items()}
    of_others = Counter[str]()
    if others is not None:
        elsewhere = key_texts(others, own, None, path, {}).assign(split=others[schema.SPLIT].to_pandas())
        rest = right[~right["theirs"].isin(both["theirs"])]
        of_others.update(rest.merge(elsewhere.drop_duplicates(list(key)), on=list(key))["split"])
    missing = left[~left["ours"].isin(both["ours"])][list(key)]
    return Joined(
        of_ours, table, names, has_order, of_split, of_others, unknown=len(theirs) - len(both) - of_others.total(),
        missing=in_words(missing, written) or "those without a key",
    )  # fmt: skip


def _require_columns(names: Sequence[str], path: Path, key: Mapping[str, str], objectives: Sequence[Objective]) -> None:
    """Raise DataError where a file with these columns lacks one of the key, or has no scores."""
    missing = [name for name in key.values() if name not in names]
    if missing:
        raise data_error(
            path,
            found=no_columns(missing, names, key.values()),
            expected=f"the columns of the key, {', '.join(key.values())}",
            fix="name its columns in the key, as in user_id=uid,item_id=vid,timestamp=ts",
        )
    scores = [schema.prediction_column(objective.name) for objective in objectives] + [schema.SCORE]
    if not set(scores) & set(names):
        raise data_error(
            path,
            found=f"no scores among {', '.join(names)}",
            expected=f"some of {', '.join(scores[:-1])}, or {schema.SCORE}",
            fix="name the column of a prediction pred.OBJECTIVE, that of the final order score",
        )


def _replaced(ours: pa.Table, theirs: pa.Table, path: Path, predicted: Sequence[Objective], *, has_score: bool) -> pa.Table:
    """Return our table with their predictions in place of ours. What is derived from a prediction goes, so that nobody judges a mixture."""
    kept = [name for name in ours.column_names if not _is_derived(name, [objective.name for objective in predicted])]
    table = ours.select(kept)
    for objective in predicted:
        name = schema.prediction_column(objective.name)
        values_N = _numbers(theirs, name, path)
        known_N = ours[schema.label_column(objective.name)].is_valid().to_numpy()
        legal = objective.is_probability
        bad = known_N & (~np.isfinite(values_N) | (legal & ((values_N < 0) | (values_N > 1))))
        if bad.any():
            raise data_error(
                Place(path, column=name),
                found="null" if np.isnan(values_N[bad][0]) else f"{values_N[bad][0]:g}",
                expected="a probability" if legal else "a finite number",
                bad_rows=int(bad.sum()),
                rows=len(values_N),
                fix="score every impression, in the unit of the label",
            )
        table = table.set_column(table.column_names.index(name), name, pa.array(values_N))
        for order in [column for column in _orders(objective.name) if column in theirs.column_names]:
            table = table.append_column(order, pa.array(_numbers(theirs, order, path)))
    if has_score:
        values_N = _numbers(theirs, schema.SCORE, path)
        if not np.isfinite(values_N).all():
            bad_rows = int((~np.isfinite(values_N)).sum())
            raise data_error(
                Place(path, column=schema.SCORE), found="null, NaN or infinite", expected="a finite number", bad_rows=bad_rows,
                rows=len(values_N), fix="score every impression",
            )  # fmt: skip
        table = table.set_column(table.column_names.index(schema.SCORE), schema.SCORE, pa.array(values_N))
    return table


def _is_derived(name: str, predicted: Sequence[str]) -> bool:
    """Return whether a column is an order, a conditional form, a level, or an uncalibrated form of a prediction that is replaced."""
    prefixes = tuple(schema.prediction_column(of) + sign for of in predicted for sign in ("|", "="))
    conditional = name.startswith(schema.prediction_column("")) and "|" in name
    return conditional or name.startswith((*prefixes, schema.RAW)) or any(name in _orders(of) for of in predicted)


def _orders(objective: str) -> tuple[str, ...]:
    """Return the columns that order impressions or lists by an objective where they are there, in the place of its expected value."""
    percentile = schema.percentile_name(objective)
    return schema.rank_column(objective), schema.prediction_column(percentile), schema.rank_column(percentile)


def _numbers(table: pa.Table, column: str, path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(table[column].cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowException as error:
        raise data_error(
            Place(path, column=column), found=f"values that are no numbers ({error})", expected="numbers", fix="mend them"
        ) from error
