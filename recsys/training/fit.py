"""The training of one member, from its start to the weights that are served: choose, keep the validation predictions, refit."""

from dataclasses import replace
from functools import cache

from torch import Tensor

from recsys.encoding import steps_per_epoch
from recsys.scoring.member import seed_of
from recsys.training import day_by_day
from recsys.training.apart import take
from recsys.training.loop import Loop, run_round
from recsys.training.observe import fit_smearing, keep_predictions, validate
from recsys.training.rounds import Round, sampling, thinning
from recsys.training.start import fresh_state
from recsys.training.state import CHOSEN_PREFIX, Choice, State
from recsys.training.work import Work


def finish(work: Work, state: State) -> State:
    """Do everything that this member has not done yet, and return its state. Its weights, constants and `kept` are then final."""
    if work.continues:
        return day_by_day.finish(work, state)
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
    member, choices = chosen.place.member, [Choice(best=choice.best) for choice in chosen.choices]
    chosen.release()
    state = fresh_state(work, member, "refit")
    state.choices, state.kept = choices, kept
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
    steps = [steps_of(this if thinned else replace(this, number=0)) for this in plan]
    with work.console.bar(_title(work, state), sum(steps)) as advance:
        advance(place.steps)
        loop = Loop(work.pipeline, work.pace, work.compute, work.journal, advance, work.guard.look, sum(steps), thinned, sampled)
        while place.round < len(plan) and not _enough(work, state):
            this = plan[place.round]
            run_round(loop, state, this, work.open_round(this), steps[place.round])
            if place.phase == "choose" and work.chooses:
                validate(work, state, this)
            if place.phase == "refit" and len(work.groups) > 1:
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
    if state.place.phase == "choose":
        judged = [choice for choice in state.choices if choice.best]
        return bool(judged) and all(choice.worse >= work.pipeline.train.patience for choice in judged)
    return state.place.round >= max(passes_chosen(work, state).values())


def _title(work: Work, state: State) -> str:
    """Say in words what a member does in its phase."""
    members = work.pipeline.model.most_members
    member = f"member {state.place.member + 1} of {members}, " if members > 1 else ""
    what = "training days" if state.place.phase == "choose" else "refit with the validation days"
    return f"train: {member}{what}"
