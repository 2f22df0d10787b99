"""examples/, encoded/ → the predictions of the baselines, each a run of its own that all models on the same examples share."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from recsys import artifacts, lineage, schema
from recsys.artifacts import Origin
from recsys.config import Balance, Pipeline
from recsys.errors import ArtifactError
from recsys.lineage import KeptFit
from recsys.predictions import fused_again
from recsys.stages.identity import claim, known_config, run_name
from recsys.stages.score import FUSED, PERCENTILES, scored_days
from recsys.stages.stage import Job, Part, Stage, contents, described, timed
from recsys.workspace import ENCODER, LEARNED, PREDICTIONS, RAW, RUNS, day_folder

_LIBRARIES = {"gbdt": "scikit-learn", "lightgbm": "lightgbm"}  # whose files only the same version surely reads


def baseline_kinds(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the kinds asked for. A single_task model has no single_task baseline: it would be the same run."""
    return tuple(kind for kind in pipeline.evaluate.baselines if kind != pipeline.model.architecture)


def shared_kinds(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the kinds that this stage makes. The other one is an ordinary run (`single_tasks`)."""
    return tuple(kind for kind in baseline_kinds(pipeline) if kind != schema.SINGLE_TASK)


def are_to_be_fitted(job: Job) -> bool:
    """Return whether there are trees to fit, of which nothing stands."""
    missing = [kind for kind in shared_kinds(job.pipeline) if kind in schema.TREES and not (_run(job, kind) / PREDICTIONS).exists()]
    return any(not _is_kept(job, kind) for kind in missing)


def calibrated_kinds(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the kinds that this stage makes and that are calibrated as the run is. The truth needs no map."""
    return tuple(kind for kind in shared_kinds(pipeline) if kind != schema.TRUTH) if pipeline.evaluate.calibrate != "none" else ()


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
            "model": pipeline.model.model_copy(update={"architecture": schema.SINGLE_TASK}),
            "train": pipeline.train.alone(),
            "balance": Balance(),
            "evaluate": pipeline.evaluate.model_copy(update={"baselines": (), "against": ()}),
        }
    )
    return replace(job, pipeline=options, run=job.folder / RUNS / run_name(options), keeps_config=True)


def raw_baseline_run(job: Job, kind: str) -> Path:
    """Return the run in which a baseline learns, whatever is done with its predictions."""
    return single_tasks(job).run if kind == schema.SINGLE_TASK else _run(job, kind)


def baseline_run(job: Job, kind: str) -> Path:
    """Return the run of a baseline, calibrated as the pipeline says."""
    if kind == schema.SINGLE_TASK:
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
        *(() if kind == schema.TRUTH else _schedule(pipeline)),
        *more,
    ]
    return job.folder / RUNS / f"{kind}-{artifacts.fingerprint(identity)[:6]}"


def _seen_by(kind: str, pipeline: Pipeline) -> tuple[bool, ...]:
    """Return whether each objective is learned with the position: all that trees read of [model]. Others read nothing."""
    return pipeline.follows_position if kind in schema.TREES else ()


