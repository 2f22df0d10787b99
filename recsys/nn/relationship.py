"""The relations of tasks, read from their weights and turned into a prior on them. Shape letters: K tasks, P numbers of a task."""

import torch
from torch import Tensor, nn

RIDGE = 0.1  # share of the identity in Ω, whose eigenvalues are at least this: Ω⁻¹ pulls at most ten times as hard as plain decay


class TaskCovariance(nn.Module):
    """The matrix-normal prior W ~ MN(0, Ω, I) on a layer's weights W [K, P], one row per task, and Ω's closed form given W.

    Ω = (1 − r) · K · W Wᵀ / tr(W Wᵀ) + r · I, r = RIDGE. This is the maximum-likelihood covariance of the rows (Long et al., NeurIPS 2017,
    with identities for the covariances of features and classes). It is scaled to a mean variance of 1, so that the penalty keeps its
    strength while weights grow. It is shrunk, so that it stays invertible.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.register_buffer("covariance_KK", torch.eye(num_tasks))  # saved: a loaded model knows its tasks' relations
        self.covariance_KK: Tensor

    @torch.no_grad()
    def update(self, weights_KP: Tensor) -> None:
        """Set Ω from the weights alone."""
        gram_KK = _gram(weights_KP)
        share_KK = gram_KK / gram_KK.trace().clamp(min=torch.finfo(gram_KK.dtype).tiny)  # first: K / tiny is infinite from K = 4 on
        self.covariance_KK.copy_((1.0 - RIDGE) * len(gram_KK) * share_KK + self._ridge())

    def penalty(self, weights_KP: Tensor) -> Tensor:
        """Compute ½ tr(Wᵀ Ω⁻¹ W), a scalar: the prior's −log density without the terms that do not depend on W.

        Its gradient treats Ω as a constant.
        """
        inverse_KK: Tensor = torch.linalg.inv_ex(self.covariance_KK).inverse  # positive definite by the ridge: no check, no wait for a GPU
        return 0.5 * (inverse_KK * _gram(weights_KP)).sum()

    def correlation(self) -> Tensor:
        """Return [K, K], detached: cosines between the tasks' weights. The ridge is left out; it would hold them below 1 − r."""
        own_KK = self.covariance_KK - self._ridge()
        scale_K = own_KK.diagonal().clamp(min=torch.finfo(own_KK.dtype).tiny).rsqrt()
        return own_KK * scale_K[:, None] * scale_K

    def _ridge(self) -> Tensor:
        return RIDGE * torch.eye(len(self.covariance_KK), dtype=self.covariance_KK.dtype, device=self.covariance_KK.device)


def _gram(weights_KP: Tensor) -> Tensor:
    with torch.autocast(weights_KP.device.type, enabled=False):
        return weights_KP @ weights_KP.T
