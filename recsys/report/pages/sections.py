"""The sections of the page: tables and figures from the same frames, or the name of the file that is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup
from numpy.typing import NDArray

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.evaluation import Scores, Target, dominant_users, targets
from recsys.objectives import Objective
from recsys.predictions import train_means
from recsys.report import cosines
from recsys.report.chance import by_chance
from recsys.report.figures import balance_figures, look_figures, metric_figures, model_figures
from recsys.report.figures.figure import Figure
from recsys.report.tables.cells import Grid, Matrix, conditional_words, grid
from recsys.report.tables.frame import by_day, falls, splits, whole
from recsys.report.tables.verdict import Comparison, comparisons
from recsys.report.training_log import Inside, Journal

MAX_LINES = 300  # lines shown in the table of slices; all are in metrics.parquet
OPEN_LINES = 8  # of these lines, seen without opening the table


@dataclass(frozen=True)
class Widget:
    """An interactive part of a section: its markup, and the style and script files of this package that it needs.

    `data` is element id → the JSON that the scripts read there.
    """

    markup: Markup
    style: str
    scripts: tuple[str, ...]
    data: Mapping[str, Markup] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A heading, a text about the section, its tables and its figures. Tables in `folded` open on demand."""

    anchor: str
    title: str
    about: str
    grids: Mapping[str, Grid] = field(default_factory=dict)  # caption → table
    figures: list[Figure] = field(default_factory=list)
    folded: Mapping[str, Grid] = field(default_factory=dict)
    folded_matrices: Mapping[str, Matrix] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    matrices: Mapping[str, Matrix] = field(default_factory=dict)  # caption → table of numbers alone
    wide: bool = False  # figures over the whole width
    widget: Widget | None = None


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


