"""Each objective's gradient at the shared tensor, their Gramian, and the backward pass that combines them.

Every objective's loss reads the outputs, the outputs read the towers' inputs, and these read the shared tensor. Towers share nothing,
so one pass gives all objectives' gradients at their inputs; only the short way from there is walked once an objective.

Shape letters: B rows, K objectives, H input width of a tower, S numbers of the shared tensor.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.encoding.layout import Batch
from recsys.models import Output, Ranker

_FRAME_HEADS = ("towers.", "cross.out.", "inputs.skip.", "bias_tower.")  # parts of the frame in which each output has numbers of its own
_CROSS = ("cross.down.", "cross.up.")  # one an objective where objectives own tables, else one for all
_NOISE = 0.1
_CHUNK = 1 << 16  # numbers of each gradient that are multiplied at a time: they stay in the cache


def gradients_at_shared(losses_K: Tensor, output: Output, *, coupled: bool) -> list[Tensor]:
    """K times [S], the gradient of each loss at `output.shared`, its numbers in one and the same order; the graph is kept.

    `coupled`: some loss reads the outputs of other objectives too (`given`), so that each is walked by itself from the top.
    """
    assert output.shared is not None, "nothing is shared"
    if coupled:
        return _flat([_gradient(loss, output.shared) for loss in losses_K])
    towers_BKH = _gradient(losses_K.sum(), output.read_BKH)
    rows = []
    for k in range(len(losses_K)):
        own_BKH = torch.zeros_like(towers_BKH)
        own_BKH[:, k] = towers_BKH[:, k]
        rows.append(_gradient(output.read_BKH, output.shared, own_BKH))
    return _flat(rows)


def _gradient(of: Tensor, at: Tensor, given: Tensor | None = None) -> Tensor:
    (found,) = torch.autograd.grad(of, at, given, retain_graph=True, materialize_grads=True)
    return found


def _flat(rows: list[Tensor]) -> list[Tensor]:
    """In the order in which the first lies in memory, so that nothing is copied where all lie alike (experts' do, transposed)."""
    order = sorted(range(rows[0].dim()), key=rows[0].stride, reverse=True)
    return [row.permute(order).flatten() for row in rows]


def gramian(gradients_KS: Sequence[Tensor]) -> Tensor:
    """[K, K] inner products, float64. K gradients of [S] each: side by side they would be copied once more (17 MB
    each for 8 experts of 128 and 4,096 rows).
    """
    num = len(gradients_KS)
    sum_KK = torch.zeros(num, num, dtype=torch.float64, device=gradients_KS[0].device)
    for parts in zip(*(torch.split(row_S, _CHUNK) for row_S in gradients_KS), strict=True):
        part_KC = torch.stack(parts)
        part_KC = part_KC.to(torch.promote_types(part_KC.dtype, torch.float32))
        sum_KK += part_KC @ part_KC.T
    return sum_KK


def cosines(gramian_KK: Tensor) -> Tensor:
    """[K, K]; 0 where an objective has no gradient."""
    norms_K = gramian_KK.diagonal().clamp(min=0.0).sqrt()
    scale_KK = norms_K[:, None] * norms_K
    return torch.where(scale_KK > 0, gramian_KK / scale_KK.where(scale_KK > 0, torch.ones_like(scale_KK)), 0.0)


def heads_of(ranker: Ranker, batch: Batch) -> list[nn.Parameter]:
    """The parameters of which each number belongs to one objective, above the shared tensor or around it: towers, linear path, the
    objectives' own gates, masks and nets. All others are the trunk: what lies below the shared tensor, and what stands above or
    beside it for several objectives (one gate for all, the layers of a net that is told the task, the cross layer).

    Seen on any batch, in a forward pass of its own. No random number is drawn and nothing is changed.
    """
    inner = {f"sharing.{name}": parameter for name, parameter in ranker.sharing.named_parameters()}
    draws = torch.Generator().manual_seed(0)
    # Moved, as nothing is seen through a weight that starts at zero; below, no plain sum sees what a normalisation takes out of it.
    moved = {name: parameter + _NOISE * _drawn(parameter, draws) for name, parameter in inner.items()}
    was_training = ranker.training
    output: Output = torch.func.functional_call(ranker.eval(), moved, (batch,), {"position": "logged"})
    ranker.train(was_training)
    assert output.shared is not None, "nothing is shared"
    reached = torch.autograd.grad(output.shared.sum(), list(moved.values()), retain_graph=True, allow_unused=True) if moved else ()
    above = [name for name, gradient in zip(moved, reached, strict=True) if gradient is None]
    readers = _readers([moved[name] for name in above], output.read_BKH, _drawn(output.read_BKH, draws)) if above else []
    own = [inner[name] for name, reader in zip(above, readers, strict=True) if reader.max() < 2]
    frame = _FRAME_HEADS + (_CROSS if ranker.cross is not None and ranker.cross.num_tables > 1 else ())
    return own + [parameter for name, parameter in ranker.named_parameters() if name.startswith(frame)]


def _drawn(like: Tensor, draws: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=draws).to(like)


def _readers(parameters: list[Tensor], read_BKH: Tensor, cotangent_BKH: Tensor) -> list[Tensor]:
    """Of each number of the parameters, how many objectives' towers read what it changes."""
    readers = [torch.zeros_like(parameter) for parameter in parameters]
    for k in range(read_BKH.shape[1]):
        own = torch.autograd.grad(read_BKH[:, k], parameters, cotangent_BKH[:, k], retain_graph=True, allow_unused=True)
        for reader, gradient in zip(readers, own, strict=True):
            if gradient is not None:
                reader += gradient != 0
    return readers


def balanced_backward(
    losses_K: Tensor,
    output: Output,
    heads: Sequence[nn.Parameter],
    trunk: Sequence[nn.Parameter],
    *,
    preferences_K: Tensor,
    weights_K: Tensor,
) -> None:
    """Leaves the gradients of a gradient method.

    The trunk, embedding tables included, gets Σ w_k ∇L_k in one pass, along the paths around the shared tensor too; the heads get their
    own losses' gradients by `preferences_K` (the objectives' `loss_weight`), so that a head learns where its weight is 0. Both get the
    penalty's.
    """
    total = (preferences_K * losses_K).sum() + output.penalty
    own = torch.autograd.grad(total, heads, retain_graph=True, allow_unused=True)
    ((weights_K * losses_K).sum() + output.penalty).backward(inputs=list(trunk))  # type: ignore[no-untyped-call]
    for parameter, gradient in zip(heads, own, strict=True):
        parameter.grad = gradient
