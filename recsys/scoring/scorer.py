"""The stage score, and a trained model as a library object."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.artifacts import Origin
from recsys.config import Pipeline, Train
from recsys.encoding import EncodedDays, batches, packed_batches, to_batch
from recsys.encoding.layout import Batch
from recsys.encoding.packing import Packed
from recsys.errors import ArtifactError, DataError
from recsys.models import Position
from recsys.objectives import Objective
from recsys.predictions import assemble, carried, ranking_names, ranking_values, value_names
from recsys.processes import Task
from recsys.processes.together import joined, order_all
from recsys.progress import Console
from recsys.scoring.devices import Compute, decide
from recsys.scoring.member import PREDICTION_ROWS, predict, sees_position, values
from recsys.scoring.model_folder import VALIDATION, Model, read_model
from recsys.workspace import MODEL, PART, day_folder, days_of

# Legend: N rows, K objectives, V values of a row (predictions.value_names).

_GROUP_ROWS = 131_072


@dataclass(frozen=True)
class Scorer:
    """A trained model that predicts examples."""

    model: Model
    compute: Compute

    @property
    def objectives(self) -> Sequence[Objective]:
        """The objectives, in the order of the predictions' first columns."""
        return self.model.pipeline.objective

    @property
    def sees_position(self) -> bool:
        """Return whether "logged" and "missing" positions give different predictions."""
        return sees_position(self.model.pipeline, self.model.encoder.layout)

    def predict(self, examples: pa.Table, position: Position = "missing") -> NDArray[np.float64]:
        """Return [N, V] values in the order of `predictions.value_names`, rows as in `examples`. Labels are not read.

        The first K columns are the objectives' expected values in the labels' own units. The position is missing (as when ranking: no place
        has been given yet), or as logged in `bias.position`. Raise ArtifactError where a column is missing that the encoder was fitted on.
        """
        parts = [examples.slice(start, PREDICTION_ROWS) for start in range(0, len(examples), PREDICTION_ROWS)]
        none = np.empty((0, len(value_names(self.objectives))))
        return np.concatenate([none, *(self._of_part(part, position) for part in parts)])

    def predict_encoded(self, days: EncodedDays, position: Position = "missing") -> NDArray[np.float64]:
        """Return the same values for days that this model's encoder has encoded, or the same with a larger vocabulary.

        Where processes compute together, each of them calls this, computes its rows, and gets the values of all.
        """
        days = days.known_to(self.model.encoder.layout)
        return self._mean(lambda: batches(days, batch_size=PREDICTION_ROWS, order="time", group=self.compute.group), position)

    def predict_packed(self, packed: Packed, position: Position = "missing") -> NDArray[np.float64]:
        """Return the same values for rows of encoded days, as they were read or after a change."""
        return self._mean(lambda: packed_batches(packed, PREDICTION_ROWS), position)

    def _of_part(self, examples: pa.Table, position: Position) -> NDArray[np.float64]:
        """Predict a part of the examples. It is encoded once for all members."""
        encoder = self.model.encoder
        batch = to_batch(encoder.transform(examples, labelled=False), encoder.layout)
        return self._mean(lambda: [batch], position)

    def _mean(self, walk: Callable[[], Iterable[Batch]], position: Position) -> NDArray[np.float64]:
        """Return the mean of the members' values."""
        parts = []
        for member in self.model.members:
            parts.append(values(member, predict(member, walk(), position=position, compute=self.compute)))
        mean_NV: NDArray[np.float64] = np.mean(parts, axis=0)
        return mean_NV


def load(folder: Path, train: Train | None = None) -> Scorer:
    """Load the model of runs/RUN/model. `train` gives device and precision; by default they are those of the model's own config.

    Raise ArtifactError, naming the file, where the folder is damaged.
    """
    model = read_model(folder)
    compute = decide(train or model.pipeline.train)
    for member in model.members:
        member.to(compute.device)
    return Scorer(model, compute)


def _load_together(run: Path, train: Train) -> Scorer:
    """Load the model of a run to predict with all processes that have been started together."""
    scorer = load(run / MODEL, train)
    return replace(scorer, compute=replace(scorer.compute, group=joined()))


@dataclass(frozen=True)
class FollowScores(Task):
    """The part that another process has in the scores of some days: its rows of each batch."""

    run_folder: Path
    train: Train
    encoded: Path
    days: tuple[str, ...]

    def run(self, console: Console) -> None:
        scorer = _load_together(self.run_folder, self.train)
        for day in self.days:
            scorer.compute.group.meet()
            _predicted(scorer, EncodedDays(self.encoded, [day]))


