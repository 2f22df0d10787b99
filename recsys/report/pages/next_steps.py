"""The next steps that a run's own numbers ask for. Each rule looks at one thing, and says nothing where it finds nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import fusion, schema
from recsys.config import Pipeline
from recsys.evaluation import Scores, least_replicates, read_scores
from recsys.evaluation.inputs.rows import FloatArray
from recsys.list_metrics import is_captured
from recsys.objectives import Objective, twins
from recsys.predictions import fused_term, known_before
from recsys.report.figures import model_figures
from recsys.report.pages.calibration_section import harmed, is_off
from recsys.report.pages.what_was_run import is_of
from recsys.report.tables.cells import Grid, Line, grid, rounded_percent
from recsys.report.tables.frame import BETTER, VALUES, WORSE, splits, whole
from recsys.report.training_log import Journal

WIDE = 0.02  # half of an interval of a difference in AUC or XAUC: below this, more rows would show little that matters
ENOUGH, MANY = 100, 1000  # rows or positives for a claim about labels, and for an isotonic map
NAMED = 3  # objectives that a step names
TREES, POPULARITY, TRUTH = ("gbdt", "lightgbm"), "popularity", "truth"
PIPELINE = "PIPELINE.toml"


@dataclass(frozen=True)
class Step:
    """Something to do next: what, why, and, if there is one, the command that does it or the lines that the TOML gets."""

    what: str
    why: str
    command: str | None = None
    in_toml: str | None = None


@dataclass(frozen=True)
class Seen:
    """The numbers that the rules look at.

    `main` holds the main metrics of the part of the split that the run is judged on, `changed` the numbers before and after calibration.
    """

    run: str
    pipeline: Pipeline
    table: pd.DataFrame
    predictions: pa.Table
    scores: Scores
    journal: Journal | None
    main: Grid
    changed: pd.DataFrame | None = None

    @property
    def split(self) -> str:
        return splits(self.table)[0]


def next_steps(seen: Seen) -> list[Step]:
    """Return the steps that the numbers ask for, the most urgent first."""
    rules = (
        *(_nothing_to_compare_with, _one_answer, _same_labels, _behind_popularity, _calibration, _harm),
        *(_still_learning, _trees_ahead, _too_little_data, _weights),
    )
    return [step for rule in rules for step in rule(seen)]


def _nothing_to_compare_with(seen: Seen) -> Iterator[Step]:
    if not seen.main.others:
        yield Step(
            "Compare it with something",
            "No number here says what is gained: no baseline and no other run scored these impressions.",
            in_toml='[evaluate]\nbaselines = ["popularity", "gbdt"]',
        )


def _one_answer(seen: Seen) -> Iterator[Step]:
    """Find objectives with nothing to tell apart."""
    for name, (answer, rows) in _answers(seen).items():
        yield Step(f"Leave out {name}", f"Its label is {answer:g} in all {rows:,} rows: there is nothing to tell apart.")


def _answers(seen: Seen) -> dict[str, tuple[float, int]]:
    """Return objective → its answer and the number of its labels, where all labels are that answer and there are enough to say so."""
    known = {objective.name: seen.scores.label[objective.name] for objective in seen.pipeline.objective}
    known = {name: label_N[~np.isnan(label_N)] for name, label_N in known.items()}
    return {name: (label_N[0], len(label_N)) for name, label_N in known.items() if len(label_N) >= ENOUGH and np.ptp(label_N) == 0}


def _same_labels(seen: Seen) -> Iterator[Step]:
    """Find objectives that are one: equal labels, or one label 1 exactly where the other is 0."""
    left_out: set[str] = set()  # one step per group of equal labels: its first objective stays
    for twin in twins(seen.pipeline.objective, seen.scores.label):
        if {twin.first, twin.second} & left_out or twin.rows < ENOUGH:
            continue
        left_out.add(twin.second)
        how = "the complement of" if twin.is_opposite else "equal to"
        yield Step(f"Leave out {twin.second}", f"Its label is {how} that of {twin.first} in all {twin.rows:,} rows with both.")


def _behind_popularity(seen: Seen) -> Iterator[Step]:
    """Find numbers that are worse than those of each item's own mean label, which learned nothing else."""
    place = seen.main.place_of(POPULARITY)
    if place is not None and (lines := [line for line in seen.main.lines if line.differences[place].verdict == WORSE]):
        named = _several([f"{line.objective} ({line.metric} {line.differences[place]})" for line in lines])
        yield Step(
            "Mend what is worse than popularity",
            f"Each item's own mean label does better on {named}. Look at its loss and its method, or at the features.",
        )


