"""The shape of an encoded example. The encoder promises it, and the model is built from it."""

from typing import Literal, NamedTuple

from torch import Tensor

from recsys.options import Options

NUM_QUANTILES = 33  # of a number, from its lowest value to its highest: the edges of 2, 4, 8, 16 or 32 bins with equally many rows
PADDING_ROW = 0  # row of the embedding table: always zero, never learned; fills short lists


class Slot(Options):
    """`width` neighbouring columns of `rows` that hold one categorical feature (several where it is multi-valued)."""

    feature: str  # the column of the examples
    space: str  # features of one space share their rows: a candidate video, the query video, the videos of the history
    start: int
    width: int


class Layout(Options):
    """Everything about the encoded form that a model needs to be built; saved with the model as JSON."""

    dense: tuple[str, ...]  # names of the columns of `dense`, in order (missing-value indicators included)
    quantiles: tuple[tuple[float, ...], ...]  # of each column of `dense` in training, NUM_QUANTILES each; none of indicators
    slots: tuple[Slot, ...]  # of `rows`
    history_length: int  # L; 0 where there is no history
    history_slots: tuple[Slot, ...]  # of the last axis of `history_rows`
    history_signals: tuple[str, ...]  # names of the last axis of `history_signals` (age and missing indicators included)
    num_rows: int  # of the embedding table, padding row and the unknown row of each space included
    unknown_rows: dict[str, int]  # space → its learned unknown row
    positions: int  # codes 1 … positions are known positions, 0 is missing; 0 positions: the model sees none
    devices: int  # codes 1 … devices, likewise
    objectives: tuple[str, ...]  # names, in the order of `labels`
    durations: tuple[str, ...] = ()  # columns of the examples, in the order of `durations` (objectives.durations)
    zone: str = "UTC"  # time zone of the days on which labels become known
    weighted: bool = False  # whether examples have a column of weights; without it every row counts 1

    def with_rows(self, num_rows: int) -> "Layout":
        """Return the same layout with another number of rows of the embedding table."""
        return self.model_copy(update={"num_rows": num_rows})


class Batch(NamedTuple):
    """Rows ready for the model, and for the losses.

    B rows; D dense, S slot columns, L history, H history slot columns, G signals, K objectives, A durations.
    """

    dense: Tensor  # [B, D] float32, finite
    rows: Tensor  # [B, S] int64, rows of the embedding table, PADDING_ROW fills a multi-valued slot
    history_rows: Tensor  # [B, L, H] int64, newest first, PADDING_ROW beyond the end
    history_signals: Tensor  # [B, L, G] float32, zero beyond the end
    history_length: Tensor  # [B] int64, the number of past impressions, up to L
    bias: Tensor  # [B, 2] int64, codes of position and device, 0 is missing
    labels: Tensor  # [B, K] float32, NaN where not observed
    durations: Tensor  # [B, A] float32, raw lengths that some kinds of label need, NaN where missing
    weights: Tensor  # [B] float32, ≥ 0, the weight of a row in the losses

    def to(self, device: str, *, non_blocking: bool = False) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=non_blocking) for tensor in self))


Order = Literal["time", "shuffled"]
