"""The stages in order, what is fresh, what runs. A stage's code is imported when the stage runs.

Freshness goes by content: a stage's fingerprint is made of the options it reads and of the bytes of its inputs, so a
changed word in the TOML or a new file redoes what depends on it and nothing else.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, schema
from recsys.config import Pipeline, WorldOptions
from recsys.errors import ArtifactError, ConfigError, DataError
from recsys.jobs import Job, claim, require_writable, run_identity
from recsys.judge import metrics_of, warn_of_run, what_calibration_changed, write_metrics
from recsys.predictions import fused_again
from recsys.progress import Console
from recsys.workspace import (
    CALIBRATION,
    CALIBRATION_CHANGE,
    CONFIG,
    ENCODED,
    ENCODER,
    EVENTS,
    IMPORTANCE,
    JOURNAL,
    METRICS,
    MODEL,
    PREDICTIONS,
    REPORT,
    RUNS,
    day_folder,
)


def run(job: Job, *, until: str = "report") -> None:
    """All stages up to `until`; what is fresh is skipped and says so. Raises ConfigError where a run to compare with does not stand."""
    if until in ("evaluate", "report"):
        _others(job)  # before hours of training, not after
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
        "features": lambda: [("ingest", job.folder / EVENTS)],
        "encode": lambda: [("features", day_folder(job.examples, day)) for day in job.pipeline.split.days(schema.TRAIN)[:1]],
        "train": lambda: [*_needs(job, "encode"), ("encode", job.encoded / ENCODER)],
        "score": lambda: [*_needs(job, "train"), ("train", job.run / MODEL)],
        "evaluate": lambda: [("score", job.run / PREDICTIONS)],
        "report": lambda: [("evaluate", job.run / METRICS)],
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

    encoding.encode(job.pipeline, job.examples, job.folder / ENCODED, console=job.console)


def _train(job: Job) -> None:
    options = job.pipeline.model_dump(mode="json", include={"seed", "model", "balance", "train", "split"})
    for key in ("checkpoint_seconds", "init_from"):
        options["train"].pop(key)
    options["balance"]["worst_case"]["baseline"] = None  # where it lies; what it says is among the inputs
    objectives = [objective.model_dump(mode="json", exclude={"fusion_weight"}) for objective in job.pipeline.objective]
    inputs = contents([job.encoded / ENCODER, *(day_folder(job.encoded, day) for day in job.days(schema.TRAIN, schema.VALIDATION))])
    inputs |= _first_model(job) | _expected_losses(job)
    fingerprint = artifacts.fingerprint([options, objectives, inputs])
    claim(job.run, run_identity(job.pipeline), job.pipeline)
    if artifacts.is_fresh(job.run / MODEL, fingerprint):
        job.console.say("train: fresh")
        return
    twin = next((run for run in _runs(job.folder) if artifacts.is_fresh(run / MODEL, fingerprint)), None)
    if twin is not None:  # another run that differs only in what is done with its predictions
        artifacts.verify(twin / MODEL)
        shutil.copyfile(twin / JOURNAL, job.run / JOURNAL)
        artifacts.copy(twin / MODEL, job.run / MODEL)
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
    if artifacts.manifest(first / MODEL) is None:
        raise ConfigError(
            f"train.init_from: found no trained model in {first}, expected the folder of a trained run, such as data/NAME/runs/RUN."
            " Fix: train it first, or mend the path"
        )
    return {"init_from": artifacts.verify(first / MODEL).content}


def _expected_losses(job: Job) -> dict[str, str]:
    """What the run that worst_case balances against has reached, if it names one."""
    balance = job.pipeline.balance
    baseline = balance.worst_case.baseline
    if balance.method != "worst_case" or baseline is None:
        return {}
    if baseline.resolve() == job.run.resolve():
        raise ConfigError(
            f"balance.worst_case.baseline: found {baseline}, the run that is to be trained, expected another. Fix: --run with a new name"
        )
    from recsys.balancing.baseline import losses_of

    return {"baseline": artifacts.fingerprint(losses_of(baseline, job.pipeline.objective))}


def _score(job: Job) -> None:
    inputs = contents([job.run / MODEL, *_scored_days(job)])
    fusion = [
        objective.model_dump(mode="json", include={"name", "kind", "given", "levels", "better", "fusion_weight"})
        for objective in job.pipeline.objective
    ]
    fingerprint = artifacts.fingerprint([fusion, inputs])
    if _is_calibrated(job, job.run, fingerprint):
        job.console.say("score: fresh")
    else:
        artifacts.remove(job.run / CALIBRATION)  # before other predictions stand beside maps that are not theirs
        if not artifacts.is_fresh(job.run / PREDICTIONS, fingerprint):
            from recsys import training

            with _timed(job, "score"):
                training.score(
                    job.pipeline, job.examples, job.encoded, job.run, fingerprint=fingerprint, inputs=inputs, console=job.console
                )
        _calibrate(job, job.run, job.run, fingerprint)
    for kind in job.baselines:
        if kind == "single_task":
            single_tasks = job.single_tasks
            job.console.say(f"baseline single_task: the run {single_tasks.run.name}")
            _train(single_tasks)
            _score(single_tasks)
        else:
            _baseline(job, kind, fusion)


def _baseline(job: Job, kind: str, fusion: list[dict[str, Any]]) -> None:
    learned_from = [job.encoded / ENCODER, *(day_folder(job.encoded, day) for day in job.days(schema.TRAIN, schema.VALIDATION))]
    what = [{key: value for key, value in objective.items() if key != "fusion_weight"} for objective in fusion]
    borders = [job.pipeline.border_after(part) for part in (schema.TRAIN, schema.VALIDATION)]  # labels are learned that are known before
    options = [kind, what, job.pipeline.train.refit, job.pipeline.seed, borders, *job.seen_by(kind)]
    predicted = artifacts.fingerprint([options, contents([*learned_from, *_scored_days(job)])])
    fingerprint = artifacts.fingerprint([predicted, fusion])
    raw, run = job.baseline_run(kind, raw=True), job.baseline_run(kind)
    if _is_calibrated(job, run, fingerprint):
        job.console.say(f"baseline {kind}: fresh")
        return
    if not artifacts.is_fresh(raw / PREDICTIONS, fingerprint):
        from recsys import baselines

        claim(raw, {"baseline": kind}, job.pipeline)
        inputs = {"predicted": predicted}
        with _timed(job, f"baseline {kind}"):
            if (standing := _standing(raw, predicted)) is not None:
                job.console.say(f"baseline {kind}: fused anew by other weights")
                baselines.write_predictions(raw, fused_again(standing, job.pipeline.objective), fingerprint=fingerprint, inputs=inputs)
            else:
                baselines.fit_and_score(
                    kind, job.pipeline, job.examples, job.encoded, raw, fingerprint=fingerprint, inputs=inputs, console=job.console
                )
    if run != raw:
        claim(run, {"baseline": kind, "calibrate": job.pipeline.evaluate.calibrate}, job.pipeline)
        _calibrate(job, raw, run, fingerprint)


def _standing(run: Path, predicted: str) -> pa.Table | None:
    """The predictions that stand in `run`, where they are those of the fingerprint `predicted`, fused by whatever weights."""
    known = artifacts.manifest(run / PREDICTIONS)
    if known is None or known.inputs.get("predicted") != predicted or not artifacts.is_fresh(run / PREDICTIONS, known.fingerprint):
        return None
    return artifacts.read_table(run / PREDICTIONS)


def _is_calibrated(job: Job, run: Path, scored: str) -> bool:
    """Whether the run's predictions are those of the fingerprint `scored`, calibrated as the pipeline says."""
    if job.pipeline.evaluate.calibrate == "none":
        return artifacts.is_fresh(run / PREDICTIONS, scored)
    fingerprint = _of_calibrated(job, scored)
    return all(artifacts.is_fresh(run / file, fingerprint) for file in (PREDICTIONS, CALIBRATION))


