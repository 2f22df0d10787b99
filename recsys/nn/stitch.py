"""Learned mixtures of nets that stand side by side.

Shape letters: K nets out, N nets in, B rows, H width of a layer, G subspaces of a layer, S width of a subspace, L layers.
"""

import torch
from torch import Tensor, nn


def combine(weights_KN: Tensor, nets_NBH: Tensor) -> Tensor:
    """Σ_n w_kn · net_n, [K, B, H]: mixtures that are the same for every row, as one product."""
    mixed_KX = weights_KN.to(nets_NBH.dtype) @ nets_NBH.flatten(1)
    return torch.unflatten(mixed_KX, 1, nets_NBH.shape[1:])


class CrossStitch(nn.Module):
    """h_i ← Σ_j α_ij h_j over the KG subspaces of K nets, [K, B, H] → [K, B, H].

    One subspace: the cross-stitch unit of Misra et al. (CVPR 2016, eq. 1), one number a pair of nets. Several: the α of a sluice
    network (Ruder et al., AAAI 2019), in which every subspace of every net reads all subspaces of all nets.
    Rows start at `own` for the subspace itself and (1 − own) / (KG − 1) for each of the others, so they sum to 1.
    """

    def __init__(self, num: int, own: float, subspaces: int = 1) -> None:
        super().__init__()
        self.shape = (num, subspaces)
        size = num * subspaces
        others = (1.0 - own) / (size - 1) if size > 1 else 0.0
        start = torch.full((size, size), others).fill_diagonal_(1.0 - others * (size - 1))
        self.mixture = nn.Parameter(start)  # no `.weight`: decay would pull a net's say over itself to zero

    def forward(self, nets_KBH: Tensor) -> Tensor:
        num, subspaces = self.shape
        parts_KGBS = torch.unflatten(nets_KBH, 2, (subspaces, -1)).transpose(1, 2)
        mixed_KGBS = torch.unflatten(combine(self.mixture, parts_KGBS.flatten(0, 1)), 0, (num, subspaces))
        return mixed_KGBS.transpose(1, 2).flatten(2)

    def between_nets(self) -> Tensor:
        """[K, K], detached: what net k takes of net j, summed over the subspaces of j and meant over those of k; rows start at 1."""
        num, subspaces = self.shape
        return self.mixture.detach().reshape(num, subspaces, num, subspaces).sum(3).mean(1)


class LayerMixture(nn.Module):
    """Σ_l β_kl h_kl, the mixture of layers that a net ends in (Ruder et al., AAAI 2019, the β); starts at 1 / L each."""

    def __init__(self, num: int, num_layers: int) -> None:
        super().__init__()
        self.mixture = nn.Parameter(torch.full((num, num_layers), 1.0 / num_layers))

    def forward(self, layers_KLBH: Tensor) -> Tensor:
        """→ [K, B, H]."""
        mixed_K1X = torch.bmm(self.mixture.unsqueeze(1).to(layers_KLBH.dtype), layers_KLBH.flatten(2))
        return torch.unflatten(mixed_K1X.squeeze(1), 1, layers_KLBH.shape[2:])
