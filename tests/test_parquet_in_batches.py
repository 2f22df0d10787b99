"""Whoever reads a Parquet file some rows at a time holds some rows, and never the file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts
from recsys.sources.parquet import parquet_batches

GROUPS, ROWS = 40, 131_072  # row groups; rows of each, as many as the log's reader asks for at once
READERS: dict[str, Callable[[Path], Iterator[object]]] = {
    "of an artifact": lambda path: artifacts.read_batches(path, ROWS),
    "of a raw file": lambda path: parquet_batches(path, ["x"], [pa.int64()], [], {}),
}


@pytest.mark.words
@pytest.mark.parametrize("reader", READERS)
def test_row_groups_that_were_read_are_let_go_of(tmp_path: Path, reader: str):
    column = pa.array(np.random.default_rng(1).integers(0, 2**40, ROWS))  # hardly smaller in the file than in memory
    with artifacts.writing(tmp_path / "rows", stage="test", fingerprint="f") as output:
        groups = (pa.record_batch({"x": column}) for _ in range(GROUPS))
        output.write_batches("part-0.parquet", pa.schema([("x", pa.int64())]), groups)
    path = tmp_path / "rows" / "part-0.parquet"
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in READERS[reader](path)]
    assert len(held) == GROUPS
    assert max(held) < path.stat().st_size / 4
