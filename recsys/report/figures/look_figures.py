"""Figures of what an architecture shows of itself: one heat map per look, with one row per objective."""

from collections.abc import Callable, Sequence

import altair as alt
import pandas as pd

from recsys.report.figures.figure import GREY, Figure, records, sentence
from recsys.report.figures.heat_map import heat_map, scale_of
from recsys.report.tables.cells import rounded_percent
from recsys.report.training_log import Look

POLARISED = 0.98  # share of one expert above which a gate is polarised on a row; as recsys.models.looks counts it
ROWS_POLARISED = "rows polarised"


def looks(shown: Sequence[Look], objectives: Sequence[str]) -> list[Figure]:
    """Draw one figure per look, with its rows in the order of the objectives."""
    return [_gates(look, objectives) if look.is_gate else _matrix(look, objectives) for look in shown]


def polarised(shown: Sequence[Look]) -> str:
    """Return in words which gates are polarised on most rows, else which gate is polarised most often.

    The text is empty for an architecture without gates.
    """
    shares = [(share, objective, look.name) for look in shown for objective, share in look.polarised.items()]
    gates = [(share, f"{objective} on {rounded_percent(share)} of rows ({look})") for share, objective, look in shares]
    if not gates:
        return ""
    most = [words for share, words in gates if share >= 0.5]
    if most:
        return f"Polarised on most rows: {', '.join(most)}."
    share, words = max(gates)
    return f"No gate is polarised on most rows; the most often: {words}." if share else "No gate is polarised on any row."


def _gates(look: Look, objectives: Sequence[str]) -> Figure:
    """Draw the mean shares, and beside them the share of rows on which the gate is polarised."""
    shares = look.polarised
    names = _ordered(look, objectives)
    ends = pd.DataFrame([{"row": name, "column": ROWS_POLARISED, "text": rounded_percent(shares[name])} for name in names])
    beside = alt.Chart(records(ends, "row", "column", "text")).mark_text(fontSize=12, fontStyle="italic", color=GREY).encode(text="text:N")
    most = max(names, key=lambda name: shares[name])
    how_often = f"at most on {rounded_percent(shares[most])} of rows ({most})" if shares[most] else "on no row"
    title = f"{look.name}: mean share of each expert; polarised {how_often}"
    parts = (f"{name}: at most {_at(look, name, max)}, polarised on {shares[name]:.1%} of rows" for name in names)
    scale = alt.Scale(domain=[0, 1], scheme="blues")
    columns = [*look.columns, ROWS_POLARISED]
    text = sentence(look.name, parts)
    return heat_map(_cells(look, names), columns, scale, "mean share", title=title, text=text, beside=beside)


def _matrix(look: Look, objectives: Sequence[str]) -> Figure:
    names = _ordered(look, objectives)
    parts = (f"{name}: {_at(look, name, min)} to {_at(look, name, max)}" for name in names)
    cells = _cells(look, names)
    return heat_map(cells, look.columns, scale_of(cells["value"]), "value", title=look.name, text=sentence(look.name, parts))


def _at(look: Look, name: str, which: Callable[[list[float]], float]) -> str:
    """Return an objective's least or largest value, and its column, as text."""
    value = which(look.rows[name])
    return f"{value:.3g} ({look.columns[look.rows[name].index(value)]})"


def _cells(look: Look, names: Sequence[str]) -> pd.DataFrame:
    cells = [(name, *cell) for name in names for cell in zip(look.columns, look.rows[name], strict=True)]
    return pd.DataFrame(cells, columns=["row", "column", "value"])


def _ordered(look: Look, objectives: Sequence[str]) -> list[str]:
    return sorted(look.rows, key=lambda name: (objectives.index(name) if name in objectives else len(objectives), name))
