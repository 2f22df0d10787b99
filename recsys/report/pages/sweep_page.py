"""A sweep: the rows of `schema.SWEEP` as a matrix, in words, and as a page of its own."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.report.figures.front_figures import VERDICTS, by_seed, number_name, planes
from recsys.report.pages.page import page
from recsys.report.pages.section import Section, number_of
from recsys.report.pages.summary import Summary
from recsys.report.tables.cells import Cell, Matrix, cell_of, rounded_percent
from recsys.report.tables.verdict import QUESTION_OF

MAX_BY = 3  # most names of dominating points in a cell of a table; all are in sweep.parquet


def write_sweep(path: Path, rows: pa.Table, name: str, facts: Mapping[str, str], *, fingerprint: str) -> None:
    """Write the page of a sweep. `rows` have the form of `schema.SWEEP`, `facts` are term → text."""
    table = rows.to_pandas()
    box = Summary(sentences=_words(table))
    html = page(name, run=path.parent.name, box=box, facts=facts, shown=_sections(table), kind="sweep")
    artifacts.write_file(path, lambda draft: draft.write_text(html, encoding="utf-8"), stage="sweep", fingerprint=fingerprint)


def sweep_matrices(rows: pa.Table) -> dict[str, Matrix]:
    """Return question in words → one row per point, those on the front first.

    A row holds the point's numbers, the share of bootstrap replicates that put it on the front, and the verdict.
    """
    return {QUESTION_OF[question]: _matrix(part) for question, part in _by_question(rows.to_pandas()).items()}


def sweep_words(rows: pa.Table) -> list[str]:
    """Return in words what the table says, and what it does not say."""
    return _words(rows.to_pandas())


def _sections(table: pd.DataFrame) -> list[Section]:
    parts = _by_question(table)
    judging, later = _judging(table), _later(table)
    matrices = {}
    for question, part in parts.items():
        matrices[f"{QUESTION_OF[question]}: every point on {judging} days, those on the Pareto front first"] = _matrix(part)
        if later:
            caption = f"{QUESTION_OF[question]}: the same points on {later} days, which were not used for the verdicts"
            matrices[caption] = _later_matrix(part)
    about = ""
    if len(parts) > 1:
        about = (
            "Two fronts, as a point may be good at one question and bad at the other: who will, over all impressions; and which item of"
            " a list the user will, within lists (gauc, xgauc: within users, where too few lists can tell)."
        )
    shown = [Section("front", "The Pareto front", about, is_open=True, matrices=matrices)]
    if drawn := [each for part in parts.values() for each in planes(_points(part))]:
        about = (
            "A point is a config. Its cross is the interval of its difference to the mean of all points, in each of the two numbers: noise"
            f" of {_noise_of(table)} that moves all points alike is not in it. Dashed: the edge of what is worse in both numbers than some"
            " point. With more than two objectives, a point behind the edge can be on the front because of another objective."
        )
        shown.append(Section("planes", "Two numbers at a time", about, gist=number_of(len(drawn), "plane"), figures=drawn, wide=True))
    return [*shown, _noise_section(table, parts), _volume_section(parts)]


def _noise_section(table: pd.DataFrame, parts: Mapping[str, pd.DataFrame]) -> Section:
    over_seeds = " and over seeds (which seed a training happens to start from);" if _has_seeds(table) else ""
    about = (
        f"Standard deviations: of a number of one run over users (which users happen to be judged),{over_seeds} and of the difference"
        f" of two points, over {'both' if over_seeds else 'users alone'}. A difference below twice the last one is no finding. All points"
        " are judged by the same users, so two intervals may overlap although their points differ."
    )
    if not over_seeds:
        about += " What another seed would change is not known from one."
    runs = _numbered(table[(table["what"] == "run") & (table["split"] == _judging(table))])
    figures = [each for part in parts.values() for each in by_seed(_points(part), runs)]
    matrices = {"Noise, as standard deviations": _noise(table)}
    return Section("noise", "Noise", about, gist=f"of {_noise_of(table)}", matrices=matrices, figures=figures, wide=True)


def _volume_section(parts: Mapping[str, pd.DataFrame]) -> Section:
    about = (
        f"{' '.join(_volume_words(question, part) for question, part in parts.items())} This is the hypervolume: of all trade-offs that are"
        " better than the one and worse than the other, the share that some point beats in every number. Both ends depend on rows and"
        " labels alone, so sweeps that are judged by the same numbers on the same days can be compared; noise and more points can only"
        " raise it."
    )
    matrices = {"Ends of the scale, on the same rows": _ends(pd.concat(parts.values()))}
    return Section("hypervolume", "Hypervolume", about, gist="one number for all points", matrices=matrices)


# --- Frames -------------------------------------------------------------------------------------------------------
def _by_question(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return question → its rows, of the questions that have a front."""
    asked = table.loc[table["what"] == "front", "question"].unique()
    return {str(question): table[table["question"] == question] for question in asked}


