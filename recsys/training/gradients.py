"""Each objective's gradient at the shared tensor, their Gramian, and the backward pass that combines them.

Every objective's loss reads the outputs, the outputs read the towers' inputs, and these read the shared tensor. Towers share nothing,
so one pass gives all objectives' gradients at their inputs; only the short way from there is walked once an objective.

Shape letters: B rows, K objectives, H input width of a tower, S numbers of the shared tensor.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recsys.models import Output, Ranker

Weigh = Callable[[Tensor], Tensor]  # Gramian [K, K] → weights [K]

_ABOVE = ("towers.", "cross.", "inputs.skip.", "bias_tower.")  # parts of the frame that read the shared tensor, or go around it


def gradients_at_shared(losses_K: Tensor, output: Output, *, coupled: bool) -> Tensor:
    """[K, S] gradient of each loss at `output.shared`; the graph is kept.

    `coupled`: some loss reads the outputs of other objectives too (`given`), so that each is walked by itself from the top.
    """
    assert output.shared is not None, "nothing is shared"
    if coupled:
        rows = [_gradient(loss, output.shared) for loss in losses_K]
    else:
        towers_BKH = _gradient(losses_K.sum(), output.read_BKH)
        rows = []
        for k in range(len(losses_K)):
            own_BKH = torch.zeros_like(towers_BKH)
            own_BKH[:, k] = towers_BKH[:, k]
            rows.append(_gradient(output.read_BKH, output.shared, own_BKH))
    return torch.stack([row.flatten().float() for row in rows])


def _gradient(of: Tensor, at: Tensor, given: Tensor | None = None) -> Tensor:
    (found,) = torch.autograd.grad(of, at, given, retain_graph=True, materialize_grads=True)
    return found


def gramian(gradients_KS: Tensor) -> Tensor:
    """[K, K] inner products, float64."""
    return (gradients_KS @ gradients_KS.T).double()


def cosines(gramian_KK: Tensor) -> Tensor:
    """[K, K]; 0 where an objective has no gradient."""
    norms_K = gramian_KK.diagonal().clamp(min=0.0).sqrt()
    scale_KK = norms_K[:, None] * norms_K
    return torch.where(scale_KK > 0, gramian_KK / scale_KK.where(scale_KK > 0, torch.ones_like(scale_KK)), 0.0)


def heads_of(ranker: Ranker, output: Output) -> list[nn.Parameter]:
    """The parameters above the shared tensor: towers, linear path, cross layer, bias tower, and those gates and layers of the way of
    sharing that it does not depend on. All others are the trunk. The graph is kept.
    """
    assert output.shared is not None, "nothing is shared"
    inner = list(ranker.sharing.parameters())
    reached = torch.autograd.grad(output.shared.sum(), inner, retain_graph=True, allow_unused=True) if inner else ()
    above = [parameter for parameter, gradient in zip(inner, reached, strict=True) if gradient is None]
    return above + [parameter for name, parameter in ranker.named_parameters() if name.startswith(_ABOVE)]


def balanced_backward(
    losses_K: Tensor, output: Output, heads: Sequence[nn.Parameter], *, preferences_K: Tensor, weigh: Weigh, coupled: bool
) -> tuple[Tensor, Tensor]:
    """Leaves the gradients of a gradient method. Returns the weights [K] and the Gramian [K, K] that they come from.

    The trunk, embedding tables included, gets Σ w_k ∇L_k in one pass, along the paths around the shared tensor too; the heads get their
    own losses' gradients by `preferences_K` (the objectives' `loss_weight`), so that a head learns where its weight is 0.
    """
    gramian_KK = gramian(gradients_at_shared(losses_K, output, coupled=coupled))
    weights_K = weigh(gramian_KK).to(losses_K.dtype)
    own = torch.autograd.grad((preferences_K * losses_K).sum(), heads, retain_graph=True, allow_unused=True)
    ((weights_K * losses_K).sum() + output.penalty).backward()  # type: ignore[no-untyped-call]
    for parameter, gradient in zip(heads, own, strict=True):
        parameter.grad = gradient
    return weights_K, gramian_KK
