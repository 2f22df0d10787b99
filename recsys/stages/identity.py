"""The identity of a run: the config that makes two runs the same, and that a run's folder stands for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys import artifacts
from recsys.config import Pipeline
from recsys.errors import ArtifactError
from recsys.workspace import CONFIG


def run_name(pipeline: Pipeline, stem: str | None = None) -> str:
    """Return the name of a run: `stem`, by default its architecture, and a fingerprint of its config."""
    return f"{stem or pipeline.model.architecture}-{artifacts.fingerprint(run_identity(pipeline))[:6]}"


def run_identity(pipeline: Pipeline) -> dict[str, Any]:
    """Return all of the config that makes a run: not where files lie, nor how results are evaluated."""
    identity = pipeline.model_dump(
        mode="json",
        exclude={
            "evaluate": True,
            "fuse": True,
            "promote": True,
            "checks": True,
            "tracking": True,
            "spark": True,
            "features": {"engine"},
            "source": dict.fromkeys(("log", "users", "items", "path", "closed", "grace"), True) | {"feedback": {"__all__": {"file"}}},
        },
    )
    identity["train"].pop("checkpoint_seconds")
    for key in ("init_from", "distil_from"):
        run = getattr(pipeline.train, key)
        if run is not None:
            identity["train"][key] = run.name
    if pipeline.balance.worst_case.baseline is not None:
        identity["balance"]["worst_case"]["baseline"] = pipeline.balance.worst_case.baseline.name
    return identity


def claim(run: Path, identity: Mapping[str, Any], pipeline: Pipeline, *, keep: bool = False) -> None:
    """Write down what config the run's folder stands for from now on.

    With `keep`, what stands there stays, where it is the config of the same run and of the same predictions.
    """
    known = known_config(run)
    if keep and known is not None and known["identity"] == dict(identity) and _calibrates_as(known, pipeline):
        return
    full, written = (pipeline.model_dump(mode="json", exclude_unset=without) for without in (False, True))
    config = {"identity": dict(identity), "pipeline": full, "written": written}
    if known != config:
        text = json.dumps(config, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        artifacts.write_file(
            run / CONFIG, lambda draft: draft.write_text(text, encoding="utf-8"), stage="config", fingerprint=artifacts.fingerprint(config)
        )


def _calibrates_as(known: Mapping[str, Any], pipeline: Pipeline) -> bool:
    return bool(known["pipeline"].get("evaluate", {}).get("calibrate") == pipeline.evaluate.calibrate)


def known_config(run: Path) -> dict[str, Any] | None:
    """Return what `claim` wrote: `identity`, the `pipeline` with its defaults, and what was `written` of it.

    None where nothing stands. Raise ArtifactError where it is damaged.
    """
    if not (run / CONFIG).exists() or artifacts.manifest(run / CONFIG) is None:
        return None
    config = artifacts.read_json(run / CONFIG)
    if not isinstance(config, dict) or not all(isinstance(config.get(key), dict) for key in ("identity", "pipeline")):
        raise ArtifactError(f"{run / CONFIG}: found no config of a run, expected what training writes there. Fix: delete it and run again")
    return config


def stored_pipeline(known: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline that `claim` wrote. Raise ValidationError where this version would refuse it.

    It is read from what was written of it: an option beside its default may be refused where the default alone is not. Where a default
    has changed since, every option is read as it was.
    """
    if "written" in known:
        pipeline = Pipeline.model_validate(known["written"])
        if pipeline.model_dump(mode="json") == known["pipeline"]:
            return pipeline
    return Pipeline.model_validate(known["pipeline"])
