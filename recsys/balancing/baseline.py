"""The losses that another run has reached, read from its journal."""

import json
from collections.abc import Sequence
from pathlib import Path

from recsys import artifacts
from recsys.errors import ConfigError
from recsys.objectives import Objective
from recsys.workspace import JOURNAL

_PARTS = ("validation", "progressive", "train")  # the first part that has a loss of an objective is used
_OPTION = "balance.worst_case.baseline"


def losses_of(run: Path, objectives: Sequence[Objective]) -> list[float]:
    """Return the last loss of each objective in `run`/training.jsonl, in units of its best constant's loss.

    The loss is on rows that were not learned, where there are such rows. After shuffled passes the last such line is of the pass that was
    kept.
    Raise ConfigError where there is no such file of a finished training, or where an objective has no loss in it. Raise ArtifactError where
    the file is damaged.
    """
    journal = run / JOURNAL
    last: dict[str, dict[str, float]] = {part: {} for part in _PARTS}
    for line in _lines(journal):
        known = {name: float(loss) for name, loss in line.get("loss", {}).items() if loss is not None}
        last.setdefault(str(line.get("part")), {}).update(known)
    found = {name: loss for part in reversed(_PARTS) for name, loss in last[part].items()}
    missing = [objective.name for objective in objectives if objective.name not in found]
    if missing:
        raise ConfigError(
            f"{_OPTION}: found no loss of {', '.join(missing)} in {journal}, expected one of every objective;"
            f" there are {', '.join(sorted(found)) or 'none'}. Fix: name a run that has learned them all"
        )
    return [found[objective.name] for objective in objectives]


def _lines(journal: Path) -> list[dict[str, dict[str, float | None]]]:
    if artifacts.manifest(journal) is None:
        raise ConfigError(
            f"{_OPTION}: found no {journal} of a finished training, expected the folder of a run that was trained."
            " Fix: train it first, and give its folder such as runs/single_task"
        )
    return [json.loads(line) for line in artifacts.checked(journal).read_text(encoding="utf-8").splitlines()]
