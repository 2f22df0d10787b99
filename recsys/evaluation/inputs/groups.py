"""The lists of impressions that were shown together: a request where the log names it, else positions that ascend in a session."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.evaluation.inputs.rows import FloatArray, IntArray, Order

PAUSE_MS = 10 * 60 * 1000  # a pause this long ends a session


def codes(column: pa.Array) -> tuple[IntArray, pa.Array]:
    """Return each value as its place among the distinct values in ascending order (−1: null), and the distinct values."""
    encoded = column.dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1
    return place[pc.fill_null(encoded.indices, -1).to_numpy()], encoded.dictionary.take(pa.array(order))


def sessions(user_N: IntArray, timestamp_N: IntArray) -> IntArray:
    """Return the session of each impression: a user's impressions in time order, parted where 10 minutes or more pass without one.

    `timestamp_N` is in milliseconds. Sessions are numbered by user, then time. The numbers are the same for all orders of the rows.
    """
    order_N = _by_user_and_time(user_N, timestamp_N)
    user, timestamp = user_N[order_N], timestamp_N[order_N]
    begins = np.r_[True, (user[1:] != user[:-1]) | (np.diff(timestamp) >= PAUSE_MS)] if len(user) else np.zeros(0, bool)
    session_N = np.empty_like(user_N)
    session_N[order_N] = np.cumsum(begins) - 1
    return session_N


def _by_user_and_time(user_N: IntArray, timestamp_N: IntArray) -> IntArray:
    """Return the argsort by user, then time. Where 64 bits hold both, sorting one key takes less than half the time of two."""
    first, last, users = int(timestamp_N.min(initial=0)), int(timestamp_N.max(initial=0)), int(user_N.max(initial=0)) + 1
    if users * (last - first + 1) >= 1 << 63:
        return np.lexsort((timestamp_N, user_N))
    return np.argsort(user_N * (last - first + 1) + (timestamp_N - first))


def ascending(session_N: IntArray, timestamp_N: IntArray, position_N: FloatArray) -> IntArray:
    """Return sessions parted where the position does not grow: there another list begins.

    Impressions of one moment stand in the order of their positions. One without a position (NaN) stays in the list before it.
    """
    order_N = np.lexsort((position_N, timestamp_N, session_N))
    session, position = session_N[order_N], position_N[order_N]
    place = np.where(np.isnan(position), -1, np.arange(len(position)))
    known = np.r_[-1, np.maximum.accumulate(place)[:-1]] if len(place) else place  # the last row before it with a position
    falls = (known >= 0) & (session[known] == session) & (position <= position[known])
    begins = falls | np.r_[True, session[1:] != session[:-1]][: len(session)]
    list_N = np.empty_like(session_N)
    list_N[order_N] = np.cumsum(begins) - 1
    return list_N


def shown_lists(user_N: IntArray, timestamp_N: IntArray, request: pa.Array | None, position_N: FloatArray | None = None) -> IntArray:
    """Return the list of each impression: its user's request where the request is known, else by its session and its position."""
    session_N = sessions(user_N, timestamp_N)
    if position_N is not None:
        session_N = ascending(session_N, timestamp_N, position_N)
    if request is None:
        return session_N
    request_N, names = codes(request)
    by_request: NDArray[np.bool_] = request_N >= 0
    list_N = np.where(by_request, len(user_N) + user_N * len(names) + request_N, session_N)
    return Order.of(list_N).dense_rank
