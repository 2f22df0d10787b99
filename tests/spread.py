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


def some(cases: Collection[str], one_in: int) -> list[Any]:
    """Every case. One in `one_in` of them runs always, the first among them; the others are marked `words`."""
    return [pytest.param(case, id=case, marks=() if i % one_in == 0 else pytest.mark.words) for i, case in enumerate(cases)]
