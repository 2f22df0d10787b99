"""What the page shows, section by section: tables and figures from the same frames, or which file is missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.objectives import Objective
from recsys.predictions import train_means
from recsys.report import metric_figures, model_figures
from recsys.report.cells import Grid, grid
from recsys.report.figure import Figure
from recsys.report.frame import by_day, falls, splits, whole
from recsys.report.training_log import Inside
from recsys.report.verdict import Comparison, comparisons

MAX_LINES = 300  # of the table of slices; all are in metrics.parquet
OPEN_LINES = 8  # of them, seen without opening the table


@dataclass(frozen=True)
class Section:
    """A heading, what it is about, and what is seen. Tables in `folded` open on demand."""

    anchor: str
    title: str
    about: str
    grids: Mapping[str, Grid] = field(default_factory=dict)  # caption → table
    figures: list[Figure] = field(default_factory=list)
    folded: Mapping[str, Grid] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    wide: bool = False  # figures over the whole width


@dataclass(frozen=True)
class ObjectiveFacts:
    """An objective with its mean label on the training days and on each scored split (None: not known)."""

    objective: Objective
    means: dict[str, float | None]


def metrics(table: pd.DataFrame) -> list[Section]:
    shown = whole(table)
    split = splits(shown)[0]
    main = shown[shown["is_main"] & (shown["split"] == split)]
    about = (
        f"Each objective's main metric on the {split} days, and the paired difference to each baseline, which learned from the same"
        " examples, on the same impressions. Intervals resample users; another seed, or other days, can change more than they show."
    )
    every = (
        "Every metric with its interval. A dash has its reason behind it. Coverage is the share of n that a value rests on: gauc and"
        " gauc_list count only users and lists with both classes. Counters that run on through the test pull gauc down for every model that"
        " sees them; gauc_list is free of that."
    )
    full = {f"{split} days": grid(shown[shown["split"] == split]) for split in splits(shown)}
    results = grid(main)
    return [
        Section(
            "results",
            "Results",
            about,
            {f"Main metrics, {split} days": results},
            metric_figures.differences(main),
            comparisons=comparisons(results),
            wide=True,
        ),
        Section("metrics", "All metrics", every, folded=full),
    ]


def calibration(predictions: pa.Table, table: pd.DataFrame, pipeline: Pipeline) -> Section:
    split = next(
        split for split in (schema.TEST, schema.VALIDATION, schema.TRAIN) if pc.any(pc.equal(predictions[schema.SPLIT], split)).as_py()
    )
    rows = predictions.filter(pc.equal(predictions[schema.SPLIT], split))
    of_split = whole(table[table["split"] == split])
    figures = metric_figures.calibration(rows, pipeline.objective, of_split, confidence=pipeline.evaluate.confidence)
    about = (
        f"Impressions of the {split} days in bins of equal size by their prediction. On the dashed line a prediction is right on average;"
        " Σp/Σy above 1 predicts too much. On few rows even a perfect prediction has an ECE above 0. The bars take rows for independent."
    )
    return Section("calibration", "Calibration", about, figures=figures)


def days(table: pd.DataFrame) -> list[Section]:
    figures = metric_figures.days(by_day(table))
    return [Section("days", "Day by day", "The main metrics on each scored day, with their intervals.", figures=figures)] if figures else []


def slices(table: pd.DataFrame, pipeline: Pipeline) -> list[Section]:
    """Of the first split that is there; absent where nothing is sliced."""
    sliced = falls(table[table["split"] == splits(table)[0]])
    if sliced.empty:
        return []
    all_lines = grid(sliced)
    about = (
        "Main metrics by slice: first where this run is worse than a baseline, then the others, each by the size of the fall (without a"
        " baseline: against its own whole)."
    )
    judged = int(sliced["verdict"].notna().sum())
    if judged:
        chance = (1 - pipeline.evaluate.confidence) * judged
        about += f" Of {judged} such differences about {chance:.0f} would exclude 0 by chance alone."
    if len(all_lines.lines) > MAX_LINES:
        about += f" The first {MAX_LINES} of {len(all_lines.lines)}; all are in metrics.parquet."
    first, more = (Grid(all_lines.others, lines) for lines in (all_lines.lines[:OPEN_LINES], all_lines.lines[OPEN_LINES:MAX_LINES]))
    caption = f"By slice, {splits(table)[0]} days"
    return [Section("slices", "Slices", about, {caption: first}, folded={f"{caption}, the others": more} if more.lines else {})]


def training(journal: pd.DataFrame | None) -> Section:
    if journal is None:
        return Section("training", "Training", "This run has no training.jsonl: it was not trained here.")
    about = (
        "Loss of each member, in units of the best constant prediction's: below 1 something was learned. Validation and progressive rows"
        " were predicted before anything was learned from them; the training loss is a running mean over batches."
    )
    return Section("training", "Training", about, figures=model_figures.learning_curves(journal))


def inside(model: Inside | None, pipeline: Pipeline) -> list[Section]:
    if model is None:
        return [Section("gates", "Inside the model", "This run has no model/inside.json: gates and position bias are not known.")]
    utilisation = model_figures.gates(model, [objective.name for objective in pipeline.objective])
    bias = model_figures.position_bias(model)
    sections = []
    if utilisation:
        about = "Mean share of each expert. A gate that puts nearly all on one expert is polarised: its objective shares nothing."
        about += f" {model_figures.polarised(model)}"
        sections.append(Section("gates", "Gates", about, figures=[utilisation], wide=True))
    if bias:
        about = "What a position on a device adds to a logit. Dashed: the learned value of a missing position, with which lists are ranked."
        sections.append(Section("bias", "Position bias", about, figures=bias))
    return sections


def objectives(pipeline: Pipeline, predictions: pa.Table) -> list[ObjectiveFacts]:
    background = train_means(predictions.schema)
    found = []
    for objective in pipeline.objective:
        means = {schema.TRAIN: background.get(objective.name)}
        for split in predictions[schema.SPLIT].unique().to_pylist():
            rows = predictions.filter(pc.equal(predictions[schema.SPLIT], split))
            means[split] = pc.mean(rows[schema.label_column(objective.name)]).as_py()
        found.append(ObjectiveFacts(objective, means))
    return found


def facts(pipeline: Pipeline, predictions: pa.Table, model: Inside | None, account: Mapping[str, int] | None) -> dict[str, str]:
    """What was run, as term → text."""
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
        found["Model"] = f"{model.sharing}, {model.members} member{'s' if model.members > 1 else ''}"
        found["Multiplications a row"] = f"{model.multiplications:,}"
        found["Parameters"] = f"{model.parameters.dense:,} dense, {model.parameters.embedding:,} in the embedding table"
        found["Trained on"] = f"{model.device}, {model.precision}"
    order = pipeline.train.order
    found["Training"] = (
        f"{order} order, {'validation days learned before the test' if pipeline.train.refit else 'no refit'}, seed {pipeline.seed}"
    )
    found["Intervals"] = f"{pipeline.evaluate.confidence:.0%}, {pipeline.evaluate.bootstrap:,} bootstrap replicates over users"
    found["Versions"] = ", ".join(f"{library} {version}" for library, version in artifacts.versions().items())
    return found
