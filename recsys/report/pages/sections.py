"""The sections of the page: tables and figures from the same frames, or the name of the file that is missing."""

from collections.abc import Sequence

import pandas as pd

from recsys import schema
from recsys.config import Pipeline
from recsys.errors import percent
from recsys.evaluation import POOLED, WITHIN
from recsys.report import cosines
from recsys.report.chance import by_chance
from recsys.report.figures import balance_figures, look_figures, metric_figures, model_figures
from recsys.report.pages.section import Section, number_of
from recsys.report.tables.cells import COUNTED, Grid, Matrix, cell_of, grid
from recsys.report.tables.frame import by_day, compared, falls, splits, whole
from recsys.report.tables.verdict import comparisons
from recsys.report.training_log import Inside, Journal

MAX_LINES = 300  # lines shown in the table of slices; all are in metrics.parquet
OPEN_LINES = 8  # of these lines, seen without opening the table


def metrics(table: pd.DataFrame, pipeline: Pipeline) -> list[Section]:
    """Return the sections of the main metrics and of all metrics. The first says once how many verdicts of the page chance would give."""
    shown = whole(table)
    split = splits(shown)[0]
    main = shown[shown["is_main"] & (shown["split"] == split)]
    results = grid(main)
    about = (
        f"Two questions on the {split} days: over all impressions, who will (auc, xauc; rmse is the error in the label's unit); and within"
        " a list as it was shown, which of its items the user will (gauc_list, xgauc_list; gauc, xgauc within users where too few lists can"
        " tell). A ranker is for the second one."
    )
    if compared(main):
        about += (
            " Beside each number stands the paired difference to each baseline, which learned from the same examples, and to each run that"
            " evaluate.against names, on the same impressions."
        )
    if results.place_of(schema.SINGLE_TASK) is not None:
        about += " The baseline single_task shows what sharing gives."
    if results.place_of(schema.TRUTH) is not None:
        about += " The truth of the simulated feed is what no ranker can be expected to beat by AUC or squared error."
    about += " Intervals resample users; another seed, or other days, can change more than they show."
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
    return [
        Section(
            "results",
            "Results",
            about,
            gist=_counted(main) or f"{len(results.lines)} numbers, compared with nothing",
            grids={f"Main metrics, {split} days": results},
            figures=metric_figures.differences(main),
            comparisons=comparisons(results),
            wide=True,
        ),
        Section(
            "metrics",
            "All metrics",
            every,
            gist=f"{number_of(len(shown['metric'].unique()), 'metric')} on {' and '.join(full)}",
            folded=full,
        ),
    ]


def _counted(table: pd.DataFrame) -> str:
    """Return in words how many differences are better, worse and inconclusive; empty where nothing is compared."""
    counts = table["verdict"].value_counts()
    said = [f"{counts[verdict]:,} {word}" for verdict, word in COUNTED.items() if verdict in counts]
    if silent := int((table["verdict"].isna() & table["against"].notna()).sum()):
        said.append(f"{silent:,} without a verdict")
    return f"of {table['against'].notna().sum():,} differences {', '.join(said)}" if said else ""


def days(table: pd.DataFrame) -> Section:
    """Return the section on single days."""
    figures, title = metric_figures.days(by_day(table)), "Day by day"
    if not figures:
        return Section("days", title, nothing="Each part of the split that was scored is one day, or no day has a number of its own.")
    gist = number_of(by_day(table)["day"].nunique(), "day")
    return Section("days", title, "The main metrics on each scored day, with their intervals.", gist=gist, figures=figures)


def progressive(table: pd.DataFrame | None) -> Section:
    """Return the section on the days that a training in time order has predicted before it learned them."""
    anchor, title = "progressive", "Predicted before learned"
    if table is None:
        return Section(anchor, title, nothing='train.order = "shuffled" learns all training days at once.')
    if table.empty:
        return Section(anchor, title, nothing="All days so far are warm days, from which the vocabulary and the scales come.")
    about = (
        "Each learned day as the model of the days before predicted it, with its interval over users: progressive validation. Labels are"
        " those that are known by now. Days differ in how hard they are to predict, not only in what was learned before them."
    )
    shown = table.assign(is_main=table["metric"].isin([*POOLED, *WITHIN]))
    shown = shown[shown["value"].notna()]
    numbers = list(dict.fromkeys(zip(shown["objective"], shown["metric"], strict=True)))
    cells = {
        (row["day"], row["objective"], row["metric"]): cell_of(row["value"], row["low"], row["high"], row["reason"])
        for row in table.to_dict("records")
    }
    lines = tuple((day, tuple(cells.get((day, *number)) for number in numbers)) for day in sorted(set(shown["day"])))
    matrix = {"Each day before it was learned": Matrix("day", tuple(f"{objective} {metric}" for objective, metric in numbers), lines)}
    gist = number_of(len(lines), "day")
    if len(lines) == 1:  # a figure of one point says nothing that its number does not
        return Section(anchor, title, about, gist=gist, matrices=matrix)
    return Section(anchor, title, about, gist=gist, figures=metric_figures.days(shown), folded_matrices=matrix)


