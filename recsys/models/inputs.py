"""The inputs that the nets read, made from an encoded batch, and the linear path around the nets.

Shape letters: B rows, T tables, K objectives; D width of the inputs, W of a table's row, S slots, L history, G signals.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from recsys import schema
from recsys.config import Model
from recsys.encoding import INIT_ROWS, embedding_init
from recsys.encoding.layout import Batch, Layout, Slot
from recsys.nn.attention import TargetAttention, mean_of_past
from recsys.nn.embeddings import EmbeddingTables, SlotEmbeddings, is_large
from recsys.nn.input_parts import InputParts
from recsys.nn.linear import OutputLinear, unstacked
from recsys.nn.piecewise import PiecewiseLinear
from recsys.process_group import ALONE, ProcessGroup

EMBEDDING_SCALE = 0.05  # standard deviation of a fresh vector: small beside that of the numbers, 1
ENTITIES = (schema.USER, schema.ITEM, schema.ID)  # features of the user, the item and its author, and their ids
WIDTH_MULTIPLE = 16  # where inputs are read whole: a first product over 336 instead of 333 runs a quarter faster


class TableStart(NamedTuple):
    """Say how embedding tables start.

    `holders` are the processes that large tables are spread over. `device`: None where vectors are drawn; else where there is room for
    values that come later ("meta": no room, whole tables come).
    """

    holders: ProcessGroup = ALONE
    device: Literal["cpu", "meta"] | None = None


DRAWN = TableStart()


class Inputs(nn.Module):
    """Numbers, their bins and the history's mean signals; and per table, of which there are T, mean vectors of the slots and the history.

    A model with `input_share` below 1 is one member of several. Its seed chooses a fixed share of the numbers and of the slots. It sees the
    others nowhere, neither in the nets nor in the linear path. It always sees the history.
    """

    def __init__(self, options: Model, layout: Layout, num_objectives: int, num_tables: int, seed: int, start: TableStart = DRAWN) -> None:
        super().__init__()
        generator = np.random.default_rng(seed)
        dense = _share(len(layout.dense), options.input_share, generator)
        slots = [layout.slots[place] for place in _share(len(layout.slots), options.input_share, generator)]
        self.register_buffer("dense_columns", torch.from_numpy(dense))  # saved: the weights belong to this choice
        self.dense_columns: Tensor
        self.bins = PiecewiseLinear([layout.quantiles[place] for place in dense], options.numeric_bins)

        self.num_objectives, self.num_tables, self.d_embedding = num_objectives, num_tables, options.d_embedding
        self.num_rows = layout.num_rows
        codes = (layout.positions, layout.devices) if options.position == "input" else ()
        self.one_hots = [(axis, known + 1) for axis, known in enumerate(codes) if known]
        self.has_history = layout.history_length > 0

        d_linear = linear_weights(options, num_objectives, num_tables)
        self.blocks = (options.d_embedding, *[1] * d_linear)  # the parts of a table's row: a vector, then the linear weights
        holders = start.holders if is_large(num_tables, layout.num_rows) else ALONE
        shape = (num_tables, holders.owned(layout.num_rows), options.d_embedding + d_linear)
        values_TRW = torch.empty(shape, device=start.device or "cpu")
        if start.device is None:
            _draw(values_TRW, layout.num_rows, d_linear, seed, holders)
        tables = EmbeddingTables(values_TRW, layout.num_rows, holders)
        self.embeddings = SlotEmbeddings(tables, _spans(slots), _spans(layout.history_slots))

        d_numbers = len(dense) + self.bins.d_out
        d_plain = d_numbers + sum(size for _, size in self.one_hots) + (len(layout.history_signals) if self.has_history else 0)
        d_features = d_plain + len(slots) * options.d_embedding
        d_entry = len(layout.history_slots) * options.d_embedding + len(layout.history_signals)
        self.attention = TargetAttention(num_tables, d_features, d_entry, options.d_attention) if self.has_history else None
        self.skip = OutputLinear(1, d_plain, num_objectives, gain=0.0, bias=False) if options.skip else None

        numbers = [layout.dense[place] for place in dense]
        names = numbers + [numbers[column] for column in self.bins.columns_D.tolist() for _ in range(options.numeric_bins)]
        names += [""] * (d_plain - len(names))
        names += [slots[place].feature for place in self.embeddings.slots.order for _ in range(options.d_embedding)]
        self.register_buffer("entity_columns", _places(names, ENTITIES), persistent=False)
        self.register_buffer("context_columns", _places(names, (schema.CONTEXT,)), persistent=False)
        self.entity_columns: Tensor
        self.context_columns: Tensor

        width = d_features + (options.d_attention if self.has_history else 0)
        self.padding = -width % WIDTH_MULTIPLE
        self.d_out = width + self.padding

    def forward(self, batch: Batch, codes_B2: Tensor) -> tuple[InputParts, Tensor | None]:
        """Return the inputs [T, B, D] and the linear path's outputs [B, K] (None without that path).

        `codes_B2`: position and device as this pass may see them. They are read where they are inputs.
        """
        slots_TBSW, past_TBLSW = self.embeddings(batch.rows, batch.history_rows)
        plain_BD = self._plain(batch, codes_B2)
        features = InputParts(plain_BD, slots_TBSW[..., : self.d_embedding].flatten(2))
        learned = [features.learned_TBE]
        if self.attention is not None:
            vectors_TBLW = past_TBLSW[..., : self.d_embedding].flatten(3)
            signals_TBLG = batch.history_signals.expand(self.num_tables, -1, -1, -1)
            entries_TBLC = torch.cat([vectors_TBLW, signals_TBLG], dim=-1)
            learned.append(self.attention(features, entries_TBLC, batch.history_length))
        learned.append(plain_BD.new_zeros(1).expand(self.num_tables, len(plain_BD), self.padding))
        return InputParts(plain_BD, torch.cat(learned, dim=-1)), self._linear(plain_BD, slots_TBSW)

    def _plain(self, batch: Batch, codes_B2: Tensor) -> Tensor:
        """Return all numbers and their bins, [B, D]."""
        dense_BD = batch.dense.index_select(1, self.dense_columns)
        parts = [dense_BD, self.bins(dense_BD)]
        if self.has_history:
            parts.append(mean_of_past(batch.history_signals, batch.history_length))
        parts += [F.one_hot(codes_B2[:, axis], size).to(dense_BD.dtype) for axis, size in self.one_hots]
        return torch.cat(parts, dim=1)

    def _linear(self, plain_BD: Tensor, slots_TBSW: Tensor) -> Tensor | None:
        """Compute the linear path, [B, K]: one weight per number, bin and objective, and one per categorical value and objective.

        The weights of categorical values are in the embedding table.
        """
        if self.skip is None:
            return None
        weights_TBC = slots_TBSW[..., self.d_embedding :].sum(2)
        of_numbers_BK: Tensor = self.skip(plain_BD.unsqueeze(0)).squeeze(0)
        return of_numbers_BK + unstacked(weights_TBC).flatten(1)[:, -self.num_objectives :]


def linear_weights(options: Model, num_objectives: int, num_tables: int) -> int:
    """Count the linear weights of a table's row: one per objective that the table serves, none without the linear path."""
    return (num_objectives if num_tables == 1 else 1) if options.skip else 0


