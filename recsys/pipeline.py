"""The stages in order, what is fresh, what runs. A stage's code is imported when the stage runs.

Freshness goes by content: a stage's fingerprint is made of the options it reads and of the bytes of its inputs, so a
changed word in the TOML or a new file redoes what depends on it and nothing else.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, schema
from recsys.config import Pipeline, WorldOptions
from recsys.errors import ArtifactError, ConfigError, DataError
from recsys.progress import Console

METRICS_FILE = "metrics.parquet"
PREDICTIONS_FILE = "predictions.parquet"
REPORT_FILE = "report.html"
CONFIG_FILE = "config.json"
JOURNAL_FILE = "training.jsonl"


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

        return self.folder / "examples" / artifacts.fingerprint(features.feature_config(self.pipeline))

    @property
    def encoded(self) -> Path:
        from recsys import encoding

        return self.folder / "encoded" / encoding.fingerprint_of(self.pipeline, self.examples)

    def baseline_run(self, kind: str) -> Path:
        identity = [
            kind,
            self.examples.name,
            self.encoded.name,
            self.pipeline.split.model_dump(mode="json"),
            [objective.name for objective in self.pipeline.objective],
            self.pipeline.train.refit,
            self.pipeline.seed,
        ]
        return self.folder / "runs" / f"{kind}-{artifacts.fingerprint(identity)[:6]}"

    def days(self, *parts: str) -> list[str]:
        """The days of the named parts of the split that have examples."""
        there = set(artifacts.days(self.examples))
        return [day for part in parts for day in self.pipeline.split.days(part) if day in there]


def open_job(pipeline: Pipeline, workspace: Path, *, run: str | None, replace: bool, console: Console) -> Job:
    """Finds the run's folder, which training will claim. Raises ConfigError where `run` stands for another config (unless `replace`)."""
    identity = run_identity(pipeline)
    name = run or f"{pipeline.model.sharing}-{artifacts.fingerprint(identity)[:6]}"
    if Path(name).name != name or name.startswith((".", "_")):
        raise ConfigError(f'--run: found "{name}", expected a plain folder name')
    folder = workspace / pipeline.name
    _require_writable(workspace)
    job = Job(pipeline, folder, folder / "runs" / name, console)
    known = artifacts.read_json(job.run / CONFIG_FILE)
    if known is not None and known["identity"] != identity and not replace:
        keys = ", ".join(_differing(known["identity"], identity))
        raise ConfigError(
            f"--run {name}: stands for another config, which differs in {keys}. Fix: another name, or --replace to train it anew"
        )
    return job


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written ({error.strerror}), expected a folder for what is generated. Fix: another folder"
        ) from error


def run_identity(pipeline: Pipeline) -> dict[str, Any]:
    """What makes two runs the same: all of the config but where the files lie and how results are evaluated."""
    identity = pipeline.model_dump(mode="json", exclude={"evaluate": True, "fuse": True, "source": {"log", "users", "items", "path"}})
    identity["train"].pop("checkpoint_seconds")
    if pipeline.train.init_from is not None:
        identity["train"]["init_from"] = pipeline.train.init_from.name
    return identity


def run(job: Job, *, until: str = "report") -> None:
    """All stages up to `until`; what is fresh is skipped and says so."""
    for name, stage in STAGES.items():
        stage(job)
        if name == until:
            return


def run_stage(job: Job, name: str) -> None:
    """One stage. Raises ArtifactError where an earlier one has left nothing to work on."""
    for needed, folder in _needs(job, name):
        if artifacts.manifest(folder) is None:
            raise ArtifactError(f"{folder}: found nothing, expected the output of {needed}. Fix: recsys run PIPELINE --until {needed}")
    STAGES[name](job)


def _needs(job: Job, name: str) -> list[tuple[str, Path]]:
    needs: dict[str, Callable[[], list[tuple[str, Path]]]] = {
        "ingest": list,
        "features": lambda: [("ingest", job.folder / "events")],
        "encode": lambda: [("features", job.examples / f"day={day}") for day in job.pipeline.split.days(schema.TRAIN)[:1]],
        "train": lambda: [*_needs(job, "encode"), ("encode", job.encoded / "encoder")],
        "score": lambda: [*_needs(job, "train"), ("train", job.run / "model")],
        "evaluate": lambda: [("score", job.run / PREDICTIONS_FILE)],
        "report": lambda: [("evaluate", job.run / METRICS_FILE)],
    }
    return needs[name]()


# --- The stages ---------------------------------------------------------------------------------------------------
def _ingest(job: Job) -> None:
    from recsys import sources

    fingerprint = artifacts.fingerprint(sources.source_config(job.pipeline, job.folder))
    if all(artifacts.is_fresh(job.folder / part, fingerprint) for part in ("users", "items", "quarantine", "events")):
        job.console.say(f"ingest: fresh ({_account(job)})")
        return
    with _timed(job, "ingest"):
        sources.ingest(job.pipeline, job.folder, fingerprint=fingerprint, console=job.console)


