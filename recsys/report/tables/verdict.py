"""The comparison in plain words, from the same verdicts that the tables mark."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf

from recsys import schema
from recsys.report.tables.cells import NOT_COMPARED, Grid, Line
from recsys.report.tables.frame import ALL_IMPRESSIONS, BETTER, IN_LISTS, IN_USERS, UNCLEAR, VALUES, WORSE, scope_of, short_names

WORDS = {BETTER: "better on", WORSE: "worse on", UNCLEAR: "inconclusive on", None: "no verdict on"}
QUESTIONS = {
    ALL_IMPRESSIONS: "Finding who will",
    IN_LISTS: "Ordering a user's list",
    IN_USERS: "Ordering a user's impressions",
    VALUES: "Predicting the value",
    None: "By the fused order",
}
QUESTION_OF = {schema.WHO: QUESTIONS[ALL_IMPRESSIONS], schema.WHICH: QUESTIONS[IN_LISTS], schema.ASKED: "By the metrics asked for"}


@dataclass(frozen=True)
class Answer:
    """The verdicts on one question. `found` is verdict → objectives in words."""

    question: str
    found: dict[str | None, str]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Each verdict that occurs, with its objectives in words."""
        return [(verdict or "", f"{WORDS[verdict]} {names}") for verdict, names in self.found.items()]

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
    return _compared(grid, lambda verdict, lines, place, of: ", ".join(f"{line.objective} ({line.metric})" for line in lines))


def answered(numbers: Sequence[tuple[str, str | None, str]]) -> list[str]:
    """Return one sentence per question: which numbers are better and worse, and of how many nothing is known.

    `numbers` are the metric of each, its verdict, and its name with its difference.
    """
    return [
        _answered(question, of) for scope, question in QUESTIONS.items() if (of := [each for each in numbers if scope_of(each[0]) == scope])
    ]


def _answered(question: str, numbers: Sequence[tuple[str, str | None, str]]) -> str:
    said = []
    for verdict, start in WORDS.items():
        if found := [words for _, judged, words in numbers if judged == verdict]:
            said.append(f"{start} {', '.join(found) if verdict in (BETTER, WORSE) else _count_of(found, len(numbers))}")
    return f"{question}: {'; '.join(said)}."


def _count_of(found: Sequence[object], of: int) -> str:
    return f"all {of}" if len(found) == of > 1 else f"{len(found)} of {of}"


def unjudged(numbers: Iterable[tuple[str, str]]) -> list[str]:
    """Return a sentence per reason for which numbers have no interval. `numbers` are the name and the reason of each such number."""
    of: dict[str, dict[str, None]] = {}
    for name, reason in numbers:
        of.setdefault(reason, {})[name] = None
    return [f"No interval and no verdict on {', '.join(names)}: {reason}." for reason, names in of.items()]


def brief_comparisons(grid: Grid) -> list[Comparison]:
    """Return the same comparisons in few words: of what is better and of what is worse the clearest number, of the rest the count.

    The clearest difference is the one that is furthest from 0 in units of its own interval. A question without any verdict is left out
    where others have one.
    """
    return [_judged(comparison) for comparison in _compared(grid, _briefly)]


def _judged(comparison: Comparison) -> Comparison:
    judged = [answer for answer in comparison.answers if set(answer.found) != {None}]
    return Comparison(comparison.other, judged or comparison.answers)


def _briefly(verdict: str | None, lines: list[Line], place: int, of: int) -> str:
    if verdict not in (BETTER, WORSE):
        return _count_of(lines, of)
    clearest = max(lines, key=lambda line: _clearness(line, place))
    difference = clearest.differences[place]
    first = f"{clearest.objective} ({clearest.metric} {difference.text} {difference.interval})"
    return first + (f" and {len(lines) - 1} more" if len(lines) > 1 else "")


def _clearness(line: Line, place: int) -> float:
    cell = line.differences[place]
    if cell.value is None or cell.low is None or cell.high is None:
        return 0.0
    return abs(cell.value) / (cell.high - cell.low) if cell.high > cell.low else inf


_Words = Callable[[str | None, list[Line], int, int], str]  # a verdict, its lines, the place of the other run, all lines of the question


def _compared(grid: Grid, words: _Words) -> list[Comparison]:
    names = short_names(list(grid.others))
    return [Comparison(names[other], _answers(grid, place, words)) for place, other in enumerate(grid.others)]


def _answers(grid: Grid, place: int, words: _Words) -> list[Answer]:
    found: dict[str | None, dict[str | None, list[Line]]] = {scope: {verdict: [] for verdict in WORDS} for scope in QUESTIONS}
    for line in (line for line in grid.lines if line.differences[place].reason != NOT_COMPARED):
        found[line.scope][line.differences[place].verdict].append(line)
    answers = [
        Answer(
            QUESTIONS[scope],
            {verdict: words(verdict, lines, place, sum(map(len, of.values()))) for verdict, lines in of.items() if lines},
        )
        for scope, of in found.items()
    ]
    return [answer for answer in answers if answer.found]
