"""examples/, encoded/ → the predictions of the baselines, each a run of its own that all models on the same examples share."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, schema
from recsys.config import Balance, Pipeline
from recsys.predictions import fused_again
from recsys.stages.identity import claim, known_config, run_name
from recsys.stages.score import FUSED, scored_days
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import ENCODER, PREDICTIONS, RAW, RUNS, day_folder

SINGLE_TASK, TRUTH, TREES = "single_task", "truth", ("gbdt", "lightgbm")


def kinds_of(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the kinds asked for. A single_task model has no single_task baseline: it would be the same run."""
    return tuple(kind for kind in pipeline.evaluate.baselines if kind != pipeline.model.architecture)


def shared_kinds(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the kinds that this stage makes. The other one is an ordinary run (`single_tasks`)."""
    return tuple(kind for kind in kinds_of(pipeline) if kind != SINGLE_TASK)


def calibrated_kinds(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the kinds that this stage makes and that are calibrated as the run is. The truth needs no map."""
    return tuple(kind for kind in shared_kinds(pipeline) if kind != TRUTH) if pipeline.evaluate.calibrate != "none" else ()


def require_libraries(job: Job) -> None:
    """Raise ConfigError where a baseline that is asked for needs a library that cannot be imported."""
    if "lightgbm" in shared_kinds(job.pipeline):
        from recsys.baselines.lightgbm_trees import require_lightgbm

        require_lightgbm()


def single_tasks(job: Job) -> Job:
    """Return the same pipeline with a net for each objective: an ordinary run, of the name that it would have by itself.

    It starts from nothing, has no teacher and plain weights, because another run's trunk does not fit it and it has none to balance at.
    """
    pipeline = job.pipeline
    options = pipeline.model_copy(
        update={
            "model": pipeline.model.model_copy(update={"architecture": SINGLE_TASK}),
            "train": pipeline.train.alone(),
            "balance": Balance(),
            "evaluate": pipeline.evaluate.model_copy(update={"baselines": (), "against": ()}),
        }
    )
    return replace(job, pipeline=options, run=job.folder / RUNS / run_name(options))


def raw_baseline_run(job: Job, kind: str) -> Path:
    """Return the run in which a baseline learns, whatever is done with its predictions."""
    return single_tasks(job).run if kind == SINGLE_TASK else _run(job, kind)


def baseline_run(job: Job, kind: str) -> Path:
    """Return the run of a baseline, calibrated as the pipeline says."""
    if kind == SINGLE_TASK:
        return single_tasks(job).run
    return _run(job, kind, *([job.pipeline.evaluate.calibrate] if kind in calibrated_kinds(job.pipeline) else []))


def _run(job: Job, kind: str, *more: str) -> Path:
    pipeline = job.pipeline
    identity = [
        kind,
        job.examples.name,
        job.encoded.name,
        pipeline.split.model_dump(mode="json"),
        [objective.name for objective in pipeline.objective],
        pipeline.train.refit,
        pipeline.seed,
        *_seen_by(kind, pipeline),
        *more,
    ]
    return job.folder / RUNS / f"{kind}-{artifacts.fingerprint(identity)[:6]}"


def _seen_by(kind: str, pipeline: Pipeline) -> tuple[bool, ...]:
    """Return whether each objective is learned with the position: all that trees read of [model]. Others read nothing."""
    return pipeline.follows_position if kind in TREES else ()


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return a part per kind. `predicted` stands for all but the fusion weights: with other ones nothing is learned again."""
    learned = job.days(schema.TRAIN, schema.VALIDATION)
    made_of = contents(
        [job.encoded / ENCODER, *(day_folder(folder, day) for folder in (job.examples, job.encoded) for day in learned), *scored_days(job)]
    )
    parts = []
    for kind in shared_kinds(job.pipeline):
        inputs = made_of | (_truth(job) if kind == TRUTH else {})
        what = [BASELINES.version, BASELINES.counted(options, "objective.fusion_weight"), kind, _seen_by(kind, options), inputs]
        predicted = artifacts.fingerprint(what)
        parts.append(BASELINES.part(options, f"baseline {kind}", [raw_baseline_run(job, kind) / PREDICTIONS], {"predicted": predicted}))
    return parts


def _truth(job: Job) -> dict[str, str]:
    """Return what the truth is looked up in, and by which labels."""
    labels = [[objective.name, objective.label, objective.observed, objective.given] for objective in job.pipeline.objective]
    return contents([job.folder / RAW]) | {"labels": artifacts.fingerprint(labels)}


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys import baselines

    for part in stale:
        kind = part.name.removeprefix("baseline ")
        (target,) = part.writes
        origin = part.origin
        claim(target.parent, {"baseline": kind}, job.pipeline)
        with timed(job, part.name):
            if (standing := _standing(target, part.origin.inputs["predicted"])) is not None:
                job.console.say(f"{part.name}: fused anew by other weights")
                baselines.write_predictions(target, fused_again(standing, options.objective), origin)
            else:
                baselines.fit_and_score(kind, options, job.examples, job.encoded, target, origin, raw=job.folder / RAW, console=job.console)


def _claim(job: Job) -> None:
    """Write down again what a baseline's folder stands for, where that is gone. What another run with the same baseline wrote stays."""
    for kind in shared_kinds(job.pipeline):
        if known_config(run := raw_baseline_run(job, kind)) is None:
            with job.locked(run):
                claim(run, {"baseline": kind}, job.pipeline)


def _standing(target: Path, predicted: str) -> pa.Table | None:
    """Return the predictions that stand, where they are those of the fingerprint `predicted`, fused by whatever weights."""
    known = artifacts.manifest(target)
    if known is None or known.inputs.get("predicted") != predicted or not artifacts.is_fresh(target, known.fingerprint):
        return None
    return artifacts.read_table(target)


BASELINES = Stage(
    name="baselines",
    summary="Fit the baselines and predict with them.",
    version=1,
    options=(
        *FUSED,
        *("seed", "split", "source.kind", "source.time", "train.refit"),
    ),
    free=(
        *("objective.group", "objective.position", "model.position"),  # they count for trees, by what follows the position
        *("objective.label", "objective.observed"),  # they count for the truth, which is looked up by them
    ),
    reads=lambda job: [job.examples, job.encoded, *([job.folder / RAW] if TRUTH in kinds_of(job.pipeline) else [])],
    writes=lambda job: [raw_baseline_run(job, kind) / PREDICTIONS for kind in kinds_of(job.pipeline)],
    parts=_parts,
    make=_make,
    places=("evaluate.baselines", "model.architecture"),
    before=_claim,
)