def _features(job: Job) -> None:
    from recsys import features

    features.build(job.pipeline, job.folder, console=job.console)


def _encode(job: Job) -> None:
    from recsys import encoding

    encoding.encode(job.pipeline, job.examples, job.folder / "encoded", console=job.console)


def _train(job: Job) -> None:
    options = job.pipeline.model_dump(mode="json", include={"seed", "model", "balance", "train", "split"})
    for key in ("checkpoint_seconds", "init_from"):
        options["train"].pop(key)
    objectives = [objective.model_dump(mode="json", exclude={"fusion_weight"}) for objective in job.pipeline.objective]
    inputs = contents([job.encoded / "encoder", *(job.encoded / f"day={day}" for day in job.days(schema.TRAIN, schema.VALIDATION))])
    inputs |= _first_model(job)
    fingerprint = artifacts.fingerprint([options, objectives, inputs])
    _claim(job.run, run_identity(job.pipeline), job.pipeline)
    if artifacts.is_fresh(job.run / "model", fingerprint):
        job.console.say("train: fresh")
        return
    twin = next((run for run in _runs(job.folder) if artifacts.is_fresh(run / "model", fingerprint)), None)
    if twin is not None:  # another run that differs only in what is done with its predictions
        artifacts.verify(twin / "model")
        shutil.copyfile(twin / JOURNAL_FILE, job.run / JOURNAL_FILE)
        artifacts.copy(twin / "model", job.run / "model")
        job.console.say(f"train: the model of {twin.name}")
        return
    from recsys import training

    with _timed(job, "train"):
        training.train(job.pipeline, job.encoded, job.run, fingerprint=fingerprint, inputs=inputs, console=job.console)


def _first_model(job: Job) -> dict[str, str]:
    """The bytes of the model that training starts from, if it starts from one."""
    first = job.pipeline.train.init_from
    if first is None:
        return {}
    if first.resolve() == job.run.resolve():
        raise ConfigError(f"train.init_from: found {first}, the run that is to be trained, expected another. Fix: --run with a new name")
    if artifacts.manifest(first / "model") is None:
        raise ConfigError(
            f"train.init_from: found no trained model in {first}, expected the folder of a trained run, such as data/NAME/runs/RUN."
            " Fix: train it first, or mend the path"
        )
    return {"init_from": artifacts.verify(first / "model").content}


def _score(job: Job) -> None:
    inputs = contents([job.run / "model", *_scored_days(job)])
    fusion = [
        objective.model_dump(mode="json", include={"name", "kind", "given", "levels", "better", "fusion_weight"})
        for objective in job.pipeline.objective
    ]
    fingerprint = artifacts.fingerprint([fusion, inputs])
    if artifacts.is_fresh(job.run / PREDICTIONS_FILE, fingerprint):
        job.console.say("score: fresh")
    else:
        from recsys import training

        with _timed(job, "score"):
            training.score(job.pipeline, job.examples, job.encoded, job.run, fingerprint=fingerprint, inputs=inputs, console=job.console)
    for kind in job.pipeline.evaluate.baselines:
        _baseline(job, kind, fusion)


def _baseline(job: Job, kind: str, fusion: list[dict[str, Any]]) -> None:
    learned = [job.encoded / "encoder", *(job.encoded / f"day={day}" for day in job.days(schema.TRAIN, schema.VALIDATION))]
    fingerprint = artifacts.fingerprint(
        [kind, fusion, job.pipeline.train.refit, job.pipeline.seed, contents([*learned, *_scored_days(job)])]
    )
    run = job.baseline_run(kind)
    if artifacts.is_fresh(run / PREDICTIONS_FILE, fingerprint):
        job.console.say(f"baseline {kind}: fresh")
        return
    from recsys import baselines

    _claim(run, {"baseline": kind}, job.pipeline)
    with _timed(job, f"baseline {kind}"):
        baselines.fit_and_score(kind, job.pipeline, job.examples, job.encoded, run, fingerprint=fingerprint, console=job.console)


def _evaluate(job: Job) -> None:
    baselines = [job.baseline_run(kind) for kind in job.pipeline.evaluate.baselines]
    for baseline in baselines:
        _evaluate_run(job, baseline, against=())
    _evaluate_run(job, job.run, against=baselines)


def _evaluate_run(job: Job, run: Path, *, against: Sequence[Path]) -> None:
    inputs = contents([path / PREDICTIONS_FILE for path in (run, *against)])
    read = {"name", "kind", "given", "levels", "group", "better"}
    objectives = [objective.model_dump(mode="json", include=read) for objective in job.pipeline.objective]
    options = job.pipeline.evaluate.model_dump(mode="json", exclude={"baselines"})
    fingerprint = artifacts.fingerprint([options, objectives, job.pipeline.seed, inputs, run.name])
    if artifacts.is_fresh(run / METRICS_FILE, fingerprint):
        job.console.say(f"evaluate {run.name}: fresh")
        return
    with _timed(job, f"evaluate {run.name}"):
        rows = metrics_of(
            job.pipeline,
            artifacts.read_table(run / PREDICTIONS_FILE),
            run=run.name,
            against={path.name: artifacts.read_table(path / PREDICTIONS_FILE) for path in against},
        )
        write_metrics(run / METRICS_FILE, rows, fingerprint=fingerprint, inputs=inputs)


