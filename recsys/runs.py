"""Work on runs that stand (list them, show them, fuse them anew), and the metrics of another system's scores."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from recsys import artifacts, lineage, locks, registry, schema, sources
from recsys.config import Pipeline, problems_of, with_table
from recsys.errors import ArtifactError, ConfigError
from recsys.foreign_predictions import name_of, read_foreign
from recsys.found_runs import workspace_above
from recsys.judge import metrics_of, warn, warn_of_run
from recsys.predictions import known_before
from recsys.progress import Console, aligned
from recsys.stages import contents, known_config, stored_pipeline
from recsys.workspace import CONFIG, FUSION, METRICS, MODEL, PREDICTIONS, REPORT, RUNS

_FAR = ((REPORT, "reported"), (METRICS, "evaluated"), (PREDICTIONS, "scored"), (MODEL, "trained"), (CONFIG, "begun"))  # the last first


def pipeline_of(run: Path) -> Pipeline:
    """Return the config that a run was made with. Raise ArtifactError where there is none, or one of an earlier version."""
    known = known_config(run)
    if known is None:
        raise ArtifactError(f"{run / CONFIG}: found nothing of this version, expected the config of the run. Fix: run the pipeline again")
    try:
        return stored_pipeline(known)
    except ValidationError as error:
        found = next(problems_of(error, known["pipeline"]))
        raise ArtifactError(f"{run}: made by an earlier version ({found}). Fix: make it again, recsys run PIPELINE.toml") from error


def learned_through(run: Path) -> str:
    """Return the last day whose labels a run's weights have learned: its own, or of the runs that it started from (`train.init_from`).

    The model says it. One of an earlier version does not: then raise ConfigError where one of these is gone.
    """
    if (said := lineage.learned_by(run / MODEL)) is not None:
        return said
    pipeline = pipeline_of(run)
    first = pipeline.train.init_from
    if first is None:
        return pipeline.learned_through
    if not first.is_dir():
        raise ConfigError(
            f"{first}: found no longer this run, from which {run.name} started: so nobody knows which days its weights have learned."
            " Fix: train it anew, or promote it with --because REASON"
        )
    return max(pipeline.learned_through, learned_through(first))


def fuse(run: Path, asked: Mapping[str, Any], console: Console) -> Path:
    """Tune a run's fusion weights for the aim of its [fuse] table, with `asked` in place of the table's keys. Say and write the result.

    Raise ConfigError where there is nothing to maximise, and raise what `fusion.tune` raises. Where no weights keep every constraint, the
    file of an earlier aim is removed, so that nobody takes its weights for those of this aim.
    """
    from recsys import fusion  # scipy's optimisers, which no other command needs

    pipeline = with_table(pipeline_of(run), "fuse", asked)
    wanted, options = pipeline.fuse, pipeline.evaluate
    if wanted.maximise is None:
        raise ConfigError('fuse: found nothing to maximise. Fix: --maximise OBJECTIVE, or maximise = "OBJECTIVE" under [fuse]')
    run = run.resolve()
    with locks.writing(run.parent.parent, run, console):
        inputs = contents([run / PREDICTIONS])
        try:
            tuned = fusion.tune(
                known_before(artifacts.read_table(run / PREDICTIONS), pipeline.border_after(schema.VALIDATION)),
                pipeline.objective,
                fusion.Aim(wanted.maximise, wanted.metric, wanted.least_changes([objective.name for objective in pipeline.objective])),
                run=run.name,
                bootstrap=options.bootstrap,
                confidence=options.confidence,
                seed=pipeline.seed,
            )
        except fusion.InfeasibleError as error:
            if not (run / FUSION).exists():
                raise
            artifacts.remove(run / FUSION)
            raise ConfigError([*error.problems, f"{run / FUSION}: removed, its weights were found for an earlier aim"]) from error
        fingerprint = artifacts.fingerprint([wanted.model_dump(mode="json"), pipeline.seed, inputs])
        artifacts.write_file(
            run / FUSION, lambda draft: draft.write_text(tuned.toml, encoding="utf-8"), stage="fuse", fingerprint=fingerprint, inputs=inputs
        )
    console.result(f"{tuned.text}\nfusion weights: {run / FUSION}")
    return run / FUSION


def list_runs(workspace: Path, console: Console) -> None:
    """Say each run of a workspace: its pipeline, its name, its model, how far it is, and when it last changed."""
    configs = sorted(workspace.glob(f"*/{RUNS}/*/{CONFIG}"))
    current = {folder: _name_of_current(folder) for folder in {path.parent.parent.parent for path in configs}}
    found = [
        {
            "pipeline": path.parent.parent.parent.name,
            "run": path.parent.name,
            "architecture": _architecture(path.parent),
            "state": next(state for file, state in _FAR if (path.parent / file).exists()),
            "changed": datetime.fromtimestamp(_changed(path.parent), UTC).isoformat(timespec="seconds"),
            "path": str(path.parent),
            "current": path.parent.name == current[path.parent.parent.parent],
        }
        for path in configs
    ]
    names = ("pipeline", "run", "architecture", "state", "changed")
    rows = [(*(str(entry[name]) for name in names), registry.CURRENT if entry["current"] else "") for entry in found]
    above = None if found else workspace_above(workspace)
    none = f"{workspace}: no {'runs' if workspace.is_dir() else 'such folder'}{'' if above is None else f'; --workspace {above} has some'}"
    for line in aligned([(*names, ""), *rows]) if found else [none]:
        console.result(line)
    console.give({"runs": found})


def _changed(run: Path) -> float:
    """Return when a file of a run was last changed. One that a job at work there has just removed does not count."""
    moments = []
    for file in run.iterdir():
        with contextlib.suppress(FileNotFoundError):
            moments.append(file.stat().st_mtime)
    return max(moments, default=run.stat().st_mtime)


def _name_of_current(folder: Path) -> str | None:
    """Return the name of the current run of a pipeline; None without one, or where the registry is damaged, which other verbs say."""
    try:
        promotions = registry.standing(folder)
    except ArtifactError:
        return None
    return str(promotions[-1]["run"]) if promotions else None


def _architecture(run: Path) -> str:
    """Return the architecture of a run's model; "baseline" of one that was scored without a model, "unknown" of an earlier version's."""
    if (run / PREDICTIONS).exists() and not (run / MODEL).exists():
        return "baseline"
    known = known_config(run)
    return "unknown" if known is None else str(known["pipeline"].get("model", {}).get("architecture", "unknown"))


def show(run: Path, console: Console) -> None:
    """Say the metric table of a run. Where the predictions still stand, also say what makes the run's numbers doubtful."""
    from recsys import report

    pipeline = pipeline_of(run) if (run / PREDICTIONS).is_file() else None
    rows = artifacts.read_table(run / METRICS, form=schema.METRICS)
    report.terminal_table(rows, console)
    console.give({"run": run.name, "rows": rows.to_pylist()})
    if pipeline is not None:
        warn_of_run(pipeline, run, console)


