"""One pipeline in one workspace: where its files lie, which run its model goes to, and what makes two runs the same."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys import artifacts
from recsys.config import Balance, Pipeline
from recsys.errors import ConfigError
from recsys.progress import Console
from recsys.workspace import CONFIG, ENCODED, EXAMPLES, RUNS, days_of


@dataclass(frozen=True)
class Job:
    """One pipeline in one workspace, and the run that its model goes to."""

    pipeline: Pipeline
    folder: Path  # of the pipeline in the workspace
    run: Path
    console: Console

    @property
    def examples(self) -> Path:
        from recsys import features

        return self.folder / EXAMPLES / artifacts.fingerprint(features.feature_config(self.pipeline))

    @property
    def encoded(self) -> Path:
        from recsys import encoding

        return self.folder / ENCODED / encoding.fingerprint_of(self.pipeline, self.examples)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The kinds asked for; of a model that shares nothing not "single_task", which would be itself."""
        return tuple(kind for kind in self.pipeline.evaluate.baselines if kind != self.pipeline.model.sharing)

    @property
    def single_tasks(self) -> "Job":
        """The same pipeline with a net for each objective: an ordinary run, of the name that it would have by itself.

        It starts from nothing and with plain weights, because another run's trunk does not fit it and it has none to balance at.
        """
        options = self.pipeline.model_copy(
            update={
                "model": self.pipeline.model.model_copy(update={"sharing": "single_task"}),
                "train": self.pipeline.train.model_copy(update={"init_from": None, "freeze": ()}),
                "balance": Balance(),
                "evaluate": self.pipeline.evaluate.model_copy(update={"baselines": (), "against": ()}),
            }
        )
        return Job(options, self.folder, self.folder / RUNS / run_name(options), self.console)

    def baseline_run(self, kind: str, *, raw: bool = False) -> Path:
        """The run of a baseline, calibrated as the pipeline says; `raw`: the one that it learned in, whatever is done with it."""
        if kind == "single_task":
            return self.single_tasks.run
        calibrate = self.pipeline.evaluate.calibrate
        identity = [
            kind,
            self.examples.name,
            self.encoded.name,
            self.pipeline.split.model_dump(mode="json"),
            [objective.name for objective in self.pipeline.objective],
            self.pipeline.train.refit,
            self.pipeline.seed,
            *self.seen_by(kind),
            *([] if raw or calibrate == "none" else [calibrate]),
        ]
        return self.folder / RUNS / f"{kind}-{artifacts.fingerprint(identity)[:6]}"

    def seen_by(self, kind: str) -> tuple[bool, ...]:
        """Of each objective, whether a baseline learns it with the position: what trees read of [model]; others read nothing."""
        return self.pipeline.follows_position if kind == "gbdt" else ()

    def days(self, *parts: str) -> list[str]:
        """The days of the named parts of the split that have examples."""
        return days_of(self.pipeline.split, self.examples, *parts)


def open_job(pipeline: Pipeline, workspace: Path, *, run: str | None, replace: bool, console: Console) -> Job:
    """Finds the run's folder, which training will claim. Raises ConfigError where `run` stands for another config (unless `replace`)."""
    identity = run_identity(pipeline)
    name = run or run_name(pipeline)
    if Path(name).name != name or name.startswith((".", "_")):
        raise ConfigError(f'--run: found "{name}", expected a plain folder name')
    folder = workspace / pipeline.name
    require_writable(workspace)
    job = Job(pipeline, folder, folder / RUNS / name, console)
    known = artifacts.read_json(job.run / CONFIG)
    if known is not None and known["identity"] != identity and not replace:
        keys = ", ".join(_differing(known["identity"], identity))
        raise ConfigError(
            f"--run {name}: stands for another config, which differs in {keys}. Fix: another name, or --replace to train it anew"
        )
    return job


def run_name(pipeline: Pipeline) -> str:
    """Of a run that was given none."""
    return f"{pipeline.model.sharing}-{artifacts.fingerprint(run_identity(pipeline))[:6]}"


def run_identity(pipeline: Pipeline) -> dict[str, Any]:
    """What makes two runs the same: all of the config but where the files lie and how results are evaluated."""
    identity = pipeline.model_dump(mode="json", exclude={"evaluate": True, "fuse": True, "source": {"log", "users", "items", "path"}})
    identity["train"].pop("checkpoint_seconds")
    if pipeline.train.init_from is not None:
        identity["train"]["init_from"] = pipeline.train.init_from.name
    if pipeline.balance.worst_case.baseline is not None:
        identity["balance"]["worst_case"]["baseline"] = pipeline.balance.worst_case.baseline.name
    return identity


def claim(run: Path, identity: Mapping[str, Any], pipeline: Pipeline) -> None:
    """Writes down what config the run's folder stands for from now on."""
    config = {"identity": dict(identity), "pipeline": pipeline.model_dump(mode="json")}
    if artifacts.read_json(run / CONFIG) != config:
        artifacts.write_json(run / CONFIG, config)


def require_writable(folder: Path) -> None:
    """Makes the folder. Raises ConfigError where that, or a file in it, cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written ({error.strerror}), expected a folder for what is generated. Fix: another folder"
        ) from error


def _differing(left: Mapping[str, Any], right: Mapping[str, Any], path: str = "") -> list[str]:
    """The dotted keys in which two nested configs differ."""
    keys = []
    for key in sorted(set(left) | set(right)):
        a, b = left.get(key), right.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            keys += _differing(a, b, f"{path}{key}.")
        elif a != b:
            keys.append(f"{path}{key}")
    return keys
