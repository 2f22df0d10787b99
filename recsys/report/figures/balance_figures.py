"""Figures of loss balancing: weights, lengths of gradients, and whether the gradients pull the same way."""

from collections.abc import Sequence
from math import ceil

import altair as alt
import pandas as pd

from recsys.report.cosines import each_once, is_clear, with_interval
from recsys.report.figures.figure import Figure, figure, named, records, sentence, steps
from recsys.report.figures.heat_map import heat_map
from recsys.report.figures.model_figures import CHOOSE, CURVE_POINTS

COLOURS = 6  # of the page (page.js), which begins again with the first
VARIES = 1e-3  # share of its mean by which a weight must vary to be worth a figure


def before_refit(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["phase"] == CHOOSE]


def figures(balance: pd.DataFrame, products: pd.DataFrame, cosines: pd.DataFrame, objectives: Sequence[str]) -> list[Figure]:
    """Draw the figures of the training before the refit. There are none if weights stayed constant and no gradient was measured.

    Cosines are drawn where at least one can be told from 0: else the section says in words that none can.

    `products` are those of the journal, `cosines` the result of `pooled_cosines` on them.
    """
    balance, products = before_refit(balance), before_refit(products)
    found = []
    if varies(balance):
        found.append(_lines(_along(balance, "weight"), "weight", "Weights during training"))
    lengths = _lengths(products)
    if len(lengths):
        title = "Lengths of the gradients in the shared layer's weights"
        found.append(_lines(lengths, "length", title, scale=alt.Scale(type="log")))
    if is_clear(cosines).any():
        found.append(cosine_matrix(cosines, objectives))
    return found


def varies(balance: pd.DataFrame) -> bool:
    """Return whether any objective's weight changed along training."""
    of_objective = balance.groupby("objective")["weight"]
    spread, size = of_objective.max() - of_objective.min(), of_objective.mean().abs()
    return bool((spread > VARIES * size).any())


def cosine_matrix(cosines: pd.DataFrame, objectives: Sequence[str]) -> Figure:
    """Draw the cosine of every two objectives' gradients. `cosines` are in the form of `pooled_cosines`."""
    known = cosines.dropna(subset="cosine")
    there = [name for name in objectives if name in set(known["objective"])]
    texts = [f"{value:+z.2f}" if clear else f"({value:+z.2f})" for value, clear in zip(known["cosine"], is_clear(known), strict=True)]
    cells = known.rename(columns={"objective": "row", "other": "column", "cosine": "value"}).assign(text=texts)
    cells = cells.sort_values("row", key=lambda names: names.map(there.index), kind="stable")
    scale = alt.Scale(domain=[-1, 1], domainMid=0, scheme="blueorange")
    title = "Cosine of each pair of gradients: 1 is the same direction, below 0 against each other, (in brackets) inconclusive"
    parts = (f"{pair.objective} and {pair.other} {with_interval(pair)}" for pair in each_once(known).itertuples())
    return heat_map(cells, there, scale, "cosine", title=title, text=sentence(title, parts), of="and")


def _lengths(products: pd.DataFrame) -> pd.DataFrame:
    """Return objective, step, value: the length of the mean gradient. There is no row where noise hides the length."""
    own = _along(products[products["objective"] == products["other"]], "product")
    own = own[own["value"] > 0]
    return own.assign(value=own["value"] ** 0.5)


def _along(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return objective, step, value: means over members and over groups of neighbouring measurements."""
    known = rows.dropna(subset=column)
    means = known.groupby(["objective", "step"], sort=False)[column].mean().reset_index().sort_values("step", kind="stable")
    place = means.groupby("objective", sort=False).cumcount()
    size = ceil((place.max() + 1) / CURVE_POINTS) if len(means) else 1
    runs = means.assign(run=place // size).groupby(["objective", "run"], sort=False, as_index=False)
    found: pd.DataFrame = runs.agg(step=("step", "last"), value=(column, "mean"))
    return found


def _lines(rows: pd.DataFrame, what: str, title: str, *, scale: alt.Scale | None = None) -> Figure:
    """Draw one line per objective. The page has `COLOURS` colours: with more objectives, points of another shape tell their lines apart."""
    legend = alt.Legend(orient="top", columns=4)
    shape = {} if rows["objective"].nunique() <= COLOURS else {"shape": alt.Shape("objective:N", title=None, sort=None, legend=legend)}
    lines = (
        alt.Chart(records(rows, "objective", "step", "value"))
        .mark_line(point={"size": 60 if shape else 18}, strokeWidth=1.5)
        .encode(
            x=steps(),
            y=alt.Y("value:Q", title=what, scale=scale or alt.Scale(zero=False)),
            color=alt.Color("objective:N", title=None, sort=None, legend=legend),
            **shape,
            tooltip=named({"objective:N": "objective", "step:Q": "step", "value:Q": what}),
        )
    )
    by_objective = rows.groupby("objective", sort=False)["value"]
    parts = (
        f"{name} {of.iloc[0]:.3g}" if len(of) == 1 else f"{name} from {of.iloc[0]:.3g} to {of.iloc[-1]:.3g}" for name, of in by_objective
    )
    return figure(title, sentence(title, parts), lines, height=230)