def _share(num: int, share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose round(share · num) places, at least one, and return them in order."""
    kept = min(num, max(1, round(share * num)))
    return np.sort(generator.permutation(num)[:kept])


def _places(names: Sequence[str], prefixes: tuple[str, ...]) -> Tensor:
    """Return the columns of the inputs whose feature has one of the prefixes."""
    return torch.tensor([place for place, name in enumerate(names) if name.startswith(prefixes)], dtype=torch.int64)


def _spans(slots: Sequence[Slot]) -> list[tuple[int, int]]:
    return [(slot.start, slot.width) for slot in slots]


def _draw(values_TRW: Tensor, rows: int, d_linear: int, seed: int, holders: ProcessGroup) -> None:
    """Set the values that tables of `rows` rows start from: vectors drawn by (seed, row), linear weights zero. There are the own rows."""
    tables, _, width = values_TRW.shape
    values_TRW.zero_()
    for number, piece in enumerate(embedding_init(rows, tables * (width - d_linear), seed)):
        drawn_TRD = torch.from_numpy(piece).view(len(piece), tables, -1).transpose(0, 1) * EMBEDDING_SCALE
        start = number * INIT_ROWS
        first = -(start - holders.rank) % holders.size  # the first row of the piece that this process holds
        own_TRD = drawn_TRD[:, first :: holders.size]
        place = (start + first) // holders.size
        values_TRW[:, place : place + own_TRD.shape[1], : width - d_linear] = own_TRD
