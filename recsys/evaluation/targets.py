"""What numbers are about: each objective, and beside it the conditional form of one that is given another."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys import schema
from recsys.objectives import Objective


@dataclass(frozen=True)
class Target:
    """An objective on all rows with a known label, or its conditional form: P(it | `given`), on rows where the given's label is 1."""

    objective: Objective
    given: str | None = None

    @property
    def name(self) -> str:
        """As in the metrics' column `objective`, and behind `pred.`: "like", or "like|click"."""
        return self.objective.name if self.given is None else schema.conditional_name(self.objective.name, self.given)


def targets(objectives: Sequence[Objective]) -> list[Target]:
    """In the order of the objectives, a conditional form right behind the joint one."""
    found = []
    for objective in objectives:
        found.append(Target(objective))
        if objective.given is not None:
            found.append(Target(objective, objective.given))
    return found
