"""A sweep: the rows of `schema.SWEEP` as a matrix, in words, and as a page of its own."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.report.figures.front_figures import VERDICTS, by_seed, number_name, planes
from recsys.report.pages.page import page
from recsys.report.pages.section import Section
from recsys.report.pages.summary import Summary
from recsys.report.tables.cells import Cell, Matrix, cell_of

MAX_BY = 3  # most names of dominating points in a cell of a table; all are in sweep.parquet


def write_sweep(path: Path, rows: pa.Table, name: str, facts: Mapping[str, str], *, fingerprint: str) -> None:
    """Write the page of a sweep. `rows` have the form of `schema.SWEEP`, `facts` are term → text."""
    table = rows.to_pandas()
    box = Summary(sentences=_words(table))
    html = page(name, run=path.parent.name, box=box, facts=facts, shown=_sections(table), kind="sweep")
    artifacts.write_file(path, lambda draft: draft.write_text(html, encoding="utf-8"), stage="sweep", fingerprint=fingerprint)


def sweep_matrix(rows: pa.Table) -> Matrix:
    """Return one row per point, those on the front first.

    A row holds the point's numbers, the share of bootstrap replicates that put it on the front, and the verdict.
    """
    return _matrix(rows.to_pandas())


def sweep_words(rows: pa.Table) -> list[str]:
    """Return in words what the table says, and what it does not say."""
    return _words(rows.to_pandas())


def _sections(table: pd.DataFrame) -> list[Section]:
    points, runs = _points(table), _numbered(table[(table["what"] == "run") & (table["split"] == _judging(table))])
    matrices = {f"Every point on {_judging(table)} days, those on the Pareto front first": _matrix(table)}
    if _later(table):
        matrices[f"The same points on {_later(table)} days, which were not used for the verdicts"] = _later_matrix(table)
    shown = [Section("front", "The Pareto front", is_open=True, matrices=matrices)]
    if drawn := planes(points):
        about = (
            "A point is a config. Its cross is the interval of its difference to the mean of all points, in each of the two numbers: noise"
            " of users and seeds that moves all points alike is not in it. Dashed: the edge of what is worse in both numbers than some"
            " point. With more than two objectives, a point behind the edge can be on the front because of another objective."
        )
        shown.append(Section("planes", "Two numbers at a time", about, gist=f"{len(drawn)} planes", figures=drawn, wide=True))
    about = (
        "Standard deviations: of a number of one run over users (which users happen to be in the test), and over seeds (which seed a"
        " training happens to start from); and of the difference of two points, over both where there are several seeds. A difference below"
        " twice the last one is no finding. All points are judged by the same users, so two intervals may overlap although their points"
        " differ."
    )
    matrices = {"Noise, as standard deviations": _noise(table)}
    shown += [
        Section("noise", "Noise", about, gist="of users and seeds", matrices=matrices, figures=by_seed(points, runs), wide=True),
        Section(
            "hypervolume",
            "Hypervolume",
            _volume_words(table),
            gist="one number for all points",
            matrices={"Ends of the scale, on the same rows": _ends(table)},
        ),
    ]
    return shown


# --- Frames -------------------------------------------------------------------------------------------------------
def _judging(table: pd.DataFrame) -> str:
    return str(table.loc[table["what"] == "front", "split"].iloc[0])


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
        (f"{row['value']:.0%}", _verdict(row["verdict"], None if pd.isna(row["by"]) else row["by"])) for row in front.to_dict("records")
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
        rows.append((str(name), tuple(cell_of(*by_number.loc[number, ["value", "low", "high"]]) for number in numbers)))
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
    front, split = _front(table), _judging(table)
    counts = front["verdict"].value_counts()
    parts = [f"on the Pareto front as measured: {counts.get(schema.FRONT, 0)}"]
    if counts.get(schema.NOISE):
        parts.append(f"behind it by no more than noise: {counts[schema.NOISE]}")
    if counts.get(schema.UNTOLD):
        parts.append(f"measured behind it, with too few users to tell: {counts[schema.UNTOLD]}")
    if counts.get(schema.DOMINATED):
        parts.append(
            f"dominated beyond noise, as another point beats them in some number and falls behind in none: {counts[schema.DOMINATED]}"
        )
    words = [
        f"Of {len(front)} points {'; '.join(parts)}.",
        _volume_words(table).partition(": ")[0] + ".",
    ]
    judged = table[(table["what"] == "run") & (table["split"] == split)]
    if len(bare := judged[judged["low"].isna()]):
        of = ", ".join(
            f"{objective} ({metric})" for objective, metric in dict.fromkeys(zip(bare["objective"], bare["metric"], strict=True))
        )
        words.append(f"Too few users on {split} days for an interval of {of}; so no point is said to be dominated beyond noise.")
    if _later(table):
        words.append(f"Points were told apart on {split} days; what a chosen one is worth stands in its numbers on {_later(table)} days.")
    else:
        words.append(
            f"Whoever picks a point by this table picks by its {split} days: the best of several looks better here than it is. Only numbers"
            " of days that were not used to pick it can be trusted."
        )
    if table.loc[table["what"] == "run", "seed"].nunique() == 1:
        words.append("One seed: the verdicts are about these trained models. Only more seeds tell whether a config does the same again.")
    return words


def _volume_words(table: pd.DataFrame) -> str:
    cell = cell_of(*table.loc[table["what"] == "hypervolume", ["value", "low", "high"]].iloc[0])
    return (
        f"The points cover {cell.text} {cell.interval} of the room between a constant prediction and the labels themselves (hypervolume):"
        " of all trade-offs that are better than the one and worse than the other, the share that some point beats in every number. Both"
        " ends depend on rows and labels alone, so sweeps that are judged by the same numbers on the same days can be compared; noise and"
        " more points can only raise it."
    )
