"""model/, examples/, encoded/ → importance.parquet: what each group of features is worth, by permutation. Only where it is asked for."""

from collections.abc import Sequence

import pyarrow.parquet as pq

from recsys.config import Pipeline
from recsys.stages.score import PERCENTILES, scored_days
from recsys.stages.stage import Job, Part, Stage, contents, timed
from recsys.workspace import IMPORTANCE, MODEL


def _parts(job: Job, options: Pipeline) -> list[Part]:
    """Return a part that names the run, as its rows do; none where importance is not asked for."""
    if not options.evaluate.importance:
        return []
    inputs = contents([job.run / MODEL, *scored_days(job)]) | {"run": job.run.name}
    return [IMPORTANCE_STAGE.part(options, "importance", [job.run / IMPORTANCE], inputs)]


def _make(job: Job, options: Pipeline, stale: Sequence[Part]) -> None:
    from recsys import evaluation, scoring

    (part,) = stale
    evaluate = options.evaluate
    with timed(job, "importance"):
        sample = scoring.permuted(options, job.examples, job.encoded, job.run, rows=evaluate.importance_rows, console=job.console)
        rows = evaluation.falls(
            sample.base,
            sample.groups,
            options.objective,
            run=job.run.name,
            split=sample.split,
            bootstrap=evaluate.bootstrap,
            confidence=evaluate.confidence,
            seed=options.seed,
        )
        part.origin.write_file(job.run / IMPORTANCE, lambda draft: pq.write_table(rows, draft))


IMPORTANCE_STAGE = Stage(
    name="importance",
    summary="Measure what each group of features is worth, by permutation.",
    version=4,
    options=(
        *("seed", "split", "features.entities"),
        *(f"objective.{name}" for name in ("name", "kind", "given", "levels")),
        *(f"evaluate.{name}" for name in ("bootstrap", "confidence", "importance_rows")),
    ),
    places=("evaluate.importance",),
    free=("train.device", "train.precision", *PERCENTILES),
    reads=lambda job: [job.run / MODEL, job.examples, job.encoded] if job.pipeline.evaluate.importance else [],
    writes=lambda job: [job.run / IMPORTANCE] if job.pipeline.evaluate.importance else [],
    parts=_parts,
    make=_make,
)
