"""Affinity, or which objective helps which: every objective alone, every two, and all together, over seeds, each an ordinary run.

An objective that is left out keeps its place with `loss_weight` 0. No gradient of it reaches anything (balancing/balancer.py), early
stopping does not look at it, and nothing else changes. So all runs share examples and encoded days, and cost the same multiplications. Runs
of one seed start from the same weights and see the same batches. So their difference is what the partner's labels did, and little else. The
price: towers and gates of an objective that is left out stay in the net, unused, so that the cost is equal. An objective "alone" does not
get their share. An objective with `given` can be alone too: its loss is that of the product, through the output of the given objective.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import stats

from recsys import artifacts, evaluation, report, schema, walk
from recsys.config import Pipeline
from recsys.errors import ConfigError
from recsys.jobs import open_job
from recsys.judge import judging
from recsys.progress import Console
from recsys.stages import Job, run_identity
from recsys.workspace import AFFINITY, INSIDE, JOURNAL, MODEL, PREDICTIONS

ROWS_FILE, PAGE_FILE = "affinity.parquet", "affinity.html"
CORRELATION = 0.5  # of two gains of one objective: both subtract the same run of the objective alone, whose noise is as large as theirs

# Legend: M sets of partners of one objective, S seeds.


@dataclass(frozen=True)
class Training:
    """One run: the objectives that learn, and the seed."""

    objectives: tuple[str, ...]
    seed: int

    def partners(self, objective: str) -> str | None:
        """Return the run's other objectives, joined; None where the objective is alone."""
        return schema.TOGETHER.join(name for name in self.objectives if name != objective) or None


def affinity(pipeline: Pipeline, workspace: Path, *, seeds: int, budget: int | None, console: Console) -> Path:
    """Train what is not trained yet, and leave affinity.parquet and affinity.html in the pipeline's folder under affinity/NAME/.

    There are `seeds` seeds, from the pipeline's own seed on. `budget` is the number of multiplications per row in every run; by default it
    is what the pipeline's model costs. The last part of the split judges. Raise ConfigError with fewer than two objectives that learn, and
    without days to judge on.
    """
    names = [objective.name for objective in pipeline.objective if objective.loss_weight > 0]
    if len(names) < 2:
        raise ConfigError(f"objective: found {len(names)} with loss_weight above 0, expected two or more to hold against each other")
    split = judging(pipeline)
    trainings = plan(names, [pipeline.seed + place * pipeline.model.members for place in range(seeds)])
    console.say(f"affinity: {len(trainings)} runs, {len(trainings) // seeds} sets of {len(names)} objectives with {seeds} seeds each")
    rows: list[dict[str, Any]] = []
    jobs: dict[Training, Job] = {}
    for place, training in enumerate(trainings, start=1):
        console.say(f"affinity {place} of {len(trainings)}: {', '.join(training.objectives)}, seed {training.seed}")
        jobs[training] = _run(variant(pipeline, training, budget), workspace, training, names, console, shared=place == 1)
        rows += _values(jobs[training], training, split)
    together = {training: job for training, job in jobs.items() if len(training.objectives) == len(names)}
    rows += gains(pd.DataFrame(rows), confidence=pipeline.evaluate.confidence)
    rows += _cosines(together, confidence=pipeline.evaluate.confidence)
    return _write(pipeline, rows, names, jobs, together, split, seeds, console)


def plan(names: Sequence[str], seeds: Sequence[int]) -> list[Training]:
    """Return every set of objectives with every seed, one seed after the other.

    The sets are each objective alone, each pair, and all together (of two objectives, a pair is all).
    """
    sets = [*combinations(names, 1), *combinations(names, 2), *([tuple(names)] if len(names) > 2 else [])]
    return [Training(objectives, seed) for seed in seeds for objectives in sets]


def variant(pipeline: Pipeline, training: Training, budget: int | None) -> Pipeline:
    """Return the pipeline in which only these objectives learn. It has no baselines, because nothing here is compared with them."""
    objectives = tuple(
        objective if objective.name in training.objectives else objective.model_copy(update={"loss_weight": 0.0})
        for objective in pipeline.objective
    )
    model = pipeline.model if budget is None else pipeline.model.model_copy(update={"budget_macs": budget})
    evaluate = pipeline.evaluate.model_copy(update={"baselines": ()})
    return pipeline.model_copy(update={"objective": objectives, "seed": training.seed, "model": model, "evaluate": evaluate})


# --- Runs ---------------------------------------------------------------------------------------------------------
def _run(pipeline: Pipeline, workspace: Path, training: Training, names: Sequence[str], console: Console, *, shared: bool) -> Job:
    """Run the stages up to the predictions; with `shared`, first the stages that all runs have in common."""
    identity = artifacts.fingerprint(run_identity(pipeline))
    who = schema.ALL if len(training.objectives) == len(names) else schema.TOGETHER.join(training.objectives)
    job = open_job(pipeline, workspace, run=f"affinity-{who}-{identity[:6]}", replace=False, console=console)
    if shared:
        walk.run(job, until="encode")
    for stage in ("train", "score", "calibrate"):
        walk.run_stage(job, stage)
    return job


def _values(job: Job, training: Training, split: str) -> Iterator[dict[str, Any]]:
    """Yield the main metric of each objective that learned."""
    predictions = artifacts.read_table(job.run / PREDICTIONS)
    judged = predictions.filter(pc.equal(predictions[schema.SPLIT], split))
    metrics = evaluation.evaluate(judged, job.pipeline.objective, run=job.run.name, bootstrap=0, slices=()).to_pylist()
    whole = {(row["objective"], row["metric"]): row["value"] for row in metrics if row["day"] is None}
    for objective in job.pipeline.objective:
        if objective.name in training.objectives:
            metric = evaluation.main_metric(objective)
            partners = training.partners(objective.name)
            yield _row(
                "value", objective.name, partners, whole[objective.name, metric], metric=metric, run=job.run.name, seed=training.seed
            )


