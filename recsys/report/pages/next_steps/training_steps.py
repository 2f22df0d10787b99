"""Steps that the comparison with others and the course of the training ask for."""

from collections.abc import Iterator

from recsys import schema
from recsys.report.figures import model_figures
from recsys.report.pages.next_steps.seen import Seen, Step, several
from recsys.report.tables.frame import VALUES, WORSE
from recsys.report.training_log import Journal


def nothing_to_compare_with(seen: Seen) -> Iterator[Step]:
    if not seen.main.others:
        yield Step(
            "Compare it with something",
            "No number here says what is gained: no baseline and no other run scored these impressions.",
            in_toml='[evaluate]\nbaselines = ["popularity", "gbdt"]',
        )


def behind_popularity(seen: Seen) -> Iterator[Step]:
    """Find numbers that are worse than those of each item's own mean label, which learned nothing else."""
    place = seen.main.place_of(schema.POPULARITY)
    if place is not None and (lines := [line for line in seen.main.lines if line.differences[place].verdict == WORSE]):
        named = several([f"{line.objective} ({line.metric} {line.differences[place]})" for line in lines])
        yield Step(
            "Mend what is worse than popularity",
            f"Each item's own mean label does better on {named}. Look at its loss and its method, or at the features.",
        )


def still_learning(seen: Seen) -> Iterator[Step]:
    """Ask for more passes where at least half of the objectives were best after the last one.

    Only shuffled passes tell: in time order each round is another day.
    """
    best = [] if seen.journal is None else model_figures.best(seen.journal.curves)
    places = [place for place in best if place.unit == "pass" and place.objective not in seen.one_answers]
    learning, done = ([place.objective for place in places if place.is_last is is_last] for is_last in (True, False))
    if learning and len(learning) >= len(done):
        why = f"The validation loss of {several(learning)} was least after the last pass."
        why += f" Others were best earlier: {several(done)}." if done else ""
        yield Step("Train longer", why, in_toml=f"[train]\npasses = {2 * _passes(seen.journal)}")


def trees_ahead(seen: Seen) -> Iterator[Step]:
    """Find where trees order better on the same examples, in time order: there no pass says whether more would help."""
    places = [place for kind in schema.TREES if (place := seen.main.place_of(kind)) is not None]
    if not places or seen.pipeline.train.order != "time" or schema.VALIDATION not in seen.pipeline.split.parts():
        return
    orders = [line for line in seen.main.lines if line.scope != VALUES]
    lines = [line for line in orders if any(line.differences[place].verdict == WORSE for place in places)]
    if behind := list(dict.fromkeys(line.objective for line in lines)):
        passes = _passes(seen.journal)
        over = f"train.day_passes={passes},{2 * passes}"
        why = f"Trees on the same examples find a better order for {several(behind)}. See on validation days whether more passes help."
        yield Step("Try more training", why, f"recsys sweep PIPELINE.toml --over {over} --on validation")


def _passes(journal: Journal | None) -> int:
    """Return how often a training went over its rows."""
    return 1 if journal is None or journal.curves.empty else int(journal.curves["pass"].max())