def _judging(table: pd.DataFrame) -> str:
    return str(table.loc[table["what"] == "front", "split"].iloc[0])


def _has_seeds(table: pd.DataFrame) -> bool:
    """Return whether any point was trained with several seeds."""
    return table.loc[table["what"] == "run", "seed"].nunique() > 1


def _noise_of(table: pd.DataFrame) -> str:
    return "users and seeds" if _has_seeds(table) else "users"


def _later(table: pd.DataFrame) -> str | None:
    others = table.loc[table["split"] != _judging(table), "split"].unique()
    return str(others[0]) if len(others) else None


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(number=[number_name(o, m) for o, m in zip(table["objective"], table["metric"], strict=True)])


def _front(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of verdicts: by verdict, the front first, then by the share of bootstrap replicates that put a point there."""
    front = table[table["what"] == "front"]
    place = front["verdict"].map(VERDICTS.index)
    return front.iloc[np.lexsort((-front["value"], place))]


def _points(table: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Return one row per point and number, in the order of `_front`, with the verdict and the number relative to the mean of all points."""
    front = _front(table)
    points = _numbered(table[(table["what"] == "point") & (table["split"] == (split or _judging(table)))])
    relative = table[(table["what"] == "relative") & (table["split"] == points["split"].iloc[0])]
    beside = relative.set_index(["point", "objective", "metric"])[["value", "low", "high"]].add_prefix("relative_")
    points = points.join(beside, on=["point", "objective", "metric"])
    points = points.assign(verdict=points["point"].map(front.set_index("point")["verdict"]))
    return points.sort_values("point", key=lambda names: names.map(list(front["point"]).index), kind="stable")


# --- Tables -------------------------------------------------------------------------------------------------------
def _matrix(table: pd.DataFrame) -> Matrix:
    numbers, rows = _rows(_points(table))
    front = _front(table)
    said = [
        (rounded_percent(row["value"]), _verdict(row["verdict"], None if pd.isna(row["by"]) else row["by"]))
        for row in front.to_dict("records")
    ]
    lines = tuple((name, (*cells, *words)) for (name, cells), words in zip(rows, said, strict=True))
    return Matrix("point", (*numbers, "replicates on the front", "verdict"), lines)


def _later_matrix(table: pd.DataFrame) -> Matrix:
    numbers, rows = _rows(_points(table, _later(table)))
    return Matrix("point", tuple(numbers), tuple(rows))


def _rows(points: pd.DataFrame) -> tuple[list[str], list[tuple[str, tuple[Cell | str | None, ...]]]]:
    numbers = list(dict.fromkeys(points["number"]))
    rows: list[tuple[str, tuple[Cell | str | None, ...]]] = []
    for name, of_point in points.groupby("point", sort=False):
        by_number = of_point.set_index("number")
        rows.append((str(name), tuple(cell_of(*by_number.loc[number, ["value", "low", "high", "reason"]]) for number in numbers)))
    return numbers, rows


def _verdict(verdict: str, dominating: str | None) -> str:
    if dominating is None:
        return verdict
    names = dominating.split(schema.BETWEEN_POINTS)
    by = ", ".join(names[:MAX_BY]) + (f" and {len(names) - MAX_BY} more" if len(names) > MAX_BY else "")
    return f"{verdict} by {by}" if verdict == schema.DOMINATED else f"{verdict}; measured behind {by}"


def _noise(table: pd.DataFrame) -> Matrix:
    noise = _numbered(table[table["what"].isin(("user_sd", "seed_sd", "pair_sd"))])
    found = {(number, what): f"{sd:.2g}" for number, what, sd in noise[["number", "what", "value"]].itertuples(index=False)}
    unknown = {"seed_sd": "not known from one seed", "pair_sd": "one point"}
    rows = tuple(
        (number, (found[number, "user_sd"], *(found.get((number, what), words) for what, words in unknown.items())))
        for number in dict.fromkeys(noise["number"])
    )
    return Matrix("number", ("one run, over users", "one run, over seeds", "difference of two points"), rows)


def _ends(table: pd.DataFrame) -> Matrix:
    ends = _numbered(table[table["what"].isin(("reference", "perfect"))])
    found = {
        (number, what): cell_of(value, value, value).text
        for number, what, value in ends[["number", "what", "value"]].itertuples(index=False)
    }
    rows = tuple((number, (found[number, "reference"], found[number, "perfect"])) for number in dict.fromkeys(ends["number"]))
    return Matrix("number", ("a constant prediction", "the labels as predictions"), rows)


# --- Words --------------------------------------------------------------------------------------------------------
def _words(table: pd.DataFrame) -> list[str]:
    parts, split = _by_question(table), _judging(table)
    words = [line for question, part in parts.items() for line in (_front_words(question, part), _volume_words(question, part))]
    for question, part in parts.items():
        judged = part[(part["what"] == "run") & (part["split"] == split)]
        if len(bare := judged[judged["low"].isna()]):
            why = f"too few users on {split} days for an interval of {_names(bare)}"
            words.append(f"{QUESTION_OF[question]}: {why}; so no point is said to be dominated there beyond noise.")
    for reason, silent in table[table["what"] == "left_out"].groupby("reason", sort=False):
        words.append(f"{QUESTION_OF[schema.WHICH]}: {_names(silent)} left out, {reason}.")
    if _later(table):
        words.append(f"Points were told apart on {split} days; what a chosen one is worth stands in its numbers on {_later(table)} days.")
    else:
        words.append(
            f"Whoever picks a point by this table picks by its {split} days: the best of several looks better here than it is. Only numbers"
            " of days that were not used to pick it can be trusted."
        )
    if not _has_seeds(table):
        words.append("One seed: the verdicts are about these trained models. Only more seeds tell whether a config does the same again.")
    return words


def _front_words(question: str, part: pd.DataFrame) -> str:
    front = _front(part)
    counts = front["verdict"].value_counts()
    said = [f"on the Pareto front as measured: {counts.get(schema.FRONT, 0)}"]
    if counts.get(schema.NOISE):
        said.append(f"behind it by no more than noise: {counts[schema.NOISE]}")
    if counts.get(schema.UNTOLD):
        said.append(f"measured behind it, with too few users to tell: {counts[schema.UNTOLD]}")
    if counts.get(schema.DOMINATED):
        said.append(
            f"dominated beyond noise, as another point beats them in some number and falls behind in none: {counts[schema.DOMINATED]}"
        )
    return f"{QUESTION_OF[question]}: of {len(front)} points {'; '.join(said)}."


def _volume_words(question: str, part: pd.DataFrame) -> str:
    cell = cell_of(*part.loc[part["what"] == "hypervolume", ["value", "low", "high"]].iloc[0])
    covered = " ".join(filter(None, (cell.text, cell.interval)))
    return f"{QUESTION_OF[question]}: the points cover {covered} of the room between a constant prediction and the labels themselves."


def _names(rows: pd.DataFrame) -> str:
    return ", ".join(f"{objective} ({metric})" for objective, metric in dict.fromkeys(zip(rows["objective"], rows["metric"], strict=True)))
