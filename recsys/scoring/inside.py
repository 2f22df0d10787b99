"""The contents of inside.json, which describes a trained model: its size, what its architecture does, the position bias it learned."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recsys.config import Pipeline
from recsys.encoding import Encoder
from recsys.encoding.layout import Batch
from recsys.models import multiplications, parameters
from recsys.scoring.devices import Compute
from recsys.scoring.mean_looks import columns_of, described
from recsys.scoring.member import Member

# Legend: K objectives, P positions, V devices.


def inside(
    pipeline: Pipeline,
    encoder: Encoder,
    members: Sequence[Member],
    *,
    one: Batch,
    kept: Sequence[Mapping[str, Tensor]],
    passes: Sequence[Mapping[str, int]],
    compute: Compute,
    pace: Mapping[str, float],
) -> dict[str, Any]:
    """Return the description. Multiplications per row and parameters are sums over the members; looks and position bias are means.

    `members` are in evaluation mode. `one` is a batch of one row. `kept` holds what each member's choosing phase left (`State.kept`),
    `passes` each member's passes per objective. `pace` holds the numbers of the training: rows, batch size, passes, learning rate.
    """
    sizes = [parameters(member.ranker) for member in members]
    of_losses = sum(parameter.numel() for member in members for parameter in member.losses.parameters())
    return {
        "architecture": pipeline.model.architecture,
        "members": len(members),
        "multiplications": sum(multiplications(member.ranker, one) for member in members),
        "parameters": {"dense": sum(size.dense for size in sizes) + of_losses, "embedding": sum(size.embedding for size in sizes)},
        "looks": described(kept, columns_of(members[0].ranker, one), pipeline.objective),
        "position_bias": position_bias(pipeline, encoder, members),
        "passes_chosen": [dict(of_member) for of_member in passes],
        "pace": dict(pace),
        "precision": compute.precision,
        "device": device_name(compute),
    }


def position_bias(pipeline: Pipeline, encoder: Encoder, members: Sequence[Member]) -> list[dict[str, Any]]:
    """Return the logit that each position and device adds to each objective that sees the position; empty without a bias tower.

    Positions are the log's own numbers. Null stands for a missing position or device.
    """
    towers = [tower for member in members if (tower := member.ranker.bias_tower) is not None]
    if not towers:
        return []
    curve_PVK = torch.stack([tower.curve() for tower in towers]).mean(0).tolist()
    positions = [None, *range(encoder.bias.first_position, encoder.bias.first_position + encoder.bias.positions)]
    devices = [None, *encoder.bias.devices]
    return [
        {"objective": objective.name, "device": device, "position": position, "logit": curve_PVK[p][v][k]}
        for k, objective in enumerate(pipeline.objective)
        if objective.sees_position
        for v, device in enumerate(devices)
        for p, position in enumerate(positions)
    ]


def device_name(compute: Compute) -> str:
    return torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else "cpu"
