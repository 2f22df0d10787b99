"""Bins of the positions where impressions were shown."""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from recsys import schema
from recsys.errors import data_error
from recsys.evaluation.inputs.prediction_columns import numbers, place
from recsys.evaluation.inputs.rows import IntArray, renumber

SINGLE = 20  # positions up to here have a bin of their own
_LAST = (SINGLE, 30, 50, 100)  # the last position of each bin from there on
_WIDER = [f"{low + 1}–{high}" for low, high in pairwise(_LAST)] + [f"{_LAST[-1] + 1} or more"]


def position_bins(table: pa.Table, run: str) -> tuple[IntArray, list[str]]:
    """Return the bin of each row by its `position`, and the names of the bins in the order of the positions.

    Bin −1: the position is null or negative, so it is not known. Only bins that occur are returned, out of 0 … 20 one by one, 21–30, 31–50,
    51–100, 101 or more. Raises DataError for positions that are not whole numbers.
    """
    position_N = numbers(table, schema.POSITION, run)
    known_N = position_N >= 0
    bad = int(np.count_nonzero(known_N & (position_N != np.floor(position_N))))
    if bad:
        raise data_error(
            place(run, schema.POSITION),
            found="fractions",
            expected="whole numbers",
            bad_rows=bad,
            rows=len(position_N),
            fix="write the place in the list, from 0 or 1",
        )
    names = [*map(str, range(SINGLE + 1)), *_WIDER]
    bin_N = np.where(position_N <= SINGLE, position_N, SINGLE + np.searchsorted(_LAST, position_N))[known_N].astype(np.int64)
    code_N = np.full(len(position_N), -1)
    there, code_N[known_N] = renumber(bin_N, len(names))
    return code_N, [names[code] for code in there]
