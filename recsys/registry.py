"""Which run's model is the current one of a pipeline, and every decision that made it so.

models/registry.jsonl has a line per decision, the first one first, and above them how many there are, and a checksum of all. The file is
replaced as a whole, so a decision stands or does not. Which model is the current one follows from its lines: there is no pointer beside it
that could say something else.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys import artifacts
from recsys.errors import ArtifactError, one_line, short
from recsys.workspace import CALIBRATION, CONFIG, MODEL, MODELS, REGISTRY, RUNS

CURRENT = "current"  # the name that stands for the current run wherever a run is named
PROMOTED, REFUSED, ROLLED_BACK = "promoted", "refused", "rolled back"


def decisions(folder: Path) -> list[dict[str, Any]]:
    """Return the decisions of a pipeline's folder in the workspace, in order. Raise ArtifactError where the file is damaged."""
    path = folder / MODELS / REGISTRY
    try:
        head, *found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if head != _head(found) or not all({"decision", "outcome", "run"} <= line.keys() for line in found):
            raise ValueError("other decisions than its first line tells")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: found something else than recsys promote has written ({short(one_line(str(error)))}), expected its decisions."
            " Fix: restore the file from a copy; or remove it, and promote a run anew"
        ) from error
    return found


def standing(folder: Path) -> list[dict[str, Any]]:
    """Return the promotions that stand, the current one last: a rollback takes away all that came after the one it goes back to.

    A run that is promoted while it is the current one takes its own place.
    """
    stack: list[dict[str, Any]] = []
    for line in decisions(folder):
        if line["outcome"] == ROLLED_BACK:
            stack = [each for each in stack if each["decision"] <= line["to"]]
        if line["outcome"] == PROMOTED:
            stack = [*(stack[:-1] if stack and stack[-1]["run"] == line["run"] else stack), line]
    return stack


def serves(run: Path) -> str | None:
    """Return a fingerprint of all that a run's answers depend on: its model, its calibration, its objectives with their fusion weights.

    None where its model or its config is gone.
    """
    parts = [artifacts.manifest(run / name) if (run / name).exists() else None for name in (MODEL, CONFIG, CALIBRATION)]
    model, config, maps = parts
    if model is None or config is None:
        return None
    known = artifacts.read_json(run / CONFIG)
    calibrate = known["pipeline"]["evaluate"]["calibrate"]
    used = None if maps is None or calibrate == "none" else maps.content
    return artifacts.fingerprint([model.content, known["identity"]["objective"], calibrate, used])


def is_there(folder: Path, promotion: dict[str, Any]) -> bool:
    """Return whether the run of a promotion still serves what was promoted."""
    return serves(folder / RUNS / str(promotion["run"])) == str(promotion["serves"])


def current_run(folder: Path) -> Path | None:
    """Return the folder of the current run; None where no run was promoted.

    Raise ArtifactError where its model is gone, or where it would serve something else than was promoted.
    """
    promotions = standing(folder)
    if not promotions:
        return None
    run = folder / RUNS / str(promotions[-1]["run"])
    if not is_there(folder, promotions[-1]):
        what = "no model" if serves(run) is None else "another model, calibration or fusion weights than were promoted"
        raise ArtifactError(
            f"{run}: found {what}, expected those of decision {promotions[-1]['decision']}."
            " Fix: recsys rollback PIPELINE.toml, or recsys promote RUN --because REASON"
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
    lines = [_head([*so_far, line]), *so_far, line]
    artifacts.replace_text(folder / MODELS / REGISTRY, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines))
    return line


def _head(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"decisions": len(found), "checksum": artifacts.fingerprint(found)}
