"""A log's health: the rows of `schema.HEALTH` as a page, with what is not usual first and a line per number over the days."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.errors import HUGE
from recsys.report.figures.figure import GREY, Figure, figure, legend_of, named, records, sentence, values
from recsys.report.pages.page import page
from recsys.report.pages.section import Section, number_of
from recsys.report.pages.summary import Summary
from recsys.report.tables.cells import Matrix

_MOST_LINES = 6  # one per colour: of a figure, the lines that moved most
_TITLES = {
    "rows": ("Impressions, users and items", "The number on each day, as a ratio to the usual one: the median of the days before."),
    "labels": ("Labels", "The share of impressions with a label of each objective, as a ratio to the usual one."),
    "base_rate": ("Base rates", "The mean label of each objective, as a ratio to the usual one."),
    "unknown": ("New users and items", "The share of impressions whose user, or item, comes for the first time in this log."),
    "nulls": ("Missing values", "The share of nulls in each column of the log. Columns without any are left out."),
    "psi": (
        "How features are spread",
        "The population stability index of each feature against the days before: Σ (p − q) ln(p / q) over its tenths, or over its most"
        " frequent values, less what chance makes. Below .1 little has changed, above .25 much has.",
    ),
    "shift": ("How counters moved", "By how many standard deviations of the days before the mean of each counter has moved."),
}
_RATIOS = ("rows", "labels", "base_rate")
_FEATURES = ("psi", "shift")


def write_health(path: Path, rows: pa.Table, name: str, facts: Mapping[str, str], *, fingerprint: str) -> None:
    """Write the page. `rows` have the form of `schema.HEALTH`, `facts` are term → text."""
    table = rows.to_pandas()
    bad = table[table["verdict"].isin([schema.WARNS, schema.STOPS])]
    shown = [_unusual(bad), *(_section(check, table[table["check"] == check]) for check in _TITLES)]
    days = sorted(table["day"].unique())
    html = page(name, run=f"{days[0]} to {days[-1]}", box=Summary(sentences=_words(table, bad)), facts=facts, shown=shown, kind="health")
    artifacts.write_file(path, lambda draft: draft.write_text(html, encoding="utf-8"), stage="health", fingerprint=fingerprint)


def _words(table: pd.DataFrame, bad: pd.DataFrame) -> list[str]:
    judged = int((table["verdict"] != schema.UNTOLD_DAY).sum())
    days = sorted(table["day"].unique())
    words = [f"{number_of(len(days), 'day')}, {days[0]} to {days[-1]}; {judged:,} numbers held against the days before."]
    if not judged:
        return [*words, "Nothing can be said yet: a day is held against three days before it, or more."]
    if bad.empty:
        return [*words, "All of them are usual."]
    last = bad[bad["day"] == days[-1]]
    stopping = int((bad["verdict"] == schema.STOPS).sum())
    beyond = f", {stopping:,} of them beyond a limit of [checks.stop]" if stopping else ""
    words.append(f"{number_of(len(bad), 'number')} not usual, on {number_of(bad['day'].nunique(), 'day')}{beyond}.")
    words.append(
        f"On the last day, {days[-1]}: {number_of(len(last), 'number')}." if len(last) else f"Nothing on the last day, {days[-1]}."
    )
    return words


def _unusual(bad: pd.DataFrame) -> Section:
    if bad.empty:
        return Section("unusual", "What is not usual", nothing="Nothing.")
    ordered = bad.sort_values(["day", "check", "column"], ascending=[False, True, True])
    lines = tuple(
        (row["day"], (row["verdict"], row["check"], row["column"], _number(row["value"]), _number(row["usual"]), _limits(row)))
        for row in ordered.to_dict("records")
    )
    matrix = Matrix("day", ("verdict", "check", "column", "found", "usual", "limits of a warning"), lines)
    return Section("unusual", "What is not usual", is_open=True, matrices={"The newest day first": matrix}, wide=True)


def _limits(row: Mapping[Any, Any]) -> str:
    ends = [(word, row[name]) for word, name in (("at least", "low"), ("at most", "high")) if not pd.isna(row[name])]
    return ", ".join(f"{word} {_number(end)}" for word, end in ends)


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:,.0f}" if 100 <= value < HUGE else f"{value:.4g}"


def _section(check: str, rows: pd.DataFrame) -> Section:
    title, about = _TITLES[check]
    told = rows[rows["verdict"] != schema.UNTOLD_DAY] if check in (*_RATIOS, *_FEATURES) else rows
    told = told.assign(shown=told["value"] / told["usual"] if check in _RATIOS else told["value"])
    told = told[told.groupby("column")["value"].transform("max") > 0] if check == "nulls" else told
    told = told[told["shown"].notna()]
    if told.empty:
        return Section(check, title, nothing="Nothing to show: " + ("no column has nulls." if check == "nulls" else "too few days."))
    columns = told["column"].nunique()
    gist = number_of(columns, "line") if columns <= _MOST_LINES else f"the {_MOST_LINES} of {columns} that moved most"
    return Section(check, title, about, gist=gist, is_open=True, figures=[_figure(check, title, told)], wide=True)


def _figure(check: str, title: str, told: pd.DataFrame) -> Figure:
    moved = told.groupby("column")["shown"].agg(lambda shown: shown.max() - shown.min()).sort_values(ascending=False, kind="stable")
    chosen = list(moved.index[:_MOST_LINES])
    rows = told[told["column"].isin(chosen)]
    alone = rows[~rows.duplicated("column", keep=False)]
    base = _lines(rows, chosen)
    name = f"{check.replace('_', ' ')}, ratio to the usual" if check in _RATIOS else check
    y = alt.Y("shown:Q", title=name, scale=alt.Scale(zero=check not in _RATIOS))
    dots = base.transform_filter(alt.FieldOneOfPredicate("verdict", [schema.WARNS, schema.STOPS]))
    chart = alt.layer(
        *_rules(check, rows),
        base.mark_line(strokeWidth=1.5).encode(y=y),
        *([_lines(alone, chosen).mark_tick(thickness=1.5, size=30, opacity=1).encode(y=y)] if len(alone) else []),  # no line
        dots.mark_point(filled=True, size=70, opacity=1).encode(y=y),
    )
    last = rows[rows["day"] == rows["day"].max()]
    text = sentence(f"{title} over the days; the last one", (f"{row.column} {row.shown:.3g}" for row in last.itertuples()))
    return figure(f"{title}: {name}; a dot is not usual", text, chart, height=220)


def _lines(rows: pd.DataFrame, order: Sequence[str]) -> alt.Chart:
    """Return what the marks of these rows have in common."""
    return alt.Chart(records(rows, "day", "column", "shown", "value", "usual", "verdict")).encode(
        x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=-45)),
        color=alt.Color("column:N", title=None, sort=order, legend=legend_of(rows["column"])),
        tooltip=named({"column:N": "column", "day:O": "day", "value:Q": "found", "usual:Q": "usual", "verdict:N": "verdict"}),
    )


def _rules(check: str, rows: pd.DataFrame) -> Sequence[alt.Chart]:
    """Return a dashed line where a number is as usual, or of features where a warning begins."""
    at = 1.0 if check in _RATIOS else rows["high"].max() if check in _FEATURES else None
    if at is None or pd.isna(at):
        return []
    return [alt.Chart(values([{"at": float(at)}])).mark_rule(strokeDash=[4, 3], color=GREY).encode(y="at:Q")]
