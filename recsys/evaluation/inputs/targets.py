"""The targets that numbers are about: each objective, and the conditional form of each objective that has a `given`."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys import schema
from recsys.objectives import Objective


@dataclass(frozen=True)
class Target:
    """An objective on all rows with a known label, or its conditional form: P(objective | `given`), on rows where the given label is 1."""

    objective: Objective
    given: str | None = None

    @property
    def name(self) -> str:
        """The name in the metrics' column `objective` and after `pred.`: "like", or "like|click"."""
        return self.objective.name if self.given is None else schema.conditional_name(self.objective.name, self.given)


def targets(objectives: Sequence[Objective]) -> list[Target]:
    """Return the targets in the order of the objectives, each conditional form right behind its joint form."""
    found = []
    for objective in objectives:
        found.append(Target(objective))
        if objective.given is not None:
            found.append(Target(objective, objective.given))
    return found