def _of_calibrated(job: Job, scored: str) -> str:
    return artifacts.fingerprint([scored, job.pipeline.evaluate.calibrate, job.pipeline.border_after(schema.VALIDATION)])


def _calibrate(job: Job, source: Path, target: Path, scored: str) -> None:
    """The predictions of the run `source`, calibrated as the pipeline says, as those of `target`; nothing where it says "none"."""
    method = job.pipeline.evaluate.calibrate
    if method == "none":
        return
    from recsys.calibration import calibrate_file

    with _timed(job, f"calibrate {target.name}"):
        calibrate_file(
            source / PREDICTIONS,
            target / PREDICTIONS,
            target / CALIBRATION,
            job.pipeline.objective,
            method,
            until=job.pipeline.border_after(schema.VALIDATION),
            fingerprint=_of_calibrated(job, scored),
            inputs=contents([source / PREDICTIONS]),
            console=job.console,
        )


def _evaluate(job: Job) -> None:
    compared = _compared(job)
    for kind in job.baselines:
        if kind != "single_task":  # an ordinary run, which may be evaluated against others of its own
            _evaluate_run(job, job.baseline_run(kind), against=())
    _evaluate_run(job, job.run, against=compared)
    warn_of_run(job.pipeline, job.run, job.console)


def _compared(job: Job) -> list[Path]:
    """The runs that this one is compared with: its baselines, then those of evaluate.against."""
    return [*(job.baseline_run(kind) for kind in job.baselines), *_others(job)]


