"""One net of a model with the losses it was trained by: what is saved, loaded and asked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.config import Pipeline
from recsys.encoding.layout import Batch, Layout
from recsys.losses import ObjectiveLosses
from recsys.models import Position, Ranker, build
from recsys.training.devices import Compute, placed

# Legend: N rows, K objectives, E experts.

PREDICTION_ROWS = 8192  # of a batch without gradients


class Member(nn.Module):
    """A ranker and the losses that know its outputs' units. A model is the mean of its members' expected values."""

    def __init__(self, ranker: Ranker, losses: ObjectiveLosses) -> None:
        super().__init__()
        self.ranker = ranker
        self.losses = losses


@dataclass(frozen=True)
class Outputs:
    """A member's raw outputs on rows in their order, and the mean share of each expert per objective where there are gates."""

    raw_NK: Tensor
    gates_KE: Tensor | None


def new_member(pipeline: Pipeline, layout: Layout, labels_NK: NDArray[np.float32], index: int) -> Member:
    """A member at its start: constants of the losses and output biases from the training labels, weights from the seed."""
    return _member(pipeline, layout, ObjectiveLosses.fit(pipeline.objective, labels_NK), index)


def empty_member(pipeline: Pipeline, layout: Layout, index: int) -> Member:
    """A member of the same shape, to load a saved state into."""
    return _member(pipeline, layout, ObjectiveLosses(pipeline.objective), index)


def _member(pipeline: Pipeline, layout: Layout, losses: ObjectiveLosses, index: int) -> Member:
    return Member(build(pipeline.model, layout, pipeline.objective, losses.start_K, seed_of(pipeline, index)), losses)


def seed_of(pipeline: Pipeline, index: int) -> int:
    """Members differ by their seed alone."""
    return pipeline.seed + index


def sees_position(pipeline: Pipeline, layout: Layout) -> bool:
    """Whether the model's outputs depend on the position, so that ranking needs predictions with the position missing."""
    match pipeline.model.position:
        case "blind":
            return False
        case "tower":
            return layout.positions > 0 and any(objective.sees_position for objective in pipeline.objective)
        case "input":
            return layout.positions > 0


@torch.no_grad()
def predict(
    member: Member, batches: Iterable[Batch], *, position: Position, compute: Compute, between: Callable[[], None] | None = None
) -> Outputs:
    """The outputs in evaluation mode, on the CPU in float32. `between` is called after each batch; the mode is left as it was."""
    was_training = member.training
    member.eval()
    raw, gates_KE, rows = [torch.empty(0, len(member.losses.start_K))], None, 0
    try:
        for batch in placed(batches, compute.device):
            with compute.autocast():
                output = member.ranker(batch, position=position)
            raw.append(output.outputs_BK.float().cpu())
            if "gates" in output.show:
                part_KE = output.show["gates"].double().sum(0).cpu()
                gates_KE = part_KE if gates_KE is None else gates_KE + part_KE
            rows += len(batch.labels)
            if between is not None:
                between()
    finally:
        member.train(was_training)
    return Outputs(torch.cat(raw), None if gates_KE is None else gates_KE / rows)


def values(member: Member, raw_NK: Tensor) -> NDArray[np.float64]:
    """Expected values in the labels' own units: probabilities, or means."""
    with torch.no_grad():
        device = member.losses.start_K.device
        expected_NK: NDArray[np.float64] = member.losses.values(raw_NK.to(device)).cpu().numpy()
    return expected_NK
