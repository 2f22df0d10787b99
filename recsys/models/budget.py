"""Widths for a stated cost, so that architectures are compared at equal multiplications (Zhao et al., RecSys 2019, Table 1)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from recsys.config import Model
from recsys.encoding import packing
from recsys.encoding.layout import Batch, Layout
from recsys.errors import ConfigError
from recsys.models.architecture import Architecture
from recsys.models.cost import multiplications
from recsys.models.ranker import Ranker
from recsys.objectives import Objective

# The options of an architecture's own table that are widths. Counts (of experts, of levels) stay: another count makes another net.
WIDTHS = ("hidden", "task_hidden", "d_mask", "d_gate", "feature_rank")

_HALVINGS = 40  # of the factor's interval: after these, both ends give the same widths


def sized(options: Model, layout: Layout, objectives: Sequence[Objective], *, architecture: type[Architecture], seed: int = 0) -> Model:
    """Return the same model with its widths scaled so that it costs as close below `budget_macs` as whole widths allow.

    One factor scales `d_shared` and the widths of the architecture. The rest of the budget then goes to single widths. Inputs, cross layer
    and towers are alike for all architectures and stay as they are. Each of several members gets its part of the budget, and all have the
    same widths. `seed` is the first member's seed; each next member's seed is one more.
    The returned model has no budget any more. Raise ConfigError where even the narrowest net costs more than the budget.
    """
    if options.budget_macs is None:
        return options
    members = _members(options)
    budget = options.budget_macs // members
    widths = _Widths.of(options)
    shape = layout.model_copy(update={"num_rows": 1})  # an embedding table costs no multiplication, but takes time to draw
    row, starts_K = _row_of_zeros(layout), torch.zeros(len(objectives))

    # A member's seed chooses its inputs: more or fewer of those that have bins, and of those that an architecture reads separately.
    seeds = range(seed, seed + members) if options.input_share < 1 else [seed]

    @cache
    def cost(sizes: tuple[int, ...]) -> int:
        scaled = widths.put(options, sizes)
        return max(multiplications(Ranker(scaled, shape, objectives, starts_K, each, architecture=architecture), row) for each in seeds)

    least = cost(widths.scaled(0.0))
    if least > budget:
        raise ConfigError(_too_little(options, least))
    return widths.put(options, _filled(widths, _scaled(widths, cost, budget), cost, budget))


@dataclass(frozen=True)
class _Widths:
    """The widths that are scaled, in order: the shared hidden layer's, if there is one, then those of the architecture's own layers."""

    places: tuple[tuple[str, int | None], ...]  # in the architecture's own table: the option, and the place in it where it is a list
    shared: bool
    sizes: tuple[int, ...]
    step: int  # the architecture's own widths are multiples of it

    @classmethod
    def of(cls, options: Model) -> "_Widths":
        own = getattr(options, options.architecture)
        places: list[tuple[str, int | None]] = []
        sizes = [options.d_shared] if options.d_shared else []
        for name in WIDTHS:
            value: int | tuple[int, ...] = getattr(own, name, ())
            if isinstance(value, tuple):
                places += [(name, place) for place in range(len(value))]
                sizes += value
            else:
                places.append((name, None))
                sizes.append(value)
        return cls(tuple(places), options.d_shared > 0, tuple(sizes), step=getattr(own, "subspaces", 1))

    def _steps(self) -> list[int]:
        return [1] * self.shared + [self.step] * len(self.places)

    def scaled(self, factor: float) -> tuple[int, ...]:
        return tuple(max(1, int(size * factor / step)) * step for size, step in zip(self.sizes, self._steps(), strict=True))

    def one_more(self, sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Yield the sizes with one width raised by one step, for each width in turn."""
        for place, step in enumerate(self._steps()):
            yield (*sizes[:place], sizes[place] + step, *sizes[place + 1 :])

    def put(self, options: Model, sizes: tuple[int, ...]) -> Model:
        """Return the options with these widths and no budget."""
        own: dict[str, Any] = {}
        for (name, place), size in zip(self.places, sizes[self.shared :], strict=True):
            own[name] = size if place is None else (*own.get(name, ()), size)
        changes: dict[str, Any] = {"budget_macs": None, options.architecture: getattr(options, options.architecture).model_copy(update=own)}
        return options.model_copy(update=changes | ({"d_shared": sizes[0]} if self.shared else {}))


def _scaled(widths: _Widths, cost: Callable[[tuple[int, ...]], int], budget: int) -> tuple[int, ...]:
    """Return the widths of the largest common factor that is within the budget; bisection finds it."""
    low, high = 0.0, 1.0
    while cost(widths.scaled(high)) <= budget:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if cost(widths.scaled(middle)) > budget else (middle, high)
    return widths.scaled(low)


def _filled(widths: _Widths, sizes: tuple[int, ...], cost: Callable[[tuple[int, ...]], int], budget: int) -> tuple[int, ...]:
    """Widen one width by a step, each time the most expensive step that the budget still holds, as long as there is one."""
    while fitting := [more for more in widths.one_more(sizes) if cost(sizes) < cost(more) <= budget]:
        sizes = max(fitting, key=cost)
    return sizes


def _row_of_zeros(layout: Layout) -> Batch:
    """Return a row of zeros. It costs what any row costs."""
    length = layout.history_length
    return Batch(
        dense=torch.zeros(1, len(layout.dense)),
        rows=torch.zeros(1, packing.width(layout.slots), dtype=torch.int64),
        history_rows=torch.zeros(1, length, packing.width(layout.history_slots), dtype=torch.int64),
        history_signals=torch.zeros(1, length, len(layout.history_signals)),
        history_length=torch.zeros(1, dtype=torch.int64),
        bias=torch.zeros(1, 2, dtype=torch.int64),
        labels=torch.zeros(1, len(layout.objectives)),
        durations=torch.zeros(1, len(layout.durations)),
        weights=torch.ones(1),
    )


def _members(options: Model) -> int:
    """Return the number of members that share the budget. Where it is still "auto", the model is one net by itself."""
    return 1 if options.members == "auto" else options.members


def _too_little(options: Model, least: int) -> str:
    members = _members(options)
    of_each = f" ({members} ensemble members of {least:,})" if members > 1 else ""
    return (
        f"model.budget_macs: found {options.budget_macs:,}, expected at least {least * members:,}{of_each}, which"
        f" {options.architecture} takes at its narrowest. Fix: raise it, or lower what it does not scale: model.cross_rank, d_tower,"
        " d_attention"
    )
