"""A backtest: the rows of `schema.BACKTEST` as one table per config, in words, and as a page with a line per day."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.report.chance import by_chance
from recsys.report.figures.figure import GREY, Figure, figure, legend_of, named, records, sentence, values, whiskers
from recsys.report.figures.front_figures import number_name
from recsys.report.pages.page import page
from recsys.report.pages.section import Section, number_of
from recsys.report.pages.summary import Summary
from recsys.report.tables.cells import Cell, Matrix, cell_of
from recsys.report.tables.frame import verdict_of
from recsys.report.tables.verdict import answered, unjudged

_BOUNDS = ["value", "low", "high", "reason"]


def write_backtest(path: Path, rows: pa.Table, name: str, facts: Mapping[str, str], *, confidence: float, fingerprint: str) -> None:
    """Write the page of a backtest. `rows` have the form of `schema.BACKTEST`, `facts` are term → text."""
    table = _judged(rows)
    box = Summary(sentences=_words(table, confidence))
    html = page(name, run=path.parent.name, box=box, facts=facts, shown=_sections(table), kind="backtest")
    artifacts.write_file(path, lambda draft: draft.write_text(html, encoding="utf-8"), stage="backtest", fingerprint=fingerprint)


def backtest_matrices(rows: pa.Table) -> dict[str, Matrix]:
    """Return config → its numbers over all days, one row per objective and metric, and its difference to each other one."""
    table = _judged(rows)
    return {name: _matrix(table[table["day"].isna()], name) for name in _configs(table)}


def backtest_words(rows: pa.Table, confidence: float) -> list[str]:
    """Return in words what the table says, and what it does not say. `confidence` is that of its intervals."""
    return _words(_judged(rows), confidence)


def _judged(rows: pa.Table) -> pd.DataFrame:
    """Return the rows with `number`, and with `verdict`, which only differences have."""
    table: pd.DataFrame = rows.to_pandas()
    bounds = table[["low", "high", "better"]].itertuples(index=False, name=None)
    verdicts = [verdict_of(*row) if told else None for row, told in zip(bounds, table["against"].notna(), strict=True)]
    numbers = [number_name(o, m) for o, m in zip(table["objective"], table["metric"], strict=True)]
    return table.assign(verdict=pd.Series(verdicts, index=table.index, dtype=object), number=numbers)


def _configs(table: pd.DataFrame) -> list[str]:
    """Return the names of the configs, without the baselines: these are held against nothing."""
    compared = list(table.loc[table["against"].notna(), "run"].unique())
    return compared or list(table["run"].unique())


def _others(table: pd.DataFrame, name: str) -> list[str]:
    return list(table.loc[(table["run"] == name) & table["against"].notna(), "against"].unique())


# --- Sections -----------------------------------------------------------------------------------------------------
def _sections(table: pd.DataFrame) -> list[Section]:
    whole, days = table[table["day"].isna()], table[table["day"].notna()]
    about = (
        "All days together. Each day was predicted by models that learned only the days before it, as a feed that is trained anew each day"
        " would be. A difference is taken on the same impressions, seed by seed, with the same resampled users."
    )
    matrices = {f"{name}, all days": _matrix(whole, name) for name in _configs(table)}
    shown = [Section("results", "Results", about, is_open=True, matrices=matrices, wide=True)]
    pairs = [(name, other) for name in _configs(table) for other in _others(table, name)]
    if days.empty or not pairs:
        return [*shown, Section("days", "Day by day", nothing="One day, or nothing to hold a config against.")]
    about = (
        "The same differences on each day alone. A difference of all days that rests on one of them is no finding; one that has the same"
        " sign on every day is more than its interval says."
    )
    by_day = {f"{name} minus {other}, by day": _by_day(table, name, other) for name, other in pairs}
    gist = number_of(days["day"].nunique(), "day")
    return [*shown, Section("days", "Day by day", about, gist=gist, matrices=by_day, figures=_figures(days), wide=True)]


def _matrix(whole: pd.DataFrame, name: str) -> Matrix:
    of, others = whole[whole["run"] == name], _others(whole, name)
    lines: list[tuple[str, tuple[Cell | str | None, ...]]] = []
    for number, rows in of.groupby("number", sort=False):
        by_other = {row["against"]: row for row in rows[rows["against"].notna()].to_dict("records")}
        (value,) = rows[rows["against"].isna()].to_dict("records")
        cells = [_cell(by_other[other], is_difference=True) for other in others]
        lines.append((str(number), (_cell(value, is_difference=False), *cells, f"{value['n']:,}", f"{value['users']:,}")))
    return Matrix("objective", ("value", *(f"vs {other}" for other in others), "n", "users"), tuple(lines))


def _by_day(table: pd.DataFrame, name: str, other: str) -> Matrix:
    of = table[(table["run"] == name) & (table["against"] == other)]
    days = sorted(of["day"].dropna().unique())
    lines = []
    for number, rows in of.groupby("number", sort=False):
        by_day = {row["day"]: row for row in rows.to_dict("records") if not pd.isna(row["day"])}
        (whole,) = rows[rows["day"].isna()].to_dict("records")
        cells = [_cell(by_day[day], is_difference=True) if day in by_day else None for day in days]
        lines.append((str(number), (*cells, _cell(whole, is_difference=True))))
    return Matrix("objective", (*days, "all days"), tuple(lines))


def _cell(row: Mapping[Hashable, Any], *, is_difference: bool) -> Cell:
    verdict = row["verdict"] if is_difference else None
    return cell_of(*(row[name] for name in _BOUNDS), verdict=None if verdict is None else str(verdict), signed=is_difference)


def _figures(days: pd.DataFrame) -> list[Figure]:
    """Draw one figure per number: its differences on each day, with their intervals."""
    told = days[days["against"].notna() & days["value"].notna()]
    told = told.assign(pair=told["run"] + " minus " + told["against"])
    return [_figure(str(number), rows) for number, rows in told.groupby("number", sort=False)]


def _figure(number: str, rows: pd.DataFrame) -> Figure:
    base = alt.Chart(records(rows, "day", "pair", "value", "low", "high", "n")).encode(
        x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("pair:N", sort=None),
        color=alt.Color("pair:N", title=None, sort=None, legend=legend_of(rows["pair"])),
        tooltip=named({"pair:N": "of", "day:O": "day", "value:Q": "difference", "low:Q": "low", "high:Q": "high", "n:Q": "rows"}),
    )
    chart = alt.layer(
        alt.Chart(values([{"zero": 0}])).mark_rule(strokeDash=[4, 3], color=GREY).encode(y="zero:Q"),
        *whiskers(base, rows, "low", "high", upright=True, strokeWidth=2),
        base.mark_point(filled=True, size=60, opacity=1).encode(y=alt.Y("value:Q", title=f"difference in {number}")),
    )
    side = "above" if rows["better"].iloc[0] == schema.HIGHER else "below"
    title = f"{number}: difference by day; {side} the dashed line is better"
    return figure(title, sentence(title, (f"{row.pair}, {row.day} {row.value:+.4g}" for row in rows.itertuples())), chart)


# --- Words --------------------------------------------------------------------------------------------------------
def _words(table: pd.DataFrame, confidence: float) -> list[str]:
    whole, days = table[table["day"].isna()], table[table["day"].notna()]
    words = [_sentence(whole, days, name, other) for name in _configs(table) for other in _others(table, name)]
    silent = whole[whole["low"].isna() & whole["reason"].notna()]
    words += unjudged(silent[["number", "reason"]].itertuples(index=False, name=None))
    if judged := int(whole["verdict"].notna().sum()):
        words.append(by_chance(judged, confidence))
    if whole["seeds"].max() == 1:
        words.append("One seed: the verdicts are about these trained models. Only more seeds tell whether a config does the same again.")
    return words


def _sentence(whole: pd.DataFrame, days: pd.DataFrame, name: str, other: str) -> str:
    """Return in words, per question, which numbers of a config are better and worse than another's, and of how many nothing is known."""
    of, by_day = (part[(part["run"] == name) & (part["against"] == other)] for part in (whole, days))
    numbers = [(row["metric"], row["verdict"], _told(row, by_day)) for row in of.to_dict("records")]
    return " ".join([f"{name} against {other}.", *answered(numbers)])


def _told(row: Mapping[Hashable, Any], by_day: pd.DataFrame) -> str:
    """Return a difference in words, with the number of days on which it has the same sign."""
    cell = _cell(row, is_difference=True)
    of = by_day[by_day["number"] == row["number"]]["value"].dropna()
    alike = int((np.sign(of) == np.sign(row["value"])).sum())
    days = f" (on {alike} of {len(of)} days)" if len(of) else ""
    return f"{row['number']} {cell.text} {cell.interval}{days}"
