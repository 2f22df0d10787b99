"""Scores of another system on the impressions of a run, joined by keys that both know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from recsys import schema, sources
from recsys.config import Pipeline, TimeOptions
from recsys.errors import ConfigError, DataError, Place, data_error, many, nearest
from recsys.evaluation import METRICS
from recsys.objectives import Objective

KEYS = (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP, schema.REQUEST_ID, schema.POSITION)
ENOUGH = 0.95  # share of the run's impressions below which a comparison is warned of
_BY_PREDICTION = {metric.name for metric in METRICS}  # the others are of the fused order, or of the policy that it makes
_NUMBER = r"-?\d+(?:\.0+|(?:\.\d+)?[eE]\+?\d+)?"  # a whole number, also as it is written where it is a double


@dataclass(frozen=True)
class Joined:
    """Two tables of predictions with the same impressions in the same order: the run's, and one with the other system's scores in it.

    `predicted` names the objectives that the other system predicts. Of the others its table still holds the run's predictions, by which
    nothing may be judged. `has_order`: whether its `score` is its own. `of_split` counts, for each part of the split, the run's impressions
    that the file has, and all of them. `unknown` counts rows of the file that are none of them. `missing` says in words which
    impression is the first that the file does not have.
    """

    ours: pa.Table
    theirs: pa.Table
    predicted: tuple[str, ...]
    has_order: bool
    of_split: Mapping[str, tuple[int, int]]
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
        if self.unknown:
            words.append(f"{file}: {many(self.unknown, 'further row')} of other impressions")
        if self.without_rank:
            lacking = ", ".join(self.without_rank)
            words.append(f"{file}: has no {lacking}: its lists are ordered by its pred.X, the run's with the position missing")
        return words


def parsed_key(text: str, option: str = "--key") -> dict[str, str]:
    """Return our column → theirs, from `user_id,item_id=vid,timestamp`. Raises ConfigError with every problem found, each at `option`."""
    pairs = [part.strip().partition("=") for part in text.split(",")]
    key = {ours.strip(): (theirs if equals else ours).strip() for ours, equals, theirs in pairs}
    problems = [f'{option}: found "{ours}", expected one of {", ".join(KEYS)}{nearest(ours, KEYS)}' for ours in key if ours not in KEYS]
    if len(key) < len(pairs):
        problems.append(f"{option}: found a column twice in {text}, expected each once")
    if problems:
        raise ConfigError(problems)
    return key


def time_of(pipeline: Pipeline, key: Mapping[str, str]) -> TimeOptions | None:
    """Return how the log's times are written, as far as the key reads times: to know it, the files of the source may be opened."""
    return sources.time_options(pipeline) if schema.TIMESTAMP in key else None


def file_problems(path: Path, key: Mapping[str, str], objectives: Sequence[Objective]) -> list[str]:
    """Return what the header of a file of scores lacks: columns of the key, or all scores. Empty where it has what a join reads."""
    try:
        _require_columns(sources.read_unknown(path, most=1).rows.column_names, path, key, objectives)
    except DataError as error:
        return [str(error)]
    return []


def join(ours: pa.Table, path: Path, key: Mapping[str, str], objectives: Sequence[Objective], time: TimeOptions | None) -> Joined:
    """Join a file's scores to the impressions of a run.

    The file has the columns of `key`, and `pred.X` of some objectives, or `score`, or both. `time` says how its timestamps are written,
    None: in milliseconds. Raises DataError where a column is missing, where a key repeats on either side, where a score is no number, and
    where nothing matches.
    """
    file = sources.read_whole(path)
    theirs = file.rows
    predicted = tuple(objective for objective in objectives if schema.prediction_column(objective.name) in theirs.column_names)
    _require_key(ours, key)
    _require_columns(theirs.column_names, path, key, objectives)
    exact_below = {name: file.exact_below(name) for name in key.values()}
    left, right = _keys(ours, {name: name for name in key}, None, path, {}), _keys(theirs, key, time, path, exact_below)
    _refuse_repeated(left, "the run's impressions", path, key)
    _refuse_repeated(right, "the file", path, key)
    left, right = (
        side.assign(**{name: np.arange(len(side))}).dropna() for name, side in (("ours", left), ("theirs", right))
    )  # null = null
    both = left.merge(right, on=list(key)).sort_values("ours")
    if both.empty:
        raise _no_match(left, right, path, " and ".join(dict.fromkeys(ours[schema.SPLIT].to_pylist())))
    of_ours, of_theirs = ours.take(both["ours"].to_numpy()), theirs.take(both["theirs"].to_numpy())
    has_order = schema.SCORE in theirs.column_names
    table = _replaced(of_ours, of_theirs, path, predicted, has_score=has_order)
    names = tuple(objective.name for objective in predicted)
    found, there = (Counter(rows[schema.SPLIT].to_pylist()) for rows in (of_ours, ours))
    of_split = {split: (found[split], rows) for split, rows in there.items()}
    missing = left[~left["ours"].isin(both["ours"])][list(key)]
    return Joined(
        of_ours, table, names, has_order, of_split, unknown=len(theirs) - len(both), missing=_first(missing) or "those without a key"
    )


def _require_key(ours: pa.Table, key: Mapping[str, str]) -> None:
    if absent := [name for name in key if name not in ours.column_names]:
        there = ", ".join(name for name in KEYS if name in ours.column_names)
        raise ConfigError(f"--key: found {', '.join(absent)}, which the run's predictions lack, expected some of {there}")


