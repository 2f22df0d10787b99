"""The next steps that a run's own numbers ask for. Each rule looks at one thing, and says nothing where it finds nothing."""

from recsys.report.pages.next_steps.calibration_steps import calibration, harm
from recsys.report.pages.next_steps.data_steps import one_answer, same_labels, too_little_data
from recsys.report.pages.next_steps.seen import Seen, Step
from recsys.report.pages.next_steps.training_steps import behind_popularity, nothing_to_compare_with, still_learning, trees_ahead
from recsys.report.pages.next_steps.weight_steps import pulls, weights

__all__ = ["Seen", "Step", "next_steps", "pulls"]

_RULES = (  # the most urgent first
    nothing_to_compare_with,
    one_answer,
    same_labels,
    behind_popularity,
    calibration,
    harm,
    still_learning,
    trees_ahead,
    too_little_data,
    weights,
)


def next_steps(seen: Seen) -> list[Step]:
    """Return the steps that the numbers ask for, the most urgent first."""
    return [step for rule in _RULES for step in rule(seen)]