def slices(table: pd.DataFrame) -> Section:
    """Return the section on the slices of the first split in the table."""
    sliced = falls(table[table["split"] == splits(table)[0]])
    if sliced.empty:
        return Section("slices", "Slices", nothing="features.slices names no column and no ready slice.")
    all_lines = grid(sliced)
    about = (
        "Main metrics by slice. Slices where this run is worse than a baseline come first, then the others; each part is sorted by the size"
        " of the fall, the largest first (without a baseline: the fall from this run's own value on all rows)."
    )
    if len(all_lines.lines) > MAX_LINES:
        about += f" The first {MAX_LINES} of {len(all_lines.lines)}; all are in metrics.parquet."
    first, more = (Grid(all_lines.others, lines) for lines in (all_lines.lines[:OPEN_LINES], all_lines.lines[OPEN_LINES:MAX_LINES]))
    caption = f"By slice, {splits(table)[0]} days"
    return Section(
        "slices",
        "Slices",
        about,
        gist=_counted(sliced) or f"{len(all_lines.lines):,} numbers",
        grids={caption: first},
        folded={f"{caption}, the others": more} if more.lines else {},
    )


def training(journal: Journal | None) -> Section:
    if journal is None:
        return Section("training", "Training", nothing="This run has no training.jsonl: it was not trained here.")
    about = (
        "Loss of each member, in units of the best constant prediction's: below 1 something was learned. Validation and progressive rows"
        " were predicted before anything was learned from them; the training loss is a running mean over batches. Where parameters are"
        " averaged, the validation loss is that of the averages and the training loss that of the parameters themselves."
    )
    places, figures = model_figures.best(journal.curves), model_figures.learning_curves(journal.curves)
    if places:
        about += f" {_best_words(places)}"
    return Section("training", "Training", about, gist=f"the loss of {number_of(len(figures), 'objective')}", figures=figures)


def _best_words(places: Sequence[model_figures.Best]) -> str:
    """Return in words where each objective was best, and how to read that. A pass is over the same rows again; a day brings other rows."""
    words = f"Least loss (ringed): {'; '.join(map(str, places))}."
    if places[0].unit == "day":
        return f"{words} Days differ in how hard they are to predict, not only in what was learned before them."
    overfitting, learning = ([place.objective for place in places if place.is_last == is_last] for is_last in (False, True))
    if overfitting and learning:
        return f"{words} Best before the last pass, while others still learned: {', '.join(overfitting)}."
    return words


def balancing(journal: Journal | None, pipeline: Pipeline) -> Section:
    """Return the section on loss balancing. Cosines are drawn where at least one can be told from 0."""
    title = "Balancing"
    if journal is None:
        return Section("balancing", title, nothing="This run has no training.jsonl: weights and gradients of its training are not known.")
    if len(pipeline.objective) == 1:
        return Section("balancing", title, nothing="There is one objective: no loss is held against another.")
    method, confidence = f"balance.method = {pipeline.balance.method}", pipeline.evaluate.confidence
    found = cosines.pooled_cosines(balance_figures.before_refit(journal.products), confidence)
    figures = balance_figures.figures(journal.balance, journal.products, found, [objective.name for objective in pipeline.objective])
    if not figures and found.empty:
        return Section("balancing", title, nothing=f"The weights stayed as they were ({method}), and no gradient was measured.")
    gist = f"{method}; {cosines.counted(found)}" if len(found) else method
    refits = pipeline.train.refit and schema.VALIDATION in pipeline.split.parts()
    about = f"How {len(pipeline.objective)} losses became one step ({method}){', before the refit' * refits}."
    if len(found):
        once = "each day" if pipeline.train.order == "time" else "the first pass"
        about += (
            " Gradients are those of the mean losses, unweighted and in units of the best constant prediction's, in the weights of the"
            " layer that the objectives share, on rows that were not learned yet: they are measured once by each member, halfway through"
            f" {once}. Lengths and cosines come from products of one batch's gradient with another's, which the noise of labels does not"
            f" shift; cosines are of all measurements together, intervals ({percent(confidence)}) from a jackknife over days, or over"
            " ensemble members in shuffled passes."
            f" {cosines.words(found, confidence)}"
        )
    return Section("balancing", title, about, gist=gist, figures=figures, wide=True)


def inside(model: Inside | None, pipeline: Pipeline) -> Section:
    """Return the section on what the architecture learned."""
    title = "Inside the model"
    if model is None:
        return Section("inside", title, nothing="This run has no model/inside.json: gates and position bias are not known.")
    figures = look_figures.looks(model.looks, [objective.name for objective in pipeline.objective])
    if not figures:
        return Section("inside", title, nothing=f"The architecture {model.architecture} has nothing of its own to show.")
    about = (
        f"What the architecture ({model.architecture}) learned, one row per objective. A value that depends on the impression is a mean"
        " over impressions."
    )
    if any(look.is_gate for look in model.looks):
        about += (
            f" A gate is polarised on a row where it puts more than {look_figures.POLARISED:g} on one expert: there its objective"
            f" learns through that expert alone. {look_figures.polarised(model.looks)}"
        )
    gist = f"{model.architecture}: {', '.join(dict.fromkeys(look.name for look in model.looks))}"
    return Section("inside", title, about, gist=gist, figures=figures, wide=True)