def _require_columns(names: Sequence[str], path: Path, key: Mapping[str, str], objectives: Sequence[Objective]) -> None:
    """Raise DataError where a file with these columns lacks one of the key, or has no scores."""
    missing = [name for name in key.values() if name not in names]
    if missing:
        raise data_error(
            path,
            found=f"no column {', '.join(name + nearest(name, names) for name in missing)}",
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


def _keys(table: pa.Table, key: Mapping[str, str], time: TimeOptions | None, path: Path, exact_below: Mapping[str, int]) -> pd.DataFrame:
    """Return the columns of the key as texts, by our names; null where a cell is. `time`: how timestamps are written, if not in ms.

    `exact_below` says of columns from which number on their floats have lost digits.
    """

    def place(column: str) -> Place:
        return Place(path, column=column)

    return pd.DataFrame(
        {
            ours: _texts(table[theirs], place(theirs), exact_below.get(theirs, sources.EXACT))
            if ours != schema.TIMESTAMP or time is None
            else _moments(table[theirs], time, place(theirs))
            for ours, theirs in key.items()
        }
    )


def _moments(column: pa.ChunkedArray, time: TimeOptions, place: Place) -> pd.Series:
    """Return timestamps in ms as texts. Raises DataError where one is not written as the log's are."""
    values = column.combine_chunks()
    moments = sources.moments_or_null(values, time)
    bad = np.asarray(values.is_valid()) & ~np.asarray(moments.is_valid())
    if bad.any():
        form = f'the form "{time.format}"' if time.format is not None else f'unit = "{time.unit}"'
        raise data_error(
            place,
            found=str(values.filter(pa.array(bad))[0]),
            expected=f"times written as the log's are, {form} in [source.time]",
            bad_rows=int(bad.sum()),
            rows=len(values),
            fix="write them so, or join by other columns",
        )
    return pd.Series(moments.cast(pa.string()).to_pandas(), dtype=object)


def _texts(column: pa.ChunkedArray, place: Place, exact_below: int) -> pd.Series:
    """Return values as texts. Whole numbers that were written as floats lose their point. Raises DataError where they have lost digits."""
    if pa.types.is_floating(column.type):
        _refuse_lost_digits(np.abs(column.to_numpy()) >= exact_below, column, place)
        texts = [None if value is None else f"{value:.0f}" if value % 1 == 0 else str(value) for value in column.to_pylist()]
        return pd.Series(texts, dtype=object)
    found = pd.Series(column.cast(pa.string()).to_pandas(), dtype=object)
    if found.dropna().str.fullmatch(_NUMBER).all():  # one id that is text, and all are: in hexadecimal some look like 12e34
        as_double = found.where(found.str.contains(r"[.eE]").eq(True))
        _refuse_lost_digits(np.abs(as_double.to_numpy(float)) >= sources.EXACT, column, place)
    return found.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)


def _refuse_lost_digits(lost_N: NDArray[np.bool_], column: pa.ChunkedArray, place: Place) -> None:
    if lost_N.any():
        raise data_error(
            place,
            found=f"a float that has lost digits ({column.filter(pa.array(lost_N))[0]})",
            expected="whole numbers or text",
            bad_rows=int(lost_N.sum()),
            rows=len(column),
            fix="write ids as integers or text",
        )


def _refuse_repeated(keys: pd.DataFrame, where: str, path: Path, key: Mapping[str, str]) -> None:
    again = keys.duplicated(keep=False) & keys.notna().all(axis=1)
    if not again.any():
        return
    first = keys[again].iloc[0]
    raise data_error(
        path,
        found=f"the key {', '.join(f'{name} = {value}' for name, value in first.items())} more than once in {where}",
        expected="one row per key",
        bad_rows=int(again.sum()),
        rows=len(keys),
        fix=f"add a column to --key that tells them apart, such as {next(name for name in (*KEYS[4:], *KEYS) if name not in key)}",
    )


def _no_match(left: pd.DataFrame, right: pd.DataFrame, path: Path, parts: str) -> DataError:
    """Return the error for no common key. `parts` are those of the split that the impressions are of."""
    shown = [_first(side[side.columns[:-1]]) or "no row" for side in (right, left)]
    return data_error(
        path,
        found=f"no key of the run's {parts} impressions (its first is {shown[0]})",
        expected=f"keys such as {shown[1]}",
        fix="give the scores of the same impressions, and the form of their times",
    )


def _first(keys: pd.DataFrame) -> str:
    """Return the first key in words; nothing where there is none."""
    return ", ".join(f"{name} = {value}" for name, value in keys.iloc[0].items()) if len(keys) else ""


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
        if (rank := schema.rank_column(objective.name)) in theirs.column_names:
            table = table.append_column(rank, pa.array(_numbers(theirs, rank, path)))
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
    """Return whether a column is a rank, a conditional form, a level, or an uncalibrated form of a prediction that is replaced."""
    prefixes = tuple(schema.prediction_column(of) + sign for of in predicted for sign in ("|", "="))
    conditional = name.startswith(schema.prediction_column("")) and "|" in name
    return conditional or name.startswith(prefixes) or name in [schema.rank_column(of) for of in predicted] or name.startswith(schema.RAW)


def _numbers(table: pa.Table, column: str, path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(table[column].cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowException as error:
        raise data_error(
            Place(path, column=column), found=f"values that are no numbers ({error})", expected="numbers", fix="mend them"
        ) from error
