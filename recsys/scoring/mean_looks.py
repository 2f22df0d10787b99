"""Looks, the matrices that an architecture shows, averaged over rows: as tensors for a checkpoint, and by name for a report.

Legend: K objectives, N columns of a look.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recsys.encoding.layout import Batch
from recsys.models import Look, Ranker
from recsys.objectives import Objective
from recsys.process_group import ALONE, ProcessGroup

GATES = "gates"  # name of the look that the journal shows
_PREFIX, _VALUES, _POLARISED = "look.", ".values", ".polarised"


class MeanLooks:
    """Mean looks over the rows of many batches, on the CPU in float64."""

    def __init__(self) -> None:
        self._sums: dict[str, Look] = {}
        self._rows = 0

    def add(self, show: Mapping[str, Look], rows: int) -> None:
        """Add the looks of one batch of `rows` rows. Every batch must show looks of the same titles."""
        self._rows += rows
        for title, look in show.items():
            # Of no row there is no mean: NaN.
            parts = {name: rows * (tensor if rows else torch.zeros_like(tensor)).double().cpu() for name, tensor in _tensors(look).items()}
            before = _tensors(self._sums[title]) if title in self._sums else {}
            self._sums[title] = _look({name: part + before.get(name, 0.0) for name, part in parts.items()}, look.columns)

    def means(self, group: ProcessGroup = ALONE) -> dict[str, Look]:
        """Return the means over the rows of all processes of the group."""
        rows = group.total_rows(self._rows)
        return {
            title: _look({name: group.summed(sums) / rows for name, sums in _tensors(look).items()}, look.columns)
            for title, look in self._sums.items()
        }


def looks_of_all(show: Mapping[str, Look], rows: int, group: ProcessGroup) -> Mapping[str, Look]:
    """Return the looks of a whole batch, from those of this process's rows."""
    if group.size == 1:
        return show
    looks = MeanLooks()
    looks.add(show, rows)
    return looks.means(group)


def as_tensors(looks: Mapping[str, Look]) -> dict[str, Tensor]:
    """Return the looks as tensors for a checkpoint. Column names are left out, because the model itself knows them (`columns_of`)."""
    return {f"{_PREFIX}{title}{name}": tensor for title, look in looks.items() for name, tensor in _tensors(look).items()}


def described(kept: Sequence[Mapping[str, Tensor]], columns: Mapping[str, tuple[str, ...]], objectives: Sequence[Objective]) -> list[Any]:
    """Return each look in plain numbers, the mean over members. `kept` holds each member's tensors, `columns` is from `columns_of`."""

    def by_name(title: str, part: str) -> dict[str, Any]:
        found = [tensors[f"{_PREFIX}{title}{part}"] for tensors in kept if f"{_PREFIX}{title}{part}" in tensors]
        return rows_by_name(torch.stack(found).mean(0), objectives) if found else {}

    return [
        {"name": title, "columns": list(names), "rows": by_name(title, _VALUES), "polarised": by_name(title, _POLARISED)}
        for title, names in columns.items()
    ]


@torch.no_grad()
def columns_of(ranker: Ranker, batch: Batch) -> dict[str, tuple[str, ...]]:
    """Return title → column names for each look of a model in evaluation mode."""
    return {title: look.columns for title, look in ranker(batch, position="missing").show.items()}


def rows_by_name(rows_K: Tensor, objectives: Sequence[Objective]) -> dict[str, Any]:
    return {objective.name: row for objective, row in zip(objectives, rows_K.tolist(), strict=True)}


def gates_by_name(look: Look | None, objectives: Sequence[Objective]) -> dict[str, list[float]]:
    """Return the share of each expert per objective; empty for an architecture without gates."""
    return {} if look is None else rows_by_name(look.values_KN, objectives)


def _tensors(look: Look) -> dict[str, Tensor]:
    polarised = {} if look.polarised_K is None else {_POLARISED: look.polarised_K}
    return {_VALUES: look.values_KN, **polarised}


def _look(tensors: Mapping[str, Tensor], columns: tuple[str, ...]) -> Look:
    return Look(tensors[_VALUES], columns, tensors.get(_POLARISED))
