"""A member: one net of a model with the losses it was trained by. Members are saved, loaded and asked for predictions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys.config import Learning
from recsys.encoding import EncodedDays
from recsys.encoding.layout import Batch, Layout
from recsys.losses import ObjectiveLosses
from recsys.models import DRAWN, Look, Position, Ranker, TableStart, build
from recsys.models.ranker import TABLE
from recsys.objectives import durations
from recsys.process_group import ALONE, ProcessGroup
from recsys.scoring.devices import Compute, placed
from recsys.scoring.mean_looks import MeanLooks

# Legend: N rows, K objectives, A durations, V values of a row (predictions.value_names).

PREDICTION_ROWS = 8192  # rows of a batch without gradients


class Member(nn.Module):
    """A ranker and its losses, which know the units of the outputs. A model predicts the mean of its members' expected values."""

    def __init__(self, ranker: Ranker, losses: ObjectiveLosses) -> None:
        super().__init__()
        self.ranker = ranker
        self.losses = losses


@dataclass(frozen=True)
class Outputs:
    """A member's raw outputs on rows in their order, the durations of the rows, and the mean looks of the architecture."""

    raw_NK: Tensor
    durations_NA: Tensor
    looks: Mapping[str, Look]


def new_member(pipeline: Learning, days: EncodedDays, index: int, holders: ProcessGroup = ALONE) -> Member:
    """Build a member at its start: constants of the losses and output biases from the labels of these days, weights from the seed.

    Large embedding tables are spread over the `holders`.
    """
    losses = ObjectiveLosses.fit(pipeline.objective, days.labels(), days.durations(), days.weights())
    return _member(pipeline, days.layout, losses, index, TableStart(holders))


def empty_member(pipeline: Learning, layout: Layout, index: int, tables_start: TableStart = DRAWN) -> Member:
    """Build a member of the same shape, to load a saved state into."""
    return _member(pipeline, layout, ObjectiveLosses(pipeline.objective), index, tables_start)


def loaded_member(pipeline: Learning, layout: Layout, index: int, tensors: Mapping[str, Tensor]) -> Member:
    """Return a saved member, in evaluation mode. It takes the given embedding tables as they are, which may be a file's own memory."""
    member = empty_member(pipeline, layout, index, TableStart(device="meta"))
    own = {name: tensor if name == f"ranker.{TABLE}" else tensor.clone() for name, tensor in tensors.items()}
    member.load_state_dict(own, assign=True)
    for table in member.ranker.embedding_parameters():
        table.requires_grad_(False)  # memory of a file that is only read
    return member.eval()


def _member(pipeline: Learning, layout: Layout, losses: ObjectiveLosses, index: int, tables_start: TableStart) -> Member:
    return Member(build(pipeline.model, layout, pipeline.objective, losses.start_K, seed_of(pipeline, index), tables_start), losses)


def seed_of(pipeline: Learning, index: int) -> int:
    """Return the seed of a member. Members differ by their seed alone."""
    return pipeline.seed + index


def sees_position(pipeline: Learning, layout: Layout) -> bool:
    """Return whether any prediction depends on the position, so that ranking needs predictions with the position missing."""
    return layout.positions > 0 and any(pipeline.follows_position)


@torch.no_grad()
def predict(
    member: Member, batches: Iterable[Batch], *, position: Position, compute: Compute, between: Callable[[], None] | None = None
) -> Outputs:
    """Compute the outputs in evaluation mode, on the CPU in float32. Call `between` after each batch. The mode is left as it was.

    Where processes compute together, `batches` are this one's rows of batches of `PREDICTION_ROWS`, and the outputs are those of all rows.
    """
    was_training = member.training
    member.eval()
    objectives, looks = member.losses.objectives, MeanLooks()
    raw, lengths = [torch.empty(0, len(objectives))], [torch.empty(0, len(durations(objectives)))]
    try:
        for batch in placed(batches, compute.device):
            with compute.autocast():
                output = member.ranker.predict(batch, position=position)
            raw.append(output.outputs_BK.float().cpu())
            lengths.append(batch.durations.cpu())
            looks.add(output.show, len(batch.labels))
            if between is not None:
                between()
    finally:
        member.train(was_training)
    return _of_all_rows(torch.cat(raw), torch.cat(lengths), looks, compute.group)


def _of_all_rows(raw: Tensor, lengths: Tensor, looks: MeanLooks, group: ProcessGroup) -> Outputs:
    rows = group.total_rows(len(raw))
    in_order = partial(group.rows_in_order, rows=rows, batch_size=PREDICTION_ROWS)
    return Outputs(in_order(raw), in_order(lengths), looks.means(group))


@torch.no_grad()
def values(member: Member, outputs: Outputs) -> NDArray[np.float64]:
    """Return [N, V] in the order of `predictions.value_names`."""
    device = member.losses.start_K.device
    values_NV: NDArray[np.float64] = member.losses.values(outputs.raw_NK.to(device), outputs.durations_NA.to(device)).cpu().numpy()
    return values_NV
