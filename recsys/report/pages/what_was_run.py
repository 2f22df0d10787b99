"""The facts about a run and its objectives: the last part of its page."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.config import Pipeline, Train
from recsys.errors import percent
from recsys.evaluation import Scores, Target, targets
from recsys.objectives import Objective
from recsys.predictions import train_means
from recsys.report.tables.cells import conditional_words
from recsys.report.training_log import Inside


@dataclass(frozen=True)
class ObjectiveFacts:
    """An objective, or its conditional form, with its mean label on the training days and on each scored split (None: not known)."""

    target: Target
    means: dict[str, float | None]

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def objective(self) -> Objective:
        return self.target.objective

    @property
    def conditional(self) -> str | None:
        """The conditional form in words, None for an objective itself."""
        return None if self.target.given is None else conditional_words(self.name)

    @property
    def how(self) -> str:
        """The options of the objective's kind as text, where they are set: condition, loss, method or levels."""
        objective = self.objective
        match objective.kind:
            case "binary":
                return "" if objective.given is None or self.target.given else f"given {objective.given}"
            case "regression":
                return f"{objective.loss} loss"
            case "watch_time":
                return objective.method + (f" by {objective.duration}" if objective.duration else "")
            case "ordinal":
                return f"levels {', '.join(f'{level:g}' for level in objective.levels)}"


def objectives(pipeline: Pipeline, predictions: pa.Table, scores: Scores) -> list[ObjectiveFacts]:
    """Return the facts about each objective and conditional form. `scores` are those of `predictions`."""
    background = train_means(predictions.schema)
    found = []
    for target in targets(pipeline.objective):
        means = {schema.TRAIN: background.get(target.name)}
        for split in predictions[schema.SPLIT].unique().to_pylist():
            label_N = scores.label[target.name][is_of(predictions, split)]
            known_N = label_N[~np.isnan(label_N)]
            means[split] = float(known_N.mean()) if len(known_N) else None
        found.append(ObjectiveFacts(target, means))
    return found


def is_of(predictions: pa.Table, split: str) -> NDArray[np.bool_]:
    """Return for each row whether it belongs to the split."""
    is_of_N: NDArray[np.bool_] = pc.equal(predictions[schema.SPLIT], split).to_numpy()
    return is_of_N


def facts(pipeline: Pipeline, predictions: pa.Table, model: Inside | None, account: Mapping[str, int] | None) -> dict[str, str]:
    """Return the facts about the run as term → text."""
    found: dict[str, str] = {"Log": pipeline.source.kind}
    if account is not None:
        found["Rows"] = str(artifacts.RowAccount(**account))
    found |= {
        f"{part.capitalize()} days": f"{first} to {last}" if first != last else f"{first}"
        for part, (first, last) in pipeline.split.parts().items()
    }
    counts = predictions[schema.SPLIT].value_counts().to_pylist()
    found["Impressions scored"] = ", ".join(f"{count['counts']:,} {count['values']}" for count in counts)
    if model is not None:
        found["Model"] = f"{model.architecture}, {model.members} ensemble member{'s' if model.members > 1 else ''}"
        budget = pipeline.model.budget_macs
        of_budget = f", of a budget of {budget:,} ({model.multiplications / budget:.1%})" if budget else ""
        found["Multiplications per row"] = f"{model.multiplications:,}{of_budget}"
        found["Parameters"] = f"{model.parameters.dense:,} dense, {model.parameters.embedding:,} in the embedding table"
        found["Trained on"] = f"{model.device}, {model.precision}"
    order, averaging = pipeline.train.order, pipeline.train.averaging
    refits = pipeline.train.refit and schema.VALIDATION in pipeline.split.parts()
    refit = "validation days learned before the test" if refits else "no refit"
    window = f"pass{'es' * (averaging > 1)}" if order == "shuffled" else f"day{'s' * (averaging > 1)}"
    averages = f"averages over {averaging:g} {window}, " if averaging else ""
    found["Training"] = f"{order} order, {_pace(model, order)}{averages}{refit}, seed {pipeline.seed}"
    found |= _other_runs(pipeline.train) | _kept_baselines(pipeline)
    found["Intervals"] = f"{percent(pipeline.evaluate.confidence)}, {pipeline.evaluate.bootstrap:,} bootstrap replicates over users"
    found["Versions"] = ", ".join(f"{library} {version}" for library, version in artifacts.versions().items())
    return found


def _other_runs(train: Train) -> dict[str, str]:
    """Return the other runs that this one has learned from."""
    found = {}
    if train.init_from is not None:
        frozen = f", {', '.join(train.freeze)} frozen" if train.freeze else ""
        found["Started from"] = f"the weights of the run {train.init_from.name}{frozen}"
    if train.distil_from is not None:
        found["Taught by"] = f"the run {train.distil_from.name}, whose predictions are learned beside the labels"
    return found


def _kept_baselines(pipeline: Pipeline) -> dict[str, str]:
    """Return which days popularity and trees have learned, where these are not those of the model."""
    of = pipeline.evaluate
    if not {schema.POPULARITY, *schema.TREES}.intersection(of.baselines):
        return {}
    window = of.baseline_window_days
    last = "" if window is None else "the last day" if window == 1 else f"the last {window} days"
    if of.baseline_refit_days == 1:
        return {"Baselines": f"learned {last} of training"} if last else {}
    through = pipeline.baseline_days(pipeline.split.days(schema.TRAIN))[-1]
    return {"Baselines": f"fitted every {of.baseline_refit_days} training days; this fit learned {last or 'all days'} through {through}"}


def _pace(model: Inside | None, order: str) -> str:
    """Return in words the size of the steps and the number of passes; empty where no model tells them."""
    if model is None:
        return ""
    pace = model.pace
    passes, each = (pace.passes, "") if order == "shuffled" else (pace.day_passes, " over each day")
    of = "in all" if order == "shuffled" else "on the warm days"  # the pace of time order is theirs, and stays
    over = f"at most {passes} pass{'es' * (passes > 1)}{each}, {pace.rows:,} rows {of}"
    return f"batches of {pace.batch_size:,}, {over}, learning rate {pace.learning_rate:g}, "
