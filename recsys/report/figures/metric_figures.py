"""Figures of the metrics: differences to the baselines, the days of a split."""

import altair as alt
import pandas as pd

from recsys import schema
from recsys.report.figures.figure import GREY, Figure, figure, legend_of, named, records, sentence, values, whiskers
from recsys.report.tables.frame import IN_UNITS, compared, short_names

_UPRIGHT = 8  # days whose names have room beside each other


def differences(table: pd.DataFrame) -> list[Figure]:
    """Draw the difference to each compared run, with its interval: one figure per main metric.

    A metric with a unit has one figure per objective.
    """
    shown = table[table["is_main"] & table["difference"].notna()]
    axis = shown["metric"].where(~shown["metric"].isin(IN_UNITS), shown["metric"] + " of " + shown["objective"])
    return [_differences(str(name), rows) for name, rows in shown.groupby(axis, sort=False)]


def _differences(name: str, shown: pd.DataFrame) -> Figure:
    rows = shown.assign(run=shown["against"].map(short_names(compared(shown))))
    base = alt.Chart(records(rows, "objective", "run", "difference", "difference_low", "difference_high")).encode(
        y=alt.Y("objective:N", title=None, sort=None),
        yOffset=alt.YOffset("run:N", sort=None),
        color=alt.Color("run:N", title="compared with", sort=None, legend=legend_of(rows["run"])),
        tooltip=named(
            {
                "objective:N": "objective",
                "run:N": "against",
                "difference:Q": "difference",
                "difference_low:Q": "low",
                "difference_high:Q": "high",
            }
        ),
    )
    x = alt.X("difference:Q", title=f"{name}: this run minus the other")
    chart = alt.layer(
        alt.Chart(values([{"zero": 0}])).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="zero:Q"),
        *whiskers(base, rows, "difference_low", "difference_high", strokeWidth=2.5),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x),
    )
    side = "right" if shown["better"].iloc[0] == schema.HIGHER else "left"
    title = f"Difference in {name}; {side} of the dashed line is better"
    text = sentence(title, (f"{row.objective} against {row.run} {row.difference:+.4g}" for row in rows.itertuples()))
    return figure(title, text, chart, height=max(120, 22 * len(rows) + 20))


def days(table: pd.DataFrame) -> list[Figure]:
    """Draw one figure per objective and main metric, over the days of all splits."""
    shown = table[table["is_main"] & table["value"].notna()].drop_duplicates(["objective", "metric", "split", "day"])
    return [_days(rows) for _, rows in shown.groupby(["objective", "metric"], sort=False)]


def _days(rows: pd.DataFrame) -> Figure:
    objective, metric = rows["objective"].iloc[0], rows["metric"].iloc[0]
    base = alt.Chart(records(rows, "day", "split", "value", "low", "high", "n")).encode(
        x=alt.X("day:O", title="day", axis=alt.Axis(labelAngle=0 if rows["day"].nunique() <= _UPRIGHT else -60)),
        color=alt.Color("split:N", title=None, legend=alt.Legend(orient="top")),
        tooltip=named({"day:O": "day", "value:Q": metric, "low:Q": "low", "high:Q": "high", "n:Q": "rows"}),
    )
    y = alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False))
    chart = alt.layer(
        *whiskers(base, rows, "low", "high", upright=True, strokeWidth=2), base.mark_point(filled=True, size=50, opacity=1).encode(y=y)
    )
    text = sentence(f"{metric} of {objective} by day", (f"{row.day} {row.value:.4g}" for row in rows.itertuples()))
    return figure(f"{objective}: {metric} by day", text, chart)
