"""The metric table in the terminal, and in a pipe."""

import io
import re
import shutil
from typing import NamedTuple

import pyarrow as pa
from rich import box
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from recsys import schema
from recsys.list_metrics import is_captured
from recsys.progress import Console
from recsys.report.tables.cells import LEGEND, MARKS, Cell, Grid, Matrix, conditional_words, grid
from recsys.report.tables.frame import captured, frame, short_names, splits, whole
from recsys.report.tables.verdict import comparisons, unjudged

PIPE_WIDTH = 140  # columns; a pipe has no width of its own


def terminal_table(rows: pa.Table, console: Console) -> None:
    """Say each run's main metrics on its test days (else on its latest split) against every baseline, then those of its fused order.

    `rows` are in the form of `schema.METRICS`. A narrow terminal gets fewer columns: first goes the group, then the counts, the
    intervals of the differences, and the intervals of the values. If that is not enough, cells are folded.
    """
    table = whole(frame(rows))
    for run, of_run in table.groupby("run", sort=False):
        split = splits(of_run)[0]
        of_split = of_run[of_run["split"] == split]
        for title, part in (("", of_split[of_split["is_main"]]), (", what the fused order captures of each objective", captured(of_split))):
            if len(part):
                console.result(_laid_out(f"{run}: {split}{title}", grid(part), _width()))


def terminal_matrix(title: str, matrix: Matrix, console: Console) -> None:
    """Say a matrix of numbers, with their intervals while there is room for them."""
    text = io.StringIO()
    out = RichConsole(file=text, width=_width(), color_system=None, highlight=False, markup=False, emoji=False)
    layouts = [_matrix_columns(matrix, intervals=intervals) for intervals in (True, False)]
    out.print(Text(title))
    out.print(_table(next((columns for columns in layouts if _width_of(columns) <= _width()), layouts[-1]), _width()))
    if matrix.is_judged:
        out.print(Text(f"{LEGEND}."))
    console.result("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def _width() -> int:
    return shutil.get_terminal_size((PIPE_WIDTH, 24)).columns


def _laid_out(title: str, cells: Grid, width: int) -> str:
    text = io.StringIO()
    out = RichConsole(file=text, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    layouts = [_layout(cells, left_out) for left_out in range(len(_OPTIONAL) + 1)]
    columns = next((columns for columns in layouts if _width_of(columns) <= width), layouts[-1])
    out.print(Text(title))
    out.print(_table(columns, width))
    for name in dict.fromkeys(line.objective for line in cells.lines):
        if (words := conditional_words(name)) is not None:
            out.print(Text(f"{name}: {words}."))
    if cells.others:
        out.print(Text(f"vs: the difference to that run. {LEGEND}."))
        for comparison in comparisons(cells):
            out.print(Text(str(comparison)))
    if fewer := [line.objective for line in cells.lines if line.better == schema.LOWER and is_captured(line.metric)]:
        out.print(Text(f"{', '.join(fewer)}: better where less is captured."))
    for line in cells.lines:
        if line.value.value is None:
            out.print(Text(f"{line.objective} {line.metric}: no value: {line.value.reason}"))
    for words in unjudged(_without_interval(cells)):
        out.print(Text(words))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _without_interval(cells: Grid) -> list[tuple[str, str]]:
    """Return the numbers that have a value and, for a reason, no interval; each with the reason."""
    return [
        (f"{line.objective} {line.metric}", line.value.reason)
        for line in cells.lines
        if line.value.value is not None and line.value.low is None and line.value.reason is not None
    ]


_OPTIONAL = ("group", "counts", "intervals of differences", "intervals of values")  # left out of a narrow table, in this order
_GAP = 2
_PARTS = (re.compile(rf" +(?![{''.join(MARKS.values())}])"), re.compile(" +"))  # words with the mark beside them; words


class Column(NamedTuple):
    header: str
    texts: list[str]
    is_number: bool

    @property
    def width(self) -> int:
        return max(map(len, [self.header, *self.texts]))

    def least(self, parts: re.Pattern[str]) -> int:
        """Return the least width that keeps each part of its texts in one line."""
        return max(len(part) for text in [self.header, *self.texts] for part in parts.split(text))


def _layout(cells: Grid, left_out: int) -> list[Column]:
    """Return the columns without the first `left_out` of the optional ones."""
    lines, names, shown = cells.lines, short_names(list(cells.others)), _OPTIONAL[left_out:]
    columns = [Column("objective", [line.objective for line in lines], False)]
    if "group" in shown:
        columns.append(Column("group", [line.group for line in lines], False))
    columns.append(Column("metric", [line.metric for line in lines], False))
    columns.append(Column("value", [str(line.value) if "intervals of values" in shown else line.value.text for line in lines], False))
    if "counts" in shown:
        columns.append(Column("n", [_count(line.n) for line in lines], True))
        columns.append(Column("positives", [_count(line.n_positive) for line in lines], True))
        if cells.is_partly_covered:
            columns.append(Column("coverage", [line.covered for line in lines], True))
    for place, other in enumerate(cells.others):
        differences = [line.differences[place] for line in lines]
        texts = [str(cell) if "intervals of differences" in shown else f"{cell.text} {cell.mark}".rstrip() for cell in differences]
        columns.append(Column(f"vs {names[other]}", texts, False))
    return columns


def _matrix_columns(matrix: Matrix, *, intervals: bool) -> list[Column]:
    def shown(cell: Cell | str | None) -> str:
        if not isinstance(cell, Cell):
            return cell or ""
        return str(cell) if intervals else f"{cell.text} {cell.mark}".rstrip()

    columns = [Column(matrix.corner, [name for name, _ in matrix.rows], False)]
    columns += [Column(header, [shown(cells[place]) for _, cells in matrix.rows], False) for place, header in enumerate(matrix.columns)]
    return columns


def _width_of(columns: list[Column]) -> int:
    return sum(column.width + _GAP for column in columns) - _GAP


def _widths(columns: list[Column], width: int) -> list[int | None]:
    """Return widths that break no word, and no mark from its number if there is room; None where a word must be broken.

    The widest columns are folded first.
    """
    found, room = [column.width for column in columns], width - _GAP * (len(columns) - 1)
    least = next((each for parts in _PARTS if sum(each := [column.least(parts) for column in columns]) <= room), None)
    if least is None:
        return [None] * len(columns)
    while sum(found) > room:
        found[max((place for place in range(len(found)) if found[place] > least[place]), key=found.__getitem__)] -= 1
    return [*found]


def _table(columns: list[Column], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column, room in zip(columns, _widths(columns, width), strict=True):
        table.add_column(Text(column.header), justify="right" if column.is_number else "left", overflow="fold", width=room)
    for texts in zip(*(column.texts for column in columns), strict=True):
        table.add_row(*(Text(text) for text in texts))
    return table


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
