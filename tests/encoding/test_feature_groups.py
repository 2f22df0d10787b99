"""Groups of features: every input in one of them, and a permuted group carries all of a row's values and nothing else."""

import numpy as np
import pytest

from recsys.encoding import Layout, Slot, feature_groups
from recsys.encoding.packing import Packed

LAYOUT = Layout(
    dense=(
        "user.age",
        "item.seconds",
        "context.hour",
        "agg.user_id.click.7",
        "agg.user_id+topic.click.7",
        "agg.item_id.age",
        "agg.topic.click.1",
        "agg.topic.x.click.1",
        "agg.user_id.click.today",
        "agg.topic.recency?",
        "agg.user_id.count.today?",
        "agg.user_id+item_id.click.factors",
        "agg.topic.click.24h",
        "agg.topic.count.24h?",
        "agg.topic.24h.7",
    ),
    quantiles=((),) * 15,
    slots=(
        Slot(feature="item.tags", space="item.tags", start=0, width=2),
        Slot(feature="query.topic", space="item.topic", start=2, width=1),
        Slot(feature="id.user_id", space="user_id", start=3, width=1),
        Slot(feature="user.country", space="user.country", start=4, width=1),
    ),
    history_length=3,
    history_slots=(Slot(feature="history.item.tags", space="item.tags", start=0, width=2),),
    history_signals=("history.click",),
    num_rows=50,
    unknown_rows={},
    positions=5,
    devices=2,
    objectives=("click",),
    durations=("item.seconds",),
)
ENTITIES = [["topic"], ["user_id", "topic"], ["topic.x"]]


def rows_of(layout: Layout, rows: int, rng: np.random.Generator) -> Packed:
    """Every number another one."""

    def made(*shape: int, kind: type = np.int32) -> np.ndarray:
        return rng.permutation(rows * int(np.prod(shape, dtype=int))).reshape(rows, *shape).astype(kind)

    history = layout.history_length
    return Packed(
        dense=made(len(layout.dense), kind=np.float32),
        rows=made(5),
        history_rows=made(history, 2),
        history_signals=made(history, 1, kind=np.float32),
        history_length=made(),
        bias=made(2),
        labels=made(1, kind=np.float32),
        durations=made(1, kind=np.float32),
        weights=made(kind=np.float32),
        known=made(1),
    )


def test_every_input_is_in_the_group_that_a_person_would_look_for_it_in() -> None:
    found = {group.name: group.columns for group in feature_groups(LAYOUT, ENTITIES)}
    assert found == {
        "user": {"dense": [0], "rows": [4]},
        "item": {"dense": [1], "rows": [0, 1], "durations": [0]},
        "context": {"dense": [2]},
        "agg.user_id": {"dense": [3]},
        "agg.user_id+topic": {"dense": [4]},
        "agg.item_id": {"dense": [5]},
        "agg.topic": {"dense": [6, 9, 14]},
        "agg.topic.x": {"dense": [7]},
        "today": {"dense": [8, 10]},
        "factors": {"dense": [11]},
        "hours": {"dense": [12, 13]},
        "query": {"rows": [2]},
        "ids": {"rows": [3]},
        "history": {"history_rows": None, "history_signals": None, "history_length": None},
        "bias.position": {"bias": [0]},
        "bias.device": {"bias": [1]},
    }


def test_all_groups_one_after_another_permute_whole_rows_but_for_labels_and_weights(rng: np.random.Generator) -> None:
    packed, order_N = rows_of(LAYOUT, 20, rng), rng.permutation(20)
    before = Packed._make(values.copy() for values in packed)
    permuted = packed
    for group in feature_groups(LAYOUT, ENTITIES):
        permuted = group.permuted(permuted, order_N)
    for name in Packed._fields:
        expected = getattr(before, name) if name in ("labels", "weights", "known") else getattr(before, name)[order_N]
        assert np.array_equal(getattr(permuted, name), expected), name
        assert np.array_equal(getattr(packed, name), getattr(before, name)), f"{name} was written into"


@pytest.mark.parametrize("name", ["agg.topic", "item", "history", "bias.position"])
def test_a_permuted_group_leaves_all_others(name: str, rng: np.random.Generator) -> None:
    packed, order_N = rows_of(LAYOUT, 20, rng), rng.permutation(20)
    (group,) = [group for group in feature_groups(LAYOUT, ENTITIES) if group.name == name]
    permuted = group.permuted(packed, order_N)
    for array in Packed._fields:
        values, changed = getattr(packed, array), getattr(permuted, array)
        if array not in group.columns:
            assert changed is values
            continue
        columns = group.columns[array]
        moved = np.isin(np.arange(values.shape[1]), columns) if columns is not None else None
        expected = values[order_N] if moved is None else np.where(moved, values[order_N], values)
        assert np.array_equal(changed, expected)


def test_what_a_model_does_not_have_is_no_group() -> None:
    bare = LAYOUT.model_copy(update={"history_length": 0, "history_slots": (), "history_signals": (), "positions": 0, "slots": ()})
    names = {group.name for group in feature_groups(bare, ENTITIES)}
    assert not names & {"history", "bias.position", "query", "ids"}
    assert "bias.device" in names
