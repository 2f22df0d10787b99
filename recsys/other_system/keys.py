"""The keys by which another system's file and a run know one impression: texts that can be compared, and what is wrong with them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recsys import schema, sources
from recsys.config import Pipeline, TimeOptions
from recsys.errors import ConfigError, DataError, Place, data_error, nearest

KEYS = (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP, schema.REQUEST_ID, schema.POSITION)
_NUMBER = r"-?\d+(?:\.0+|(?:\.\d+)?[eE]\+?\d+)?"  # a whole number, also as it is written where it is a double

Written = Callable[[int], str]  # a moment (ms UTC) as the log or the file has it


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


def require_key(ours: pa.Table, key: Mapping[str, str]) -> None:
    """Raise ConfigError where the run's predictions lack a column of the key."""
    if absent := [name for name in key if name not in ours.column_names]:
        there = ", ".join(name for name in KEYS if name in ours.column_names)
        raise ConfigError(f"--key: found {', '.join(absent)}, which the run's predictions lack, expected some of {there}")


def key_texts(
    table: pa.Table, key: Mapping[str, str], time: TimeOptions | None, path: Path, exact_below: Mapping[str, int]
) -> pd.DataFrame:
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


def refuse_repeated(keys: pd.DataFrame, where: str, path: Path, key: Mapping[str, str], written: Written) -> None:
    """Raise DataError where a key stands in several rows."""
    again = keys.duplicated(keep=False) & keys.notna().all(axis=1)
    if not again.any():
        return
    raise data_error(
        path,
        found=f"the key {in_words(keys[again], written)} more than once in {where}",
        expected="one row per key",
        bad_rows=int(again.sum()),
        rows=len(keys),
        fix=f"add a column to --key that tells them apart, such as {next(name for name in (*KEYS[4:], *KEYS) if name not in key)}",
    )


def no_match(left: pd.DataFrame, right: pd.DataFrame, path: Path, parts: str, written: Written) -> DataError:
    """Return the error for no common key. `parts` are those of the split that the impressions are of."""
    shown = [in_words(side, written) or "no row" for side in (right, left)]
    return data_error(
        path,
        found=f"no key of the run's {parts} impressions (its first is {shown[0]})",
        expected=f"keys such as {shown[1]}",
        fix="give the scores of the same impressions, and the form of their times",
    )


def in_words(keys: pd.DataFrame, written: Written) -> str:
    """Return the first key in words, its time as it is written; nothing where there is none."""
    first = keys.iloc[0].items() if len(keys) else ()
    return ", ".join(f"{name} = {written(int(value)) if name == schema.TIMESTAMP else value}" for name, value in first)
