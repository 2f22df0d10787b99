"""The comparison in plain words, from the same verdicts that the tables mark."""

from dataclasses import dataclass

from recsys.report.tables.cells import Grid
from recsys.report.tables.frame import BETTER, UNCLEAR, WORSE, short_names

WORDS = {BETTER: "better on", WORSE: "worse on", UNCLEAR: "inconclusive on", None: "cannot be compared on"}


@dataclass(frozen=True)
class Comparison:
    """A run compared with one other run: verdict → objectives, each with its metric."""

    other: str
    found: dict[str | None, list[str]]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Each verdict that occurs, with its objectives in words."""
        return [(verdict or "", f"{WORDS[verdict]} {', '.join(names)}") for verdict, names in self.found.items()]

    def __str__(self) -> str:
        return f"Against {self.other}: {'; '.join(words for _, words in self.parts)}."


def comparisons(grid: Grid) -> list[Comparison]:
    """Return one comparison per run compared with, in the order of the grid. In each, better comes first."""
    names = short_names(list(grid.others))
    found = []
    for place, other in enumerate(grid.others):
        by_verdict: dict[str | None, list[str]] = {verdict: [] for verdict in WORDS}
        for line in grid.lines:
            by_verdict[line.differences[place].verdict].append(f"{line.objective} ({line.metric})")
        found.append(Comparison(names[other], {verdict: lines for verdict, lines in by_verdict.items() if lines}))
    return found
