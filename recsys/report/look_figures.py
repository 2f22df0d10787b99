"""Figures of what a way of sharing shows of itself: each look a heat map, an objective a row."""

from collections.abc import Callable, Sequence

import altair as alt
import pandas as pd

from recsys.report.figure import GREY, Figure, figure, named, records, sentence
from recsys.report.training_log import Look

POLARISED = 0.98  # share of one expert above which a gate is polarised on a row; as recsys.models.looks counts it
NARROW = 12  # columns: a look with more of them gets the whole width
MANY = 30  # columns: beyond, some names are left out of the axis
CHARACTER = 7  # pixels of a cell that a digit takes
ROWS_POLARISED = "rows polarised"
DARK_FROM = {"blues": 0.65, "blueorange": 0.75}  # scheme → share of the largest value from which light text is read better than dark
DARK, LIGHT = "#1b1f24", "white"


def looks(shown: Sequence[Look], objectives: Sequence[str]) -> list[Figure]:
    """One figure a look, its rows in the order of the objectives."""
    return [_gates(look, objectives) if look.is_gate else _matrix(look, objectives) for look in shown]


def polarised(shown: Sequence[Look]) -> str:
    """Which gates are polarised on most rows, or which is the most; empty for a way of sharing without gates."""
    gates = [(share, f"{objective} on {share:.0%} of rows ({look.name})") for look in shown for objective, share in look.polarised.items()]
    if not gates:
        return ""
    most = [words for share, words in gates if share >= 0.5]
    return f"Polarised on most rows: {', '.join(most)}." if most else f"None is on most rows here; the most: {max(gates)[1]}."


def _gates(look: Look, objectives: Sequence[str]) -> Figure:
    """Mean shares, and beside them on how many rows the gate is polarised."""
    shares = look.polarised
    names = _ordered(look, objectives)
    ends = pd.DataFrame([{"row": name, "column": ROWS_POLARISED, "text": f"{shares[name]:.0%}"} for name in names])
    beside = alt.Chart(records(ends, "row", "column", "text")).mark_text(fontSize=12, fontStyle="italic", color=GREY).encode(text="text:N")
    most = max(names, key=lambda name: shares[name])
    how_often = f"at most on {shares[most]:.0%} of rows ({most})" if shares[most] else "on no row"
    title = f"{look.name}: mean share of each expert; polarised {how_often}"
    parts = (f"{name}: at most {_at(look, name, max)}, polarised on {shares[name]:.1%} of rows" for name in names)
    scale = alt.Scale(domain=[0, 1], scheme="blues")
    return _heat_map(look, names, scale, "mean share", title, sentence(look.name, parts), beside)


def _matrix(look: Look, objectives: Sequence[str]) -> Figure:
    """Colours from 0 where no value is negative, else evenly to both sides of 0."""
    values = [value for row in look.rows.values() for value in row]
    largest = max(map(abs, values)) or 1.0
    if min(values) < 0:
        scale = alt.Scale(domain=[-largest, largest], domainMid=0, scheme="blueorange")
    else:
        scale = alt.Scale(domain=[0, largest], scheme="blues")
    names = _ordered(look, objectives)
    parts = (f"{name}: {_at(look, name, min)} to {_at(look, name, max)}" for name in names)
    return _heat_map(look, names, scale, "value", look.name, sentence(look.name, parts))


def _at(look: Look, name: str, which: Callable[[list[float]], float]) -> str:
    """An objective's least or largest value, and where it is."""
    value = which(look.rows[name])
    return f"{value:.3g} ({look.columns[look.rows[name].index(value)]})"


def _heat_map(
    look: Look, names: Sequence[str], scale: alt.Scale, what: str, title: str, text: str, beside: alt.Chart | None = None
) -> Figure:
    """Cells with their numbers where they are wide enough for them; dark cells get light text, on a light page and on a dark one.

    `beside` is one more column of texts.
    """
    cells = pd.DataFrame(
        [(name, *cell) for name in names for cell in zip(look.columns, look.rows[name], strict=True)], columns=["row", "column", "value"]
    )
    largest = scale["domain"][1]
    cells["text"] = cells["value"].map("{:z.2f}".format if largest >= 0.1 else "{:.1g}".format)
    columns = [*look.columns, ROWS_POLARISED] if beside is not None else look.columns
    x = alt.X("column:N", title=None, sort=list(columns), axis=alt.Axis(labelAngle=_angle(columns), labelOverlap=len(columns) > MANY))
    y = alt.Y("row:N", title=None, sort=None)
    base = alt.Chart(records(cells, "row", "column", "value", "text")).encode(x=x, y=y)
    colour = alt.Color("value:Q", title=what, scale=scale, legend=alt.Legend(orient="top", gradientLength=160))
    is_dark = f"abs(datum.value) > {DARK_FROM[scale['scheme']] * largest:.6g}"
    fits = f"width / {len(columns)} > {CHARACTER * cells['text'].str.len().max() + 2} ? 1 : 0"
    layers = [
        base.mark_rect(stroke=GREY, strokeWidth=0.5).encode(
            color=colour, tooltip=named({"row:N": "objective", "column:N": "of", "value:Q": what})
        ),
        base.mark_text(fontSize=12, opacity=alt.expr(fits)).encode(
            text="text:N", color=alt.condition(is_dark, alt.value(LIGHT), alt.value(DARK))
        ),
        *([] if beside is None else [beside.encode(x=x, y=y)]),
    ]
    return figure(title, text, alt.layer(*layers), height=max(120, 34 * len(names)), wide=len(columns) > NARROW)


def _angle(columns: Sequence[str]) -> int:
    """Of the columns' names: level while they have room side by side."""
    return 0 if CHARACTER * sum(len(column) + 1 for column in columns) < 440 else -40


def _ordered(look: Look, objectives: Sequence[str]) -> list[str]:
    return sorted(look.rows, key=lambda name: (objectives.index(name) if name in objectives else len(objectives), name))
