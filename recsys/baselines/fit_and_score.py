"""Fit a baseline and leave its predictions, as any run does."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import schema
from recsys.artifacts import Origin
from recsys.baselines.base import Baseline, LearnedBaseline
from recsys.baselines.day_rows import Rows, require_labels
from recsys.baselines.gbdt import GBDT, LightGBMTrees
from recsys.baselines.popularity import Popularity
from recsys.baselines.truth import Truth
from recsys.config import Pipeline
from recsys.encoding import label_means
from recsys.errors import ArtifactError, ConfigError
from recsys.predictions import assemble, carried
from recsys.progress import Console
from recsys.workspace import days_of

LEARNED: dict[str, type[LearnedBaseline]] = {"popularity": Popularity, "gbdt": GBDT, "lightgbm": LightGBMTrees}


def fit_and_score(
    kind: str,
    pipeline: Pipeline,
    examples: Path,
    encoded: Path,
    target: Path,
    origin: Origin,
    *,
    raw: Path | None = None,
    console: Console,
) -> None:
    """Write predictions to `target`: validation days by the fit on the training days, test days after `train.refit`.

    A label is learned, or used for a choice, only if it is known when the days begin that it would help to predict.

    `examples` holds day=D/part-0.parquet, `encoded` the encoder/ and day=D/part-0.arrow of the same rows. The kind "truth" also
    needs `raw`, the folder with a simulated feed's truth.parquet. Raise ConfigError where the split has nothing to score, ArtifactError
    where no training day is there, DataError where an objective has no observed label.
    """
    train, validation, test = (rows_of_part(pipeline, part, examples, encoded) for part in schema.SPLITS)
    if train is None:
        raise ArtifactError(f"{examples}: found no day of [split] train, expected at least one. Fix: run `recsys features` again")
    if validation is None and test is None:
        raise ConfigError("split: found no validation and no test days with rows: nothing to score, expected one of the two")
    learned = replace(train, known_before=pipeline.border_after(schema.TRAIN))
    require_labels(learned, pipeline.objective)
    train_means = label_means((day.labels(pipeline.objective) for day in train.each_day()), pipeline.objective)

    baseline = LEARNED[kind](pipeline, console) if kind != schema.TRUTH else Truth(pipeline, console, _given(raw))
    test_begins = pipeline.border_after(schema.VALIDATION)
    baseline.fit(learned, None if validation is None else replace(validation, known_before=test_begins))
    days = [] if validation is None else predictions_of(baseline, validation, schema.VALIDATION, train_means)
    if test is not None:
        if pipeline.train.refit and validation is not None:
            baseline.refit(Rows(examples, encoded, train.days + validation.days, known_before=test_begins))
        days += predictions_of(baseline, test, schema.TEST, train_means)
    table = pa.concat_tables(days)
    write_predictions(target, table, origin)


def _given(raw: Path | None) -> Path:
    if raw is None:
        raise ValueError(f"{schema.TRUTH}: found no folder of raw files, expected that of the simulated feed")
    return raw


def write_predictions(target: Path, table: pa.Table, origin: Origin) -> None:
    origin.write_file(target, lambda path: pq.write_table(table, path, compression="zstd"))


def rows_of_part(pipeline: Pipeline, part: str, examples: Path, encoded: Path) -> Rows | None:
    """Return the days of a part that have rows, of the training part those that baselines learn; None where there are none."""
    days = days_of(pipeline.split, examples, part)
    learned = pipeline.baseline_days(days) if part == schema.TRAIN else days
    return Rows(examples, encoded, tuple(learned)) if learned else None


def predictions_of(baseline: Baseline, rows: Rows, split: str, train_means: dict[str, float]) -> list[pa.Table]:
    """Return one table per day, in the border schema."""
    return [
        assemble(
            day.read(carried(day.columns())),
            day=day.days[0],
            split=split,
            objectives=baseline.objectives,
            predicted_NV=baseline.predict(day),
            ranking_NR=baseline.predict(day, position="missing") if baseline.sees_position else None,
            train_means=train_means,
        )
        for day in rows.each_day()
    ]
