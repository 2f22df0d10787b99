"""FAMO, from TorchJD, with its logits and the Adam that learns them as tensors.

Shape letters: K objectives.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Adam

from recsys.balancing.balancer import Balancer
from recsys.balancing.scalarizers import gradient
from recsys.config.balance import FAMOOptions
from recsys.objectives import Objective

_NOWHERE = -1e30  # a logit whose softmax is 0 and whose square is finite
_AVERAGES = ("exp_avg", "exp_avg_sq")


class FAMO(Balancer):
    """Fast adaptive multitask optimization (Liu et al., NeurIPS 2023, Algorithm 2): all losses fall at a similar relative rate.

    Weights are c · z_k / L_k with z = softmax(ξ), made to add up to the number of objectives present. ξ is learned by its own Adam from how
    much each log L_k fell in the step. One backward pass, and one more forward pass of the same batch after the step (`observe`). No sync.
    """

    needs_losses_after = True
    scales_first = False
    adds_up = True
    evens_out = True

    def __init__(self, options: FAMOOptions, objectives: Sequence[Objective]) -> None:
        super().__init__(options, objectives)
        import torchjd.scalarization

        self.scalarizer = torchjd.scalarization.FAMO(len(objectives), lr=options.learning_rate, weight_decay=options.weight_decay).double()
        self.options = options
        self.register_buffer("live_K", torch.ones(len(objectives), dtype=torch.bool), persistent=False)
        self.live_K: Tensor  # at the last `forward`

    def _weigh(self, losses_K: Tensor, live_K: Tensor, gramian_KK: Tensor | None) -> Tensor:
        self.live_K = live_K
        with self._without_absent():
            return live_K.sum() * gradient(self.scalarizer, losses_K)

    @torch.no_grad()
    def observe(self, losses_after_K: Tensor) -> None:
        with self._without_absent():
            self.scalarizer.update(torch.where(self.live_K, losses_after_K.double(), 1.0))

    @contextmanager
    def _without_absent(self) -> Iterator[None]:
        """Keep absent objectives out of the softmax, and put their logits and Adam's averages back afterwards."""
        logits_K = self.scalarizer._w
        state = [logits_K, *self._averages()]
        before = [tensor_K.clone() for tensor_K in state]
        logits_K.copy_(torch.where(self.live_K, logits_K, _NOWHERE))
        yield
        for tensor_K, before_K in zip(state, before, strict=True):
            tensor_K.copy_(torch.where(self.live_K, tensor_K, before_K))

    # --- Adam's state as a tensor: TorchJD's state_dict has the logits alone --------------------------------------
    def get_extra_state(self) -> Tensor:
        """Return [3, K]: Adam's two averages and its count of steps."""
        steps = self._adam()["step"].to(self.scalarizer._w)
        return torch.stack([*self._averages(), steps.expand(self.num_objectives)])

    def set_extra_state(self, state: Tensor) -> None:
        with torch.no_grad():
            for tensor_K, saved_K in zip(self._averages(), state[:2], strict=True):
                tensor_K.copy_(saved_K)
            self._adam()["step"].copy_(state[2, 0])

    def _averages(self) -> tuple[Tensor, ...]:
        return tuple(self._adam()[name] for name in _AVERAGES)

    def _adam(self) -> dict[str, Tensor]:
        """Return the state of the Adam that TorchJD would make at its first update, on the logits' device."""
        logits_K = self.scalarizer._w
        if self.scalarizer._optimizer is None:
            self.scalarizer._optimizer = Adam([logits_K], lr=self.options.learning_rate, weight_decay=self.options.weight_decay)
            zeros = {name: torch.zeros_like(logits_K) for name in _AVERAGES}
            self.scalarizer._optimizer.state[logits_K] = {"step": torch.zeros(()), **zeros}
        state: dict[str, Tensor] = self.scalarizer._optimizer.state[logits_K]
        for name in _AVERAGES:
            state[name] = state[name].to(logits_K.device)
        return state