def _still_learning(seen: Seen) -> Iterator[Step]:
    """Find objectives that were best after the last of several shuffled passes, where no more of the others were best earlier.

    Days say nothing of the kind: each is another day.
    """
    best, one_answer = [] if seen.journal is None else model_figures.best(seen.journal.curves), _answers(seen)
    places = [place for place in best if place.unit == "pass" and place.objective not in one_answer]
    learning, done = ([place.objective for place in places if place.is_last is is_last] for is_last in (True, False))
    if learning and len(learning) >= len(done):
        why = f"The validation loss of {_several(learning)} was least after the last pass."
        why += f" Others were best earlier: {_several(done)}." if done else ""
        yield Step("Train longer", why, in_toml=f"[train]\npasses = {2 * _passes(seen.journal)}")


def _trees_ahead(seen: Seen) -> Iterator[Step]:
    """Find where trees order better on the same examples, in time order, where no pass says whether more would help."""
    places = [place for kind in TREES if (place := seen.main.place_of(kind)) is not None]
    train = seen.pipeline.train
    if not places or train.order != "time" or schema.VALIDATION not in seen.pipeline.split.parts():
        return
    orders = [line for line in seen.main.lines if line.scope != VALUES]
    lines = [line for line in orders if any(line.differences[place].verdict == WORSE for place in places)]
    if behind := list(dict.fromkeys(line.objective for line in lines)):
        passes = _passes(seen.journal)
        over = f"train.day_passes={passes},{2 * passes}"
        why = f"Trees on the same examples find a better order for {_several(behind)}. See on validation days whether more passes help."
        yield Step("Try more training", why, f"recsys sweep {PIPELINE} --over {over} --on validation")


def _passes(journal: Journal | None) -> int:
    """Return how often a training went over its rows."""
    return 1 if journal is None or journal.curves.empty else int(journal.curves["pass"].max())


def _too_little_data(seen: Seen) -> Iterator[Step]:
    """Name the objectives of which no difference in order is clear and all are wide, or of which no number has an interval."""
    options = seen.pipeline.evaluate
    if options.bootstrap < (least := least_replicates(options.confidence)):
        lines = f"[evaluate]\nbootstrap = {max(least, 1000)}"
        yield Step("Draw more replicates", f"No number has an interval: it takes {least:,} or more.", in_toml=lines)
        return
    wide, one_answer = _wide(seen.main), _answers(seen)
    silent = {name: reason for name, reason in _silent(seen.main).items() if name not in one_answer}
    if silent:
        why = f"No number on its order has an interval ({'; '.join(dict.fromkeys(silent.values()))}). Judge it on more days."
        yield Step(f"Too little data for {_several(list(silent))}", why)
    if wide:
        bounds = _several([f"±{half:.2f} ({name})".replace("±0.", "±.") for name, half in wide.items()])
        why = f"No difference in order is clear, and intervals are wide: {bounds}. Four times as many users would halve them."
        yield Step("Too little data for some objectives", why)


def _orders(main: Grid) -> dict[str, list[Line]]:
    """Return objective → its numbers on an order."""
    lines: dict[str, list[Line]] = {}
    for line in main.lines:
        if line.scope != VALUES:
            lines.setdefault(line.objective, []).append(line)
    return lines


def _wide(main: Grid) -> dict[str, float]:
    """Return objective → half of its narrowest interval of a difference in order, where that is wide and no difference is clear.

    Differences to the truth of a simulated feed do not count: every model is clearly behind it.
    """
    found, truth = {}, main.place_of(TRUTH)
    for name, lines in _orders(main).items():
        cells = [cell for line in lines for place, cell in enumerate(line.differences) if place != truth]
        halves = [(cell.high - cell.low) / 2 for cell in cells if cell.low is not None and cell.high is not None]
        if halves and min(halves) > WIDE and not any(cell.verdict in (BETTER, WORSE) for cell in cells):
            found[name] = min(halves)
    return found


def _silent(main: Grid) -> dict[str, str]:
    """Return objective → the reason why none of its numbers on an order has an interval."""
    found = {}
    for name, lines in _orders(main).items():
        reasons = [line.value.reason for line in lines if line.value.low is None and line.value.reason is not None]
        if len(reasons) == len(lines):
            found[name] = reasons[0]
    return found


def _weights(seen: Seen) -> Iterator[Step]:
    """Say which objectives make the one order, and how other weights are found. A choice of weights is always due."""
    objectives = seen.pipeline.objective
    if not any(objective.fusion_weight for objective in objectives):
        yield Step("Give the one order a weight", "Every fusion_weight is 0, so impressions are ordered by chance.")
    pull = pulls(seen.predictions, seen.scores, objectives, seen.split)
    if len(pull) < 2 or not is_of(seen.predictions, schema.VALIDATION).any():
        return
    most, least = max(pull, key=lambda name: pull[name]), min(pull, key=lambda name: pull[name])
    if ways := [*(["move the sliders"] if _has_sliders(seen) else []), *(["state an aim"] if (command := _fuse(seen, pull)) else [])]:
        why = f"In the one order {most} has {rounded_percent(pull[most])} of the pull, {least} {rounded_percent(pull[least])}."
        yield Step("Choose the trade-off", f"{why} {', or '.join(ways).capitalize()}.", command)


