"""The nights of a pipeline as a Dagster job: a partition per day, an asset per stage, health and promotion as asset checks.

    pip install --editable ".[dagster]"
    RECSYS_PIPELINE=feed.toml RECSYS_WORKSPACE=data dagster dev -f pipelines/nightly.py

The partition D does what docs/nightly.md does for the day D. A backfill of several days runs them one after the other: each needs the one
before it. What the environment may say besides: RECSYS_FIRST_NIGHT (by default the last day of the pipeline's split) and RECSYS_CANDIDATES,
a file that gets tomorrow's lists of RECSYS_TOP items (50).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from recsys import config, promoting, registry, schema, walk
from recsys.config import Pipeline
from recsys.errors import DataError, NotPromotedError
from recsys.health import health
from recsys.jobs import open_job
from recsys.predicting import Question, predict
from recsys.progress import Console
from recsys.stages import STAGES, Job, row_account
from recsys.workspace import REPORT

HEALTH, PROMOTION, LISTS = "health", "promotion", "lists"


@dataclass(frozen=True)
class Nights:
    """A pipeline in a workspace, and the first of its nights."""

    pipeline: Pipeline
    workspace: Path
    first: date

    def job(self, day: str) -> Job:
        """Return the run of the night that ends on this ISO day. It waits where another night holds what it writes."""
        split = self.pipeline.split.ending(date.fromisoformat(day))
        pipeline = self.pipeline.model_copy(update={"split": split})
        return open_job(pipeline, self.workspace, run=f"night-{day}", replace=True, wait=True, console=Console(quiet=True))


def definitions(nights: Nights, *, candidates: Path | None = None, top: int = 50) -> dg.Definitions:
    """Return the assets and the job `nightly`."""
    daily = dg.DailyPartitionsDefinition(start_date=nights.first.isoformat(), timezone=nights.pipeline.zone, end_offset=1)
    stages = [_stage(nights, daily, name, list(STAGES)[:place][-1:]) for place, name in enumerate(STAGES)]
    assets = [*stages, _promotion(nights, daily), *([_lists(nights, daily, candidates, top)] if candidates else [])]
    one_at_a_time = {"execution": {"config": {"in_process": {}}}}
    return dg.Definitions(assets=assets, jobs=[dg.define_asset_job("nightly", config=one_at_a_time)])


def _stage(nights: Nights, daily: dg.PartitionsDefinition, name: str, before: Sequence[str]) -> dg.AssetsDefinition:
    """Return the asset of a stage. Health is looked at with the features, and stops the night beyond a limit of [checks.stop]."""
    checks = [dg.AssetCheckSpec(HEALTH, asset=name, blocking=True)] if name == "features" else []

    @dg.asset(name=name, deps=before, partitions_def=daily, check_specs=checks, description=STAGES[name].summary)
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        job = nights.job(context.partition_key)
        walk.run(job, until=name, through=context.partition_key)
        found = [_health(job, context.partition_key)] if checks else []
        return dg.MaterializeResult(metadata=_about(job, name), check_results=found)

    return made


def _about(job: Job, stage: str) -> Mapping[str, Any]:
    """Return what is shown of a stage: of ingest the account of the log's rows, of the report where the page is."""
    if stage == "ingest":
        return {f"rows {what}": count for what, count in (row_account(job) or {}).items()}
    if stage == "report":
        return {"page": dg.MetadataValue.path(str((job.run / REPORT).resolve()))}
    parts = STAGES[stage].parts(job, STAGES[stage].receives(job.pipeline)) if STAGES[stage].writes(job) else []
    return {"run": job.run.name, "parts": len(parts)}


def _health(job: Job, day: str) -> dg.AssetCheckResult:
    """Hold the day against the days before it. Warnings are no failure."""
    try:
        rows = health(job, job.console, day=day).to_pylist()
    except DataError as error:
        return dg.AssetCheckResult(check_name=HEALTH, passed=False, metadata={"stops": str(error)})
    warned = [f"{row['check']} {row['column']}: {row['value']:g}" for row in rows if (row["day"], row["verdict"]) == (day, schema.WARNS)]
    return dg.AssetCheckResult(
        check_name=HEALTH, passed=not warned, severity=dg.AssetCheckSeverity.WARN, metadata={"warnings": "\n".join(warned) or "none"}
    )


def _promotion(nights: Nights, daily: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset of the decision. A refused model is a warning: the current one serves on."""

    @dg.asset(
        name=PROMOTION,
        deps=["report"],
        partitions_def=daily,
        check_specs=[dg.AssetCheckSpec("promoted", asset=PROMOTION)],
        description="Make the night's model the current one, if no objective loses more than its margin.",
    )
    def decided(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        job = nights.job(context.partition_key)
        reasons: Sequence[str] = ()
        try:
            promoting.promote(job.run, job.console, wait=True)
        except NotPromotedError as error:
            reasons = str(error).splitlines()
        decision = registry.decisions(job.folder)[-1]
        found = dg.AssetCheckResult(
            check_name="promoted",
            passed=not reasons,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"reasons": "\n".join(reasons) or "none"},
        )
        about = {"outcome": decision["outcome"], "run": decision["run"], "current before": str(decision["current before"])}
        return dg.MaterializeResult(metadata=about, check_results=[found])

    return decided


def _lists(nights: Nights, daily: dg.PartitionsDefinition, candidates: Path, top: int) -> dg.AssetsDefinition:
    """Return the asset of tomorrow's lists, by the model that is the current one after the decision."""

    @dg.asset(name=LISTS, deps=[PROMOTION], partitions_def=daily, description="Rank the candidates at the end of the day.")
    def listed(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        day = context.partition_key
        folder = nights.workspace / nights.pipeline.name
        current = registry.current_run(folder)
        if current is None:
            raise dg.Failure("no model is the current one: the first night was refused. Its page says why")
        target = candidates.with_name(f"{candidates.stem}.{day}.parquet")
        predict(current, Question(candidates, f"{day}T23:59:59", top), target, Console(quiet=True), wait=True)
        return dg.MaterializeResult(metadata={"file": dg.MetadataValue.path(str(target.resolve())), "model": current.name})

    return listed


def of_environment(environment: Mapping[str, str]) -> dg.Definitions:
    """Return the definitions that the environment's variables ask for. Raises KeyError without RECSYS_PIPELINE."""
    pipeline = config.load(Path(environment["RECSYS_PIPELINE"]), [])
    last = max(end for _, end in pipeline.split.parts().values())
    first = date.fromisoformat(environment["RECSYS_FIRST_NIGHT"]) if "RECSYS_FIRST_NIGHT" in environment else last
    candidates = environment.get("RECSYS_CANDIDATES")
    nights = Nights(pipeline, Path(environment.get("RECSYS_WORKSPACE", "data")), first)
    return definitions(nights, candidates=Path(candidates) if candidates else None, top=int(environment.get("RECSYS_TOP", "50")))


if "RECSYS_PIPELINE" in os.environ:
    defs = of_environment(os.environ)
