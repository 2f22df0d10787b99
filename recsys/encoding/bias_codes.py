"""Codes of the inputs of the position-bias tower: the position of an impression and its device. 0 is missing."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.encoding.roles import DEVICE, POSITION, Cells, array
from recsys.encoding.vocabulary import VocabularyFitter

MAX_POSITIONS = 100  # positions from here on share the last code


@dataclass(frozen=True)
class BiasCodes:
    positions: int  # codes 1 … positions; 0: the model sees no position
    first_position: int  # the log's own number of the position with code 1: 0 where the log counts from 0
    devices: tuple[str, ...]  # in the order of their codes 1 …

    def transform(self, table: pa.Table) -> NDArray[np.int32]:
        """Return [N, 2]: position and device. A negative position, a null and a device that training gave no code are 0."""
        codes_N2 = np.zeros((len(table), 2), np.int32)
        if self.positions:
            shown = _positions(table)
            codes_N2[:, 0] = np.where(shown >= 0, (shown - self.first_position + 1).clip(1, self.positions), 0)
        if self.devices:
            place = pc.index_in(_devices(table), value_set=pa.array(self.devices, pa.string()))
            codes_N2[:, 1] = pc.fill_null(place, -1).to_numpy() + 1
        return codes_N2


class BiasFitter:
    """Find the range of positions, and the devices seen in at least `min_count` training rows, in the order of a vocabulary."""

    def __init__(self, columns: tuple[str, ...], min_count: int) -> None:
        self._columns = columns  # those of POSITION and DEVICE that the model may see
        self._lowest, self._highest = MAX_POSITIONS, -1
        self._devices = VocabularyFitter([DEVICE] if DEVICE in columns else [], min_count)

    def add(self, table: pa.Table) -> None:
        if POSITION in self._columns:
            shown = _positions(table)
            shown = shown[shown >= 0]
            self._lowest = min(self._lowest, int(shown.min(initial=MAX_POSITIONS)))
            self._highest = max(self._highest, int(shown.max(initial=-1)))
        if DEVICE in self._columns:
            known = pc.drop_null(_devices(table))
            self._devices.add(DEVICE, [Cells(np.arange(len(known)), np.zeros(len(known), np.int64), known)])

    def end_day(self) -> None:
        self._devices.end_day()

    def codes(self) -> BiasCodes:
        first = min(1, self._lowest)
        positions = min(max(self._highest - first + 1, 0), MAX_POSITIONS)
        values = self._devices.vocabulary().values
        return BiasCodes(positions, first, tuple(values[DEVICE].to_pylist()) if DEVICE in values else ())


def _positions(table: pa.Table) -> NDArray[np.int64]:
    values: NDArray[np.int64] = pc.fill_null(pc.cast(array(table, POSITION), pa.int64()), -1).to_numpy()
    return values


def _devices(table: pa.Table) -> pa.Array:
    return pc.cast(array(table, DEVICE), pa.string())
