"""The training of one member, from its start to the weights that are served: choose, keep the validation predictions, refit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys import balancing
from recsys.encoding import Period, steps_per_epoch
from recsys.errors import ConfigError
from recsys.scoring.member import Member, empty_member, new_member, seed_of
from recsys.training.apart import take
from recsys.training.averaging import Average
from recsys.training.checkpoint import Saved
from recsys.training.constants import constant_days, labels_that_count, rarer
from recsys.training.freezing import Held
from recsys.training.loop import Loop, run_round
from recsys.training.observe import fit_smearing, keep_predictions, progressive, validate
from recsys.training.rounds import Phase, Round, learned, sampling, thinning
from recsys.training.state import CHOSEN_PREFIX, Choice, Place, State, optimisers
from recsys.training.work import Work, batch_of_one

# Legend: K objectives.


# --- States -------------------------------------------------------------------------------------------------------
def fresh_state(work: Work, index: int, phase: Phase) -> State:
    """Return a member at the start of a phase: constants from the phase's labels, weights and random state from the seed.

    Only the first member says what the losses find odd in the labels, so that it is said once.
    """
    torch.manual_seed(seed_of(work.pipeline, index))
    days = work.days_of(phase)
    if work.continues:
        days = constant_days(days, _counting(work))
    member = new_member(work.pipeline, work.open_learned(days), index)
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
    """Raise ConfigError where the balancing method acts on what the objectives share, but this architecture shares nothing."""
    if state.balancer.acts_on == "losses":
        return
    shared = state.member.ranker.eval()(batch_of_one(work).to(str(work.compute.device)), position="missing").shared
    state.member.train()
    if shared is None or not shared.requires_grad:  # the latter: the inputs are shared, but nothing below them is learned
        raise ConfigError(
            f'balance.method: found "{work.pipeline.balance.method}", which combines gradients at what the objectives share, with'
            f' model.architecture = "{work.pipeline.model.architecture}", where they share nothing. Fix: another architecture, or "fixed"'
        )


def restored_state(work: Work, saved: Saved) -> State:
    """Return a member exactly as the checkpoint left it."""
    place = Place(**saved.facts["place"])
    member = empty_member(work.pipeline, work.layout, place.member)
    state = _state(work, member, place, _held(work, member, place.member))
    state.restore(saved)
    return state


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


# --- Phases -------------------------------------------------------------------------------------------------------
def finish(work: Work, state: State) -> State:
    """Do everything that this member has not done yet, and return its state. Its weights, constants and `kept` are then final."""
    if state.place.phase == "choose":
        _learn(work, state)
        fit_smearing(work, state, work.open_learned(work.train_days))
        kept = keep_predictions(work, state)
        if not work.refits:
            state.kept = kept
            return state
        if work.pipeline.train.keep_chosen:
            kept |= {f"{CHOSEN_PREFIX}{name}": tensor.cpu().clone() for name, tensor in state.member.state_dict().items()}
        state = _refit_state(work, state, kept)
        work.guard.write(state)
    _learn(work, state)
    fit_smearing(work, state, work.open_learned(work.train_days + work.validation_days))
    return state


def _refit_state(work: Work, chosen: State, kept: dict[str, Tensor]) -> State:
    """Return the start of the refit, with the numbers of passes that were chosen."""
    index = chosen.place.member
    if work.continues:
        chosen.place = Place(member=index, phase="refit")
        chosen.kept = kept
        return chosen
    state = fresh_state(work, index, "refit")
    state.choices, state.kept = [Choice(best=choice.best) for choice in chosen.choices], kept
    return state


def passes_chosen(work: Work, state: State) -> dict[str, int]:
    """Return the number of passes per objective.

    An objective that no validation label has judged takes the highest number chosen for any objective. Where no objective was judged, all
    take all passes.
    """
    if work.continues:
        return {objective.name: work.pace.day_passes for objective in work.pipeline.objective}
    most = max(choice.best for choice in state.choices) or work.pace.passes
    passes = {k: choice.best or most for group, choice in zip(work.groups, state.choices, strict=True) for k in group}
    return {objective.name: passes[k] for k, objective in enumerate(work.pipeline.objective)}


def _learn(work: Work, state: State) -> None:
    """Learn the rounds of the state's phase that are left. Then settle on what these passes leave."""
    place, train = state.place, work.pipeline.train
    plan = work.rounds(place.phase)
    thinned = thinning(train, work.pipeline.objective, seed_of(work.pipeline, place.member))
    sampled = sampling(train, work.pipeline.objective)

    @cache
    def steps_of(this: Round) -> int:
        return steps_per_epoch(work.open_round(this), work.pace.batch_size, thinned, sampled, this.number)

    # All passes over the same rows have the same number of steps, unless each pass is thinned anew.
    steps = [steps_of(this if thinned else replace(this, number=0, predicted_first=False)) for this in plan]
    with work.console.bar(_title(work, state), sum(steps)) as advance:
        advance(place.steps)
        loop = Loop(work.pipeline, work.pace, work.compute, work.journal, advance, work.guard.look, sum(steps), thinned, sampled)
        while place.round < len(plan) and not _enough(work, state):
            this = plan[place.round]
            if this.predicted_first and place.step == 0:
                progressive(work, state, this, work.open(this.days))
            run_round(loop, state, this, work.open_round(this), steps[place.round])
            if place.phase == "choose" and work.chooses:
                validate(work, state, this)
            if place.phase == "refit" and len(work.groups) > 1 and not work.continues:
                _take_finished(work, state, this)
            state.balancer.end_round()
            place.round += 1
            place.step = 0
            work.guard.write(state)
    state.settle()


def _take_finished(work: Work, state: State, this: Round) -> None:
    """Keep the parameters of the groups whose own number of passes is reached, in a refit of objectives that learn apart."""
    passes, objectives = passes_chosen(work, state), work.pipeline.objective
    for group in work.groups:
        if passes[objectives[group[0]].name] == this.number + 1:
            take(state.best, state.judged, group)


def _enough(work: Work, state: State) -> bool:
    """Return whether the phase may stop.

    Choosing stops once every judged group has had `patience` rounds without a better loss. A refit stops after the highest number of rounds
    chosen.
    """
    if work.continues:
        return False
    if state.place.phase == "choose":
        judged = [choice for choice in state.choices if choice.best]
        return bool(judged) and all(choice.worse >= work.pipeline.train.patience for choice in judged)
    return state.place.round >= max(passes_chosen(work, state).values())


def _title(work: Work, state: State) -> str:
    members = work.pipeline.model.most_members
    member = f"member {state.place.member + 1} of {members}, " if members > 1 else ""
    what = "training days" if state.place.phase == "choose" else "refit with the validation days"
    return f"train: {member}{what}"
