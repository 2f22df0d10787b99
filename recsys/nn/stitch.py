"""Learned mixtures of nets that stand side by side.

Shape letters: K nets out, N nets in, B rows, H width of a layer, G subspaces of a layer, S width of a subspace, L layers.
"""

import torch
from torch import Tensor, nn


def combine(weights_KN: Tensor, nets_NBH: Tensor) -> Tensor:
    """Compute Σ_n w_kn · net_n, [K, B, H], as one product: the mixtures are the same for every row."""
    mixed_KX = weights_KN.to(nets_NBH.dtype) @ nets_NBH.flatten(1)
    return torch.unflatten(mixed_KX, 1, nets_NBH.shape[1:])


class CrossStitch(nn.Module):
    """The mixture h_i ← Σ_j α_ij h_j over the KG subspaces of K nets, [K, B, H] → [K, B, H].

    With one subspace it is the cross-stitch unit of Misra et al. (CVPR 2016, eq. 1), with one number per pair of nets. With several it is
    the α of a sluice network (Ruder et al., AAAI 2019): every subspace of every net reads all subspaces of all nets.
    Each row starts at `own` for the subspace itself and at (1 − own) / (KG − 1) for each other subspace, so it sums to 1.
    """

    def __init__(self, num: int, own: float, subspaces: int = 1) -> None:
        super().__init__()
        self.shape = (num, subspaces)
        size = num * subspaces
        others = (1.0 - own) / (size - 1) if size > 1 else 0.0
        start = torch.full((size, size), others).fill_diagonal_(1.0 - others * (size - 1))
        self.mixture = nn.Parameter(start)  # not named `.weight`: decay would pull a net's share of itself to zero

    def forward(self, nets_KBH: Tensor) -> Tensor:
        num, subspaces = self.shape
        parts_KGBS = torch.unflatten(nets_KBH, 2, (subspaces, -1)).transpose(1, 2)
        mixed_KGBS = torch.unflatten(combine(self.mixture, parts_KGBS.flatten(0, 1)), 0, (num, subspaces))
        return mixed_KGBS.transpose(1, 2).flatten(2)

    def between_nets(self) -> Tensor:
        """Return [K, K], detached: how much net k takes from net j.

        The numbers are summed over the subspaces of j and averaged over those of k. At the start each row sums to 1.
        """
        num, subspaces = self.shape
        return self.mixture.detach().reshape(num, subspaces, num, subspaces).sum(3).mean(1)


class LayerMixture(nn.Module):
    """The mixture of layers that a net ends in, Σ_l β_kl h_kl (the β of Ruder et al., AAAI 2019). Each β starts at 1 / L."""

    def __init__(self, num: int, num_layers: int) -> None:
        super().__init__()
        self.mixture = nn.Parameter(torch.full((num, num_layers), 1.0 / num_layers))

    def forward(self, layers_KLBH: Tensor) -> Tensor:
        """Return [K, B, H]."""
        mixed_K1X = torch.bmm(self.mixture.unsqueeze(1).to(layers_KLBH.dtype), layers_KLBH.flatten(2))
        return torch.unflatten(mixed_K1X.squeeze(1), 1, layers_KLBH.shape[2:])