def metrics_of(pipeline: Pipeline, predictions: pa.Table, *, run: str, against: Mapping[str, pa.Table]) -> pa.Table:
    """The long rows of one set of predictions under the pipeline's objectives and evaluation options."""
    from recsys import evaluation
    from recsys.predictions import train_means

    options = pipeline.evaluate
    return evaluation.evaluate(
        predictions,
        pipeline.objective,
        run=run,
        against=against,
        train_means=train_means(predictions.schema),
        bootstrap=options.bootstrap,
        confidence=options.confidence,
        seed=pipeline.seed,
        list_k=options.list_k,
        top_percent=options.top_percent,
    )


def write_metrics(path: Path, rows: pa.Table, *, fingerprint: str, inputs: Mapping[str, str] | None = None) -> None:
    artifacts.write_file(path, lambda draft: pq.write_table(rows, draft), stage="evaluate", fingerprint=fingerprint, inputs=inputs)


def _report(job: Job) -> None:
    from recsys import report

    inputs = contents([job.run / METRICS_FILE, job.run / PREDICTIONS_FILE, job.run / "model"])
    account = _rows(job)
    fingerprint = artifacts.fingerprint([inputs, account, job.pipeline.name])
    if artifacts.is_fresh(job.run / REPORT_FILE, fingerprint):
        job.console.say("report: fresh")
    else:
        with _timed(job, "report"):
            report.write_report(job.run, job.pipeline, account=account, fingerprint=fingerprint, console=job.console)
    report.terminal_table(artifacts.read_table(job.run / METRICS_FILE), job.console)
    job.console.say(f"report: {job.run / REPORT_FILE}")


STAGES: dict[str, Callable[[Job], None]] = {
    "ingest": _ingest,
    "features": _features,
    "encode": _encode,
    "train": _train,
    "score": _score,
    "evaluate": _evaluate,
    "report": _report,
}


def _runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"runs/*/{CONFIG_FILE}"))


def _claim(run: Path, identity: Mapping[str, Any], pipeline: Pipeline) -> None:
    """Writes down what config the run's folder stands for from now on."""
    config = {"identity": dict(identity), "pipeline": pipeline.model_dump(mode="json")}
    if artifacts.read_json(run / CONFIG_FILE) != config:
        artifacts.write_json(run / CONFIG_FILE, config)


# --- Beside the stages --------------------------------------------------------------------------------------------
def check(pipeline: Pipeline) -> None:
    """Reads the first rows of the source and holds the config against them. Raises one error with everything wrong."""
    from recsys import features, sources

    problems = sources.check(pipeline)
    if problems:
        raise DataError("\n".join(problems))
    features.check(pipeline, sources.columns(pipeline))


def make_world(folder: Path, options: WorldOptions, *, seed: int, console: Console) -> None:
    """The simulated feed's raw files and its truth in `folder`, whole or not at all."""
    from recsys import world

    _require_writable(folder.parent)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: found a file, expected a folder that is new or holds an earlier world. Fix: another folder")
    if folder.exists() and artifacts.manifest(folder) is None and any(folder.iterdir()):
        raise ConfigError(f"{folder}: found a folder with other files in it, expected none or an earlier world. Fix: another folder")
    config = {"seed": seed, **options.model_dump(mode="json")}
    with artifacts.writing(folder, stage="world", fingerprint=artifacts.fingerprint(config), config=config) as output:
        world.simulate(options, seed, output.folder)
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith("_")):
        console.say(str(path))


def _scored_days(job: Job) -> list[Path]:
    return [job.examples / f"day={day}" for day in job.days(schema.VALIDATION, schema.TEST)]


def contents(paths: Sequence[Path]) -> dict[str, str]:
    """Artifact → fingerprint of its bytes, every byte read. Raises ArtifactError where one is damaged or absent."""
    return {f"{path.parent.name}/{path.name}": artifacts.verify(path).content for path in paths}


def _rows(job: Job) -> dict[str, int] | None:
    manifest = artifacts.manifest(job.folder / "events")
    return dict(manifest.rows) if manifest and manifest.rows else None


def _account(job: Job) -> str:
    rows = _rows(job)
    return str(artifacts.RowAccount(**rows)) if rows else "no row account"


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


class _timed:  # noqa: N801 - reads as a statement
    """Says what a stage took."""

    def __init__(self, job: Job, what: str) -> None:
        self._job, self._what = job, what

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._job.console.say(f"{self._what}: {time.perf_counter() - self._start:.1f} s")
