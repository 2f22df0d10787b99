"""Affinity, or which objective helps which: every objective alone, every two, and all together, over seeds.

An objective that is left out keeps its place with `loss_weight` 0. No gradient of it reaches anything (balancing/balancer.py), early
stopping does not look at it, and nothing else changes. So all runs share examples and encoded days, and cost the same multiplications. Runs
of one seed start from the same weights and see the same batches. So their difference is what the partner's labels did, and little else. The
price: towers and gates of an objective that is left out stay in the net, unused, so that the cost is equal. An objective "alone" does not
get their share. An objective with `given` can be alone too: its loss is that of the product, through the output of the given objective.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recsys import artifacts, evaluation, locks, report, schema
from recsys.config import Pipeline
from recsys.errors import ConfigError, many
from recsys.experiments.trained import Run, facts, open_runs, paired, trained
from recsys.experiments.variants import Variant, require_no_teacher, seeds_from
from recsys.judge import judging
from recsys.progress import Console
from recsys.workspace import AFFINITY, INSIDE, JOURNAL, MODEL

ROWS_FILE, PAGE_FILE = "affinity.parquet", "affinity.html"


def run_affinity(pipeline: Pipeline, workspace: Path, *, seeds: int, budget: int | None, wait: bool = False, console: Console) -> Path:
    """Train what is not trained yet, and leave affinity.parquet and affinity.html in the pipeline's folder under affinity/NAME/.

    There are `seeds` seeds, from the pipeline's own seed on. `budget` is the number of multiplications per row in every run; by default it
    is what the pipeline's model costs. The last part of the split judges. Raise ConfigError with fewer than two objectives that learn, and
    without days to judge on.
    """
    learn = [objective for objective in pipeline.objective if objective.loss_weight > 0]
    if len(learn) < 2:
        raise ConfigError(f"objective: found {len(learn)} with loss_weight above 0, expected two or more to hold against each other")
    split, judged = judging(pipeline), evaluation.two_questions(learn)
    if budget is not None:
        pipeline = pipeline.model_copy(update={"model": pipeline.model.model_copy(update={"budget_macs": budget})})
    variants = _variants(pipeline, [objective.name for objective in learn])
    require_no_teacher(variants, "a teacher has learned all objectives, and would teach them to those that learn alone")
    opened = open_runs(variants, seeds_from(variants, seeds), workspace, console, wait=wait)
    console.say(f"affinity: {len(opened)} runs, {len(variants)} sets of {len(learn)} objectives with {many(seeds, 'seed')} each")
    runs = list(trained(opened, "affinity"))
    console.say(f"affinity: judging {len(runs)} runs on {split} days")
    found = evaluation.one_within(paired(runs, judged, split))
    confidence = pipeline.evaluate.confidence
    together = [run for run in runs if run.variant is variants[-1]]
    rows = [*_numbers(runs, found, confidence), *_cosines(together, confidence)]
    return _write(runs, rows, found, split, console)


def sets_of(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return each objective alone, each pair, and all together (of two objectives, a pair is all)."""
    return [*combinations(names, 1), *combinations(names, 2), *([tuple(names)] if len(names) > 2 else [])]


def only(pipeline: Pipeline, names: Sequence[str]) -> Pipeline:
    """Return the pipeline in which only these objectives learn. It has no baselines, because nothing here is compared with them."""
    objectives = tuple(
        objective if objective.name in names else objective.model_copy(update={"loss_weight": 0.0}) for objective in pipeline.objective
    )
    evaluate = pipeline.evaluate.model_copy(update={"baselines": ()})
    return pipeline.model_copy(update={"objective": objectives, "evaluate": evaluate})


def _variants(pipeline: Pipeline, names: Sequence[str]) -> list[Variant]:
    """Return a variant per set of objectives, with all of them in the last one."""
    variants = []
    for chosen in sets_of(names):
        who = schema.ALL if len(chosen) == len(names) else schema.TOGETHER.join(chosen)
        variants.append(Variant(", ".join(chosen), only(pipeline, chosen), stem=f"affinity-{who}"))
    return variants


