"""A figure of the page: a Vega-Lite specification with a title and an alternative text.

Strings from the data are only values in the inlined rows, or titles. They are never field names and never parts of an
expression. Colours of text and axes are left to the page, which knows whether it is light or dark.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

Rows = Sequence[Mapping[Any, Any]]

_LONG = 25  # letters of a name from which two do not stand beside each other on a phone
GREY = "#8a8f98"  # for marks that are not data: the diagonal, the zero line; readable on white and on black


@dataclass(frozen=True)
class Figure:
    """A figure of the page. `title` says what the figure shows; `text` is the alternative for readers who do not see it."""

    title: str
    text: str
    spec: dict[str, Any]
    wide: bool = False  # over the whole width of its section


def figure(title: str, text: str, chart: alt.Chart | alt.LayerChart, *, height: int = 190, wide: bool = False) -> Figure:
    """Return the figure of a chart, as wide as the page allows. `height` is in pixels."""
    sized = chart.properties(
        width="container", height=height, description=text, autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )
    spec = sized.to_dict()
    del spec["config"], spec["$schema"]
    return Figure(title, text, spec, wide)


def records(frame: pd.DataFrame, *columns: str) -> alt.Data:
    """Return the named columns as rows of JSON, null where a value is missing."""
    chosen = frame[list(columns)]
    return values(chosen.astype(object).where(chosen.notna(), None).to_dict("records"))


def steps() -> alt.X:
    """Return the axis of training steps, from left to right. Its ticks are whole numbers, even where steps are few."""
    return alt.X("step:Q", title="training step", axis=alt.Axis(tickMinStep=1, format="~s"))


def legend_of(names: Iterable[str], **options: Any) -> alt.Legend:
    """Return a legend on top that cuts no name short: two that differ at their ends would look alike. Long ones have a line each."""
    columns = 1 if any(len(name) > _LONG for name in names) else 2
    return alt.Legend(orient="top", columns=columns, labelLimit=300, **options)


def values(rows: Rows) -> alt.Data:
    return alt.Data(values=rows)


def whiskers(base: alt.Chart, rows: pd.DataFrame, low: str, high: str, *, upright: bool = False, **mark: Any) -> list[alt.Chart]:
    """Return the layer of the intervals between two columns; none where no row has one, because an axis of nothing has no ends."""
    if rows[low].isna().all():
        return []
    bounds = {"y": alt.Y(f"{low}:Q"), "y2": f"{high}:Q"} if upright else {"x": alt.X(f"{low}:Q"), "x2": f"{high}:Q"}
    return [base.mark_rule(**mark).encode(**bounds)]


def sentence(start: str, parts: Iterable[str]) -> str:
    return f"{start}: {'; '.join(parts)}."


def named(columns: Mapping[str, str]) -> list[alt.Tooltip]:
    """Return the lines of a tooltip. `columns` are shorthand ("difference:Q") → title."""
    return [alt.Tooltip(field, title=title, **({"format": ".4~g"} if field.endswith(":Q") else {})) for field, title in columns.items()]
