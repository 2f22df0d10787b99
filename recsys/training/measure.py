"""Losses and AUC of a set of predicted rows, for the journal and for the choice of a pass."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from recsys.objectives import Objective
from recsys.training.member import Member

# Legend: N rows, K objectives, E experts.


def losses_by_name(losses_K: Tensor, counts_K: Tensor, objectives: Sequence[Objective]) -> dict[str, float | None]:
    """Null where no label was observed."""
    named = zip(objectives, losses_K.tolist(), counts_K.tolist(), strict=True)
    return {objective.name: loss if count > 0 else None for objective, loss, count in named}


def mean_losses(member: Member, raw_NK: Tensor, labels_NK: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """The mean loss per objective over all rows, in units of the best constant prediction's, and the observed labels: [K], [K]."""
    with torch.no_grad():
        device = member.losses.start_K.device
        losses_K, counts_K = member.losses(raw_NK.to(device).double(), torch.from_numpy(labels_NK).to(device))
        return losses_K.cpu(), counts_K.cpu()


def weighted_loss(loss: Mapping[str, float | None], objectives: Sequence[Objective]) -> float:
    """Σ_k loss_weight_k · loss_k over the objectives with an observed label; what early stopping compares."""
    return sum(objective.loss_weight * value for objective in objectives if (value := loss[objective.name]) is not None)


def auc_by_name(raw_NK: Tensor, labels_NK: NDArray[np.float32], objectives: Sequence[Objective]) -> dict[str, float | None]:
    """AUC of the observed rows; null for an objective that is not binary, and where only one class was seen."""
    return {
        objective.name: _auc(raw_NK[:, k].numpy(), labels_NK[:, k]) if objective.is_probability else None
        for k, objective in enumerate(objectives)
    }


def _auc(raw_N: NDArray[np.float32], label_N: NDArray[np.float32]) -> float | None:
    known = ~np.isnan(label_N)
    positive = label_N[known] > 0
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, raw_N[known]))


def gates_by_name(gates_KE: Tensor | None, objectives: Sequence[Objective]) -> dict[str, list[float]]:
    """The share of each expert per objective; empty for a way of sharing without gates."""
    if gates_KE is None:
        return {}
    return {objective.name: shares for objective, shares in zip(objectives, gates_KE.tolist(), strict=True)}