def score(pipeline: Pipeline, examples: Path, encoded: Path, run: Path, target: Path, origin: Origin, *, console: Console) -> None:
    """Write `target`: the validation days as predicted before the refit, and the test days as predicted by the model in `run`.

    `pred.X` is predicted with the logged position. Where the model sees a position, `rank.X` is predicted with the position missing. Raise
    DataError where there is no day to score, ArtifactError for a damaged model or for examples of other rows.
    """
    scorer = _load_together(run, pipeline.train)
    validation, test = (days_of(pipeline.split, encoded, part) for part in (schema.VALIDATION, schema.TEST))
    if not validation + test:
        raise DataError(
            f"{encoded}: found no validation and no test day, expected at least one to score. Fix: split.test, or the source's files"
        )
    kept = artifacts.read_table(run / MODEL / VALIDATION)

    def tables() -> Iterator[pa.Table]:
        for day in validation:
            yield _day_table(scorer, pipeline, examples, day, schema.VALIDATION, _kept(kept, day, pipeline.objective))
        if scorer.compute.group.size > 1:
            order_all(FollowScores("score", "", run, pipeline.train, encoded, tuple(test)))
        for day in test:
            scorer.compute.group.meet()
            yield _day_table(scorer, pipeline, examples, day, schema.TEST, _predicted(scorer, EncodedDays(encoded, [day])))

    def write(path: Path) -> None:
        made = tables()
        first = next(made)
        with console.bar("score", len(validation + test)) as advance, pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
            for table in itertools.chain([first], made):
                writer.write_table(table, row_group_size=_GROUP_ROWS)
                advance(1)

    origin.write_file(target, write)


def score_frozen(pipeline: Pipeline, examples: Path, run: Path, days: Sequence[str]) -> pa.Table:
    """Return predictions of days that the model in `run` has never met, in the form of predictions.parquet. They are encoded on the way."""
    scorer = load(run / MODEL, pipeline.train)
    none_NV = np.empty((0, len(value_names(scorer.objectives))))
    tables = []
    for day in days:
        logged, missing = [none_NV], [none_NV]
        for rows in artifacts.read_batches(day_folder(examples, day) / PART, PREDICTION_ROWS):
            logged.append(scorer.predict(rows, "logged"))
            missing.append(scorer.predict(rows, "missing") if scorer.sees_position else none_NV)
        ranks_NR = ranking_values(np.concatenate(missing), scorer.objectives) if scorer.sees_position else None
        tables.append(_day_table(scorer, pipeline, examples, day, schema.TEST, Predicted(np.concatenate(logged), ranks_NR)))
    return pa.concat_tables(tables)


@dataclass(frozen=True)
class Predicted:
    """One day's values with the position as logged, and those of them that order lists with the position missing."""

    logged_NV: NDArray[np.float64]
    missing_NR: NDArray[np.float64] | None


def _predicted(scorer: Scorer, day: EncodedDays) -> Predicted:
    logged_NV = scorer.predict_encoded(day, "logged")
    missing_NV = scorer.predict_encoded(day, "missing") if scorer.sees_position else None
    return Predicted(logged_NV, None if missing_NV is None else ranking_values(missing_NV, scorer.objectives))


def _kept(kept: pa.Table, day: str, objectives: Sequence[Objective]) -> Predicted:
    rows = kept.filter(pc.equal(kept[schema.DAY], day))

    def stacked(names: Iterable[str]) -> NDArray[np.float64]:
        return np.column_stack([rows[name].to_numpy() for name in names])

    ranks = [schema.rank_column(name) for name in ranking_names(objectives)]
    logged_NV = stacked(map(schema.prediction_column, value_names(objectives)))
    return Predicted(logged_NV, stacked(ranks) if ranks[0] in kept.column_names else None)


def _day_table(scorer: Scorer, pipeline: Pipeline, examples: Path, day: str, split: str, predicted: Predicted) -> pa.Table:
    """Return one day in the border schema. From the examples, only the columns that predictions carry are read."""
    path = day_folder(examples, day) / PART
    table = artifacts.read_table(path, carried_columns(path))
    if len(table) != len(predicted.logged_NV):
        raise ArtifactError(
            f"{path}: found {len(table):,} rows, expected the {len(predicted.logged_NV):,} that were encoded. Fix: run encode and train"
        )
    return assemble(
        table,
        day=day,
        split=split,
        objectives=pipeline.objective,
        predicted_NV=predicted.logged_NV,
        ranking_NR=predicted.missing_NR,
        train_means=scorer.model.train_means,
    )


def carried_columns(examples: Path) -> list[str]:
    """Return the columns of a day's examples that predictions carry too."""
    return carried(artifacts.read_schema(examples).names)
