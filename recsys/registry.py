"""Which run's model is the current one of a pipeline, and every decision that made it so.

models/registry.jsonl has a line per decision, the first one first. It is replaced as a whole, so a decision stands or does not. Which model
is the current one follows from its lines: there is no pointer beside it that could say something else.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys import artifacts
from recsys.errors import ArtifactError
from recsys.workspace import MODEL, MODELS, REGISTRY, RUNS

CURRENT = "current"  # the name that stands for the current run wherever a run is named
PROMOTED, REFUSED, ROLLED_BACK = "promoted", "refused", "rolled back"


def decisions(folder: Path) -> list[dict[str, Any]]:
    """Return the decisions of a pipeline's folder in the workspace, in order. Raise ArtifactError where the file is damaged."""
    path = folder / MODELS / REGISTRY
    if not path.exists():
        return []
    lines = [json.loads(line) for line in artifacts.checked(path).read_text(encoding="utf-8").splitlines()]
    if not all(isinstance(line, dict) and {"outcome", "run"} <= line.keys() for line in lines):
        raise ArtifactError(f"{path}: found lines that are no decisions, expected those of recsys promote. Fix: restore the file")
    return lines


def standing(folder: Path) -> list[dict[str, Any]]:
    """Return the promotions that stand, the current one last: a rollback takes the last one away.

    A run that is promoted while it is the current one takes its own place.
    """
    stack: list[dict[str, Any]] = []
    for line in decisions(folder):
        if line["outcome"] == ROLLED_BACK or (line["outcome"] == PROMOTED and stack and stack[-1]["run"] == line["run"]):
            stack.pop()
        if line["outcome"] == PROMOTED:
            stack.append(line)
    return stack


def current_run(folder: Path) -> Path | None:
    """Return the folder of the current run; None where no run was promoted.

    Raise ArtifactError where its model is gone, or is another one than was promoted.
    """
    promotions = standing(folder)
    if not promotions:
        return None
    run = folder / RUNS / str(promotions[-1]["run"])
    model = artifacts.manifest(run / MODEL) if (run / MODEL).exists() else None
    if model is None or model.content != promotions[-1]["model"]:
        what = "no model" if model is None else "another model than the one that was promoted"
        raise ArtifactError(
            f"{run}: found {what}, expected that of decision {promotions[-1]['decision']}. Fix: recsys rollback, or promote another run"
        )
    return run


def record(folder: Path, outcome: str, run: str, **about: Any) -> dict[str, Any]:
    """Add a decision, and return it. The caller holds the place `folder`/models."""
    so_far, promotions = decisions(folder), standing(folder)
    line = {
        "decision": len(so_far) + 1,
        "moment": datetime.now(UTC).isoformat(timespec="seconds"),
        "outcome": outcome,
        "run": run,
        "current before": promotions[-1]["run"] if promotions else None,
        **about,
    }
    text = "".join(_line(each) for each in (*so_far, line))
    artifacts.write_file(
        folder / MODELS / REGISTRY,
        lambda draft: draft.write_text(text, encoding="utf-8"),
        stage="promote",
        fingerprint=artifacts.fingerprint([*so_far, line]),
    )
    return line


def _line(decision: Mapping[str, Any]) -> str:
    return json.dumps(decision, ensure_ascii=False) + "\n"
