"""How tasks are related, read off their weights and turned into a prior on them. Shape letters: K tasks, P numbers of a task."""

import torch
from torch import Tensor, nn

RIDGE = 0.1  # share of the identity in Ω: its smallest eigenvalue, so that Ω⁻¹ pulls at most ten times as hard as plain decay


class TaskCovariance(nn.Module):
    """The matrix-normal prior W ~ MN(0, Ω, I) on a layer's weights W [K, P], a row a task, and Ω's closed form given W.

    Ω = (1 − r) · K · W Wᵀ / tr(W Wᵀ) + r · I, r = RIDGE: the maximum-likelihood covariance of the rows (Long et al., NeurIPS 2017,
    with identities for the covariances of features and classes), scaled to a mean variance of 1, so that the strength of the penalty
    keeps its meaning while weights grow, and shrunk, so that it stays invertible.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.register_buffer("covariance_KK", torch.eye(num_tasks))  # saved: a loaded model knows its tasks' relations
        self.covariance_KK: Tensor

    @torch.no_grad()
    def update(self, weights_KP: Tensor) -> None:
        """Sets Ω from the weights; a function of them alone."""
        gram_KK = _gram(weights_KP)
        scale = len(gram_KK) / gram_KK.trace().clamp(min=torch.finfo(gram_KK.dtype).tiny)
        self.covariance_KK.copy_((1.0 - RIDGE) * scale * gram_KK + self._ridge())

    def penalty(self, weights_KP: Tensor) -> Tensor:
        """½ tr(Wᵀ Ω⁻¹ W), the prior's −log density up to what does not depend on W; a scalar. Ω is a constant in its gradient."""
        inverse_KK: Tensor = torch.linalg.inv_ex(self.covariance_KK).inverse  # positive definite by its ridge: no check, no wait for a GPU
        return 0.5 * (inverse_KK * _gram(weights_KP)).sum()

    def correlation(self) -> Tensor:
        """[K, K], detached: cosines between the tasks' weights, without the ridge, which would hold them below 1 − r."""
        own_KK = self.covariance_KK - self._ridge()
        scale_K = own_KK.diagonal().clamp(min=torch.finfo(own_KK.dtype).tiny).rsqrt()
        return own_KK * scale_K[:, None] * scale_K

    def _ridge(self) -> Tensor:
        return RIDGE * torch.eye(len(self.covariance_KK), dtype=self.covariance_KK.dtype, device=self.covariance_KK.device)


def _gram(weights_KP: Tensor) -> Tensor:
    with torch.autocast(weights_KP.device.type, enabled=False):
        return weights_KP @ weights_KP.T
