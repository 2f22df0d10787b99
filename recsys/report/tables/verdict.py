"""The comparison in plain words, from the same verdicts that the tables mark."""

from dataclasses import dataclass

from recsys.report.tables.cells import Grid
from recsys.report.tables.frame import ALL_IMPRESSIONS, BETTER, IN_LISTS, IN_USERS, UNCLEAR, VALUES, WORSE, short_names

WORDS = {BETTER: "better on", WORSE: "worse on", UNCLEAR: "inconclusive on", None: "no verdict on"}
QUESTIONS = {
    ALL_IMPRESSIONS: "Finding who will",
    IN_LISTS: "Ordering a user's list",
    IN_USERS: "Ordering a user's impressions",
    VALUES: "Predicting the value",
    None: "By the fused order",
}


@dataclass(frozen=True)
class Answer:
    """The verdicts on one question. `found` is verdict → objectives, each with its metric."""

    question: str
    found: dict[str | None, list[str]]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Each verdict that occurs, with its objectives in words."""
        return [(verdict or "", f"{WORDS[verdict]} {', '.join(names)}") for verdict, names in self.found.items()]

    def __str__(self) -> str:
        return f"{self.question}: {'; '.join(words for _, words in self.parts)}."


@dataclass(frozen=True)
class Comparison:
    """A run compared with one other run: which users will, and which of its items a user will, are two questions."""

    other: str
    answers: list[Answer]

    def __str__(self) -> str:
        return " ".join([f"Against {self.other}.", *map(str, self.answers)])


def comparisons(grid: Grid) -> list[Comparison]:
    """Return one comparison per run compared with, in the order of the grid. In each answer, better comes first."""
    names = short_names(list(grid.others))
    return [Comparison(names[other], _answers(grid, place)) for place, other in enumerate(grid.others)]


def _answers(grid: Grid, place: int) -> list[Answer]:
    found: dict[str | None, dict[str | None, list[str]]] = {scope: {verdict: [] for verdict in WORDS} for scope in QUESTIONS}
    for line in grid.lines:
        found[line.scope][line.differences[place].verdict].append(f"{line.objective} ({line.metric})")
    by_question = {QUESTIONS[scope]: {verdict: lines for verdict, lines in of.items() if lines} for scope, of in found.items()}
    return [Answer(question, of) for question, of in by_question.items() if of]
