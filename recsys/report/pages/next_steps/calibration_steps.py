"""Steps that predictions which are wrong on average ask for, before calibration and after it."""

from collections.abc import Iterator

import numpy as np

from recsys import schema
from recsys.evaluation import read_scores
from recsys.evaluation.inputs.rows import FloatArray
from recsys.report.pages.calibration_section import harmed, is_off
from recsys.report.pages.next_steps.seen import ENOUGH, Seen, Step, several
from recsys.report.pages.what_was_run import is_of
from recsys.report.tables.cells import Line, grid
from recsys.report.tables.frame import whole

_MANY = 1000  # positives for an isotonic map


def calibration(seen: Seen) -> Iterator[Step]:
    """Find predictions that are wrong on average. Isotonic maps need many positives; a line in the logits, for probabilities, needs few.

    A map of labels that are all one answer has nothing to be fitted to.
    """
    if seen.pipeline.evaluate.calibrate != "none" or schema.VALIDATION not in seen.pipeline.split.parts():
        return
    shown = whole(seen.table)
    found = grid(shown[(shown["split"] == seen.split) & (shown["metric"] == "calibration")])
    off = [line for line in found.lines if is_off(line) and line.objective not in seen.one_answers]
    scores = read_scores(seen.fitted_to, seen.pipeline.objective, seen.run, labels=True)
    fitted_N = is_of(seen.predictions, schema.VALIDATION)
    sizes = {line: _size(line, scores.label[line.objective][fitted_N]) for line in off}
    for method, least, fits in (("isotonic", _MANY, off), ("platt", ENOUGH, [line for line in off if line.n_positive is not None])):
        lines = [line for line in fits if sizes[line] >= least]
        if lines:
            named = several([f"{line.objective} Σp/Σy {line.value}" for line in lines])
            yield Step("Calibrate", f"Predictions are wrong on average: {named}.", in_toml=f'[evaluate]\ncalibrate = "{method}"')
            return


def harm(seen: Seen) -> Iterator[Step]:
    """Find objectives whose predictions calibration has made worse: a larger error, or since then wrong on average."""
    if seen.changed is None:
        return
    worse = {name: said for name, said in harmed(seen.changed, seen.split).items() if name not in seen.one_answers}
    if worse:
        is_refitted = seen.pipeline.train.refit and seen.split == schema.TEST
        refit = " The maps were fitted before the model learned the validation days (train.refit)." if is_refitted else ""
        is_isotonic = seen.pipeline.evaluate.calibrate == "isotonic" and any(each.kind == "binary" for each in seen.pipeline.objective)
        # A line in the logits follows the noise of few labels less.
        what, method = ("Calibrate otherwise", "platt") if is_isotonic else ("Do without calibration", "none")
        why = f"The maps make predictions worse: {several([*worse.values()])}.{refit}"
        yield Step(what, why, in_toml=f'[evaluate]\ncalibrate = "{method}"')


def _size(line: Line, label_N: FloatArray) -> int:
    """Return the number of positives among the labels that a map is fitted to, or of labels where there is no such thing as a positive."""
    return int(np.count_nonzero(~np.isnan(label_N) if line.n_positive is None else label_N > 0))
