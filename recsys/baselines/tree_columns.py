"""Encoded examples as one matrix for trees: the information that the model has, one number per column.

A categorical value is its row of the embedding table; of several values, the first one's row. Trees can only cut this number. Splits
between sets of categories would learn by heart the users that such columns tell apart (validation of 2022-05-03 of KuaiRand-Pure, 26 such
columns: click AUC .7373 with such splits, .7395 without).

N rows, C columns, L history.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.baselines.base import Position
from recsys.encoding import EncodedDays
from recsys.encoding.layout import Layout

HISTORY = 5  # newest impressions that get columns of their own


class TreeColumns:
    """The choice of columns of the matrix."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def position(self) -> int | None:
        """The place of the column that holds the position, where [features] bias names it; otherwise None."""
        return 0 if self._layout.positions else None

    def seen(self, matrix_NC: NDArray[np.float32], *, follows_position: bool) -> NDArray[np.float32]:
        """Return the columns that an objective may see.

        An objective that does not follow the position sees no bias inputs; in a net, only the bias tower reads them.
        """
        return matrix_NC if follows_position else matrix_NC[:, (self._layout.positions > 0) + (self._layout.devices > 0) :]

    def matrix(self, encoded: EncodedDays, *, position: Position = "logged") -> NDArray[np.float32]:
        """Return [N, C]: the position, the device, categorical columns, dense columns, the newest history. NaN is missing."""
        blocks, encoded = [], encoded.known_to(self._layout)
        if self._layout.positions:
            code_N = encoded.bias()[:, 0].astype(np.float32)
            blocks.append(np.where((code_N > 0) & (position == "logged"), code_N, np.float32(np.nan)))
        if self._layout.devices:
            blocks.append(encoded.bias()[:, 1].astype(np.float32))
        firsts = [slot.start for slot in self._layout.slots]
        blocks += [encoded.rows()[:, firsts].astype(np.float32), encoded.dense()]
        if self._layout.history_length:
            blocks += self._history(encoded)
        return np.column_stack(blocks)

    def _history(self, encoded: EncodedDays) -> list[NDArray[np.float32]]:
        """Return signals and first values of the newest entries; NaN beyond the end of the history."""
        kept = min(HISTORY, self._layout.history_length)
        length_N = encoded.history_length()
        beyond_NL = np.arange(kept) >= length_N[:, None]
        firsts = [slot.start for slot in self._layout.history_slots]
        parts = [encoded.history_signals()[:, :kept], encoded.history_rows()[:, :kept][:, :, firsts]]
        return [np.where(beyond_NL[:, :, None], np.nan, part).reshape(len(length_N), -1).astype(np.float32) for part in parts]
