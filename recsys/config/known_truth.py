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
_ONLY_OPENED = ("liked", "shared")
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
    if outcome is None:
        return None
    if objective.given is not None:  # the label of both: only of what cannot happen without the click it is the label alone
        given = next(_plain(other.label) for other in objectives if other.name == objective.given)
        return _everywhere(outcome) if given == _OPENED and outcome in _ONLY_OPENED and observed is None else None
    if observed is None:
        return _everywhere(outcome)
    return _after_click(outcome) if observed == _OPENED and outcome != "clicked" else None


def known_labels() -> str:
    """Return in words which labels are known."""
    everywhere = ", ".join(_OUTCOMES)
    return f"{everywhere} (the last four also observed where {_OPENED}; likes and shares also given a click), and {_STARS}"


def _everywhere(outcome: str) -> KnownTruth:
    return KnownTruth(f"expected.{outcome}", f"expected.{outcome}|examined")


def _after_click(outcome: str) -> KnownTruth:
    return KnownTruth(f"expected.{outcome}|clicked", f"expected.{outcome}|clicked")


def _plain(expression: str | None) -> str | None:
    return None if expression is None else " ".join(expression.split())
