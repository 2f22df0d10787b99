"""The contents of tables: numbers with their intervals as text, the same in the terminal and on the page."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

import pandas as pd

from recsys import schema
from recsys.errors import HUGE, fixed
from recsys.report.tables.frame import BETTER, KEYS, UNCLEAR, WORSE, compared

MARKS = {BETTER: "▲", WORSE: "▼", UNCLEAR: "·"}
COUNTED = {BETTER: "better", WORSE: "worse", UNCLEAR: "inconclusive"}  # verdicts as words
LEGEND = "▲ better, ▼ worse (the interval excludes 0), · inconclusive (the interval includes 0)"

_MOST_DECIMALS = 8  # of an interval that ends that near to 0

NOT_COMPARED = "not compared"  # the reason where another run has no such number


@dataclass(frozen=True)
class Cell:
    """A number, its interval, and the reason where one of them is missing."""

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None
    verdict: str | None = None
    signed: bool = False

    def number(self, value: float) -> str:
        """Return a number as text, without a zero before the point, as in papers: ".7412".

        It has the decimals that show two digits of the interval's half width, at most four: further digits are noise. What is 0 in them
        has no sign. An interval of zero width belongs to a number that is not measured but certain: "0 [0, 0]", ".5 [.5, .5]". A huge
        number has an exponent, and digits by the same rule: "1.023e31 [9.81e30, 1.061e31]".
        """
        is_certain = self.low is not None and self.low == self.high == self.value
        decimals = 4 if is_certain else self._decimals() if abs(value) < HUGE else _digits(self._half() / 10 ** floor(log10(abs(value))))
        text = fixed(abs(value), decimals)
        sign = "" if float(text) == 0 else "-" if value < 0 else "+" if self.signed else ""
        if is_certain:
            digits, e, exponent = text.partition("e")
            text = digits.rstrip("0").rstrip(".") + e + exponent
        return sign + (text.removeprefix("0") if text.startswith("0.") else text)

    @property
    def text(self) -> str:
        return "–" if self.value is None else self.number(self.value)

    @property
    def interval(self) -> str:
        """The interval as text, empty where there is none."""
        return "" if self.low is None or self.high is None else f"[{self.number(self.low)}, {self.number(self.high)}]"

    @property
    def mark(self) -> str:
        return "" if self.verdict is None else MARKS[self.verdict]

    @property
    def verdict_word(self) -> str:
        return "" if self.verdict is None else COUNTED[self.verdict]

    def __str__(self) -> str:
        return " ".join(part for part in (self.text, self.interval, self.mark) if part)

    def _half(self) -> float:
        """Return half the width of the interval. One that is missing for a reason leaves few digits."""
        if self.low is None or self.high is None:
            return abs(self.value or 0.0) / (1000 if self.reason is None else 5)
        return (self.high - self.low) / 2

    def _decimals(self) -> int:
        decimals = _digits(self._half())
        if self.low is None or self.high is None:
            return decimals
        nearer = min(abs(self.low), abs(self.high)) if self.low * self.high > 0 else 0.0
        while round(nearer, _MOST_DECIMALS) > 0 and round(nearer, decimals) == 0:
            decimals += 1  # an interval that excludes 0 must not look as if it began at 0
        return decimals


@dataclass(frozen=True)
class Line:
    """One objective and metric: its value, and its differences to the other runs, in the order of `Grid.others`."""

    objective: str
    group: str
    metric: str
    is_main: bool
    slice: str
    slice_value: str | None
    value: Cell
    n: int | None
    n_positive: int | None
    coverage: float | None
    better: str | None
    differences: tuple[Cell, ...]
    scope: str | None = None  # of a main metric: what it looks at (tables.frame)

    @property
    def covered(self) -> str:
        """The coverage as text, empty where there is none."""
        return "" if self.coverage is None else rounded_percent(self.coverage)


@dataclass(frozen=True)
class Grid:
    """A table ready to be laid out. `others` are the runs compared with."""

    others: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def is_partly_covered(self) -> bool:
        """Return whether some value rests on less than all of its rows. Where none does, a column of coverage would hold only 100 %."""
        return any(line.coverage is not None and line.coverage < 1 for line in self.lines)

    def place_of(self, baseline: str) -> int | None:
        """Return the place of a baseline among the runs compared with; None where it is not among them."""
        return next((place for place, other in enumerate(self.others) if re.fullmatch(rf"{baseline}-[0-9a-f]{{6,}}", other)), None)


@dataclass(frozen=True)
class Matrix:
    """A table of numbers with named rows and columns. None is a cell without a number. A column can also hold words."""

    corner: str  # heading of the rows' names
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | str | None, ...]], ...]

    @property
    def is_grouped(self) -> bool:
        """Return whether rows without a name belong to the last one that has a name."""
        return any(not name for name, _ in self.rows)

    @property
    def is_judged(self) -> bool:
        """Return whether any of its numbers has a mark, which the legend explains."""
        return any(isinstance(cell, Cell) and cell.verdict is not None for _, cells in self.rows for cell in cells)


def grid(table: pd.DataFrame) -> Grid:
    """Lay out rows of `frame` (any selection of them), with the compared runs side by side."""
    others = compared(table)
    lines: dict[tuple[str | None, ...], list[dict[Hashable, Any]]] = {}  # rows of one number, which differ in the run compared with
    for row in table.to_dict("records"):
        lines.setdefault(tuple(_text(row[key]) for key in KEYS), []).append(row)
    return Grid(tuple(others), tuple(_line(rows, others) for rows in lines.values()))


def cell_of(value: Any, low: Any, high: Any, reason: Any = None, *, verdict: str | None = None, signed: bool = False) -> Cell:
    """Return a cell from the values of a frame, where a missing one is NaN or None."""
    return Cell(_number(value), _number(low), _number(high), _text(reason), verdict, signed)


def rounded_percent(share: float) -> str:
    """Return a share in whole percents. What there is of it is never 0%, and what is missing from it never makes 100%."""
    return "<1%" if 0 < share < 0.01 else ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def conditional_words(name: str) -> str | None:
    """Return the words for a conditional form: "like, given click" for "like|click". None for an objective's own name."""
    parts = schema.conditional_parts(name)
    return None if parts is None else f"{parts[0]}, given {parts[1]}"


