"""Begin a look at a log at the first row of given days. A long log in the order of time holds them far behind its first rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.config import TimeOptions
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.instants import moments_or_null
from recsys.sources.text import Unbalanced


@dataclass(frozen=True)
class Beginning:
    """The first row of a file whose time, in the column `name`, is at `start` or later and before `end` (ms UTC)."""

    name: str
    time: TimeOptions
    start: int
    end: int

    def rows_from(self, batches: Iterator[pa.RecordBatch], place: int, bad: Unbalanced) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file from that one on, none where it has no such row. `place` is the column's place in the batches."""
        has_begun = False
        for batch in batches:
            if not has_begun:
                batch = batch.slice(self._rows_before(batch.column(place)))
                has_begun = len(batch) > 0
                bad.forget_before(batch.column(SOURCE_ROW)[0].as_py() if has_begun else None)
            if has_begun:
                yield batch

    def _rows_before(self, times: pa.Array) -> int:
        moments = moments_or_null(times, self.time)
        is_wanted = pc.and_(pc.greater_equal(moments, self.start), pc.less(moments, self.end)).fill_null(False)
        wanted_N = np.flatnonzero(is_wanted.to_numpy(zero_copy_only=False))
        return int(wanted_N[0]) if len(wanted_N) else len(times)
