"""The order of rows of embedding tables."""

import numpy as np
from numpy.typing import NDArray


def stable_order(rows_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order that sorts the rows, each in 0 … 2³²−1, ascending and stable.

    Numpy sorts 16-bit numbers by radix: 0.2 ms for 29,000 rows, not 1.1.
    """
    order_N = rows_N.astype(np.uint16).argsort(kind="stable")  # by the low half
    high_N = (rows_N >> 16).astype(np.uint16)[order_N]
    return order_N[high_N.argsort(kind="stable")] if high_N.any() else order_N
