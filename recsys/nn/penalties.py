"""Penalties on weights that each belong to one task; they hold the tasks' weights together, or apart.

Shape letters: K tasks, P numbers of a task, D input width, H output width, G subspaces, S width of a subspace.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def distance_to_mean(parts: Sequence[Tensor]) -> Tensor:
    """Compute ½ Σ_k ‖w_k − w̄‖², a scalar; w_k are all of task k's numbers, w̄ their mean over tasks. `parts` are tensors [K, …].

    Up to a factor this is the sum over pairs, Σ_{j<k} ‖w_j − w_k‖² = K Σ_k ‖w_k − w̄‖² (Duong et al., ACL 2015, tie one pair).
    """
    distances = [(part_KP - part_KP.mean(0, keepdim=True)).square().sum() for part_KP in parts]
    return 0.5 * torch.stack(distances).sum()


def overlap_of_subspaces(weight_KDH: Tensor, num_subspaces: int) -> Tensor:
    """Compute Σ_k Σ_{i<j} ‖G_kiᵀ G_kj‖²_F, a scalar; G_ki [D, S] are the columns of subspace i.

    The penalty is 0 where all subspaces are orthogonal. It is the orthogonality constraint of Ruder et al. (AAAI 2019) between the
    subspaces of a layer, after Bousmalis et al. (NIPS 2016).
    """
    with torch.autocast(weight_KDH.device.type, enabled=False):
        products_KHH = weight_KDH.transpose(1, 2) @ weight_KDH
    blocks_KGSGS = torch.unflatten(torch.unflatten(products_KHH, 2, (num_subspaces, -1)), 1, (num_subspaces, -1))
    norms_GG = blocks_KGSGS.square().sum(dim=(0, 2, 4))
    return torch.triu(norms_GG, diagonal=1).sum()
