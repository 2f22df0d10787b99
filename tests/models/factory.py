"""Random layouts, batches and labels for tests of models."""

import torch

from recsys.config import Model
from recsys.encoding.layout import Batch, Layout, Slot
from recsys.objectives import Objective

KINDS = ("binary", "watch_time", "regression", "binary")


def objectives(kinds=KINDS):
    """One of each kind given; of several the last is of the satisfaction group, which never sees the position."""
    groups = ["engagement", *["engagement"] * (len(kinds) - 2), *["satisfaction"] * (len(kinds) > 1)]
    return tuple(Objective(name=f"o{k}", kind=kind, group=groups[k], label="x") for k, kind in enumerate(kinds))


def layout(num_objectives=4, *, history_length=5, positions=4, devices=2):
    """3 numbers, 2 single slots around one of 3 values, histories of a single and a double slot and 2 signals; 30 rows."""
    return Layout(
        dense=("a", "b", "c"),
        slots=(
            Slot(feature="item.one", space="item.one", start=0, width=1),
            Slot(feature="item.tags", space="item.tags", start=1, width=3),
            Slot(feature="user.two", space="user.two", start=4, width=1),
        ),
        history_length=history_length,
        history_slots=(
            Slot(feature="history.item.tags", space="item.tags", start=0, width=2),
            Slot(feature="history.item.one", space="item.one", start=2, width=1),
        )
        if history_length
        else (),
        history_signals=("click", "age") if history_length else (),
        num_rows=30,
        unknown_rows={"item.one": 1, "item.tags": 2, "user.two": 3},
        positions=positions,
        devices=devices,
        objectives=tuple(f"o{k}" for k in range(num_objectives)),
    )


def batch(shape: Layout, rows: int, seed: int = 0, kinds=KINDS) -> Batch:
    """Every value random; ragged cells and histories (empty ones too), a fifth of the labels not observed."""
    generator = torch.Generator().manual_seed(seed)

    def integers(high, *size):
        return torch.randint(high, size, generator=generator)

    slot_columns = sum(slot.width for slot in shape.slots)
    past_columns = sum(slot.width for slot in shape.history_slots)
    lengths = integers(shape.history_length + 1, rows)
    there = torch.arange(shape.history_length) < lengths[:, None]
    row_ids = integers(shape.num_rows, rows, slot_columns)
    return Batch(
        dense=torch.randn(rows, len(shape.dense), generator=generator),
        rows=row_ids,
        history_rows=integers(shape.num_rows, rows, shape.history_length, past_columns) * there[..., None],
        history_signals=torch.randn(rows, shape.history_length, len(shape.history_signals), generator=generator) * there[..., None],
        history_length=lengths,
        bias=torch.stack([integers(shape.positions + 1, rows), integers(shape.devices + 1, rows)], dim=1),
        labels=_labels(rows, kinds, generator),
    )


def _labels(rows, kinds, generator):
    noise = torch.randn(rows, len(kinds), generator=generator)
    by_kind = {"binary": (noise > 0.5).float(), "watch_time": noise.exp(), "regression": 3 * noise + 1}
    labels = torch.stack([by_kind[kind][:, k] for k, kind in enumerate(kinds)], dim=1)
    return labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.2, float("nan"))


def double(example: Batch) -> Batch:
    return Batch(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in example))


def options(**changes) -> Model:
    """A small model without dropout of any sort."""
    small = {
        "d_embedding": 4,
        "d_shared": 16,
        "d_tower": 8,
        "d_attention": 4,
        "cross_rank": 4,
        "dropout": 0.0,
        "position_dropout": 0.0,
        "single_task": {"hidden": (8,)},
        "shared_bottom": {"hidden": (16,)},
        "mmoe": {"num_experts": 3, "hidden": (8, 8), "expert_dropout": 0.0},
    }
    return Model.model_validate(small | changes)