# --- Numbers ------------------------------------------------------------------------------------------------------
def _numbers(runs: Sequence[Run], found: evaluation.Paired, confidence: float) -> Iterator[dict[str, Any]]:
    """Yield each number of an objective in each run that learned it, then its gain from each set of partners over being alone."""
    for k, judged in enumerate(found.judged):
        sets: dict[str | None, list[evaluation.Measured]] = {}  # the objective alone comes first, and has no partners
        for run, numbers in zip(runs, found.measured, strict=True):
            learned = [objective.name for objective in run.job.pipeline.objective if objective.loss_weight > 0]
            if judged.objective in learned:
                partners = schema.TOGETHER.join(name for name in learned if name != judged.objective) or None
                sets.setdefault(partners, []).append(numbers[k])
                about = {"metric": judged.metric.name, "run": run.job.run.name, "seed": run.seed}
                yield _row("value", judged.objective, partners, numbers[k].value, **about)
        gains = evaluation.gains(list(sets.values()), confidence=confidence, centred=judged.metric.centred)
        for partners, (value, (low, high, reason)) in zip(list(sets)[1:], gains, strict=True):
            about = {"metric": judged.metric.name, "seeds": len(sets[None]), "reason": reason}
            yield _row("gain", judged.objective, partners, value, low=low, high=high, **about)


def _cosines(together: Sequence[Run], confidence: float) -> Iterator[dict[str, Any]]:
    """Yield the cosine of each pair of objectives' gradients in the shared layer's weights, over seeds and members.

    The gradients are those of the choosing phase, before the refit. There are no cosines where none were measured.
    """
    found = []
    for run in together:
        journal = report.read_journal(run.job.run / JOURNAL)
        if journal is not None:  # each member of each seed is named by a seed of its own
            found.append(journal.products.assign(member=run.seed + journal.products["member"]))
    if not found:
        return
    products = pd.concat(found)
    for cosine in report.pooled_cosines(products[products["phase"] == "choose"], confidence).to_dict("records"):
        value, low, high = (None if pd.isna(cosine[name]) else cosine[name] for name in ("cosine", "low", "high"))
        about = {"seeds": len(found), "reason": cosine["reason"]}
        yield _row("cosine", cosine["objective"], cosine["other"], value, low=low, high=high, **about)


def _row(what: str, objective: str, partners: str | None, value: float | None, **others: Any) -> dict[str, Any]:
    return dict.fromkeys(schema.AFFINITY.names) | {"what": what, "objective": objective, "partners": partners, "value": value} | others


# --- What is left -------------------------------------------------------------------------------------------------
def _write(runs: Sequence[Run], rows: Sequence[dict[str, Any]], found: evaluation.Paired, split: str, console: Console) -> Path:
    table = pa.Table.from_pylist(list(rows), schema=schema.AFFINITY)
    names = list(dict.fromkeys(judged.objective for judged in found.judged))
    fingerprint = artifacts.fingerprint([run.job.run.name for run in sorted(runs, key=lambda run: run.seed)])
    job = runs[-1].job
    pipeline = job.pipeline
    folder = job.folder / AFFINITY / f"{pipeline.model.architecture}-{fingerprint[:6]}"
    page, confidence = folder / PAGE_FILE, pipeline.evaluate.confidence
    about = _facts(runs, names) | facts([found], runs, split, "the gains of an objective")
    with locks.writing(job.folder, folder, console):
        artifacts.write_file(folder / ROWS_FILE, lambda path: pq.write_table(table, path), stage="affinity", fingerprint=fingerprint)
        report.write_affinity(page, table, pipeline.name, names, about, confidence=confidence, fingerprint=fingerprint)
    console.result("")
    seeds = len({run.seed for run in runs})
    title = f"{pipeline.name}: gain over being trained alone, {split} days, {many(seeds, 'seed')}"
    report.terminal_matrix(title, report.affinity_matrix(table, names), console)
    for line in report.affinity_words(table, confidence):
        console.result(line)
    console.result(f"affinity: {page}")
    return folder


def _facts(runs: Sequence[Run], names: Sequence[str]) -> dict[str, str]:
    job, seeds = runs[-1].job, sorted({run.seed for run in runs})
    pipeline, inside = job.pipeline, report.read_inside(job.run / MODEL / INSIDE)
    members = pipeline.model.members if inside is None else inside.members
    return {
        "Objectives": ", ".join(names),
        "Model": f"{pipeline.model.architecture}, {members} ensemble member{'s' * (members != 1)}, the same in all runs",
        "Multiplications per row": "not known" if inside is None else f"{inside.multiplications:,} in every run",
        "Balancing": pipeline.balance.method,
        "Training": f"{pipeline.train.order} order, the same options in all runs",
        "Runs": f"{len(runs)}: {len(runs) // len(seeds)} sets of objectives with {len(seeds)} seed{'s' * (len(seeds) > 1)} each",
    }
