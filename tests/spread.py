"""Products of cases, of which `make test` runs a part that holds every row and every column."""

from collections.abc import Collection
from typing import Any

import pytest


def spread(rows: Collection[Any], columns: Collection[Any], *, over: int) -> list[Any]:
    """Every row with every column. One in `over` of them runs always, so that each column meets every `over`-th row; the others are
    marked `words`, which `.ci/run` runs.
    """
    return [
        pytest.param(row, column, id=f"{row}-{column}", marks=() if (i + j) % over == 0 else pytest.mark.words)
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    ]
