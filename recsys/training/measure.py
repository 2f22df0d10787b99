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
from recsys.scoring.member import Member, Outputs
from recsys.training.gradients import cosines

# Legend: N rows, K objectives, V values of a row, the objectives' expected values first.


def losses_by_name(losses_K: Tensor, counts_K: Tensor, objectives: Sequence[Objective]) -> dict[str, float | None]:
    """Return the losses by objective; None where no row with a label counts."""
    named = zip(objectives, losses_K.tolist(), counts_K.tolist(), strict=True)
    return {objective.name: loss if count > 0 else None for objective, loss, count in named}


@torch.no_grad()
def mean_losses(member: Member, outputs: Outputs, labels_NK: NDArray[np.float32], weights_N: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Return [K] the weighted mean loss over all rows, in units of the best constant's loss, and [K] the weight of the observed rows."""
    device = member.losses.start_K.device
    on_device = (outputs.raw_NK.double(), torch.from_numpy(labels_NK), outputs.durations_NA, torch.from_numpy(weights_N))
    losses_K, counts_K = member.losses(*(tensor.to(device) for tensor in on_device))
    return losses_K.cpu(), counts_K.cpu()


def mean_of_sums(sums_K: Tensor, counts_K: Tensor) -> Tensor:
    """Return the means; 0 where nothing was counted."""
    return sums_K / counts_K.where(counts_K > 0, 1.0)


def weighted_loss(loss: Mapping[str, float | None], objectives: Sequence[Objective]) -> float:
    """Compute Σ_k loss_weight_k · loss_k over the objectives with an observed label. Early stopping compares this sum."""
    return sum(objective.loss_weight * value for objective in objectives if (value := loss[objective.name]) is not None)


def judged_loss(loss: Mapping[str, float | None], objectives: Sequence[Objective]) -> float | None:
    """Return the objectives' weighted loss; None where none with `loss_weight` above 0 has an observed label that counts."""
    counts = any(objective.loss_weight > 0 and loss[objective.name] is not None for objective in objectives)
    return weighted_loss(loss, objectives) if counts else None


def auc_by_name(values_NV: NDArray[np.float64], labels_NK: NDArray[np.float32], objectives: Sequence[Objective]) -> dict[str, float | None]:
    """Return the AUC per objective over the observed rows; None where the objective is not binary or only one class was seen.

    It is the AUC of predicted values, not of outputs. The output of an objective with `given` says nothing about the probability of the
    given objective.
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
    """Return, by objective, the length of the gradient in the shared layer's weights, the cosines with others, and the inner products.

    Lengths and cosines come from the inner products, which include each gradient's product with itself (`between.products_between`). All
    three are empty where nothing was measured. A product is None where no two batches had labels of both objectives, or where it is not
    finite (then the step raises an error). A length or a cosine is None also where noise hides an objective's own gradient: its product
    with itself is not above 0.
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
