"""Objectives that learn apart. Where objectives share nothing, early stopping chooses a pass for each group of objectives separately.

The parameters of each group are kept as they were at the group's best pass. Such a model is K models trained at once. One pass chosen for
all would suit only some of them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys.losses import Loss
from recsys.models import ARCHITECTURES
from recsys.objectives import Objective, chain
from recsys.scoring.member import Member

Group = tuple[int, ...]  # places of the objectives that learn together


def groups(architecture: str, objectives: Sequence[Objective]) -> tuple[Group, ...]:
    """Return the groups of objectives that learn together: all objectives in one group, unless nothing is shared.

    Where nothing is shared, objectives whose chains of `given` end in the same objective form one group: the loss of a chain is that of one
    product.
    """
    if not ARCHITECTURES[architecture].shares_nothing:
        return (tuple(range(len(objectives))),)
    heads = [chain(objective, objectives)[-1].name for objective in objectives]
    return tuple(tuple(k for k, found in enumerate(heads) if found == head) for head in dict.fromkeys(heads))


@torch.no_grad()
def take(best: dict[str, Tensor], member: Member, group: Group) -> None:
    """Copy the parameters of a group of objectives into `best`, a state of the member on the CPU. The first time, copy the whole state."""
    if not best:
        best.update({name: tensor.detach().cpu().clone() for name, tensor in member.state_dict().items()})
        return
    if len(group) == len(member.losses.objectives):
        for name, tensor in member.state_dict().items():
            best[name].copy_(tensor)  # in its place: tables are large
        return
    for name, parameter in member.named_parameters():
        axis, owners = _owners(member, name)
        places = torch.tensor([place for place, k in enumerate(owners) if k in group], dtype=torch.int64)
        kept, now = (torch.unflatten(tensor, axis, (len(owners), -1)) for tensor in (best[name], parameter.detach().cpu()))
        kept.index_copy_(axis, places, now.index_select(axis, places))


def _owners(member: Member, name: str) -> tuple[int, Sequence[int]]:
    """Return the axis along which a parameter consists of equal blocks of one objective each, and the place of each block's objective."""
    objectives = member.losses.objectives
    part, _, inner = name.partition(".")
    if part == "losses":
        loss = member.get_submodule(name.rpartition(".")[0])
        assert isinstance(loss, Loss), f"{name}: found no loss that it belongs to"
        return 0, [objectives.index(objective) for objective in loss.objectives]
    outermost = [word.split(".")[0] for word in member.ranker.words(inner)]
    assert "k" in outermost, f"{name}: found no axis of objectives where nothing is shared"
    return outermost.index("k"), range(len(objectives))
