"""The labels of which the simulated feed knows the expectation, for the baseline "truth"."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.objectives import Objective

_OUTCOMES = {
    "clicked = 1": "clicked",
    "watch_seconds": "watch_seconds",
    "liked = 1": "liked",
    "shared = 1": "shared",
    "dismissed = 1": "dismissed",
}
_OPENED = "clicked = 1"
_STARS, _ANSWERED = "survey", (None, "survey is not null")  # who answers is drawn by chance among those who opened the video


@dataclass(frozen=True)
class KnownTruth:
    """The columns of truth.parquet that hold what to expect of a label where the impression stands, and where it is looked at."""

    logged: str
    looked_at: str


def known_truth(objective: Objective, objectives: Sequence[Objective]) -> KnownTruth | None:
    """Return the columns of the objective's expectation in a simulated feed; None where the feed does not know it.

    `objectives` are all of the pipeline, to find the one that `given` names.
    """
    label, observed = _plain(objective.label), _plain(objective.observed)
    if label == _STARS and observed in _ANSWERED and objective.given is None:
        return _after_click("stars")
    outcome = _OUTCOMES.get(label or "")
    given = next((_plain(other.label) for other in objectives if other.name == objective.given), None)
    if outcome is None or given not in (None, _OPENED):
        return None
    if observed is None:
        return KnownTruth(f"expected.{outcome}", f"expected.{outcome}|examined")
    return _after_click(outcome) if observed == _OPENED and outcome != "clicked" and given is None else None


def known_labels() -> str:
    """Return in words which labels are known."""
    return f"{', '.join(_OUTCOMES)} (everywhere, or the last four observed where {_OPENED}), and {_STARS}"


def _after_click(outcome: str) -> KnownTruth:
    return KnownTruth(f"expected.{outcome}|clicked", f"expected.{outcome}|clicked")


def _plain(expression: str | None) -> str | None:
    return None if expression is None else " ".join(expression.split())
