"""Each objective's gradient in the weights of the shared layer, their Gramian, and the backward pass that combines them.

The gradients are taken in weights, where the rows add up. At an activation each row has a gradient of its own. There the noise of the row's
labels hides from every inner product what the objectives want (two opposed objectives of 20,000 rows: cosine −.04 at an activation, −.73 in
the weights).

Every objective's loss reads the outputs, the outputs read the towers' inputs, and these read the shared layer. Towers share nothing, so one
pass gives all objectives' gradients at the towers' inputs. Only the pass from there into the shared layer's weights is made once per
objective.

Shape letters: B rows, T tables, K objectives, D width of the inputs, H input width of a tower, P weights of the shared layer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recsys.encoding.layout import Batch
from recsys.models import Output, Ranker

_FRAME_HEADS = ("towers.", "cross.out.", "inputs.skip.", "bias_tower.")  # parts of the frame in which each output has numbers of its own
_CROSS = ("cross.down.", "cross.up.")  # one layer per objective where objectives own tables, else one for all
_NOISE = 0.1


class OwnGradients(NamedTuple):
    """The gradients of Σ_k preference_k L_k + penalty."""

    branches: tuple[Tensor, ...]  # at `_branches`
    own: tuple[Tensor, ...]  # at `output.own`
    heads: tuple[Tensor | None, ...]


def own_gradients(losses_K: Tensor, output: Output, heads: Sequence[nn.Parameter], preferences_K: Tensor) -> OwnGradients:
    """Compute the gradients of `OwnGradients` in one pass; the graph is kept."""
    branches = _branches(output)
    total = (preferences_K * losses_K).sum() + output.penalty
    found = torch.autograd.grad(total, [*branches, *output.own, *heads], retain_graph=True, allow_unused=True)
    num = len(branches) + len(output.own)
    return OwnGradients(found[: len(branches)], found[len(branches) : num], found[num:])


def weight_gradients(losses_K: Tensor, output: Output, *, coupled: bool, towers_BKH: Tensor | None = None) -> list[Tensor]:
    """Return K gradients of [P] each: that of each loss in `output.made_by`, the shared layer's weights, summed over the rows.

    G_k = Xᵀ δ_k, with X the layer's input and δ_k the gradient at its output. Biases are left out; the graph is kept.

    There may be no such layer: the architecture reads the inputs x and shares nothing above them. Then P are the weights of a linear map
    that stands there as the identity: G_k = xᵀ δ_k, with δ_k the gradient at x.

    `coupled` says that some loss also reads the outputs of other objectives (`given`). Then each loss has a pass of its own from the top.
    Otherwise `towers_BKH` may give the gradient of Σ_k L_k at the towers' inputs.
    """
    if coupled:
        return [_weight_gradient(loss, output) for loss in losses_K]
    if towers_BKH is None:
        (towers_BKH,) = torch.autograd.grad(losses_K.sum(), output.read_BKH, retain_graph=True)
    own_BKH = torch.zeros_like(towers_BKH)
    found = []
    for k in range(len(losses_K)):
        own_BKH[:, k] = towers_BKH[:, k]
        found.append(_weight_gradient(output.read_BKH, output, own_BKH))
        own_BKH[:, k] = 0.0
    return found


def _weight_gradient(of: Tensor, output: Output, given: Tensor | None = None) -> Tensor:
    if output.made_by:
        found = torch.autograd.grad(of, output.made_by, given, retain_graph=True, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in found])
    (at_x_BTD,) = torch.autograd.grad(of, output.layer_BTD, given, retain_graph=True, materialize_grads=True)
    return (output.layer_BTD.detach().permute(1, 2, 0) @ at_x_BTD.transpose(0, 1)).flatten()


def gramian(gradients_KP: Sequence[Tensor]) -> Tensor:
    """Return the [K, K] inner products, float64, of K gradients of [P] each."""
    stacked_KP = torch.stack(list(gradients_KP)).double()
    return stacked_KP @ stacked_KP.T


def cosines(gramian_KK: Tensor) -> Tensor:
    """Return the [K, K] cosines. A cosine is 0 where an objective has no gradient: its product with itself is not above 0."""
    norms_K = gramian_KK.diagonal().clamp(min=0.0).sqrt()
    scale_KK = norms_K[:, None] * norms_K
    return torch.where(scale_KK > 0, gramian_KK / scale_KK.where(scale_KK > 0, torch.ones_like(scale_KK)), 0.0)


def heads_of(ranker: Ranker, batch: Batch) -> list[nn.Parameter]:
    """Return the parameters of which each number belongs to one objective.

    They are the towers, the linear path, and the objectives' own gates, masks, nets and experts. All other parameters are the trunk:
    parameters that several objectives read, and parameters that hold shared numbers beside own ones. `output.own` tells these own numbers
    apart.

    The parameters are found by an extra forward pass on any batch. It uses no global random number and changes nothing.
    """
    inner = {f"architecture.{name}": parameter for name, parameter in ranker.architecture.named_parameters()}
    draws = torch.Generator().manual_seed(0)
    # Weights are moved, because no gradient passes a weight that starts at zero. Below, the cotangent is random: a normalisation can make
    # the gradient of a plain sum zero.
    moved = {name: parameter + _NOISE * _drawn(parameter, draws) for name, parameter in inner.items()}
    was_training = ranker.training
    output: Output = torch.func.functional_call(ranker.eval(), moved, (batch,), {"position": "logged"})
    ranker.train(was_training)
    assert output.shared is not None, "nothing is shared"
    reached = torch.autograd.grad(output.shared.sum(), list(moved.values()), retain_graph=True, allow_unused=True) if moved else ()
    above = [name for name, gradient in zip(moved, reached, strict=True) if gradient is None]
    readers = _readers([moved[name] for name in above], output.read_BKH, _drawn(output.read_BKH, draws)) if above else []
    own = [inner[name] for name, reader in zip(above, readers, strict=True) if reader.max() < 2]
    own += [parameter for parameter in ranker.architecture.own_below() if all(parameter is not other for other in own)]
    frame = _FRAME_HEADS + (_CROSS if ranker.cross is not None and ranker.cross.num_tables > 1 else ())
    return own + [parameter for name, parameter in ranker.named_parameters() if name.startswith(frame)]


def _drawn(like: Tensor, draws: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=draws).to(like)


def _readers(parameters: list[Tensor], read_BKH: Tensor, cotangent_BKH: Tensor) -> list[Tensor]:
    """Count, for each number of the parameters, the objectives whose towers read something that this number changes."""
    readers = [torch.zeros_like(parameter) for parameter in parameters]
    for k in range(read_BKH.shape[1]):
        own = torch.autograd.grad(read_BKH[:, k], parameters, cotangent_BKH[:, k], retain_graph=True, allow_unused=True)
        for reader, gradient in zip(readers, own, strict=True):
            if gradient is not None:
                reader += gradient != 0
    return readers


def weighted_branches(losses_K: Tensor, output: Output, weights_K: Tensor) -> tuple[Tensor, ...]:
    """Compute Σ_k weight_k ∇L_k at the branches; the graph is kept."""
    return torch.autograd.grad((weights_K * losses_K).sum(), _branches(output), retain_graph=True)


def by_objective(factors_K: Tensor, at_branch: Tensor) -> Tensor:
    """Return [B, K, …], each objective's part times its factor."""
    return at_branch * factors_K.view(-1, *[1] * (at_branch.dim() - 2)).to(at_branch.dtype)


