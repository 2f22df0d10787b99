"""Losses and AUC of a set of predicted rows, for the journal and for the choice of a pass."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from recsys.objectives import Objective
from recsys.training.gradients import cosines
from recsys.training.member import Member, Outputs

# Legend: N rows, K objectives, V values of a row, the objectives' expected ones first.


def losses_by_name(losses_K: Tensor, counts_K: Tensor, objectives: Sequence[Objective]) -> dict[str, float | None]:
    """Null where no row with a label counts."""
    named = zip(objectives, losses_K.tolist(), counts_K.tolist(), strict=True)
    return {objective.name: loss if count > 0 else None for objective, loss, count in named}


@torch.no_grad()
def mean_losses(member: Member, outputs: Outputs, labels_NK: NDArray[np.float32], weights_N: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """The weighted mean loss per objective over all rows, in units of the best constant's, and the weight of those observed: [K], [K]."""
    device = member.losses.start_K.device
    on_device = (outputs.raw_NK.double(), torch.from_numpy(labels_NK), outputs.durations_NA, torch.from_numpy(weights_N))
    losses_K, counts_K = member.losses(*(tensor.to(device) for tensor in on_device))
    return losses_K.cpu(), counts_K.cpu()


def mean_of_sums(sums_K: Tensor, counts_K: Tensor) -> Tensor:
    """0 where nothing was counted."""
    return sums_K / counts_K.where(counts_K > 0, 1.0)


def weighted_loss(loss: Mapping[str, float | None], objectives: Sequence[Objective]) -> float:
    """Σ_k loss_weight_k · loss_k over the objectives with an observed label; what early stopping compares."""
    return sum(objective.loss_weight * value for objective in objectives if (value := loss[objective.name]) is not None)


def judged_loss(loss: Mapping[str, float | None], objectives: Sequence[Objective]) -> float | None:
    """Their weighted loss; None where no observed label of theirs counts."""
    counts = any(objective.loss_weight > 0 and loss[objective.name] is not None for objective in objectives)
    return weighted_loss(loss, objectives) if counts else None


def auc_by_name(values_NV: NDArray[np.float64], labels_NK: NDArray[np.float32], objectives: Sequence[Objective]) -> dict[str, float | None]:
    """AUC of the observed rows; null for an objective that is not binary, and where only one class was seen.

    Of predicted values, not outputs: a conditional objective's output says nothing of how likely what it is given is.
    """
    return {
        objective.name: _auc(values_NV[:, k], labels_NK[:, k]) if objective.is_probability else None
        for k, objective in enumerate(objectives)
    }


def _auc(value_N: NDArray[np.float64], label_N: NDArray[np.float32]) -> float | None:
    known = ~np.isnan(label_N)
    positive = label_N[known] > 0
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, value_N[known]))


def gradients_by_name(products_KK: Tensor | None, objectives: Sequence[Objective]) -> dict[str, Any]:
    """Length of each objective's gradient in the shared layer's weights, the cosine of every two, and the inner products that both come
    from, an objective's with itself included (`between.products_between`).

    Empty where none was measured. A product is null where no two batches had labels of both, or where it is not finite (the step says
    so); a length or cosine also where noise hides an objective's own gradient: its product with itself is not above 0.
    """
    if products_KK is None:
        return {"gradient_norm": {}, "cosine": {}, "gradient_product": {}}
    names = [objective.name for objective in objectives]
    products = [[value if math.isfinite(value) else None for value in row] for row in products_KK.tolist()]
    squares = [products[k][k] or 0.0 for k in range(len(names))]
    rows = cosines(products_KK).clamp(-1.0, 1.0).tolist()
    return {
        "gradient_norm": {name: math.sqrt(square) if square > 0 else None for name, square in zip(names, squares, strict=True)},
        "cosine": {
            names[a]: {names[b]: rows[a][b] if squares[a] > 0 and squares[b] > 0 else None for b in range(len(names)) if b != a}
            for a in range(len(names))
        },
        "gradient_product": {name: dict(zip(names, row, strict=True)) for name, row in zip(names, products, strict=True)},
    }