def _others(job: Job) -> list[Path]:
    """The runs of evaluate.against. Raises ConfigError, naming all at once, where one is the run itself or has no predictions."""
    problems = []
    scored = sorted(path.parent.name for path in job.folder.glob(f"{RUNS}/*/{PREDICTIONS}"))
    for name in job.pipeline.evaluate.against:
        if name == job.run.name:
            problems.append(f"evaluate.against: found {name}, the run itself, expected others. Fix: leave it out, or another --run")
        elif name not in scored:
            there = ", ".join(other for other in scored if other != job.run.name) or "none"
            problems.append(
                f'evaluate.against: found "{name}", expected a scored run of {job.pipeline.name}; there are: {there}.'
                " Fix: run that one first, or correct the name"
            )
    if problems:
        raise ConfigError(problems)
    return [job.folder / RUNS / name for name in job.pipeline.evaluate.against]


def _evaluate_run(job: Job, run: Path, *, against: Sequence[Path]) -> None:
    inputs = contents([path / PREDICTIONS for path in (run, *against)])
    read = {"name", "kind", "given", "levels", "group", "better"}
    objectives = [objective.model_dump(mode="json", include=read) for objective in job.pipeline.objective]
    options = job.pipeline.evaluate.model_dump(mode="json", exclude={"baselines", "against", "importance", "importance_rows"})
    fingerprint = artifacts.fingerprint([options, objectives, job.pipeline.seed, inputs, run.name])
    calibrated = job.pipeline.evaluate.calibrate != "none"
    if all(artifacts.is_fresh(run / file, fingerprint) for file in (METRICS, *([CALIBRATION_CHANGE] if calibrated else []))):
        job.console.say(f"evaluate {run.name}: fresh")
        return
    artifacts.remove(run / CALIBRATION_CHANGE)
    with _timed(job, f"evaluate {run.name}"):
        predictions = artifacts.read_table(run / PREDICTIONS)
        rows = metrics_of(
            job.pipeline,
            predictions,
            run=run.name,
            against={path.name: artifacts.read_table(path / PREDICTIONS) for path in against},
        )
        if calibrated:
            change = what_calibration_changed(job.pipeline, predictions, run=run.name)
            write_metrics(run / CALIBRATION_CHANGE, change, fingerprint=fingerprint, inputs=inputs)
        write_metrics(run / METRICS, rows, fingerprint=fingerprint, inputs=inputs)


