"""A section of a page: a heading, and below it texts, tables, figures or an interactive part."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from markupsafe import Markup

from recsys.report.figures.figure import Figure
from recsys.report.tables.cells import Grid, Matrix
from recsys.report.tables.verdict import Comparison


@dataclass(frozen=True)
class Widget:
    """An interactive part of a section: its markup, and the style and script files of this package that it needs.

    `data` is element id → the JSON that the scripts read there.
    """

    markup: Markup
    style: str
    scripts: tuple[str, ...]
    data: Mapping[str, Markup] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A heading, a text about the section, its tables and its figures. Tables in `folded` open on demand.

    A section is folded until a reader opens it, unless `is_open`. `gist` is its one line beside the heading. A section with `nothing`
    holds no more than that line, which says why there is nothing to see.
    """

    anchor: str
    title: str
    about: str = ""
    gist: str = ""
    nothing: str = ""
    is_open: bool = False
    grids: Mapping[str, Grid] = field(default_factory=dict)  # caption → table
    figures: list[Figure] = field(default_factory=list)
    folded: Mapping[str, Grid] = field(default_factory=dict)
    folded_matrices: Mapping[str, Matrix] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    matrices: Mapping[str, Matrix] = field(default_factory=dict)  # caption → table of numbers alone
    wide: bool = False  # figures over the whole width
    widget: Widget | None = None


def number_of(count: int, noun: str) -> str:
    """Return a number with its noun: `1 day`, `2 days`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
