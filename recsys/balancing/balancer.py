"""The interface of every balancing method, and the part that all methods share.

Shape letters: K objectives in their order.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from recsys.objectives import Objective


class Balancer(nn.Module, ABC):
    """A map from K losses, or the K × K Gramian of their gradients, to K weights; the step descends Σ w_k · L_k.

    A balancing method never sees the model. Weights of 1 are the plain sum, whatever the method, so that a learning rate means the same for
    all methods. The state of a method is in its state_dict as tensors. A restored method gives the next weights to the bit.

    An objective's `loss_weight` is a preference. A method that looks at lengths of gradients or sizes of losses gets them scaled by the
    preference and works on the losses w·L. In a method that evens such lengths out (`scales_first` False) this scale would cancel. There
    the preference only multiplies the weights.

    Absent objectives are those with `loss_weight` 0 and those without an observed label in the batch. They have weight 0. The others'
    weights and the method's state are as if the absent ones did not exist, whatever numbers stand in their places.
    """

    acts_on: ClassVar[Literal["losses", "gradients"]] = "losses"  # gradients: `forward` needs the Gramian
    needs_losses_after: ClassVar[bool] = False  # `observe` needs the same batch's losses after the step
    waits: ClassVar[bool] = False  # a step waits for an accelerator: the method solves on the host, or needs a number there
    scales_first: ClassVar[bool] = True
    adds_up: ClassVar[bool] = False  # before preferences, weights add up to the number of objectives that are present
    evens_out: ClassVar[bool] = False  # an objective's share of the step, w_k · ‖g_k‖, depends on no loss's unit

    @abstractmethod
    def __init__(self, options: Any, objectives: Sequence[Objective]) -> None:
        """Build the method from `options`, its own table of options."""
        super().__init__()
        preference_K = torch.tensor([objective.loss_weight for objective in objectives], dtype=torch.float64)
        self.num_objectives = len(objectives)
        self.register_buffer("preference_K", preference_K, persistent=False)
        self.preference_K: Tensor

    @torch.no_grad()
    def forward(self, losses_K: Tensor, present_K: Tensor | None = None, gramian_KK: Tensor | None = None) -> Tensor:
        """Return [K] weights, detached, float32 or the losses' wider type.

        `losses_K` are in units of the best constant prediction's losses. `present_K` is bool (None: all are present). `gramian_KK` holds
        the products of the gradients of the losses, unweighted. Numbers in the places of absent objectives are not read; they may be NaN.
        Where a present objective's numbers are not finite, its weight may not be finite either. Raise ValueError where a Gramian is needed
        and missing.
        """
        live_K = self.preference_K > 0
        if present_K is not None:
            live_K = live_K & present_K
        scale_K = self.preference_K if self.scales_first else torch.ones_like(self.preference_K)
        seen_K = torch.where(live_K, scale_K * losses_K.double(), 1.0)
        weights_K = self._weigh(seen_K, live_K, self._comparable(gramian_KK, scale_K, live_K))
        return torch.where(live_K, self.preference_K * weights_K, 0.0).to(torch.promote_types(losses_K.dtype, torch.float32))

    @abstractmethod
    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        """Return [K] float64 weights before preferences; those of absent objectives are not read.

        Losses are float64, 1 where absent. `live_K` marks the objectives that are present. The Gramian is as `_comparable` leaves it.
        """

    def observe(self, losses_after_K: Tensor) -> None:
        """Learn from the losses of the last `forward`'s batch after its step; called where `needs_losses_after`."""
        raise NotImplementedError(f"{type(self).__name__} learns nothing from the losses after a step")

    def end_round(self) -> None:
        """End a round: a day in time order, otherwise a pass."""

    def _comparable(self, gramian_KK: Tensor | None, scale_K: Tensor, live_K: Tensor) -> Tensor | None:
        """Return the Gramian of the scaled losses, float64, 0 where absent; None for a method that acts on losses.

        It is in units of its mean diagonal, so that Gramians of size 1e-10 and 1e10 are the same problem.
        """
        if self.acts_on == "losses":
            return None
        if gramian_KK is None:
            raise ValueError(f"{type(self).__name__}: found no Gramian, expected [{self.num_objectives}, {self.num_objectives}]")
        there_KK = live_K[:, None] & live_K
        scaled_KK = torch.where(there_KK, scale_K[:, None] * scale_K * gramian_KK.double(), 0.0)
        unit = scaled_KK.diagonal().sum() / live_K.sum()
        return scaled_KK / torch.where(unit > 0, unit, 1.0)
