"""A trained model as a folder of weights, encoder, config and facts about the model; and the same model, loaded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from recsys import artifacts, lineage, schema
from recsys.config import Learning, problems_of
from recsys.encoding import Encoder
from recsys.errors import ArtifactError, short
from recsys.objectives import Objective
from recsys.predictions import ranking_names, value_names
from recsys.scoring.member import Member, loaded_member
from recsys.scoring.tensor_files import mapped_tensors, write_tensors
from recsys.workspace import ENCODER, INSIDE

# Legend: N rows, K objectives, V values of a row (predictions.value_names).

WEIGHTS, CONFIG = "model.safetensors", "config.json"
CHOSEN = "chosen.safetensors"  # the weights before the refit, where they are kept (`train.keep_chosen`)
_FIX = "Fix: train it again, recsys run PIPELINE.toml"
TRAIN_MEANS, VALIDATION = "train_means.json", "validation.parquet"


@dataclass(frozen=True)
class Model:
    """A loaded model, with all that scoring needs. The members are in evaluation mode, on the CPU.

    `learned_through` is the last ISO day whose labels the weights know: learned here, or by the runs that they started from.
    """

    pipeline: Learning
    encoder: Encoder
    members: tuple[Member, ...]
    train_means: Mapping[str, float]
    learned_through: str


def write_model(
    output: artifacts.Output,
    *,
    pipeline: Learning,
    encoder: Encoder,
    members: Sequence[Mapping[str, Tensor]],
    chosen: Sequence[Mapping[str, Tensor]] = (),
    inside: Mapping[str, Any],
    train_means: Mapping[str, float],
    validation: pa.Table,
    learned_through: str,
) -> None:
    """Write the contents of runs/RUN/model. The folder is self-contained: loading needs no other folder, and no pickle.

    The model options of `pipeline` hold widths and no budget. `chosen` are the members before the refit, where they are kept.
    """
    for file, each in ((WEIGHTS, members), (CHOSEN, chosen)):
        if each:
            weights = {f"member.{index}.{name}": tensor for index, member in enumerate(each) for name, tensor in member.items()}
            write_tensors(output.path(file), weights)
    encoder.save(output, ENCODER)
    output.write_json(CONFIG, pipeline.model_dump(mode="json", include=set(Learning.model_fields)))
    output.write_json(INSIDE, inside)
    output.write_json(TRAIN_MEANS, train_means)
    lineage.write_learned(output, learned_through)
    output.write_table(VALIDATION, validation)


def keeps_chosen(folder: Path) -> bool:
    """Return whether the model folder also holds the members as they were before the refit."""
    return (folder / CHOSEN).exists()


def read_model(folder: Path, weights_file: str = WEIGHTS) -> Model:
    """Read a model folder. Raise ArtifactError, naming the file, where anything in the folder differs from its manifest.

    With `weights_file` = CHOSEN the members are those before the refit.
    """
    artifacts.verify(folder)
    pipeline = _learning(folder / CONFIG)
    try:
        encoder = Encoder.load(folder / ENCODER)
        weights = mapped_tensors(folder / weights_file)
        means = _means(folder / TRAIN_MEANS)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError, RecursionError) as error:
        raise ArtifactError(f"{folder}: cannot be read ({_one_line(error)}), expected a model of this version. {_FIX}") from error
    try:
        members = tuple(_member(pipeline, encoder, weights, index) for index in range(pipeline.model.most_members))
    except (ValueError, RuntimeError) as error:
        raise ArtifactError(f"{folder}: made by an earlier version ({_one_line(error)}). {_FIX}") from error
    return Model(pipeline, encoder, members, means, lineage.learned_by(folder) or pipeline.learned_through)


def _one_line(error: Exception) -> str:
    return short(" ".join(str(error).split()))  # torch's messages have several lines


def _learning(file: Path) -> Learning:
    """Read the options that a model was trained with. Raise ArtifactError where they are none of this version."""
    raw = artifacts.read_json(file)
    try:
        return Learning.model_validate(raw)
    except ValidationError as error:
        what = next(problems_of(error, raw)) if isinstance(raw, dict) else "no options"
        raise ArtifactError(f"{file.parent}: made by an earlier version ({short(what)}). {_FIX}") from error


def _means(file: Path) -> dict[str, float]:
    """Read the mean of each label on the training days. Raise ValueError where the file holds anything else."""
    raw = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(raw, dict) or not all(isinstance(mean, float | int) for mean in raw.values()):
        raise ValueError(f"{file.name}: found no means of labels")
    return raw


def _member(pipeline: Learning, encoder: Encoder, weights: Mapping[str, Tensor], index: int) -> Member:
    start = f"member.{index}."
    own = {name.removeprefix(start): tensor for name, tensor in weights.items() if name.startswith(start)}
    return loaded_member(pipeline, encoder.layout, index, own)


def validation_table(
    rows: Mapping[str, int], predicted_NV: NDArray[np.float64], ranking_NR: NDArray[np.float64] | None, objectives: Sequence[Objective]
) -> pa.Table:
    """Return the kept predictions on the validation days, row for row as the encoded days have them. `rows`: day → its number of rows.

    Columns are `pred.X` for each of `predictions.value_names`, and `rank.X` for each of `predictions.ranking_names` where ranking has
    predictions of its own.
    """
    columns = {schema.DAY: pa.array([day for day, count in rows.items() for _ in range(count)], pa.string())}
    for v, name in enumerate(value_names(objectives)):
        columns[schema.prediction_column(name)] = pa.array(predicted_NV[:, v])
    if ranking_NR is not None:
        columns |= {schema.rank_column(name): pa.array(ranking_NR[:, v]) for v, name in enumerate(ranking_names(objectives))}
    return pa.table(columns)
