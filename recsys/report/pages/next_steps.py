"""The next steps that a run's own numbers ask for. Each rule looks at one thing, and says nothing where it finds nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import schema
from recsys.config import Pipeline
from recsys.evaluation import Scores
from recsys.evaluation.inputs.rows import FloatArray
from recsys.objectives import Objective
from recsys.predictions import fused_term
from recsys.report.figures import model_figures
from recsys.report.pages.what_was_run import is_of
from recsys.report.tables.cells import Grid, Line, grid
from recsys.report.tables.frame import VALUES, WORSE, short_names, splits, whole
from recsys.report.training_log import Journal

WIDE = 0.02  # half of an interval of a difference in AUC or XAUC: below this, more rows would show little that matters
NAMED = 3  # objectives that a step names
OFF = 0.1  # Σp/Σy further than this from 1 changes the weight of a prediction in the fused score
TREES = "gbdt"
PIPELINE = "PIPELINE.toml"


@dataclass(frozen=True)
class Step:
    """Something to do next: what, why, and the command that does it, if there is one."""

    what: str
    why: str
    command: str | None = None


@dataclass(frozen=True)
class Seen:
    """What the rules look at. `main` holds the main metrics of the part of the split that the run is judged on."""

    run: str
    pipeline: Pipeline
    table: pd.DataFrame
    predictions: pa.Table
    scores: Scores
    journal: Journal | None
    main: Grid

    @property
    def split(self) -> str:
        return splits(self.table)[0]


def next_steps(seen: Seen) -> list[Step]:
    """Return the steps that the numbers ask for, the most urgent first."""
    rules = (_nothing_to_compare_with, _same_labels, _still_learning, _trees_ahead, _too_little_data, _weights, _calibration)
    return [step for rule in rules for step in rule(seen)]


def _nothing_to_compare_with(seen: Seen) -> Iterator[Step]:
    if not seen.main.others:
        yield Step(
            "Compare it with something",
            "No number here says what is gained: no baseline and no other run scored these impressions.",
            f"""recsys run {PIPELINE} --set 'evaluate.baselines=["popularity","gbdt"]'""",
        )


def _same_labels(seen: Seen) -> Iterator[Step]:
    """Find two objectives that are one: equal labels, or one label 1 exactly where the other is 0."""
    for first, second in combinations(seen.pipeline.objective, 2):
        a_N, b_N = seen.scores.label[first.name], seen.scores.label[second.name]
        both_N = ~np.isnan(a_N) & ~np.isnan(b_N)
        a_N, b_N = a_N[both_N], b_N[both_N]
        if not len(a_N) or a_N.min() == a_N.max():
            continue
        opposite = first.is_probability and second.is_probability and np.array_equal(a_N, 1 - b_N)
        if opposite or np.array_equal(a_N, b_N):
            how = "is the complement of" if opposite else "has the label of"
            yield Step(f"Leave out {first.name} or {second.name}", f"{second.name} {how} {first.name} in all {len(a_N):,} rows with both.")


def _still_learning(seen: Seen) -> Iterator[Step]:
    """Find objectives that were best after the last of several shuffled passes. Days say nothing of the kind: each is another day."""
    places = [] if seen.journal is None else model_figures.best(seen.journal.curves)
    learning = [place.objective for place in places if place.unit == "pass" and place.is_last]
    if learning:
        passes = 2 * seen.pipeline.train.passes
        why = f"The validation loss of {_several(learning)} was still falling after the last pass."
        yield Step("Train longer", why, f"recsys run {PIPELINE} --set train.passes={passes}")


def _trees_ahead(seen: Seen) -> Iterator[Step]:
    """Find where trees on the same examples are better, in time order, where no pass says whether more would help."""
    place = next((at for at, name in enumerate(short_names(list(seen.main.others)).values()) if name == TREES), None)
    train = seen.pipeline.train
    if place is None or train.order != "time":
        return
    behind = list(dict.fromkeys(line.objective for line in seen.main.lines if line.differences[place].verdict == WORSE))
    if behind and schema.VALIDATION in seen.pipeline.split.parts():
        over = f"train.day_passes={train.day_passes},{2 * train.day_passes}"
        why = f"Trees on the same examples are ahead on {_several(behind)}. See on validation days whether more passes help."
        yield Step("Try more training", why, f"recsys sweep {PIPELINE} --over {over} --on validation")


def _too_little_data(seen: Seen) -> Iterator[Step]:
    """Find objectives of which even the surest difference in order is wide, or of which no number has an interval."""
    wide: dict[str, float] = {}
    silent: dict[str, str] = {}
    for name in dict.fromkeys(line.objective for line in seen.main.lines):
        lines = [line for line in seen.main.lines if line.objective == name and line.scope != VALUES]
        halves = [half for line in lines for half in _halves(line)]
        reasons = [line.value.reason for line in lines if line.value.low is None and line.value.reason is not None]
        if halves and min(halves) > WIDE:
            wide[name] = min(halves)
        elif lines and len(reasons) == len(lines):
            silent[name] = reasons[0]
    if silent:
        named = _several([f"{name} ({reason})" for name, reason in silent.items()])
        yield Step(f"Too little data for {_several(list(silent))}", f"No order of it has an interval: {named}. Judge it on more days.")
    if wide:
        bounds = _several([f"{half:.2f} ({name})".removeprefix("0") for name, half in wide.items()])
        why = f"Differences in order below {bounds} cannot be told from 0. Four times as many users would halve that."
        yield Step(f"Too little data for {_several(list(wide))}", why)


def _halves(line: Line) -> list[float]:
    return [(cell.high - cell.low) / 2 for cell in line.differences if cell.low is not None and cell.high is not None]


def _weights(seen: Seen) -> Iterator[Step]:
    """Say which objectives make the one order, and how other weights are found. A choice of weights is always due."""
    pull = pulls(seen.predictions, seen.scores, seen.pipeline.objective, seen.split)
    if len(pull) < 2 or not is_of(seen.predictions, schema.VALIDATION).any():
        return
    most, least = max(pull, key=lambda name: pull[name]), min(pull, key=lambda name: pull[name])
    why = f"In the one order {most} has {pull[most]:.0%} of the pull, {least} {pull[least]:.0%}. Move the sliders, or state an aim."
    yield Step("Choose the trade-off", why, f"recsys fuse {seen.run} --maximise {least} --no-worse '{most}=-1%'")


def pulls(predictions: pa.Table, scores: Scores, objectives: Sequence[Objective], split: str) -> Mapping[str, float]:
    """Return objective → its share of the pull on the order, which is its weight times the standard deviation of its term.

    An objective of weight 0 has none.
    """
    in_split_N = is_of(predictions, split)
    found: dict[str, float] = {}
    for objective in objectives:
        term_N: FloatArray = fused_term(scores.predicted[objective.name].ranking_N[in_split_N], objective)
        found[objective.name] = objective.fusion_weight * float(term_N.std())
    total = sum(found.values())
    return {name: pull / total for name, pull in found.items() if pull > 0}


def _calibration(seen: Seen) -> Iterator[Step]:
    if seen.pipeline.evaluate.calibrate != "none":
        return
    shown = whole(seen.table)
    lines = grid(shown[(shown["split"] == seen.split) & (shown["metric"] == "calibration")]).lines
    off = [line for line in lines if _is_off(line)]
    if off and schema.VALIDATION in seen.pipeline.split.parts():
        named = ", ".join(f"{line.objective} Σp/Σy {line.value}" for line in off[:NAMED])
        yield Step("Calibrate", f"Predictions are wrong on average: {named}.", f"recsys run {PIPELINE} --set evaluate.calibrate=isotonic")


def _is_off(line: Line) -> bool:
    cell = line.value
    if cell.value is None or cell.low is None or cell.high is None:
        return False
    return abs(cell.value - 1) > OFF and not cell.low <= 1 <= cell.high


def _several(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