def metrics(table: pd.DataFrame, pipeline: Pipeline) -> list[Section]:
    """Return the sections of the main metrics and of all metrics. The first says once how many verdicts of the page chance would give."""
    shown = whole(table)
    split = splits(shown)[0]
    main = shown[shown["is_main"] & (shown["split"] == split)]
    about = (
        f"Two questions on the {split} days: over all impressions, who will (auc, xauc; rmse is the error in the label's unit); and within"
        " a list as it was shown, which of its items the user will (gauc_list, xgauc_list; gauc, xgauc within users where too few lists can"
        " tell). A ranker is for the second one. Beside each number stands the paired difference to each baseline, which learned from the"
        " same examples, and to each run that evaluate.against names, on the same impressions. The baseline single_task shows what sharing"
        " gives. Intervals resample users; another seed, or other days, can change more than they show."
    )
    if judged := int(shown["verdict"].notna().sum() + falls(table[table["split"] == split])["verdict"].notna().sum()):
        about += (
            f" {by_chance(judged, pipeline.evaluate.confidence)} These are the marks of this section, of all metrics and of the slices."
        )
    every = (
        "Every metric with its interval. A dash is followed by its reason. Coverage is the share of n that a value rests on: gauc and"
        " gauc_list count only users and lists with both classes. Counters that are updated during the test days lower gauc for every model"
        " that reads them; gauc_list is not affected."
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


def days(table: pd.DataFrame) -> list[Section]:
    figures = metric_figures.days(by_day(table))
    return [Section("days", "Day by day", "The main metrics on each scored day, with their intervals.", figures=figures)] if figures else []


def slices(table: pd.DataFrame) -> list[Section]:
    """Return the section on the slices of the first split in the table. There is none where nothing is sliced."""
    sliced = falls(table[table["split"] == splits(table)[0]])
    if sliced.empty:
        return []
    all_lines = grid(sliced)
    about = (
        "Main metrics by slice. Slices where this run is worse than a baseline come first, then the others; each part is sorted by the size"
        " of the fall, the largest first (without a baseline: the fall from this run's own value on all rows)."
    )
    if len(all_lines.lines) > MAX_LINES:
        about += f" The first {MAX_LINES} of {len(all_lines.lines)}; all are in metrics.parquet."
    first, more = (Grid(all_lines.others, lines) for lines in (all_lines.lines[:OPEN_LINES], all_lines.lines[OPEN_LINES:MAX_LINES]))
    caption = f"By slice, {splits(table)[0]} days"
    return [Section("slices", "Slices", about, {caption: first}, folded={f"{caption}, the others": more} if more.lines else {})]


def training(journal: Journal | None) -> Section:
    if journal is None:
        return Section("training", "Training", "This run has no training.jsonl: it was not trained here.")
    about = (
        "Loss of each member, in units of the best constant prediction's: below 1 something was learned. Validation and progressive rows"
        " were predicted before anything was learned from them; the training loss is a running mean over batches."
    )
    if places := model_figures.best(journal.curves):
        about += f" {_best_words(places)}"
    return Section("training", "Training", about, figures=model_figures.learning_curves(journal.curves))


def _best_words(places: Sequence[model_figures.Best]) -> str:
    """Return in words where each objective was best, and how to read that. A pass is over the same rows again; a day brings other rows."""
    words = f"Least loss (ringed): {'; '.join(map(str, places))}."
    if places[0].unit == "day":
        return f"{words} Days differ in how hard they are to predict, not only in what was learned before them."
    overfitting, learning = ([place.objective for place in places if place.is_last == is_last] for is_last in (False, True))
    if overfitting and learning:
        return f"{words} Best before the last pass, while others still learned: {', '.join(overfitting)}."
    return words


def balancing(journal: Journal | None, pipeline: Pipeline) -> list[Section]:
    """Return the section on loss balancing. There is none where weights stayed as they were and no gradient was measured."""
    if journal is None:
        return []
    confidence = pipeline.evaluate.confidence
    found = cosines.pooled_cosines(balance_figures.before_refit(journal.products), confidence)
    figures = balance_figures.figures(journal.balance, journal.products, found, [objective.name for objective in pipeline.objective])
    if not figures and found.empty:
        return []
    about = f"How {len(pipeline.objective)} losses became one step (balance.method = {pipeline.balance.method}), before the refit."
    if len(found):
        about += (
            " Gradients are those of the mean losses, unweighted and in units of the best constant prediction's, in the weights of the"
            " layer that the objectives share, on rows that were not learned yet. Lengths and cosines come from products of one batch's"
            " gradient with another's, which the noise of labels does not shift; cosines are of all measurements together, intervals"
            f" ({confidence:.0%}) from a jackknife over days, or over ensemble members in shuffled passes."
            f" {cosines.words(found, confidence)}"
        )
    return [Section("balancing", "Balancing", about, figures=figures, wide=True)]


def inside(model: Inside | None, pipeline: Pipeline) -> list[Section]:
    if model is None:
        return [Section("inside", "Inside the model", "This run has no model/inside.json: gates and position bias are not known.")]
    figures = look_figures.looks(model.looks, [objective.name for objective in pipeline.objective])
    sections = []
    if figures:
        about = (
            f"What the architecture ({model.architecture}) learned, one row per objective. A value that depends on the impression is a mean"
            " over impressions."
        )
        if any(look.is_gate for look in model.looks):
            about += (
                f" A gate is polarised on a row where it puts more than {look_figures.POLARISED:g} on one expert: there its objective"
                f" learns through that expert alone. {look_figures.polarised(model.looks)}"
            )
        sections.append(Section("inside", "Inside the model", about, figures=figures, wide=True))
    return sections


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
    order = pipeline.train.order
    found["Training"] = (
        f"{order} order, {'validation days learned before the test' if pipeline.train.refit else 'no refit'}, seed {pipeline.seed}"
    )
    found["Intervals"] = f"{pipeline.evaluate.confidence:.0%}, {pipeline.evaluate.bootstrap:,} bootstrap replicates over users"
    if dominant := dominant_users(predictions, pipeline.objective):
        found["Warning"] = " ".join(f"{each}." for each in dominant)
    found["Versions"] = ", ".join(f"{library} {version}" for library, version in artifacts.versions().items())
    return found
