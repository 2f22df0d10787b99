"""The aim of a search for fusion weights, and what it gives, in words and as lines of a TOML."""

from collections.abc import Mapping
from dataclasses import dataclass

SLACK = 1e-9  # tolerance of a constraint, for the last bits of a quotient


@dataclass(frozen=True)
class Aim:
    """The aim of the search: maximise a metric of one objective, under constraints.

    `least` maps an objective to the least relative change of its metric. A change above 0 is better for the objective; −0.01 means that it
    may lose 1 %.
    """

    maximise: str
    metric: str
    least: Mapping[str, float]


@dataclass(frozen=True)
class Effect:
    """The effect of new weights on the metric of one objective. `change` is relative, and above 0 where it is for the better.

    Values are None where the metric is undefined, with the `reason`. Bounds are None where there is no interval. `least` is the constraint
    that the aim asked for.
    """

    objective: str
    present: float | None
    tuned: float | None
    change: float | None
    low: float | None = None
    high: float | None = None
    least: float | None = None
    reason: str | None = None

    def __str__(self) -> str:
        if self.change is None:
            return "–" if self.present is None or self.tuned is None else f"{self.present:.4f} → {self.tuned:.4f}"
        bounds = "" if self.low is None or self.high is None else f" [{self.low:+z.1%}, {self.high:+z.1%}]"
        return f"{self.change:+z.1%}{bounds} of {self.present:.4f}"

    @property
    def verdict(self) -> str:
        """Return the verdict on the constraint or, without one, on the change. It is inconclusive unless the interval decides."""
        if self.low is None or self.high is None:
            return f"no verdict: {self.reason}" if self.reason else "no verdict"
        if self.least is None:
            return "better" if self.low > 0 else "worse" if self.high < 0 else "inconclusive"
        if self.low >= self.least - SLACK:
            return "held"
        return "did not hold" if self.high < self.least - SLACK else "inconclusive"


@dataclass(frozen=True)
class Tuned:
    """Weights by objective, and their effects on the validation days that they were found on, and on the test days.

    `why_none` says why the weights are the present ones, where nothing better was found.
    """

    aim: Aim
    weights: Mapping[str, float]
    validation: tuple[Effect, ...]
    test: tuple[Effect, ...]
    why_none: str | None = None

    @property
    def toml(self) -> str:
        """The weights as lines of a pipeline's TOML, and as options of the command line in comments."""
        how = "found on validation days" if self.why_none is None else "the present ones: nothing better was found on validation days"
        lines = [f"# fusion weights: {self.aim.metric} of {self.aim.maximise}, {how}", "# the same on the command line:"]
        lines += [f"#   --set objective.{name}.fusion_weight={weight:g}" for name, weight in self.weights.items()]
        for name, weight in self.weights.items():
            lines += ["", "[[objective]]", f'name = "{name}"', f"fusion_weight = {weight:g}"]
        return "\n".join(lines) + "\n"

    @property
    def text(self) -> str:
        """The result for people to read: a table and the lines to copy; one sentence where nothing better was found."""
        return f"{self.table}\n\n{self.toml}" if self.why_none is None else self.why_none

    @property
    def table(self) -> str:
        """The weights and their effects, a line per objective."""
        head = f"{self.aim.metric} under new fusion weights, relative to the present ones; above 0 is better"
        rows = [("objective", "weight", "asked for", "validation", "test", "")]
        for place, (name, weight) in enumerate(self.weights.items()):
            effect = self.validation[place]
            parts = ["as much as possible"] if name == self.aim.maximise else []
            asked = ", ".join([*parts, *([] if effect.least is None else [f"at least {effect.least:+z.2%}"])])
            on_test = self.test[place] if self.test else None
            rows.append((name, f"{weight:g}", asked, str(effect), *(("", "") if on_test is None else (str(on_test), on_test.verdict))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"{effect.objective}, validation: {effect.reason}" for effect in self.validation if effect.change is None]
        return "\n".join([head, *lines, *([] if self.test else ["no test rows: what holds on other days is not known"])])


def instead(objective: str, change: float, least: float) -> str:
    """Return in words what weights give in place of what was asked for, with as many digits as tell the two apart."""
    pairs = ((f"{change:+z.{digits}%}", f"{least:+z.{digits}%}") for digits in range(2, 10))
    given, asked = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{objective} {given} instead of {asked} or more"
