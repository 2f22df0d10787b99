"""Inner products of gradients of different batches at the same weights. They show what the objectives want, without the labels' noise.

The product ⟨G_j, G_k⟩ of two gradients of one batch contains the noise of the batch's labels; on the diagonal this noise meets itself. So a
cosine from one batch lies near 0, whatever the objectives want. Two batches have no row in common. So the product of G_j of one batch and
G_k of the other has the mean ⟨E G_j, E G_k⟩, without that noise.

The weights must not change between the batches, and must not have learned the rows. A step goes against the gradient of its batch, noise
included, so the gradient of the next batch points back. Along the demo's steps, Σ_{b≠b'} ⟨G^b, G^b'⟩ of the clicks was above 0 in none of
12 rounds.

The other candidate was the cosine of the sums Σ_b G^b. It is steadier, but biased towards 0. The two were compared on the demo's model with
its weights held after three days, on 20 batches of 512 rows of the following day (20 draws). Click and share had .31 ± .17 by these
products, .12 ± .06 by the sums, .01 by single batches; these products over the whole day gave .25. In a simulation the true cosine was .5,
and signal was 30 % of ‖Σ_b G^b‖². There, products concatenated over 12 rounds gave .49 ± .18, the sums .14 ± .05.

Shape letters: K objectives, P weights of the shared layer, b batches.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from recsys.encoding.layout import Batch
from recsys.scoring.devices import Compute
from recsys.training.descend import coupled, forward, shares, told_of
from recsys.training.gradients import weight_gradients
from recsys.training.state import State


def products_between(state: State, batches: Iterable[Batch], compute: Compute) -> Tensor | None:
    """Compute [K, K] float64, symmetric: the mean of ⟨G_j^b, G_k^b'⟩ over the pairs b ≠ b' with labels of j in b and of k in b'.

    Return None where nothing is shared. An entry is NaN where there is no pair. Where a diagonal entry is not above 0, noise hides the
    objective's own gradient.

    The weights are held, without dropout. No random number is drawn and nothing is changed.
    """
    was_training = state.member.training
    state.member.eval()
    try:
        return _products(state, batches, compute)
    finally:
        state.member.train(was_training)


def _products(state: State, batches: Iterable[Batch], compute: Compute) -> Tensor | None:
    total = _Between()
    there = _Between()
    for batch in batches:
        output, losses_K, _, counts_K, _ = forward(state, batch, compute, told_of(state, batch))
        if not shares(output):
            return None
        own_KP = torch.stack(weight_gradients(losses_K, output, coupled=coupled(state)))
        total.add(compute.group.summed(own_KP))
        there.add((counts_K > 0)[:, None])
    return total.products_KK / there.products_KK  # NaN (0 / 0) without a pair


class _Between:
    """A running sum, [K, K] float64: Σ_{b≠b'} ⟨v_j^b, v_k^b'⟩ over all pairs of added vectors."""

    def __init__(self) -> None:
        self._sum_KP: Tensor | None = None
        self.products_KK = torch.zeros((), dtype=torch.float64)

    def add(self, vectors_KP: Tensor) -> None:
        own_KP = vectors_KP.double()
        before_KP = torch.zeros_like(own_KP) if self._sum_KP is None else self._sum_KP
        across_KK = own_KP @ before_KP.T
        self.products_KK = self.products_KK + across_KK + across_KK.T
        self._sum_KP = before_KP + own_KP
