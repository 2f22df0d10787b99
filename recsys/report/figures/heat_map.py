"""A matrix as coloured cells with their numbers."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from recsys.report.figures.figure import GREY, Figure, figure, named, records

NARROW = 12  # columns: a map with more of them gets the whole width
MANY = 30  # columns: beyond, some names are left out of the axis
CHARACTER = 7  # pixels of a cell that a digit takes
LETTER = 5.5  # pixels that a letter of a column's name takes
DARK_FROM = {"blues": 0.65, "blueorange": 0.75}  # scheme → share of the largest value from which light text is easier to read than dark
DARK, LIGHT = "#1b1f24", "white"


def scale_of(values: pd.Series) -> alt.Scale:
    """Return a scale of colours: from 0 where no value is negative, else symmetric around 0."""
    largest = float(values.abs().max()) or 1.0
    if values.min() < 0:
        return alt.Scale(domain=[-largest, largest], domainMid=0, scheme="blueorange")
    return alt.Scale(domain=[0, largest], scheme="blues")


def heat_map(
    cells: pd.DataFrame,
    columns: Sequence[str],
    scale: alt.Scale,
    what: str,
    *,
    title: str,
    text: str,
    beside: alt.Chart | None = None,
    of: str = "of",
) -> Figure:
    """Draw `cells`, which have row, column and value. Rows stand in the order of their first cells. A missing cell stays empty.

    Cells that are wide enough show their `text`, or else their value. Dark cells get light text, on a light page and on a dark one.
    `beside` is one more column of texts, and `of` the name for columns in a tooltip.
    """
    largest = scale["domain"][1]
    if "text" not in cells:
        cells = cells.assign(text=cells["value"].map("{:z.2f}".format if largest >= 0.1 else "{:.1g}".format))
    x = alt.X("column:N", title=None, sort=list(columns), axis=_names_of(columns))
    y = alt.Y("row:N", title=None, sort=None)
    base = alt.Chart(records(cells, "row", "column", "value", "text")).encode(x=x, y=y)
    colour = alt.Color("value:Q", title=what, scale=scale, legend=alt.Legend(orient="top", gradientLength=160))
    is_dark = f"abs(datum.value) > {DARK_FROM[scale['scheme']] * largest:.6g}"
    fits = f"width / {len(columns)} > {CHARACTER * cells['text'].str.len().max() + 2} ? 1 : 0"
    layers = [
        base.mark_rect(stroke=GREY, strokeWidth=0.5).encode(
            color=colour, tooltip=named({"row:N": "objective", "column:N": of, "value:Q": what})
        ),
        base.mark_text(fontSize=12, opacity=alt.expr(fits)).encode(
            text="text:N", color=alt.condition(is_dark, alt.value(LIGHT), alt.value(DARK))
        ),
        *([] if beside is None else [beside.encode(x=x, y=y)]),
    ]
    return figure(title, text, alt.layer(*layers), height=max(120, 34 * cells["row"].nunique()), wide=len(columns) > NARROW)


def _names_of(columns: Sequence[str]) -> alt.Axis:
    """Return the axis of the columns' names. They are horizontal while the longest fits below its column, rarely on a phone."""
    room = LETTER * len(columns) * max(len(column) + 1 for column in columns)
    angle, align = (alt.ExprRef(f"width < {room:g} ? {slanted} : {level}") for slanted, level in (("-40", "0"), ("'right'", "'center'")))
    return alt.Axis(labelAngle=angle, labelAlign=align, labelBaseline="top", labelOverlap=len(columns) > MANY)