def _importance(job: Job) -> list[Path]:
    """What only the page says of the run, made with it: runs that get no page do not pay for it. Empty where it is not asked for."""
    options = job.pipeline.evaluate
    if not options.importance:
        return []
    target = job.run / IMPORTANCE
    inputs = contents([job.run / MODEL, *_scored_days(job)])
    read = {"name", "kind", "given", "levels"}
    objectives = [objective.model_dump(mode="json", include=read) for objective in job.pipeline.objective]
    settings = options.model_dump(mode="json", include={"bootstrap", "confidence", "importance_rows"})
    fingerprint = artifacts.fingerprint([settings, objectives, job.pipeline.seed, inputs, job.run.name])
    if artifacts.is_fresh(target, fingerprint):
        job.console.say("importance: fresh")
        return [target]
    if artifacts.manifest(job.encoded / ENCODER) is None:
        raise ArtifactError(
            f"{job.encoded}: found nothing, expected the encoded days, which importance is computed from."
            " Fix: recsys run PIPELINE --until encode, or evaluate.importance = false"
        )
    from recsys import evaluation, training

    with _timed(job, "importance"):
        sample = training.permuted(job.pipeline, job.examples, job.encoded, job.run, rows=options.importance_rows, console=job.console)
        rows = evaluation.falls(
            sample.base,
            sample.groups,
            job.pipeline.objective,
            run=job.run.name,
            split=sample.split,
            bootstrap=options.bootstrap,
            confidence=options.confidence,
            seed=job.pipeline.seed,
        )
        artifacts.write_file(target, lambda draft: pq.write_table(rows, draft), stage="report", fingerprint=fingerprint, inputs=inputs)
    return [target]


def _report(job: Job) -> None:
    from recsys import report

    against = [run for run in _compared(job) if artifacts.manifest(run / PREDICTIONS) is not None]
    inputs = contents([job.run / METRICS, job.run / PREDICTIONS, job.run / MODEL, *_importance(job)])
    inputs |= contents([run / PREDICTIONS for run in against])
    if job.pipeline.evaluate.calibrate != "none":
        inputs |= contents([job.run / CALIBRATION, job.run / CALIBRATION_CHANGE])
    if (scored := artifacts.manifest(job.run / PREDICTIONS)) is not None:
        inputs["scored from"] = scored.fingerprint  # the items' features too, which the page shows
    account = _rows(job)
    fingerprint = artifacts.fingerprint([inputs, account, job.pipeline.name])
    if artifacts.is_fresh(job.run / REPORT, fingerprint):
        job.console.say("report: fresh")
    else:
        with _timed(job, "report"):
            report.write_report(
                job.run,
                job.pipeline,
                account=account,
                fingerprint=fingerprint,
                console=job.console,
                against=against,
                examples=job.examples if job.examples.is_dir() else None,
            )
    report.terminal_table(artifacts.read_table(job.run / METRICS), job.console)
    job.console.say(f"report: {job.run / REPORT}")


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
    return sorted(path.parent for path in folder.glob(f"{RUNS}/*/{CONFIG}"))


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

    require_writable(folder.parent)
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
    return [day_folder(job.examples, day) for day in job.days(schema.VALIDATION, schema.TEST)]


def contents(paths: Sequence[Path]) -> dict[str, str]:
    """Artifact → fingerprint of its bytes, every byte read. Raises ArtifactError where one is damaged or absent."""
    return {f"{path.parent.name}/{path.name}": artifacts.verify(path).content for path in paths}


def _rows(job: Job) -> dict[str, int] | None:
    manifest = artifacts.manifest(job.folder / EVENTS)
    return dict(manifest.rows) if manifest and manifest.rows else None


def _account(job: Job) -> str:
    rows = _rows(job)
    return str(artifacts.RowAccount(**rows)) if rows else "no row account"


class _timed:  # noqa: N801 - reads as a statement
    """Says what a stage took."""

    def __init__(self, job: Job, what: str) -> None:
        self._job, self._what = job, what

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._job.console.say(f"{self._what}: {time.perf_counter() - self._start:.1f} s")
