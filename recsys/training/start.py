"""The states of a member: at its start, as a checkpoint left it, and with tables that have grown."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys import balancing
from recsys.encoding import Period
from recsys.errors import ConfigError
from recsys.models import TableStart
from recsys.scoring.member import Member, empty_member, new_member, seed_of
from recsys.spread import own_rows
from recsys.training.averaging import Average
from recsys.training.checkpoint import Saved
from recsys.training.constants import constant_days, labels_that_count, rarer
from recsys.training.freezing import Held
from recsys.training.memory import require_memory
from recsys.training.rounds import Phase, learned
from recsys.training.state import Choice, Place, State, is_of_rows, optimisers
from recsys.training.work import Work, batch_of_one

# Legend: K objectives, T tables, R rows of a table.


def fresh_state(work: Work, index: int, phase: Phase) -> State:
    """Return a member at the start of a phase: constants from the phase's labels, weights and random state from the seed.

    Only the first member says what the losses find odd in the labels, so that it is said once.
    """
    torch.manual_seed(seed_of(work.pipeline, index))
    days = constant_days(work.warm, _counting(work)) if work.continues else work.days_of(phase)
    member = new_member(work.pipeline, work.open_learned(days), index, work.holders)
    if index == 0 and phase == "choose":
        for warning in member.losses.warnings:
            work.console.say(f"train: {warning}")
    held = _held(work, member, index)
    if held is not None and index == 0 and phase == "choose":
        for line in held.said:
            work.console.say(line)
    state = _state(work, member, Place(member=index, phase=phase), held)
    _require_shared(work, state)
    return state


def _counting(work: Work) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """Return a function from first days to [K], the numbers of labels (`rarer`) that are known once these days have been learned.

    Each day is read once per date up to which its labels are known.
    """

    @cache
    def of_day(day: str, until: int) -> NDArray[np.float64]:
        return rarer(labels_that_count(work.open([day], [Period(until=until)])), work.pipeline.objective)

    def of_days(days: Sequence[str]) -> NDArray[np.float64]:
        total_K = np.zeros(len(work.pipeline.objective))
        for day, known in zip(days, learned(work.pipeline.train, days, work.following), strict=True):
            all_known = max(work.arrivals[day], default=0) + 1
            total_K += of_day(day, all_known if known.until is None else min(known.until, all_known))
        return total_K

    return of_days


def _require_shared(work: Work, state: State) -> None:
    """Raise ConfigError where the balancing method acts on what the objectives share, but that is the inputs, and none of it is learned."""
    if state.balancer.acts_on == "losses":
        return
    shared = state.member.ranker.eval()(batch_of_one(work).to(str(work.compute.device)), position="missing").shared
    state.member.train()
    assert shared is not None, "a TOML with such a method and nothing shared is refused"
    if not shared.requires_grad:
        raise ConfigError(
            f'balance.method: found "{work.pipeline.balance.method}", which combines gradients at what the objectives share, with'
            f' model.architecture = "{work.pipeline.model.architecture}", where they share nothing that is learned.'
            ' Fix: another architecture, or "fixed"'
        )


def restored_state(work: Work, saved: Saved) -> State:
    """Return a member exactly as the checkpoint left it."""
    place = Place(**saved.facts["place"])
    state = _empty_state(work.knowing(place.values), place)
    state.restore(saved)
    return state


def grown_state(work: Work, state: State, day: str) -> State:
    """Return a member whose tables also have rows for the values that this day has made frequent enough. All else is as it was."""
    there = work.knowing(day)
    state.place.values = day
    known = state.member.ranker.inputs.num_rows
    if there.layout.num_rows == known:
        return state
    require_memory(there)
    grown = _empty_state(there, state.place, drawn=True)
    were, now = (each.member.ranker.tables for each in (state, grown))
    state.watch.read()
    tensors, at_start = state.own_tensors(), grown.own_tensors()
    for name, tensor in tensors.items():
        if is_of_rows(name) and name in at_start:
            if were.holders != now.holders:  # only now so large that they are spread
                tensor = own_rows(tensor, now.num_tables, now.holders)
            _set_first_rows(at_start[name], tensor, now.num_tables)
            tensors[name] = at_start[name]
    grown.load(tensors, state.facts())
    return grown


def _set_first_rows(grown: Tensor, tensor: Tensor, tables: int) -> None:
    """Give T tables as they start, one after another, the numbers that their first rows have had so far."""
    rows, known = (torch.unflatten(each.detach(), 0, (tables, -1)) for each in (grown, tensor))
    rows[:, : known.shape[1]] = known


def _empty_state(work: Work, place: Place, *, drawn: bool = False) -> State:
    """Return a member of the right shape, to load a saved state into. Its tables are drawn as they start, or hold any numbers."""
    member = empty_member(work.pipeline, work.layout, place.member, TableStart(work.holders, None if drawn else "cpu"))
    return _state(work, member, place, _held(work, member, place.member))


def _held(work: Work, member: Member, index: int) -> Held | None:
    """Give the member its start from another run; return None where there is no such run.

    For a restored member only the frozen parameters matter here. They are the same again.
    """
    return None if work.transfer is None else work.transfer.start(member, index, batch_of_one(work))


def _state(work: Work, member: Member, place: Place, held: Held | None) -> State:
    device = work.compute.device
    member.to(device)
    balancer = balancing.build(work.pipeline.balance, work.pipeline.objective).to(device)
    dense, tables = optimisers(member, work.pipeline.train, work.pace.learning_rate, held.whole(member.ranker) if held else ())
    if held is not None:
        held.hold(member.ranker, dense)
    average = Average(member) if work.averages else None
    window_4K = torch.zeros(4, len(work.pipeline.objective), dtype=torch.float64, device=device)
    choices = [Choice() for _ in work.groups]
    return State(member, balancer, dense, tables, place, choices, average=average, window_4K=window_4K, teacher=work.teacher)
