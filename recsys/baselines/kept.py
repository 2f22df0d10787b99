"""Baselines that are kept (`evaluate.baseline_refit_days`): fitted once, they predict the days of several runs.

A kept baseline learns training days alone, with the labels that are known when the last of them ends. The last ones choose the number of
trees, as many as the split has validation days; then it learns them too, where `train.refit` asks for it. So it has seen no validation day
of any run, and predicts validation and test days alike.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, schema
from recsys.artifacts import Origin
from recsys.baselines.base import LearnedBaseline
from recsys.baselines.day_rows import Rows, has_labels, require_labels
from recsys.baselines.fit_and_score import LEARNED, predictions_of, rows_of_part, write_predictions
from recsys.config import Pipeline
from recsys.days import Day
from recsys.encoding import label_means
from recsys.errors import ConfigError
from recsys.lineage import KeptFit
from recsys.progress import Console
from recsys.workspace import day_folder, days_in

_MEANS = "train_means.json"


def score_kept(
    kind: str, pipeline: Pipeline, examples: Path, encoded: Path, kept: KeptFit, target: Path, origin: Origin, *, console: Console
) -> None:
    """Write predictions of the validation and test days to `target`, as `fit_and_score` does. The baseline is fitted where it is not kept.

    Raise ConfigError where the split has nothing to score, DataError where an objective has no observed label.
    """
    scored = {part: rows for part in (schema.VALIDATION, schema.TEST) if (rows := rows_of_part(pipeline, part, examples, encoded))}
    if not scored:
        raise ConfigError("split: found no validation and no test days with rows: nothing to score, expected one of the two")
    baseline = LEARNED[kind](pipeline, console)
    if artifacts.is_fresh(kept.folder, kept.origin.fingerprint):
        console.say(f"{kind}: as fitted through {kept.days[-1]}")
        baseline.restore(artifacts.checked(kept.folder), encoded)
    else:
        _fit(baseline, pipeline, Rows(examples, encoded, kept.days), kept)
    _remove_older(kept.folder)  # before the predictions, with which the stage is done: whoever dies here comes back
    means = artifacts.read_json(kept.folder / _MEANS)
    tables = [table for part, rows in scored.items() for table in predictions_of(baseline, rows, part, means)]
    write_predictions(target, pa.concat_tables(tables), origin)


def _fit(baseline: LearnedBaseline, pipeline: Pipeline, rows: Rows, kept: KeptFit) -> None:
    """Fit the baseline and keep it."""
    chosen_by = min(len(pipeline.split.days(schema.VALIDATION)), len(rows.days) - 1)
    learned, judged = (_known_by_the_end(rows, days, pipeline.zone) for days in _cut(rows.days, chosen_by))
    if not has_labels(learned, pipeline.objective):  # labels that come late: then the last rows choose
        learned, judged = (_known_by_the_end(rows, days, pipeline.zone) for days in _cut(rows.days, 0))
    require_labels(learned, pipeline.objective)
    baseline.fit(learned, judged if judged.days else None)
    if judged.days and pipeline.train.refit:
        baseline.refit(_known_by_the_end(rows, rows.days, pipeline.zone))
    with kept.origin.writing(kept.folder) as output:
        baseline.save(output)
        output.write_json(_MEANS, label_means((day.labels(pipeline.objective) for day in learned.each_day()), pipeline.objective))


def _remove_older(folder: Path) -> None:
    """Remove all but the last two kept baselines up to this one. The one before serves nights that are run again."""
    for day in [day for day in days_in(folder.parent) if day_folder(folder.parent, day) <= folder][:-2]:
        artifacts.unseal(day_folder(folder.parent, day))
        shutil.rmtree(day_folder(folder.parent, day))


def _cut(days: Sequence[str], last: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    cut = len(days) - last
    return tuple(days[:cut]), tuple(days[cut:])


def _known_by_the_end(rows: Rows, days: tuple[str, ...], zone: str) -> Rows:
    """Return these days with the labels that are known when the last of them ends."""
    return replace(rows, days=days, known_before=Day(days[-1], zone).end if days else None)