def _cosines(together: Mapping[Training, Job], *, confidence: float) -> Iterator[dict[str, Any]]:
    """Yield the cosine of each pair of objectives' gradients in the shared layer's weights, over seeds and members.

    The gradients are those of the choosing phase, before the refit. There are no cosines where none were measured.
    """
    found = []
    for training, job in together.items():
        journal = report.read_journal(job.run / JOURNAL)
        if journal is not None:  # each member of each seed is named by a seed of its own
            found.append(journal.products.assign(member=training.seed + journal.products["member"]))
    if not found:
        return
    products = pd.concat(found)
    for cosine in report.pooled_cosines(products[products["phase"] == "choose"], confidence).to_dict("records"):
        value, low, high = (None if pd.isna(cosine[name]) else cosine[name] for name in ("cosine", "low", "high"))
        yield _row("cosine", cosine["objective"], cosine["other"], value, low=low, high=high, seeds=len(found))


def _row(what: str, objective: str, partners: str | None, value: float | None, **others: Any) -> dict[str, Any]:
    return dict.fromkeys(schema.AFFINITY.names) | {"what": what, "objective": objective, "partners": partners, "value": value} | others


# --- Numbers ------------------------------------------------------------------------------------------------------
def gains(values: pd.DataFrame, *, confidence: float) -> list[dict[str, Any]]:
    """Return the rows of gains from the rows of values: with partners minus alone in the same seed, the mean over seeds.

    A few seeds say little about their own spread, so the variance is pooled over all gains of one judged objective. The interval is
    Student's. It has fewer degrees of freedom than M (S − 1), because all gains of an objective use the same runs of the objective alone.
    So the deviations of two gains correlate by ρ = 1/2, and M (S − 1) / (1 + (M − 1) ρ²) degrees of freedom are left (Satterthwaite). One
    seed has no interval.
    """
    found: list[dict[str, Any]] = []
    for objective, rows in values.groupby("objective", sort=False):
        table = rows.assign(partners=rows["partners"].fillna("")).pivot(index="partners", columns="seed", values="value").astype(float)
        partners = [name for name in dict.fromkeys(rows["partners"].fillna("")) if name]
        gain_MS = table.loc[partners].to_numpy() - table.loc[""].to_numpy()
        half = _half_width(gain_MS[np.isfinite(gain_MS).all(axis=1)], confidence)
        for name, mean in zip(partners, gain_MS.mean(axis=1).tolist(), strict=True):
            known = np.isfinite(mean)
            low, high = (mean - half, mean + half) if known and half is not None else (None, None)
            metric, seeds = rows["metric"].iloc[0], gain_MS.shape[1]
            found.append(_row("gain", str(objective), name, mean if known else None, metric=metric, low=low, high=high, seeds=seeds))
    return found


def _half_width(gain_MS: np.ndarray, confidence: float) -> float | None:
    """Return half the width of the interval of a mean over seeds; None where there is no interval."""
    sets, seeds = gain_MS.shape
    if seeds < 2 or sets == 0:
        return None
    variance = float(gain_MS.var(axis=1, ddof=1).mean())
    freedom = sets * (seeds - 1) / (1 + (sets - 1) * CORRELATION**2)
    return float(stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance / seeds))


# --- What is left -------------------------------------------------------------------------------------------------
def _write(
    pipeline: Pipeline,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    jobs: Mapping[Training, Job],
    together: Mapping[Training, Job],
    split: str,
    seeds: int,
    console: Console,
) -> Path:
    table = pa.Table.from_pylist(list(rows), schema=schema.AFFINITY)
    fingerprint = artifacts.fingerprint([job.run.name for job in jobs.values()])
    job = next(iter(together.values()))
    folder = job.folder / AFFINITY / f"{pipeline.model.sharing}-{fingerprint[:6]}"
    artifacts.write_file(folder / ROWS_FILE, lambda path: pq.write_table(table, path), stage="affinity", fingerprint=fingerprint)
    facts = _facts(job, names, len(jobs), seeds, split)
    page, confidence = folder / PAGE_FILE, pipeline.evaluate.confidence
    report.write_affinity(page, table, pipeline.name, names, facts, confidence=confidence, fingerprint=fingerprint)
    console.say("")
    report.terminal_matrix(
        f"{pipeline.name}: gain over being trained alone, {split} days, {seeds} seeds", report.affinity_matrix(table, names), console
    )
    console.say(f"affinity: {page}")
    return folder


def _facts(job: Job, names: Sequence[str], runs: int, seeds: int, split: str) -> dict[str, str]:
    pipeline = job.pipeline
    inside = report.read_inside(job.run / MODEL / INSIDE)
    first, last = pipeline.split.parts()[split]
    return {
        "Objectives": ", ".join(names),
        "Model": f"{pipeline.model.sharing}, {pipeline.model.members} member{'s' * (pipeline.model.members > 1)}, the same in all runs",
        "Multiplications a row": "not known" if inside is None else f"{inside.multiplications:,} in every run",
        "Balancing": pipeline.balance.method,
        "Training": f"{pipeline.train.order} order, the same options in all runs",
        "Runs": f"{runs}: {runs // seeds} sets of objectives with {seeds} seeds each",
        "Judged on": f"{split} days, {first}" + (f" to {last}" if first != last else ""),
        "Intervals": f"{pipeline.evaluate.confidence:.0%}, Student's over seeds, variance pooled over the gains of a judged objective",
    }
