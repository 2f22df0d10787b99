"""Balancing methods from TorchJD's weightings: from the Gramian of the gradients in the shared layer's weights to weights of the losses.

The methods are solvers in many small steps, so they run on the host: one copy of K² numbers and one wait for the device per step. All
methods take one backward pass per loss into that layer and one through the trunk. Milliseconds are those of one call at K = 9 on one core.

TorchJD is imported where a balancer is built. It brings a convex solver and takes 0.9 s, and training with fixed weights need not wait for
this.

Shape letters: K objectives, P of them that are present and have a gradient.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.config.balance import (
    AlignedMTLOptions,
    CAGradOptions,
    FairGradOptions,
    GradVacOptions,
    IMTLGOptions,
    MGDAOptions,
    PCGradOptions,
    UPGradOptions,
)
from recsys.objectives import Objective

_LONGEST = 10.0  # of IMTL-G's step, in units of the sum of all gradients' lengths


class Weighting(Balancer):
    """A method that solves for the objectives with a gradient. An objective without one gets weight 1, which moves nothing.

    So a Gramian of zeros gives weights of 1. A Gramian that is not finite gives NaN, which the training loop reports.
    """

    acts_on = "gradients"
    waits = True

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        assert gramian_KK is not None
        host_KK = gramian_KK.cpu()
        weights_K = torch.ones(self.num_objectives, dtype=torch.float64)
        places_P = (host_KK.diagonal() > 0).nonzero().squeeze(1)
        if not host_KK.isfinite().all():
            weights_K.fill_(torch.nan)
        elif len(places_P):
            weights_K[places_P] = self._solve(host_KK[places_P][:, places_P], places_P)
        return weights_K.to(losses_K.device, non_blocking=True)

    @abstractmethod
    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        """Return [P] weights, 1 where nothing is to be balanced.

        `places_P` are the objectives' places among the K. All tensors are on the host, float64.
        """


class MGDA(Weighting):
    """The shortest vector among all convex combinations of the gradients (Désidéri 2012; Sener & Koltun, NeurIPS 2018, Algorithm 2).

    It is a direction in which no loss rises; the longest gradient counts least. Frank-Wolfe finds it, exactly for two objectives. Of many
    objectives whose gradients differ in length ten times and more, its first 100 iterations end short of it, and a loss may rise. Weights
    add up to the number of objectives present. A `loss_weight` l_k divides the gradient before the solver and the weight after it. With v_k
    = g_k / l_k and their shortest combination d, ⟨d, g_k⟩ ≥ l_k · ‖d‖², so each loss falls in proportion to its preference. About 4 ms.
    """

    scales_first = False
    adds_up = True

    def __init__(self, options: MGDAOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.MGDAWeighting(options.epsilon, options.max_iters)

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        preference_P = self.preference_K.cpu()[places_P]
        share_P = self.weighting(gramian_PP / (preference_P[:, None] * preference_P)) / preference_P.square()
        return len(places_P) * share_P / share_P.sum()


class PCGrad(Weighting):
    """Gradient surgery (Yu et al., NeurIPS 2020, Algorithm 1): project out of each gradient what goes against another one, then sum.

    Weights are 1 where nothing conflicts, and more where something does. They have no fixed sum. The order of the projections is drawn from
    torch's generator of the CPU. About 1 ms.
    """

    def __init__(self, options: PCGradOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.PCGradWeighting()

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = self.weighting(gramian_PP)
        return weights_P


class GradVac(Weighting):
    """Gradient vaccine (Wang et al., ICLR 2021): PCGrad towards the usual cosine of each pair, a moving average, instead of towards 0.

    Weights are 1 where every pair is at least as similar as usual, and more where one is less similar. They have no fixed sum. The order is
    drawn as in PCGrad. About 4 ms.
    """

    def __init__(self, options: GradVacOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.GradVacWeighting(options.beta)
        self.register_buffer("cosines_KK", torch.zeros(len(objectives), len(objectives), dtype=torch.float64))
        self.cosines_KK: Tensor  # TorchJD forgets its own cosines where the number of gradients changes

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        rows_P1, columns_P = places_P[:, None], places_P
        cosines_KK = self.cosines_KK.cpu()
        self.weighting.register_buffer("_phi_t", cosines_KK[rows_P1, columns_P])
        self.weighting._state_key = (len(places_P), gramian_PP.dtype)
        weights_P: Tensor = self.weighting(gramian_PP)
        cosines_KK[rows_P1, columns_P] = self.weighting.get_buffer("_phi_t")
        self.cosines_KK.copy_(cosines_KK)
        self.weighting.reset()  # else the cosines would be in the state twice
        return weights_P


class CAGrad(Weighting):
    """Conflict-averse gradient descent (Liu et al., NeurIPS 2021, eq. 3): near the mean gradient, the best step for the worst-off loss.

    Weights are 1 + c · (mean gradient's length / worst case's) · q_k · P with q on the simplex; their sum is P or more. They are 0, no
    step, where some convex combination of gradients is shorter than 1e-4 of all gradients together. This happens close to a
    Pareto-stationary point, and also where one objective's gradient is that short. Solved by cvxpy and Clarabel. About 5 ms.
    """

    def __init__(self, options: CAGradOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.CAGradWeighting(c=options.c)

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = len(places_P) * self.weighting(gramian_PP)
        return weights_P


class UPGrad(Weighting):
    """Unconflicting projection of gradients (Quinton & Rey 2024, "Jacobian descent"): project each onto the dual cone of all, then sum.

    The sum is a direction in which no loss rises, and longer gradients count more. Weights are at least 1, and more where something
    conflicts. They have no fixed sum. Solved by quadprog. Under 1 ms.
    TorchJD adds 1e-4 of the sum of all squared lengths to each one, so that there is one solution. A gradient ten times and more shorter
    than the others is projected on by less than it should be, and its loss may rise. In return its weight stays moderate.
    """

    def __init__(self, options: UPGradOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.UPGradWeighting()

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = len(places_P) * self.weighting(gramian_PP)
        return weights_P


class IMTLG(Weighting):
    """IMTL-G (Liu et al., ICLR 2021): a step whose projections on all unit gradients are equal.

    Weights add up to the number of objectives present, or are all 0 where no such step exists. They may be negative. Where gradients almost
    lie in a plane the weights explode. A step longer than 10 times the sum of all gradients' lengths is cut to that length; the sum of the
    weights is then smaller. Under 1 ms.
    """

    scales_first = False
    adds_up = True
    evens_out = True

    def __init__(self, options: IMTLGOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.IMTLGWeighting()

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P = len(places_P) * self.weighting(gramian_PP)
        length = (weights_P @ gramian_PP @ weights_P).clamp(min=0.0).sqrt()
        longest = _LONGEST * gramian_PP.diagonal().sqrt().sum()
        return weights_P * (longest / length).clamp(max=1.0) if length > 0 else weights_P


class AlignedMTL(Weighting):
    """Independent component alignment (Senushkin et al., CVPR 2023, Algorithm 1): make gradients orthogonal and equally long, then sum.

    Weights are 1 where the gradients already are so. The common length is the smallest singular value's ("min"), so weights are small where
    gradients nearly coincide or cancel. Weights have no fixed sum and may be negative. Under 1 ms.
    """

    scales_first = False

    def __init__(self, options: AlignedMTLOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.AlignedMTLWeighting(scale_mode=options.scale_mode)

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = len(places_P) * self.weighting(gramian_PP)
        return weights_P


class FairGrad(Weighting):
    """α-fair descent (Ban & Ji, ICML 2024, eq. 4): (G w)_k = w_k^(−1/α); α = 1 is the Nash bargaining solution of Nash-MTL.

    Gradients are in units of their root mean square, so weights are 1 where gradients are orthogonal and equally long. Weights have no
    fixed sum. With α = 1 the step's length is √P whatever the gradients. Solved by scipy's least squares: about 3 ms, or 16 ms where
    gradients conflict or the Gramian is of low rank.
    TorchJD's solver is asked for v of w_k = v_k · ‖g_k‖^(−2α/(1 + α)), which is 1 where gradients are orthogonal, however long they are.
    Asked for w itself, it may end short of it where lengths differ 300 times and more. At α = 5 it may with v, too.
    """

    scales_first = False
    evens_out = True  # at α = 1

    def __init__(self, options: FairGradOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.alpha = options.alpha
        self.weighting = torchjd.aggregation.FairGradWeighting(options.alpha, options.max_iters)

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        lengths_P = gramian_PP.diagonal().sqrt()
        unit_P = lengths_P ** (-2.0 * self.alpha / (1.0 + self.alpha))
        # (G w)_k = w_k^(−1/α), with both sides times unit_k^(1/α): a matrix with ones on its diagonal.
        solved_PP = gramian_PP * unit_P[:, None] ** (1.0 / self.alpha) * unit_P
        weights_P: Tensor = unit_P * self.weighting(solved_PP)
        return weights_P
