"""Matrices worth showing, made from what an architecture computes anyway. Shape letters: B rows, K objectives, N experts."""

from collections.abc import Sequence

from torch import Tensor

from recsys.models.architecture import Look
from recsys.objectives import Objective

POLARISED = 0.98  # share of a gate's weight on one expert; with more, the others hardly learn from the row


def gate_look(gates_BKN: Tensor, names: Sequence[str] = ()) -> Look:
    """Return each objective's mean share of each expert, and how often its gate is polarised (Zhao et al., RecSys 2019, §5.4).

    `names` are those of the N experts; by default expert 1 … N. With a single expert per row, shares are of what that expert gives.
    """
    gates_BKN = gates_BKN.detach().float()
    gates_BKN = gates_BKN / gates_BKN.sum(-1, keepdim=True)
    columns = tuple(names) or numbered("expert", gates_BKN.shape[-1])
    return Look(gates_BKN.mean(0), columns, polarised_K=(gates_BKN.amax(-1) > POLARISED).float().mean(0))


def numbered(name: str, num: int) -> tuple[str, ...]:
    """Return `num` numbered names, such as own 1, own 2 for the experts of one sort."""
    return tuple(f"{name} {n}" for n in range(1, num + 1))


def by_layer(title: str, layers_KK: Sequence[Tensor], objectives: Sequence[Objective]) -> dict[str, Look]:
    """Return one look per layer: how an objective (a row) relates to each objective (a column).

    The values are copies, as weights change in place.
    """
    columns = tuple(objective.name for objective in objectives)
    return {
        f"{title}, layer {place}": Look(values_KK.detach().float().clone(), columns) for place, values_KK in enumerate(layers_KK, start=1)
    }
