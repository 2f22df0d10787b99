"""Columns that hold the time at which the user acted, and 0 or −1 where he did not."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys.config import TimeOptions
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.guessed_time import time_keys
from recsys.proposal.role_names import TOLD
from recsys.sources import moments_or_null

_NOTHING = (0, -1)
_FEWEST = 20  # times, and rows without one
_LONGEST = 30 * 86_400_000  # milliseconds from the impression to what was done
_AFTER = 0.95  # least share of the times that follow the impression, of a column whose name tells it,
_SURELY_AFTER = 0.99  # and of one without a name


def times_or_nothing(columns: Iterable[ColumnFacts], time: ColumnFacts) -> list[ColumnFacts]:
    """Return the columns that are times, soon after that of the row, or nothing. Their names say an action, or they have none."""
    return [column for column in columns if (after := _least_after(column)) is not None and _follows(column, time, after)]


def is_time_or_nothing(column: ColumnFacts) -> bool:
    """Return whether 0 or −1 says that there is no time."""
    return column.numbers is not None and len(column.values) == column.rows and bool(column.numbers.isin(_NOTHING).any())


def _least_after(column: ColumnFacts) -> float | None:
    if re.search(TOLD, column.words):
        return _AFTER
    return _SURELY_AFTER if re.fullmatch(r"column_\d+", column.name) else None


def _follows(column: ColumnFacts, time: ColumnFacts, least: float) -> bool:
    if column.numbers is None or column.distinct <= _FEWEST or not is_time_or_nothing(column):
        return False
    nothing = column.numbers.isin(_NOTHING)
    acted = replace(column, values=column.values[column.numbers.index][~nothing])
    if min(int(nothing.sum()), len(acted.values)) < _FEWEST or not (column.numbers[~nothing] > 0).all():
        return False
    keys = acted.time if acted.time is not None else time_keys(time) if "since" in time_keys(time) else None
    if keys is None:
        return False
    own, shown = _moments(acted.values, keys), _moments(time.values, time_keys(time))
    passed = (own - shown.reindex(own.index)).dropna()
    return bool(passed.between(0, _LONGEST).mean() >= least)


def _moments(values: pd.Series, keys: Mapping[str, str]) -> pd.Series:
    """Return the moments of times in milliseconds, with the index of the values."""
    found = moments_or_null(pa.array(values), TimeOptions.model_validate(keys))
    return pd.Series(found.to_numpy(zero_copy_only=False).astype(np.float64), index=values.index)