def _branches(output: Output) -> tuple[Tensor, ...]:
    """Return tensors of [B, K, …]. Above them, each objective has a path of its own. Everything shared lies below them."""
    return (output.read_BKH, *output.beside)


def balanced_backward(
    output: Output,
    heads: Sequence[nn.Parameter],
    trunk: Sequence[nn.Parameter],
    own: OwnGradients,
    at_branches: Sequence[Tensor],
    gradients_KP: Sequence[Tensor],
    weights_K: Tensor,
) -> None:
    """Set the parameters' gradients for a gradient method, from those of Σ w_k L_k at the branches and those of `weight_gradients`.

    The trunk, embedding tables included, gets Σ w_k ∇L_k in one pass from the branches down. The heads get the gradients of their own
    losses by preference (the objectives' `loss_weight`), and so do the own numbers in parameters of the trunk. So a head learns even where
    the weight of its loss is 0. Trunk and heads also get the gradient of the penalty.
    """
    _layer_backward(output, gradients_KP, weights_K)
    layer = {id(parameter) for parameter in output.made_by}
    tops, gradients = [*_branches(output), *output.own], [*at_branches, *own.own]
    if output.penalty.requires_grad:
        tops, gradients = [*tops, output.penalty], [*gradients, torch.ones_like(output.penalty)]
    # At the tensors of `output.own`, each objective's own gradient replaces the gradient that comes from above.
    instead = [at.register_hook(lambda _, found=found: found) for at, found in zip(output.own, own.own, strict=True)]  # type: ignore[no-untyped-call]
    torch.autograd.backward(tops, gradients, inputs=[parameter for parameter in trunk if id(parameter) not in layer])
    for hook in instead:
        hook.remove()
    for parameter, gradient in zip(heads, own.heads, strict=True):
        parameter.grad = gradient


def _layer_backward(output: Output, gradients_KP: Sequence[Tensor], weights_K: Tensor) -> None:
    """Set the gradient of the layer that makes `shared`, from the known gradients. This saves a product in the pass below that layer."""
    if not output.made_by:
        return
    sum_P = sum(weight * gradient_P for weight, gradient_P in zip(weights_K, gradients_KP, strict=True))
    parts = torch.split(sum_P, [parameter.numel() for parameter in output.made_by])
    for parameter, part in zip(output.made_by, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    if output.penalty.requires_grad:
        output.penalty.backward(inputs=list(output.made_by), retain_graph=True)  # type: ignore[no-untyped-call]
