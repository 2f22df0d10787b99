"""The rows that one number is computed from, and the orders that several metrics share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)
IntArray = NDArray[np.int64]
CodeArray = NDArray[np.uint32]
CountArray = NDArray[np.int32]  # how often a bootstrap drew each user; 32 bits, because running sums of the counts are the cost


@dataclass(frozen=True)
class Order:
    """Rows in ascending order of a value, tied values as one block.

    `rows_N[i]` is the row at place i. `first_N[i]` and `last_N[i]` bound the block of place i: places first … last − 1.
    """

    rows_N: IntArray
    first_N: IntArray
    last_N: IntArray

    @classmethod
    def of(cls, values_N: FloatArray | IntArray) -> "Order":
        rows_N = _ascending(values_N)
        ordered_N = values_N[rows_N]
        starts = np.flatnonzero(np.r_[True, ordered_N[1:] != ordered_N[:-1]]) if len(ordered_N) else np.zeros(0, np.int64)
        sizes = np.diff(starts, append=len(ordered_N))
        return cls(rows_N, np.repeat(starts, sizes), np.repeat(starts + sizes, sizes))

    def to_rows(self, at_places_N: NDArray[T]) -> NDArray[T]:
        """Move each value from its place to the row that stands at this place."""
        moved_N = np.empty_like(at_places_N)
        moved_N[self.rows_N] = at_places_N
        return moved_N

    @cached_property
    def mid_rank(self) -> FloatArray:
        """The number of rows below each row, plus half of the rows tied with it, itself included (mid-rank minus one half), [N]."""
        return self.to_rows((self.first_N + self.last_N) / 2)

    @cached_property
    def dense_rank(self) -> IntArray:
        """The number of distinct smaller values of each row, [N]."""
        return self.to_rows(np.cumsum(np.arange(len(self.rows_N)) == self.first_N) - 1)


def _ascending(values_N: FloatArray | IntArray) -> IntArray:
    """Return the argsort. Where 32 bits hold the values, as for a network's outputs, one sort of (value, row) takes half the time."""
    code_N = _narrow_code(values_N)
    if code_N is None or len(values_N) >= 1 << 32:
        return np.argsort(values_N)
    key_N = code_N.astype(np.int64)
    key_N <<= 32  # the highest codes wrap into the sign bit, which the sort below reads as the highest bit
    key_N |= np.arange(len(values_N))
    return np.sort(key_N.view(np.uint64)).view(np.int64) & 0xFFFFFFFF


def _narrow_code(values_N: FloatArray | IntArray) -> CodeArray | None:
    """Return whole numbers in the order of the values, equal for equal values: the bits of a float32.

    None where float32 does not hold the values.
    """
    with np.errstate(over="ignore"):
        narrow_N = values_N.astype(np.float32)
    if values_N.dtype != np.float64 or not np.array_equal(narrow_N, values_N):
        return None
    narrow_N += np.float32(0)  # −0 becomes 0
    bits_N = narrow_N.view(np.int32)
    bits_N ^= (bits_N >> 31) & np.int32(0x7FFFFFFF)  # negative floats descend as integers, so reverse them
    bits_N ^= np.int32(-0x80000000)  # then put them below the others
    return bits_N.view(np.uint32)


def order_code(values_N: FloatArray) -> CodeArray:
    """Return whole numbers below 2³² in the order of the values, equal for equal values, [N]. It works for up to 2³² rows."""
    code_N = _narrow_code(values_N)
    return Order.of(values_N).dense_rank.astype(np.uint32) if code_N is None else code_N