def evaluate_file(pipeline: Pipeline, predictions: Path, out: Path, console: Console) -> pa.Table:
    """Compute the metrics of any other system's scores, and write them to `out`/metrics.parquet. The log is not opened.

    Objectives that the file lacks are named and left out. The scores are judged as they are: calibrated, they would be those of another
    system.
    """
    if pipeline.evaluate.calibrate != "none":
        console.say(f'evaluate.calibrate = "{pipeline.evaluate.calibrate}" is of this pipeline\'s runs: {predictions} is judged as it is')
    table, held = read_foreign(predictions, pipeline.objective)
    if (left_out := sources.said_left_out(predictions)) is not None:
        console.say(f"{predictions}: left out {left_out}")
    if absent := [objective.name for objective in pipeline.objective if objective not in held]:
        console.say(
            f"{predictions}: has no label and no prediction of {', '.join(absent)}, which are not judged and have no part in its order"
        )
    pipeline = pipeline.model_copy(update={"objective": tuple(each for each in pipeline.objective if each in held)})
    rows = metrics_of(pipeline, table, run=name_of(predictions), against={})
    warn(pipeline, table, console)
    identity = [pipeline.evaluate.model_dump(mode="json"), str(predictions)]
    origin = artifacts.Origin("evaluate", artifacts.fingerprint(identity))
    origin.write_file(out / METRICS, lambda draft: pq.write_table(rows, draft))
    return rows