def _schedule(pipeline: Pipeline) -> tuple[object, ...]:
    """Return when baselines are fitted and to how many days, where that is not each time and to all."""
    of = pipeline.evaluate
    return () if (of.baseline_refit_days, of.baseline_window_days) == (1, None) else (of.baseline_refit_days, of.baseline_window_days)


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return a part per kind. `predicted` stands for all but the fusion weights: with other ones nothing is learned again."""
    parts = []
    for kind in shared_kinds(job.pipeline):
        kept = _kept(job, options, kind)
        of_kept = {} if kept is None else {f"{kept.folder.parent.name}/{kept.folder.name}": kept.origin.fingerprint}
        made_of = _of_each_run(job, options) if kept is None else contents(scored_days(job))  # of a kept one no earlier day is read
        inputs = made_of | of_kept | (_truth(job) if kind == schema.TRUTH else {})
        what = [BASELINES.version, BASELINES.counted(options, "objective.fusion_weight"), kind, _seen_by(kind, options), inputs]
        predicted = artifacts.fingerprint(what)
        target = raw_baseline_run(job, kind) / PREDICTIONS
        parts.append(BASELINES.part(options, f"baseline {kind}", [target], {"predicted": predicted} | of_kept))
    return parts


def _of_each_run(job: Job, options: Pipeline) -> dict[str, str]:
    """Return what a baseline is made of that each run fits."""
    learned = [*options.baseline_days(job.days(schema.TRAIN)), *job.days(schema.VALIDATION)]
    days = [day_folder(folder, day) for folder in (job.examples, job.encoded) for day in learned]
    return contents([job.encoded / ENCODER, *days, *scored_days(job)])


def _kept(job: Job, options: Pipeline, kind: str) -> KeptFit | None:
    """Return where a baseline is kept that is fitted once for several runs; None for another one.

    What stands for its days are their rows as they were known when each day ended. So labels that become known later make no fit stale,
    and a correction of such a label waits for the next fit.
    """
    if options.evaluate.baseline_refit_days == 1 or kind == schema.TRUTH:
        return None
    (folder,) = _kept_folders(job, kind)
    days = tuple(options.baseline_days(job.days(schema.TRAIN)))
    if not days:
        raise ArtifactError(f"{job.examples}: found no day of [split] train, expected at least one. Fix: run `recsys features` again")
    inputs = described([job.encoded / ENCODER])
    for day in days:
        inputs |= lineage.inputs_of_day(job.encoded, day)
    if kind in _LIBRARIES:
        inputs["library"] = version(_LIBRARIES[kind])
    return KeptFit(day_folder(folder, days[-1]), days, Origin(BASELINES.name, artifacts.fingerprint([folder.name, inputs]), inputs))


def _is_kept(job: Job, kind: str) -> bool:
    kept = _kept(job, BASELINES.receives(job.pipeline), kind)
    return kept is not None and artifacts.is_fresh(kept.folder, kept.origin.fingerprint)


def _kept_folders(job: Job, *kinds: str) -> list[Path]:
    """Return where baselines of these kinds are kept, for all runs whose splits begin on the same day; none where each run fits its own."""
    pipeline = job.pipeline
    if pipeline.evaluate.baseline_refit_days == 1:
        return []
    split = [pipeline.split.train[0].isoformat(), len(pipeline.split.days(schema.VALIDATION))]
    counted = BASELINES.counted(pipeline, "split", "objective.fusion_weight")
    identity = [job.examples.name, job.encoded.name, BASELINES.version, counted, split, *_schedule(pipeline)]
    return [
        job.folder / LEARNED / f"{kind}-{artifacts.fingerprint([*identity, *_seen_by(kind, pipeline)])[:12]}"
        for kind in kinds
        if kind not in (schema.TRUTH, schema.SINGLE_TASK)
    ]


def _truth(job: Job) -> dict[str, str]:
    """Return what the truth is looked up in, and by which labels."""
    labels = [[objective.name, objective.label, objective.observed, objective.given] for objective in job.pipeline.objective]
    return contents([job.folder / RAW]) | {"labels": artifacts.fingerprint(labels)}


def _writes(job: Job, kinds: Sequence[str]) -> list[Path]:
    return [*(raw_baseline_run(job, kind) / PREDICTIONS for kind in kinds), *_kept_folders(job, *kinds)]


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
            elif (kept := _kept(job, options, kind)) is not None:
                baselines.score_kept(kind, options, job.examples, job.encoded, kept, target, origin, console=job.console)
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
    version=2,
    options=(
        *FUSED,
        *("seed", "split", "source.kind", "source.time", "train.refit"),
    ),
    free=(
        *PERCENTILES,  # no baseline has one but single_task, which is trained as a run is
        *("objective.group", "objective.position", "model.position"),  # they count for trees, by what follows the position
        *("objective.label", "objective.observed"),  # they count for the truth, which is looked up by them
    ),
    reads=lambda job: [job.examples, job.encoded, *([job.folder / RAW] if schema.TRUTH in baseline_kinds(job.pipeline) else [])],
    writes=lambda job: _writes(job, baseline_kinds(job.pipeline)),
    holds=lambda job: _writes(job, shared_kinds(job.pipeline)),  # the run of the single tasks is made by whoever trains it
    parts=_parts,
    make=_make,
    places=("evaluate.baselines", "evaluate.baseline_refit_days", "evaluate.baseline_window_days", "model.architecture"),
    before=_claim,
)