def renumber(code_N: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """Return the codes below `size` that occur, ascending, and for each row the place of its code among them. It needs no sort."""
    occurs = np.zeros(size, bool)
    occurs[code_N] = True
    if occurs.all():
        return np.arange(size), code_N
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[code_N]


def taken(values_N: NDArray[T], at_N: IntArray) -> NDArray[T]:
    """Return the values at `at_N`, which is ascending. For all rows, return the array itself.

    On millions of rows, copies would cost as much as the metrics.
    """
    return values_N if len(at_N) == len(values_N) else values_N[at_N]


def level_of(label_N: FloatArray, levels: Sequence[float]) -> IntArray:
    """Return the place of each label among ascending levels (−1: none of them). Labels compare as float32, as examples hold them."""
    levels_L, narrow_N = np.asarray(levels, np.float32), label_N.astype(np.float32)
    place_N = np.minimum(np.searchsorted(levels_L, narrow_N), len(levels_L) - 1)
    return np.where(levels_L[place_N] == narrow_N, place_N, -1)


@dataclass(frozen=True)
class Rows:
    """Impressions with a known label of one objective, and one run's predictions of it.

    `user_N` numbers the users of these rows only, from 0 to U − 1. `list_N` likewise numbers the lists (requests or sessions) that the rows
    were shown in. Each list belongs to one user. `prediction_N` is the prediction for the log as it was shown. `ranking_N` is what
    orders lists (position missing, where the model sees a position). `percentile_N` orders rows in place of the prediction, if the run has
    it (`predictions.ranking_names`). `train_mean` is the mean training label, if known.
    `levels` are the L levels of an ordinal objective, ascending. `probability_NL` is the run's probability of each level, if it gives them.
    `importance_N` is how much likelier the target policy chooses each row than the logging policy does, if the run has a target policy.
    `policy_N` is the mean prediction over the target policy's choices in the row's place, if known.

    Metrics of lists (`Metric.of_lists`) get the impressions without a known label too, as NaN. `place_N` and `list_place_N` are a row's
    places in the fused order, from 0: among all impressions of its split, and among those of its list. `list_size_N` is the number of
    impressions of the list. All three are absent where the run gives no score.
    """

    label_N: FloatArray
    prediction_N: FloatArray
    ranking_N: FloatArray
    user_N: IntArray
    list_N: IntArray
    users: int
    lists: int
    train_mean: float | None = None
    levels: tuple[float, ...] = ()
    probability_NL: FloatArray | None = None
    importance_N: FloatArray | None = None
    policy_N: FloatArray | None = None
    place_N: IntArray | None = None
    list_place_N: IntArray | None = None
    list_size_N: IntArray | None = None
    percentile_N: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.label_N)

    @cached_property
    def by_prediction(self) -> Order:
        return Order.of(self.prediction_N)

    @property
    def ordering(self) -> FloatArray:
        return self.prediction_N if self.percentile_N is None else self.percentile_N

    @cached_property
    def by_order(self) -> Order:
        return self.by_prediction if self.percentile_N is None else Order.of(self.percentile_N)

    @cached_property
    def prediction_code(self) -> CodeArray:
        return order_code(self.prediction_N)

    @cached_property
    def ranking_code(self) -> CodeArray:
        return self.prediction_code if self.ranking_N is self.prediction_N else order_code(self.ranking_N)

    @cached_property
    def by_ranking(self) -> Order:
        return self.by_order if self.ranking_N is self.ordering else Order.of(self.ranking_N)

    @cached_property
    def user_of_list(self) -> IntArray:
        """The user whom each list belongs to."""
        user_of_list_G = np.empty(self.lists, np.int64)
        user_of_list_G[self.list_N] = self.user_N
        return user_of_list_G

    @cached_property
    def by_label(self) -> Order:
        return Order.of(self.label_N)

    @cached_property
    def label_level(self) -> IntArray:
        """The place of each row's label among the levels, [N]."""
        return level_of(self.label_N, self.levels)

    def per_user(self, *values_N: FloatArray) -> FloatArray:
        """Sum the values over each user's rows, [U, M]: one column per array of values."""
        return np.column_stack([np.bincount(self.user_N, values, self.users) for values in values_N])
