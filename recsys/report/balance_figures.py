"""Figures of how the objectives' losses became one step: weights, lengths of gradients, and whether they pull the same way."""

from collections.abc import Sequence
from math import ceil

import altair as alt
import pandas as pd

from recsys.report.figure import GREY, Figure, figure, named, records, sentence, steps, values
from recsys.report.heat_map import heat_map
from recsys.report.model_figures import CHOOSE, CURVE_POINTS

VARIES = 1e-3  # of its mean, by which a weight must differ somewhere to be worth a figure


def before_refit(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["phase"] == CHOOSE]


def figures(balance: pd.DataFrame, cosines: pd.DataFrame, objectives: Sequence[str]) -> list[Figure]:
    """What there is to show of the time before the refit; nothing where weights stayed and no gradient was measured."""
    balance, cosines = before_refit(balance), before_refit(cosines)
    found = []
    if varies(balance):
        found.append(_lines(_along(balance, "weight"), "weight", "Weights along training"))
    if balance["gradient_norm"].notna().any():
        title = "Lengths of the gradients in the shared layer's weights"
        found.append(_lines(_along(balance, "gradient_norm"), "length", title, scale=alt.Scale(type="log")))
    if cosines["cosine"].notna().any():
        found += [cosine_matrix(cosines, objectives), cosine_lines(cosines)]
    return found


def varies(balance: pd.DataFrame) -> bool:
    """Whether any objective's weight changed along training."""
    of_objective = balance.groupby("objective")["weight"]
    spread, size = of_objective.max() - of_objective.min(), of_objective.mean().abs()
    return bool((spread > VARIES * size).any())


def mean_cosines(cosines: pd.DataFrame) -> pd.DataFrame:
    """objective, other, cosine: the mean over all measurements of each two."""
    return cosines.dropna(subset="cosine").groupby(["objective", "other"], sort=False)["cosine"].mean().reset_index()


def furthest(cosines: pd.DataFrame) -> str:
    """In words, which two objectives pull apart most, and which together."""
    means = mean_cosines(cosines).sort_values("cosine", kind="stable")
    if means.empty:
        return ""
    low, high = means.iloc[0], means.iloc[-1]
    return (
        f"Least alike on average: {low['objective']} and {low['other']} ({low['cosine']:+z.2f});"
        f" most: {high['objective']} and {high['other']} ({high['cosine']:+z.2f})."
    )


def cosine_matrix(cosines: pd.DataFrame, objectives: Sequence[str]) -> Figure:
    """The mean cosine of every two objectives' gradients."""
    means = mean_cosines(cosines)
    there = [name for name in objectives if name in set(means["objective"])]
    cells = means.rename(columns={"objective": "row", "other": "column", "cosine": "value"})
    cells = cells.sort_values("row", key=lambda names: names.map(there.index), kind="stable")
    scale = alt.Scale(domain=[-1, 1], domainMid=0, scheme="blueorange")
    title = "Mean cosine of every two gradients: 1 the same way, below 0 against each other"
    pairs = cells[cells["row"].map(there.index) < cells["column"].map(there.index)]
    text = sentence(
        title, (f"{row} and {column} {value:+z.2f}" for row, column, value in pairs[["row", "column", "value"]].itertuples(index=False))
    )
    return heat_map(cells, there, scale, "cosine", title=title, text=text, of="and")


def cosine_lines(cosines: pd.DataFrame) -> Figure:
    """Of each objective the mean cosine with all others, along training."""
    zero = alt.Chart(values([{"zero": 0}])).mark_rule(strokeDash=[4, 3], color=GREY).encode(y="zero:Q")
    return _lines(_along(cosines, "cosine"), "cosine", "Mean cosine with the other objectives along training", behind=zero)


def _along(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """objective, step, value: means over members (and other objectives) and over runs of neighbouring measurements."""
    known = rows.dropna(subset=column)
    means = known.groupby(["objective", "step"], sort=False)[column].mean().reset_index().sort_values("step", kind="stable")
    place = means.groupby("objective", sort=False).cumcount()
    size = ceil((place.max() + 1) / CURVE_POINTS) if len(means) else 1
    runs = means.assign(run=place // size).groupby(["objective", "run"], sort=False, as_index=False)
    found: pd.DataFrame = runs.agg(step=("step", "last"), value=(column, "mean"))
    return found


def _lines(rows: pd.DataFrame, what: str, title: str, *, scale: alt.Scale | None = None, behind: alt.Chart | None = None) -> Figure:
    """A line an objective."""
    shown = rows[rows["value"] > 0] if scale is not None else rows  # a logarithm has no 0
    lines = (
        alt.Chart(records(shown, "objective", "step", "value"))
        .mark_line(point={"size": 18}, strokeWidth=1.5)
        .encode(
            x=steps(),
            y=alt.Y("value:Q", title=what, scale=scale or alt.Scale(zero=False)),
            color=alt.Color("objective:N", title=None, sort=None, legend=alt.Legend(orient="top", columns=4)),
            tooltip=named({"objective:N": "objective", "step:Q": "step", "value:Q": what}),
        )
    )
    by_objective = rows.groupby("objective", sort=False)["value"]
    parts = (f"{name} from {of.iloc[0]:.3g} to {of.iloc[-1]:.3g}" for name, of in by_objective)
    return figure(title, sentence(title, parts), alt.layer(behind, lines) if behind is not None else lines, height=230)
