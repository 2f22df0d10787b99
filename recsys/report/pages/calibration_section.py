"""The calibration of the predictions, as probabilities or as values: curves, what calibration changed, and slice by slice."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.calibration import Calibration, is_calibrated, read, uncalibrated
from recsys.config import Pipeline
from recsys.evaluation import Scores, read_scores
from recsys.list_metrics import is_captured
from recsys.report.figures import calibration_figures
from recsys.report.pages.section import Section
from recsys.report.pages.sections import MAX_LINES
from recsys.report.pages.what_was_run import is_of
from recsys.report.tables.cells import Cell, Line, Matrix, grid
from recsys.report.tables.frame import SPLIT_ORDER, WORSE, by_slice, frame, whole
from recsys.workspace import CALIBRATION, CALIBRATION_CHANGE

# Metric → its name here. First the metrics that calibration is meant to improve, then others that it may change.
AIM = {
    "calibration": "Σp/Σy",
    "ece": "ECE",
    "log_loss": "log loss",
    "normalized_entropy": "normalised entropy",
    "rps": "RPS",
    "rmse": "RMSE",
}
BESIDES = {"auc": "AUC", "xauc": "XAUC"}  # and captured@P%
ERRORS = ("log_loss", "rps", "rmse")  # what a map is fitted to lessen
OFF = 0.1  # Σp/Σy further than this from 1 changes the weight of a prediction in the fused score
BY_SLICE = ("calibration", "ece")

Lines = dict[tuple[str, str, str | None, str], Line]  # objective, slice, its value, metric → line


def changes(run: Path, predictions: pa.Table) -> pd.DataFrame | None:
    """Return the frame of calibration.parquet; None where predictions are as the model gave them.

    Raises ArtifactError where predictions are calibrated but calibration.parquet cannot be read.
    """
    return frame(artifacts.read_table(run / CALIBRATION_CHANGE)) if is_calibrated(predictions) else None


def is_off(line: Line) -> bool:
    """Return whether Σp/Σy is far from 1 beyond the noise."""
    cell = line.value
    if cell.value is None or cell.low is None or cell.high is None:
        return False
    return abs(cell.value - 1) > OFF and not cell.low <= 1 <= cell.high


def harmed(changed: pd.DataFrame, split: str) -> dict[str, str]:
    """Return objective → in words, what calibration has made worse: an error, or Σp/Σy, which is off since then. `changed`: `changes`."""
    of_split = whole(_of_split(changed, split))
    is_before = of_split["run"] == schema.UNCALIBRATED
    before = {(line.objective, line.metric): line.value for line in grid(of_split[is_before]).lines}
    said = ((line.objective, _harm(line, before[line.objective, line.metric])) for line in grid(of_split[~is_before]).lines)
    return {objective: words for objective, words in reversed([*said]) if words is not None}


def _harm(line: Line, before: Cell) -> str | None:
    (difference,) = line.differences
    if line.metric in ERRORS:
        return f"{line.objective} {AIM[line.metric]} {difference}" if difference.verdict == WORSE else None
    now, low, high = line.value.value, difference.low, difference.high
    if line.metric != "calibration" or not is_off(line) or now is None or before.value is None or low is None or high is None:
        return None
    is_further = before.value > 0 and (now <= 0 or abs(np.log(now)) > abs(np.log(before.value)))
    return f"{line.objective} Σp/Σy {before.text} → {line.value}" if is_further and not low <= 0 <= high else None


def section(
    run: Path, predictions: pa.Table, scores: Scores, table: pd.DataFrame, pipeline: Pipeline, changed: pd.DataFrame | None
) -> Section:
    """Return the section on the calibration of the latest split in the predictions.

    `table` is the frame of metrics.parquet, `scores` are those of `predictions`, `changed` are its `changes`. Raises ArtifactError where
    calibration.json exists but cannot be read.
    """
    split = next(name for name in SPLIT_ORDER if is_of(predictions, name).any())
    before = read_scores(uncalibrated(predictions), pipeline.objective, run.name, labels=True) if is_calibrated(predictions) else None
    of_split = _of_split(table, split)
    figures = calibration_figures.curves(
        scores, before, is_of(predictions, split), pipeline.objective, whole(of_split), confidence=pipeline.evaluate.confidence
    )
    folded: dict[str, Matrix] = {}
    matrices: dict[str, Matrix] = {}
    before_by_slice: Lines = {}
    if changed is not None:
        changed = _of_split(changed, split)
        is_before = changed["run"] == schema.UNCALIBRATED
        values, after = whole(changed[is_before]), whole(changed[~is_before])
        matrices[f"Before and after calibration, {split} days"] = _before_and_after(values, after, AIM)
        folded[f"What else calibration changed, {split} days"] = _before_and_after(values, after, BESIDES | _captured(after))
        before_by_slice = _lines(changed[is_before])
    sliced = _by_slice(_lines(of_split), before_by_slice)
    if sliced.rows:
        folded[f"By slice, {split} days, furthest from Σp/Σy = 1 first"] = sliced
    about = (
        f"Impressions of the {split} days in bins of equal size by their prediction. On the dashed line a prediction is right on average;"
        " Σp/Σy above 1 predicts too much. On few rows even a perfect prediction has an ECE above 0. The bars treat rows as independent."
    )
    return Section(
        "calibration",
        "Calibration",
        about + _maps_words(run, split, pipeline),
        gist=_furthest(of_split),
        figures=figures,
        matrices=matrices,
        folded_matrices=folded,
    )


def _furthest(of_split: pd.DataFrame) -> str:
    """Return in words the objective whose predictions are furthest from right on average."""
    lines = grid(whole(of_split[of_split["metric"] == "calibration"])).lines
    known = [line for line in lines if line.value.value is not None]
    if not known:
        return "no Σp/Σy is defined"
    line = max(known, key=lambda line: abs(np.log(max(line.value.value or 0.0, 1e-9))))
    return f"furthest from Σp/Σy = 1: {line.objective} {line.value}"


def _of_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table[table["split"] == split]


def _maps_words(run: Path, split: str, pipeline: Pipeline) -> str:
    """Return in words which maps were fitted to which days, which objectives have no map, and where the numbers flatter."""
    if artifacts.manifest(run / CALIBRATION) is None:
        return ' Predictions are as the model gave them (evaluate.calibrate = "none").'
    calibration: Calibration = read(run / CALIBRATION)
    words = (
        f" Predictions were calibrated by one monotone map per objective ({calibration.method}), fitted to the validation days; grey: the"
        " same bins before calibration. Any map can change the fused order. AUC and XAUC change where an isotonic map makes ties, and"
        " where a prediction is a product of several maps."
    )
    if split == schema.VALIDATION:
        words += " These are the days that the maps were fitted to: the numbers after calibration look better than they are."
    elif pipeline.train.refit:
        words += (
            " The maps were fitted to the model before it learned the validation days (train.refit); a later model scored"
            " these days, and the maps may fit it less well."
        )
    left = [f"{name} ({reason})" for name, reason in calibration.left.items()]
    return f"{words} Left as they are: {'; '.join(left)}." if left else words


def _captured(after: pd.DataFrame) -> dict[str, str]:
    return {name: f"{name}, fused order" for name in after["metric"].unique() if is_captured(name)}


def _before_and_after(before: pd.DataFrame, after: pd.DataFrame, metrics: Mapping[str, str]) -> Matrix:
    """Return one row per objective and metric: the value before, the value after, and the paired difference."""
    value_before = {(line.objective, line.metric): line.value for line in grid(before).lines}
    lines = [line for line in grid(after).lines if line.metric in metrics]
    objectives, order = list(dict.fromkeys(line.objective for line in lines)), list(metrics)
    rows = [
        (f"{line.objective}: {metrics[line.metric]}", (value_before[line.objective, line.metric], line.value, *line.differences))
        for line in sorted(lines, key=lambda line: (objectives.index(line.objective), order.index(line.metric)))
    ]
    return Matrix("number", ("before", "after", "after minus before"), tuple(rows))


def _by_slice(now: Lines, before: Lines) -> Matrix:
    """Return one row per objective and value of a slice.

    Rows whose interval of Σp/Σy excludes 1 come first. Within each part the ratios furthest from 1 come first.
    """
    keys = sorted(dict.fromkeys(key[:3] for key in now), key=lambda key: _place(now.get((*key, "calibration"))))
    metrics = [metric for metric in BY_SLICE if any(key[3] == metric for key in now)]  # values have no ECE
    columns = [f"{AIM[metric]}{when}" for when in ("", *([" before"] if before else [])) for metric in metrics]
    rows = []
    for objective, name, value in keys[:MAX_LINES]:
        lines = [lines.get((objective, name, value, metric)) for lines in (now, *([before] if before else [])) for metric in metrics]
        n = next(line.n for line in lines if line is not None)
        label = f"{objective}, {name} = {'not known' if value is None else value} (n = {n:,})"
        rows.append((label, tuple(None if line is None else line.value for line in lines)))
    return Matrix("slice", tuple(columns), tuple(rows))


def _lines(table: pd.DataFrame) -> Lines:
    sliced = by_slice(table[table["metric"].isin(BY_SLICE)])
    return {(line.objective, line.slice, line.slice_value, line.metric): line for line in grid(sliced).lines}


def _place(line: Line | None) -> tuple[bool, float]:
    cell = None if line is None else line.value
    if cell is None or cell.value is None:
        return True, 0.0  # undefined: last
    far = np.inf if cell.value <= 0 else abs(float(np.log(cell.value)))
    is_sure = cell.low is not None and cell.high is not None and not cell.low <= 1 <= cell.high
    return not is_sure, -far
