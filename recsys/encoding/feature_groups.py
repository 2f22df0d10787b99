"""The inputs of a model in groups that people can name, and a batch of rows with one group shuffled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import schema
from recsys.encoding.layout import Layout
from recsys.encoding.packing import Packed

# Legend: N rows. `bias` holds two codes per row, in the order of _BIAS.

_BIAS = (schema.BIAS + schema.POSITION, schema.BIAS + schema.DEVICE)
_ALWAYS = ((schema.USER_ID,), (schema.ITEM_ID,))  # age and recency belong to these, whether counted or not
_HISTORY = ("history_rows", "history_signals", "history_length")


@dataclass(frozen=True)
class FeatureGroup:
    """The arrays of `Packed` that hold one group, and the group's columns in each array. None means the whole array."""

    name: str
    columns: dict[str, list[int] | None]

    def permuted(self, packed: Packed, order_N: NDArray[np.intp]) -> Packed:
        """Return the rows with this group's values taken from the rows `order_N`. All values of a row move together; all else stays."""
        return packed._replace(**{array: _replaced(getattr(packed, array), at, order_N) for array, at in self.columns.items()})


def feature_groups(layout: Layout, entities: Sequence[Sequence[str]]) -> tuple[FeatureGroup, ...]:
    """Put every input of the model into exactly one group.

    The groups are user, item, query, context, agg.ENTITY of each entity, today, hours, factors, history, ids, bias.position and
    bias.device. A group without columns is left out. A length that a kind of label needs is in the group of its own prefix.
    """
    counted = [schema.AGGREGATE + schema.TOGETHER.join(entity) for entity in (*_ALWAYS, *entities)]
    sides = [prefix.removesuffix(".") for prefix in (schema.USER, schema.ITEM, schema.QUERY, schema.CONTEXT)]
    prefixes = {f"{name}.": name for name in (*counted, *sides)} | {schema.ID: "ids"}
    found: dict[str, dict[str, list[int] | None]] = {}

    def add(feature: str, array: str, at: Sequence[int]) -> None:
        columns = found.setdefault(_group_of(feature, prefixes), {}).setdefault(array, [])
        assert columns is not None, f"{array} is taken whole by another group"
        columns.extend(at)

    for place, feature in enumerate(layout.dense):
        add(feature, "dense", [place])
    for slot in layout.slots:
        add(slot.feature, "rows", range(slot.start, slot.start + slot.width))
    for place, feature in enumerate(layout.durations):
        add(feature, "durations", [place])
    if layout.history_length:
        found[schema.HISTORY.removesuffix(".")] = dict.fromkeys(_HISTORY)
    for place, (feature, codes) in enumerate(zip(_BIAS, (layout.positions, layout.devices), strict=True)):
        if codes:
            found[feature] = {"bias": [place]}
    return tuple(FeatureGroup(name, columns) for name, columns in found.items())


def _group_of(feature: str, prefixes: dict[str, str]) -> str:
    """Return the group of the longest prefix that fits, because one entity's name may be the start of another's."""
    if feature.startswith(schema.AGGREGATE):
        window = feature.removesuffix("?").rpartition(".")[2]  # "?": missing-value indicator
        if window in (schema.TODAY, schema.FACTORS):
            return window
        if window.endswith(schema.HOURS) and window.removesuffix(schema.HOURS).isdecimal():
            return schema.LAST_HOURS
    fitting = [prefix for prefix in prefixes if feature.startswith(prefix)]
    assert fitting, f"{feature} belongs to no group"
    return prefixes[max(fitting, key=len)]


def _replaced(values: NDArray[Any], at: list[int] | None, order_N: NDArray[np.intp]) -> NDArray[Any]:
    if at is None:
        return values[order_N]
    replaced = values.copy()
    replaced[:, at] = values[:, at][order_N]
    return replaced
