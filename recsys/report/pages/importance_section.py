"""The groups of features that an objective's order rests on, by permutation: one figure per objective, from importance.parquet."""

import altair as alt
import pandas as pd
import pyarrow as pa

from recsys import schema
from recsys.config import Pipeline
from recsys.report.chance import by_chance
from recsys.report.figures.figure import GREY, Figure, figure, named, records, sentence, values, whiskers
from recsys.report.pages.section import Section, number_of
from recsys.report.tables.cells import Cell, cell_of

NAMED = 2  # groups that a title names
METRIC_WORDS = {"auc": "AUC", "xauc": "XAUC"}
GROUP_WORDS = {
    "user": "user columns",
    "item": "item columns",
    "query": "the item being watched",
    "context": "context",
    "history": "history",
    "ids": "ids",
    schema.TODAY: "today's counters",
    schema.LAST_HOURS: "counters of the last hours",
    schema.FACTORS: "factors of users and items",
    schema.BIAS + schema.POSITION: "position",
    schema.BIAS + schema.DEVICE: "device, as a bias",
}


def section(rows: pa.Table | None, pipeline: Pipeline) -> Section:
    """Return the section on importance. `rows` are in the form of `schema.IMPORTANCE`, or None where the run has none."""
    title = "Importance of features"
    if not pipeline.evaluate.importance:
        return Section("importance", title, nothing="The pipeline asks for none (evaluate.importance = false).")
    if rows is None:
        return Section("importance", title, nothing="This run has no importance.parquet: run the stage importance.")
    table = rows.to_pandas()
    known = table[table["value"].notna()]
    figures = [_figure(str(objective), of_objective) for objective, of_objective in known.groupby("objective", sort=False)]
    gist = f"{table['feature_group'].nunique()} groups of features, {number_of(len(figures), 'objective')}"
    return Section("importance", title, _about(table, pipeline), gist=gist, figures=figures)


def group_words(name: str) -> str:
    """Return the name of a group of features on the page."""
    if name.startswith(schema.AGGREGATE):
        return f"past of {schema.strip(name, schema.AGGREGATE).replace(schema.TOGETHER, ' × ')}"
    return GROUP_WORDS[name]


def _about(table: pd.DataFrame, pipeline: Pipeline) -> str:
    judged = table[table["low"] < table["high"]]
    times = int(table["permutations"].iloc[0])
    several = f", the mean of {times} permutations" if times > 1 else ""
    about = (
        "How far an objective's AUC (of a value: XAUC) falls when one group of features is permuted among the impressions of a day, and the"
        f" model predicts again: on up to {table['n'].max():,} {table['split'].iloc[0]} impressions, drawn with seed"
        f" {table['seed'].iloc[0]}{several}. It says what this model relies on, not what it would lose without the group:"
        " groups that hold the same information share their importance or hide it, and a permuted row can be one that never occurs."
        " Intervals resample users."
    )
    if len(judged):
        about += f" {by_chance(len(judged), pipeline.evaluate.confidence)}"
    for what, missing in (("value", table["value"].isna()), ("interval", table["value"].notna() & table["low"].isna())):
        for objective, rows in table[missing].groupby("objective", sort=False):
            about += f" No {what} for {objective}: {rows['reason'].iloc[0]}."
    return about


def _figure(objective: str, rows: pd.DataFrame) -> Figure:
    ordered = rows.sort_values("value", ascending=False, kind="stable")
    ordered = ordered.assign(group=ordered["feature_group"].map(group_words))
    metric = METRIC_WORDS[ordered["metric"].iloc[0]]
    y = alt.Y("group:N", title=None, sort=None, axis=alt.Axis(labelLimit=240))
    base = alt.Chart(records(ordered, "group", "value", "low", "high", "n")).encode(
        y=y, tooltip=named({"group:N": "permuted", "value:Q": f"fall of {metric}", "low:Q": "low", "high:Q": "high", "n:Q": "rows"})
    )
    chart = alt.layer(
        alt.Chart(values([{"zero": 0}])).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="zero:Q"),
        base.mark_bar(opacity=0.55).encode(x=alt.X("value:Q", title=f"fall of {metric} when permuted")),
        *whiskers(base, ordered, "low", "high", strokeWidth=2),
    )
    cells = {str(row["group"]): cell_of(row["value"], row["low"], row["high"]) for _, row in ordered.iterrows()}
    text = sentence(f"Fall of {metric} of {objective} when a group is permuted", (f"{group} {cell}" for group, cell in cells.items()))
    return figure(f"{objective}: {_title(metric, ordered, cells)}", text, chart, height=max(120, 18 * len(ordered) + 40))


def _title(metric: str, ordered: pd.DataFrame, cells: dict[str, Cell]) -> str:
    if ordered["low"].isna().all():
        return f"falls of {metric} without intervals, {ordered['reason'].iloc[0]}"
    sure = ordered.loc[ordered["low"] > 0, "group"].head(NAMED)
    if sure.empty:
        return f"no fall of {metric} has an interval above 0"
    return f"{metric} falls most by {', then '.join(f'{group} ({cells[group].text})' for group in sure)}"
