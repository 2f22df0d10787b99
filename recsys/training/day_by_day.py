"""The training of one member in time order: each day is predicted, then learned, and its state may be kept.

The tables grow by the values of each day. What a day leaves depends on the days up to it and on nothing else. So a training that goes on
from a kept state (training/kept_states.py) ends in the same bits as one that begins with the first day.
"""

from dataclasses import replace

from recsys.days import ordinal
from recsys.encoding import steps_per_epoch
from recsys.progress import Advance
from recsys.scoring.member import seed_of
from recsys.training.checkpoint import Saved
from recsys.training.kept_states import KeptStates, unreadable
from recsys.training.loop import Loop, run_round
from recsys.training.observe import fit_smearing, keep_predictions, progressive
from recsys.training.rounds import Phase, day_rounds, sampling, thinning
from recsys.training.start import fresh_state, grown_state, restored_state
from recsys.training.state import State
from recsys.training.work import RECENT_DAYS, Work, rows_of_pace
from recsys.workspace import JOURNAL

_SMEARED_ROWS = 20_000  # over so many a ratio of sums is known to about a percent


def start(work: Work, index: int) -> State:
    """Return the newest kept state of a member among those of the training days; else a member at its start."""
    saved = work.kept.newest(index, work.train_days[-1]) if work.kept is not None else None
    return fresh_state(work, index, "choose") if saved is None else _kept(work, saved, "choose", "")


def _kept(work: Work, saved: Saved, phase: Phase, since: str) -> State:
    """Return the member of a kept state, and write in the journal what it has learned after the day `since`.

    Raise ArtifactError where the state does not fit the model.
    """
    assert work.kept is not None
    try:
        state = restored_state(work, saved)
    except (KeyError, TypeError, RuntimeError) as error:
        place = saved.facts.get("place", {})
        raise unreadable(work.kept.folder / f"day={place.get('day')}", error) from error
    state.place.phase = phase
    work.kept.remove_older(state.place.member, state.place.day, work.train_days[-1])  # whoever wrote the state may have died before that
    _tell_again(work, work.kept, state, since)
    return state


def _tell_again(work: Work, kept: KeptStates, state: State, since: str) -> None:
    """Write the lines of the days after `since` that the state has learned, so that a run's journal tells of all its days."""
    place, missing = state.place, []
    work.journal.forget_after(since)  # a day that was begun here may have been finished by another run
    for day in (day for day in work.train_days + work.validation_days if since < day <= place.day):
        lines = kept.journal(place.member, day)
        if lines is None:
            missing.append(day)
        for line in lines or ():
            work.journal.write(line | {"phase": place.phase})
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        work.console.say(
            f"train: warning: found no journal of {missing[0]}{more} in {kept.folder}, expected one of each learned day:"
            f" {JOURNAL} does not tell of them"
        )


def finish(work: Work, state: State) -> State:
    """Learn the training days that are left, keep the predictions of the validation days, then learn these days too."""
    if state.place.phase == "choose":
        state = _through(work, state, work.train_days[-1])
        state.kept = keep_predictions(work.knowing(state.place.values), state)
        if not work.refits:
            return state
        state.place.phase = "refit"
        work.guard.write(state)
    return _through(work, state, work.validation_days[-1])


def _through(work: Work, state: State, last: str) -> State:
    """Bring a member to the end of the day `last`: from a newer kept state where there is one, then day after day."""
    saved = work.kept.newest(state.place.member, last) if work.kept is not None else None
    if saved is not None and saved.facts["place"]["day"] > state.place.day:
        kept = state.kept
        state = _kept(work, saved, state.place.phase, state.place.day)
        state.kept = kept
    saved = None  # its tensors are the file's own memory
    days = [day for day in work.train_days + work.validation_days if state.place.day < day <= last]
    if not days:
        return state
    with work.console.bar(_title(work, state), len(days)) as advance:
        for day in days:
            state = _learn_day(work, state, day, advance)
            advance(1)
    return state


def _learn_day(work: Work, state: State, day: str, advance: Advance) -> State:
    """Predict a day with what was known before it, then learn it."""
    place, train, objectives = state.place, work.pipeline.train, work.pipeline.objective
    plan = day_rounds(train, work.pace, day, place.day, tuple(place.late))
    if work.kept is not None:
        work.kept.learned_with(day)  # before it is learned, not after
    if place.round == 0 and place.step == 0:
        predicted = progressive(work.knowing(place.values), state, day, kept=work.kept is not None and day not in work.warm)
        if work.kept is not None and predicted is not None:
            work.kept.write_predicted(place.member, day, predicted)
        if day not in work.warm:
            state = grown_state(work, state, day)
            place = state.place
    here = work.knowing(place.values)
    thinned, sampled = thinning(train, objectives, seed_of(work.pipeline, place.member)), sampling(train, objectives)
    loop = Loop(
        work.pipeline,
        work.pace,
        work.compute,
        work.journal,
        lambda steps=1, note="": advance(0, note),
        work.guard.look,
        0,
        thinned,
        sampled,
        rounds=work.pace.day_passes,
        day_steps=_usual_steps(work),
    )
    while place.round < len(plan):
        this = plan[place.round]
        days = here.open_round(this)
        run_round(loop, state, this, days, steps_per_epoch(days, work.pace.batch_size, thinned, sampled, this.number))
        if place.round + 1 == len(plan):
            state.balancer.end_round()
        place.round, place.step = place.round + 1, 0
        work.guard.write(state)
    _end_day(here, state, day)
    work.guard.write(state)
    return state


def _usual_steps(work: Work) -> float:
    """Return the steps of a day with as many rows as the warm days have on average."""
    rows = rows_of_pace(work.pipeline, work.encoded) / len(work.warm)
    return work.pace.day_passes * rows / work.pace.batch_size


def _end_day(work: Work, state: State, day: str) -> None:
    """Note that a day is done, fit what is fitted to the last days, and keep the state where states are kept."""
    fit_smearing(work, state, work.open_learned(_recent(work, day)))
    # A label that is null yet may be one that is not known yet: the answer has not come.
    late = state.place.late | {day: max([ordinal(day) + work.pipeline.late_days, *work.arrivals[day]])}
    later = {each: last for each, last in late.items() if last > ordinal(day)}
    learned = state.place.learned | ({} if work.kept is None else work.kept.learned_with(day))
    state.place = replace(state.place, round=0, step=0, day=day, late=later, learned=learned)
    if work.kept is not None:
        work.kept.write_journal(state.place.member, day, work.journal.of_day(day))
        if day >= work.warm[-1]:
            work.kept.write(state)
            work.kept.remove_older(state.place.member, day, work.train_days[-1])


def _recent(work: Work, day: str) -> list[str]:
    """Return the last days up to this one that hold enough rows to fit the constants of smearing to, at most `RECENT_DAYS`."""
    found: list[str] = []
    for each in reversed([each for each in work.train_days + work.validation_days if each <= day][-RECENT_DAYS:]):
        found.insert(0, each)
        if len(work.open(found)) >= _SMEARED_ROWS:
            break
    return found


def _title(work: Work, state: State) -> str:
    members = work.pipeline.model.most_members
    member = f"member {state.place.member + 1} of {members}, " if members > 1 else ""
    return f"train: {member}{'training days' if state.place.phase == 'choose' else 'validation days'} in time order"
