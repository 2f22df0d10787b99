"""Random layouts, batches, labels and small models for tests."""

import pytest
import torch

from recsys.config import Model
from recsys.encoding.layout import NUM_QUANTILES, Batch, Layout, Slot
from recsys.models import Setting
from recsys.objectives import Objective

KINDS = ("binary", "watch_time", "regression", "binary")
LEVELS = (1.0, 2.0, 3.0, 4.0)

# A word an objective. `binary|2` is a binary one given the objective in place 2.
WORDS = {
    "binary": {},
    "regression": {"kind": "regression"},
    "huber": {"kind": "regression", "loss": "huber"},
    "watch_time": {"kind": "watch_time", "method": "log_squared"},
    "distribution": {"kind": "watch_time"},
    "weighted_logistic": {"kind": "watch_time", "method": "weighted_logistic"},
    "by_length": {"kind": "watch_time", "duration": "length"},
    "d2q": {"kind": "watch_time", "method": "d2q", "duration": "length"},
    "ordinal": {"kind": "ordinal", "levels": LEVELS},
}


def objectives(kinds=KINDS):
    """o0, o1, …, of the kinds given; of several the last is of the satisfaction group, which never sees the position."""
    last = len(kinds) - 1
    return tuple(
        Objective(name=f"o{k}", group="satisfaction" if 0 < k == last else "engagement", label="x", **_of_word(word))
        for k, word in enumerate(kinds)
    )


def _of_word(word):
    kind, _, given = word.partition("|")
    return WORDS[kind] | ({"given": f"o{given}"} if given else {})


def layout(num_objectives=4, *, history_length=5, positions=4, devices=2):
    """3 numbers (2 with quantiles), 2 single slots around one of 3 values, histories of 2 slots and 2 signals, a length; 30 rows."""
    return Layout(
        dense=("a", "b", "c"),
        quantiles=(tuple(torch.linspace(-2, 2, NUM_QUANTILES).tolist()), tuple(torch.linspace(-1, 3, NUM_QUANTILES).tolist()), ()),
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
        durations=("item.length",),
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
        durations=(30 * torch.randn(rows, 1, generator=generator).exp()).masked_fill(integers(20, rows, 1) == 0, float("nan")),
        weights=0.5 + torch.rand(rows, generator=generator),
    )


def _labels(rows, kinds, generator):
    """A conditional label is joint: 0 wherever the one that it is given is 0, observed or not."""
    noise_KB = torch.randn(rows, len(kinds), generator=generator).T.contiguous()
    unobserved = torch.rand(rows, len(kinds), generator=generator) < 0.2
    labels_BK = torch.stack([_drawn(word.partition("|")[0], noise_KB[k]) for k, word in enumerate(kinds)], dim=1)
    labels_BK = labels_BK.masked_fill(unobserved, float("nan"))
    for k, word in enumerate(kinds):
        if given := word.partition("|")[2]:
            labels_BK[labels_BK[:, int(given)] == 0, k] = 0.0
    return labels_BK


def _drawn(kind, noise_B):
    """From standard normal noise, the label itself."""
    match kind:
        case "binary":
            return (noise_B > 0.5).float()
        case "ordinal":
            return torch.tensor(LEVELS)[torch.bucketize(noise_B, torch.tensor([-0.8, 0.0, 0.8]))]
        case "weighted_logistic":
            return noise_B.relu()  # most impressions are no watch
        case "watch_time" | "distribution" | "by_length" | "d2q":
            return noise_B.exp()
        case _:
            return 3 * noise_B + 1


def double(example: Batch) -> Batch:
    return Batch(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in example))


LIKE = {  # architectures whose layers another one has too
    "soft": "single_task",
    "gated_independent": "single_task",
    "concat_task": "film",
    "add_task": "film",
    "cross_stitch": "sluice",
    "omoe": "mmoe",
    "cgc": "ple",
    "stem": "ple",
}


def one_of_its_like(ways):
    """Cases of a test that takes long: those in `LIKE` run under the marker `words`."""
    return [pytest.param(way, marks=pytest.mark.words) if way in LIKE else way for way in ways]


SMALL = {
    "numeric_bins": 2,
    "d_embedding": 4,
    "d_shared": 16,
    "d_tower": 8,
    "d_attention": 4,
    "cross_rank": 4,
    "dropout": 0.0,
    "position_dropout": 0.0,
    "single_task": {"hidden": (8,)},
    "shared_bottom": {"hidden": (16,)},
    "soft": {"hidden": (8, 8)},
    "gated_independent": {"hidden": (8, 8)},
    "concat_task": {"hidden": (8, 8)},
    "add_task": {"hidden": (8, 8)},
    "film": {"hidden": (8, 8)},
    "cross_stitch": {"hidden": (8, 8)},
    "sluice": {"hidden": 8},
    "mtan": {"hidden": (8, 8), "d_mask": 4},
    "deep_relationship": {"hidden": (8,), "task_hidden": (8, 8)},
    "omoe": {"num_experts": 3, "hidden": (8,), "expert_dropout": 0.0},
    "mmoe": {"num_experts": 3, "hidden": (8, 8), "expert_dropout": 0.0},
    "cgc": {"hidden": (8,), "expert_dropout": 0.0},
    "ple": {"hidden": (8,), "expert_dropout": 0.0},
    "home": {"hidden": (8,), "feature_rank": 4, "expert_dropout": 0.0},
    "pepnet": {"hidden": (8,), "d_gate": 8},
    "stem": {"hidden": (8,), "expert_dropout": 0.0},
    "aitm": {"hidden": (8,)},
}


def options(**changes) -> Model:
    """A small model without dropout of any sort; a way's own table may be changed in part."""
    merged = {name: SMALL[name] | value if isinstance(value, dict) else value for name, value in changes.items()}
    return Model.model_validate(SMALL | merged)


def setting(kinds=KINDS, *, d_in=6, d_tower=4, dropout=0.0, **widths) -> Setting:
    """What an architecture is built for when it is tested by itself; outputs start from −1 to 1."""
    starts_K = torch.linspace(-1.0, 1.0, len(kinds))
    return Setting(d_in=d_in, d_tower=d_tower, dropout=dropout, objectives=objectives(kinds), starts_K=starts_K, **widths)