def _has_sliders(seen: Seen) -> bool:
    """Return whether the fused order captures anything that sliders could show."""
    of_split = whole(seen.table[seen.table["split"] == seen.split])
    return bool(of_split["value"][of_split["metric"].map(is_captured)].notna().any())


def _fuse(seen: Seen, pull: Mapping[str, float]) -> str | None:
    """Return the command that finds other weights: for the pipeline's own aim, else for an objective that pulls little but can be told.

    Constraints are on the others that validation days tell of: of labels that are all one answer any order captures as much. There is no
    command where these tell of none to maximise.
    """
    command = f"recsys fuse {quote(seen.run)}"
    if seen.pipeline.fuse.maximise is not None:
        return command
    pipeline, names = seen.pipeline, [objective.name for objective in seen.pipeline.objective]
    told = fusion.told(_fitted_to(seen), pipeline.objective, pipeline.fuse.metric, run=seen.run) - _answers(seen).keys()
    vague = {*_wide(seen.main), *_silent(seen.main)}
    ordered = {objective.name for objective in pipeline.objective if objective.better == schema.HIGHER} - vague
    if not (may_aim := ordered & told & pull.keys() or told & pull.keys()):
        return None
    aim = min(may_aim, key=lambda name: (pull[name], name))
    others = ["'*=-1%'"] if told == set(names) else [f"{name}=-1%" for name in names if name in told and name != aim]
    return " ".join([command, f"--maximise {aim}", *(f"--no-worse {other}" for other in others)])


def pulls(predictions: pa.Table, scores: Scores, objectives: Sequence[Objective], split: str) -> Mapping[str, float]:
    """Return objective → its share of the pull on the order, which is its weight times the standard deviation of its term.

    An objective of weight 0 has none.
    """
    in_split_N, found = is_of(predictions, split), dict[str, float]()
    for objective in objectives:
        term_N: FloatArray = fused_term(scores.predicted[objective.name].ranking_N[in_split_N], objective)
        found[objective.name] = objective.fusion_weight * float(term_N.std())
    total = sum(found.values())
    return {name: pull / total for name, pull in found.items() if pull > 0}


def _calibration(seen: Seen) -> Iterator[Step]:
    """Find predictions that are wrong on average. Isotonic maps need many positives; a line in the logits, for probabilities, needs few.

    A map of labels that are all one answer has nothing to be fitted to.
    """
    if seen.pipeline.evaluate.calibrate != "none" or schema.VALIDATION not in seen.pipeline.split.parts():
        return
    shown = whole(seen.table)
    found = grid(shown[(shown["split"] == seen.split) & (shown["metric"] == "calibration")])
    off = [line for line in found.lines if is_off(line) and line.objective not in _answers(seen)]
    scores = read_scores(_fitted_to(seen), seen.pipeline.objective, seen.run, labels=True)
    fitted_N = is_of(seen.predictions, schema.VALIDATION)
    labels = {line: scores.label[line.objective][fitted_N] for line in off}
    # The positives, or the labels where there is no such thing as a positive.
    sizes = {line: np.count_nonzero(~np.isnan(each) if line.n_positive is None else each > 0) for line, each in labels.items()}
    for method, least, fits in (("isotonic", MANY, off), ("platt", ENOUGH, [line for line in off if line.n_positive is not None])):
        lines = [line for line in fits if sizes[line] >= least]
        if lines:
            named = _several([f"{line.objective} Σp/Σy {line.value}" for line in lines])
            yield Step("Calibrate", f"Predictions are wrong on average: {named}.", in_toml=f'[evaluate]\ncalibrate = "{method}"')
            return


def _harm(seen: Seen) -> Iterator[Step]:
    """Find objectives whose predictions calibration has made worse: a larger error, or since then wrong on average."""
    if seen.changed is None:
        return
    worse = {name: said for name, said in harmed(seen.changed, seen.split).items() if name not in _answers(seen)}
    if worse:
        is_refitted = seen.pipeline.train.refit and seen.split == schema.TEST
        refit = " The maps were fitted before the model learned the validation days (train.refit)." if is_refitted else ""
        is_isotonic = seen.pipeline.evaluate.calibrate == "isotonic" and any(each.kind == "binary" for each in seen.pipeline.objective)
        # A line in the logits follows the noise of few labels less.
        what, method = ("Calibrate otherwise", "platt") if is_isotonic else ("Do without calibration", "none")
        why = f"The maps make predictions worse: {_several([*worse.values()])}.{refit}"
        yield Step(what, why, in_toml=f'[evaluate]\ncalibrate = "{method}"')


def _fitted_to(seen: Seen) -> pa.Table:
    """Return the predictions with the labels that what is fitted to the validation days may know."""
    return known_before(seen.predictions, seen.pipeline.border_after(schema.VALIDATION))


def _several(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
