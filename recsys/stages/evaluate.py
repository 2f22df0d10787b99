"""predictions.parquet of a run and of its baselines → metrics.parquet of each, and calibration.parquet: what calibration changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import artifacts
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.errors import ConfigError
from recsys.judge import (
    metrics_against_file,
    metrics_of,
    problems_of_files,
    read_judged,
    read_judged_beside,
    warn_of_run,
    what_calibration_changed,
)
from recsys.stages.baselines import baseline_kinds, baseline_run, shared_kinds
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import CALIBRATION_CHANGE, METRICS, PREDICTIONS, RUNS


def compared_with(job: Job) -> list[Path]:
    """Return the runs that this one is compared with: its baselines, then those of evaluate.against."""
    named = [job.folder / RUNS / name for name in job.pipeline.evaluate.runs_against]
    return [*(baseline_run(job, kind) for kind in baseline_kinds(job.pipeline)), *named]


def require_named_runs(job: Job) -> None:
    """Raise ConfigError, naming all at once, where evaluate.against names the run itself, a run without predictions, or no file."""
    problems = problems_of_files(job.pipeline)
    scored = sorted(path.parent.name for path in job.folder.glob(f"{RUNS}/*/{PREDICTIONS}"))
    for name in job.pipeline.evaluate.runs_against:
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


def _against(job: Job) -> dict[Path, list[Path]]:
    """Return run → the runs that it is held against. The single-task run is not judged here: it has its own comparisons."""
    return {baseline_run(job, kind): [] for kind in shared_kinds(job.pipeline)} | {job.run: compared_with(job)}


def _written(job: Job, run: Path) -> list[Path]:
    calibrated = job.pipeline.evaluate.calibrate != "none"
    return [run / METRICS, *([run / CALIBRATION_CHANGE] if calibrated else [])]


def _parts(job: Job, options: Pipeline) -> list[Part]:
    require_named_runs(job)
    return [
        EVALUATE.part(
            options,
            f"evaluate {run.name}",
            _written(job, run),
            contents([of / PREDICTIONS for of in (run, *against)]) | _states(_files(job, run)),
        )
        for run, against in _against(job).items()
    ]


def _files(job: Job, run: Path) -> Sequence[Path]:
    """Return the files that a run is held against. Baselines are held against none."""
    return job.pipeline.evaluate.files_against if run == job.run else ()


def _states(files: Sequence[Path]) -> dict[str, str]:
    """Return file → what tells another version of it, as for the files of a source: its size and its time."""
    found = {file.name: file.stat() for file in files}
    return {name: artifacts.fingerprint([state.st_size, state.st_mtime_ns]) for name, state in found.items()}


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    """Judge the runs whose metrics are stale.

    A stale baseline is judged in the same walk as the run, because that walk computes the baseline's numbers anyway.
    """
    parts = {part.writes[0].parent: part for part in stale}
    while parts:
        run, part = parts.popitem()  # this run comes last among the parts
        against = _against(job)[run]
        beside = {other: parts.pop(other).origin for other in against if other in parts}
        for of in (run, *beside):
            artifacts.remove(of / CALIBRATION_CHANGE)
        with timed(job, f"evaluate {', '.join(of.name for of in (run, *beside))}"):
            _evaluate(job, options, run, against, part.origin, beside)


def _evaluate(job: Job, options: Pipeline, run: Path, against: Sequence[Path], origin: Origin, beside: Mapping[Path, Origin]) -> None:
    """Write the metrics of a run, and of the runs `beside` it."""
    if options.evaluate.calibrate != "none":
        for of, its_origin in {run: origin, **beside}.items():
            _write(of / CALIBRATION_CHANGE, what_calibration_changed(options, read_judged(of), run=of.name), its_origin)
    predictions, others = read_judged(run), {other.name: read_judged_beside(other) for other in against}
    rows = metrics_of(options, predictions, run=run.name, against=others, also=[other.name for other in beside])
    for other, its_origin in beside.items():
        _write(other / METRICS, rows.filter(pc.equal(rows["run"], other.name)), its_origin)
    of_files = [metrics_against_file(job.pipeline, predictions, file, run=run.name, console=job.console) for file in _files(job, run)]
    _write(run / METRICS, pa.concat_tables([rows.filter(pc.equal(rows["run"], run.name)), *of_files]), origin)


def _write(target: Path, rows: pa.Table, origin: Origin) -> None:
    origin.write_file(target, lambda draft: pq.write_table(rows, draft))


def warn(job: Job) -> None:
    """Say what makes the run's numbers doubtful, whether they are fresh or not."""
    warn_of_run(job.pipeline, job.run, job.console)


EVALUATE = Stage(
    name="evaluate",
    summary="Compute the metrics, with intervals, of a run or of any other system's scores.",
    version=8,
    options=(
        "seed",
        *(f"objective.{name}" for name in ("name", "kind", "given", "levels", "group", "better")),
        *(
            f"evaluate.{name}"
            for name in ("bootstrap", "confidence", "list_k", "top_percent", "target_temperature", "calibrate", "against_key")
        ),
    ),
    places=("evaluate.baselines", "evaluate.against", "model.architecture"),
    reads=lambda job: [run / PREDICTIONS for run in (job.run, *(baseline_run(job, kind) for kind in baseline_kinds(job.pipeline)))],
    writes=lambda job: [path for run in _against(job) for path in _written(job, run)],
    parts=_parts,
    make=_make,
    always=warn,
)
