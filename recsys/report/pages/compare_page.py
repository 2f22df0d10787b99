"""Runs compared with the first of them: the rows of `schema.COMPARISON` as one table with verdicts in words, and as a page."""

from collections.abc import Mapping
from pathlib import Path

import altair as alt
import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.errors import many
from recsys.report.chance import by_chance
from recsys.report.figures.figure import GREY, Figure, figure, legend_of, named, records, sentence, values, whiskers
from recsys.report.figures.front_figures import number_name
from recsys.report.pages.page import page
from recsys.report.pages.section import Section
from recsys.report.pages.summary import Summary
from recsys.report.tables.cells import Matrix, cell_of, rounded_percent
from recsys.report.tables.frame import IN_UNITS, UNCLEAR, short_names, verdict_of
from recsys.report.tables.verdict import answered


def write_comparison(path: Path, rows: pa.Table, name: str, facts: Mapping[str, str], *, confidence: float, fingerprint: str) -> None:
    """Write the page of a comparison. `rows` have the form of `schema.COMPARISON`, `facts` are term → text."""
    table = _judged(rows)
    runs = list(dict.fromkeys(table["run"]))
    differences = Section(
        "differences",
        "Differences",
        _about(table, confidence),
        is_open=True,
        matrices={f"Every run, and by how much it is above {runs[0]}": comparison_matrix(rows)},
        figures=_figures(table),
    )
    box = Summary(sentences=_words(table))
    html = page(name, run=" · ".join(runs), box=box, facts=facts, shown=[differences], kind="comparison")
    artifacts.write_file(path, lambda draft: draft.write_text(html, encoding="utf-8"), stage="compare", fingerprint=fingerprint)


def comparison_matrix(rows: pa.Table) -> Matrix:
    """Return one row per objective, metric and run, the first run first.

    A row holds the value, the difference to the first run, and the verdict in words. Where a value rests on less than all rows, it also
    holds the share of the rows.
    """
    table = _judged(rows)
    first = table["run"].iloc[0]
    is_partly_covered = bool((table["coverage"] < 1).any())
    lines = []
    for (objective, metric), of in table.groupby(["objective", "metric"], sort=False):
        for place, row in enumerate(of.to_dict("records")):
            value = cell_of(row["value"], row["low"], row["high"], row["reason"])
            bounds = row["difference"], row["difference_low"], row["difference_high"], row["reason"]
            above = None if row["run"] == first else cell_of(*bounds, verdict=row["verdict"], signed=True)
            name = number_name(str(objective), str(metric)) if place == 0 else ""
            coverage = "" if pd.isna(row["coverage"]) else rounded_percent(row["coverage"])
            lines.append((name, (row["run"], value, above, row["words"], *((coverage,) if is_partly_covered else ()))))
    heads = ("run", "value", f"minus {first}", "verdict", *(("coverage",) if is_partly_covered else ()))
    return Matrix("objective", heads, tuple(lines))


def comparison_words(rows: pa.Table, confidence: float) -> list[str]:
    """Return in words what the table says, and what it does not say. `confidence` is that of its intervals."""
    table = _judged(rows)
    return [" ".join(_words(table)), _about(table, confidence)]


def verdict_words(verdict: str | None, users: int, reason: str | None) -> str:
    """Return the verdict in words: better, worse, "inconclusive at 1,204 users", or why there is no verdict."""
    if verdict is None:
        return f"no verdict: {reason or 'the metric has no better direction'}"
    return f"inconclusive at {many(users, 'user')}" if verdict == UNCLEAR else verdict


def _judged(rows: pa.Table) -> pd.DataFrame:
    """Return the rows with `verdict` (None for the first run) and its `words`."""
    table: pd.DataFrame = rows.to_pandas()
    first = table["run"].iloc[0]
    bounds = table[["difference_low", "difference_high", "better"]].itertuples(index=False, name=None)
    table["verdict"] = pd.Series([verdict_of(*row) for row in bounds], index=table.index, dtype=object)
    table["words"] = [
        "compared with"
        if row["run"] == first
        else verdict_words(row["verdict"], row["users"], None if pd.isna(row["reason"]) else row["reason"])
        for row in table.to_dict("records")
    ]
    return table


def _words(table: pd.DataFrame) -> list[str]:
    """Return in words, per run after the first and question, what is better and worse, by how much, and of how many nothing is known."""
    runs = list(dict.fromkeys(table["run"]))
    return [" ".join([f"{run} against {runs[0]}.", *answered(_numbers(table[table["run"] == run]))]) for run in runs[1:]]


def _numbers(rows: pd.DataFrame) -> list[tuple[str, str | None, str]]:
    """Return the metric of each row, its verdict, and its name with its difference."""
    cells = [cell_of(*bounds, signed=True) for bounds in rows[["difference", "difference_low", "difference_high"]].itertuples(index=False)]
    names = [number_name(objective, metric) for objective, metric in zip(rows["objective"], rows["metric"], strict=True)]
    said = [f"{name} {cell}" for name, cell in zip(names, cells, strict=True)]
    return list(zip(rows["metric"], rows["verdict"], said, strict=True))


def _about(table: pd.DataFrame, confidence: float) -> str:
    judged = int(table["verdict"].notna().sum())
    chance = f" {by_chance(judged, confidence)}" if judged else ""
    return (
        f"Differences are each run minus {table['run'].iloc[0]} on the same impressions, resampled with the same users. A verdict is about"
        f" these trained models and this many users. Inconclusive does not mean equal.{chance} Another seed gives another model; the"
        " intervals of recsys sweep --seeds include that noise."
    )


def _figures(table: pd.DataFrame) -> list[Figure]:
    """Draw one figure per metric: by how much each run is above the first.

    A metric with a unit has one figure per objective.
    """
    shown = table[table["difference"].notna()]
    axis = shown["metric"].where(~shown["metric"].isin(IN_UNITS), shown["metric"] + " of " + shown["objective"])
    return [_figure(str(name), rows) for name, rows in shown.groupby(axis, sort=False)]


def _figure(name: str, shown: pd.DataFrame) -> Figure:
    rows = shown.assign(run=shown["run"].map(short_names(list(dict.fromkeys(shown["run"])))))
    bounds = {"difference_low:Q": "low", "difference_high:Q": "high"}
    said = {"objective:N": "objective", "run:N": "run", "difference:Q": "difference", **bounds}
    base = alt.Chart(records(rows, "objective", "run", "difference", "difference_low", "difference_high", "words")).encode(
        y=alt.Y("objective:N", title=None, sort=None),
        yOffset=alt.YOffset("run:N", sort=None),
        color=alt.Color("run:N", title=None, sort=None, legend=legend_of(rows["run"])),
        tooltip=named({**said, "words:N": "verdict"}),
    )
    chart = alt.layer(
        alt.Chart(values([{"zero": 0}])).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="zero:Q"),
        *whiskers(base, rows, "difference_low", "difference_high", strokeWidth=2.5),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=alt.X("difference:Q", title=f"{name}: run minus the first")),
    )
    sides = {(schema.HIGHER,): "right of the dashed line is better", (schema.LOWER,): "left of the dashed line is better"}
    side = sides.get(tuple(rows["better"].unique()), "left of the dashed line is better where lower is better")
    title = f"Difference in {name}; {side}"
    text = sentence(title, (f"{row.run} {row.objective} {row.difference:+z.4f}, {row.words}" for row in rows.itertuples()))
    return figure(title, text, chart, height=max(120, 22 * len(rows) + 20))
