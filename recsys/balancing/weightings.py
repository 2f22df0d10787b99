"""What is used from TorchJD's weightings: from the Gramian of the gradients in the shared layer's weights to weights.

They are solvers in many small steps, so they run on the host: one copy of K² numbers, and one wait for the device, a step. All take
one backward pass per loss into that layer and one through the trunk. Milliseconds are of one call at K = 9 on one core.

TorchJD is imported where a balancer is built: it brings a convex solver, and 0.9 s, that training with fixed weights need not wait for.

Shape letters: K objectives, P of them that are present and have a gradient.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.balancing.balancer import Balancer
from recsys.config.balance import AlignedMTLOptions, CAGradOptions, FairGradOptions, GradVacOptions, MGDAOptions, NoOptions
from recsys.objectives import Objective

_LONGEST = 10.0  # IMTL-G's step, in lengths of all gradients laid end to end


class Weighting(Balancer):
    """Hands the Gramian of the objectives that pull at all to `_solve`; one without a gradient gets weight 1, which moves nothing.

    So a Gramian of zeros gives weights of 1. One that is not finite gives NaN: the training loop has the words for it.
    """

    acts_on = "gradients"

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
        """[P] weights, 1 where nothing is to be balanced; `places_P` are the objectives' places among the K. On the host, float64."""


class MGDA(Weighting):
    """The shortest vector among all convex combinations of the gradients (Désidéri 2012; Sener & Koltun, NeurIPS 2018, Algorithm 2).

    A direction in which no loss rises; the longest gradient counts least. Frank-Wolfe, exact for two objectives. Weights add up to
    the number of objectives present. A `loss_weight` divides the gradient for the solver and the weight after it: with v_k = g_k / l_k
    and their shortest combination d, ⟨d, g_k⟩ ≥ l_k · ‖d‖², each loss falls in proportion to its preference. About 4 ms.
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
    """Gradient surgery (Yu et al., NeurIPS 2020, Algorithm 1): of a gradient, what goes against another is projected out; then the sum.

    Weights are 1 where nothing conflicts, and more where something does; they add up to nothing fixed. The order of the
    projections is drawn from torch's generator of the CPU. About 1 ms.
    """

    def __init__(self, options: NoOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.PCGradWeighting()

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = self.weighting(gramian_PP)
        return weights_P


class GradVac(Weighting):
    """Gradient vaccine (Wang et al., ICLR 2021): PCGrad towards the usual cosine of each pair, a moving average, instead of towards 0.

    Weights are 1 where every pair is as similar as usual; they add up to nothing fixed. Drawn as PCGrad. About 4 ms.
    """

    def __init__(self, options: GradVacOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.GradVacWeighting(options.beta)
        self.register_buffer("cosines_KK", torch.zeros(len(objectives), len(objectives), dtype=torch.float64))
        self.cosines_KK: Tensor  # TorchJD forgets its own where the number of gradients changes

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        rows_P1, columns_P = places_P[:, None], places_P
        cosines_KK = self.cosines_KK.cpu()
        self.weighting.register_buffer("_phi_t", cosines_KK[rows_P1, columns_P])
        self.weighting._state_key = (len(places_P), gramian_PP.dtype)
        weights_P: Tensor = self.weighting(gramian_PP)
        cosines_KK[rows_P1, columns_P] = self.weighting.get_buffer("_phi_t")
        self.cosines_KK.copy_(cosines_KK)
        self.weighting.reset()  # what it remembers would be in the state twice
        return weights_P


class CAGrad(Weighting):
    """Conflict-averse gradient descent (Liu et al., NeurIPS 2021, eq. 3): near the mean gradient, what the worst-off loss gains most from.

    Weights are 1 + c · (mean gradient's length / worst case's) · q_k · P with q on the simplex; between P and more. They are 0, no
    step, where some convex combination of gradients is shorter than 1e-4 of all: close to Pareto-stationary, and also where one
    objective's gradient is that short. Solved by cvxpy and Clarabel. About 5 ms.
    """

    def __init__(self, options: CAGradOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.CAGradWeighting(c=options.c)

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = len(places_P) * self.weighting(gramian_PP)
        return weights_P


class UPGrad(Weighting):
    """Unconflicting projection of gradients (Quinton & Rey 2024, "Jacobian descent"): each is projected onto the cone of all; then the sum.

    A direction in which no loss rises, and longer gradients count more. Weights are at least 1, and more where something
    conflicts; they add up to nothing fixed. Solved by quadprog. Under 1 ms.
    """

    def __init__(self, options: NoOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.UPGradWeighting()

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = len(places_P) * self.weighting(gramian_PP)
        return weights_P


class IMTLG(Weighting):
    """IMTL-G (Liu et al., ICLR 2021): a step whose projections on all unit gradients are equal.

    Weights add up to the number of objectives present, or are all 0 where no step does that; they may be negative. Where gradients
    almost lie in a plane the weights explode: a step longer than 10 times all gradients laid end to end is cut to that (then the
    sum is smaller). Under 1 ms.
    """

    scales_first = False
    adds_up = True
    evens_out = True

    def __init__(self, options: NoOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.IMTLGWeighting()

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P = len(places_P) * self.weighting(gramian_PP)
        length = (weights_P @ gramian_PP @ weights_P).clamp(min=0.0).sqrt()
        longest = _LONGEST * gramian_PP.diagonal().sqrt().sum()
        return weights_P * (longest / length).clamp(max=1.0) if length > 0 else weights_P


class AlignedMTL(Weighting):
    """Independent component alignment (Senushkin et al., CVPR 2023, Algorithm 1): gradients made orthogonal and equally long; then the sum.

    Weights are 1 where the gradients are so already. The common length is the smallest singular value's ("min"), so weights are
    small where gradients nearly coincide or cancel; they add up to nothing fixed and may be negative. Under 1 ms.
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

    Gradients in units of their root mean square, so weights are 1 where they are orthogonal and equally long; they add up to nothing
    fixed. With α = 1 the step's length is √P whatever the gradients. Solved by scipy's least squares: about 3 ms, 16 ms where gradients
    conflict or the Gramian is of low rank.
    """

    scales_first = False
    evens_out = True  # at α = 1

    def __init__(self, options: FairGradOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.aggregation

        self.weighting = torchjd.aggregation.FairGradWeighting(options.alpha, options.max_iters)

    def _solve(self, gramian_PP: Tensor, places_P: Tensor) -> Tensor:
        weights_P: Tensor = self.weighting(gramian_PP)
        return weights_P