def _line(rows: Sequence[Mapping[Hashable, Any]], others: list[str]) -> Line:
    first = rows[0]
    differences = {
        row["against"]: Cell(
            _number(row["difference"]), _number(row["difference_low"]), _number(row["difference_high"]),
            _text(row["difference_reason"]), _text(row["verdict"]), signed=True,
        )
        for row in rows
        if not pd.isna(row["against"])
    }  # fmt: skip
    absent = Cell(None, None, None, NOT_COMPARED, signed=True)
    return Line(
        objective=first["objective"],
        group=first["group"],
        metric=first["metric"],
        is_main=bool(first["is_main"]),
        slice=first["slice"],
        slice_value=_text(first["slice_value"]),
        value=Cell(_number(first["value"]), _number(first["low"]), _number(first["high"]), _text(first["reason"])),
        n=_count(first["n"]),
        n_positive=_count(first["n_positive"]),
        coverage=_number(first["coverage"]),
        better=_text(first["better"]),
        differences=tuple(differences.get(other, absent) for other in others),
        scope=_text(first["scope"]),
    )


def _digits(half: float) -> int:
    return min(4, max(0, 1 - floor(log10(half)))) if half > 0 else 4


def _number(value: float | None) -> float | None:
    return None if pd.isna(value) else float(value)


def _count(value: float) -> int | None:
    return None if pd.isna(value) else int(value)


def _text(value: str | float | None) -> str | None:
    return None if pd.isna(value) else str(value)
