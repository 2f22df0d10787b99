"""Which models are promoted: the first one, the same once more, one that has learned shuffled labels, and what a rollback does.

    python -m studies.promotions pipelines/demo.toml --out docs/promotions.csv

A workspace of its own is made under WORKSPACE/promotions, and one that stands there is removed first. In a copy of it, the labels of each
learned day are given to other impressions of that day. The days that the model is judged on stay as they are. Writes one row per decision
and objective.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import artifacts, config, promoting, registry, schema, walk
from recsys.artifacts import Origin
from recsys.config import Pipeline
from recsys.errors import NotPromotedError
from recsys.jobs import open_job
from recsys.progress import Console
from recsys.stages import Job
from recsys.workspace import LEARNED, PART, day_folder


def main() -> None:
    """Train three models, ask for each to be promoted, and write what was decided."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path, help="a pipeline's TOML")
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row per decision and objective")
    parser.add_argument("--workspace", type=Path, default=Path("data"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    pipeline = config.load(arguments.pipeline, ["evaluate.baselines=[]", "evaluate.importance=false", *arguments.overrides])
    place = arguments.workspace / "promotions"
    shutil.rmtree(place, ignore_errors=True)
    for run in ("first", "the same"):
        promote(trained(pipeline, place / "data", run.replace(" ", "-")))
    shutil.copytree(place / "data", place / "shuffled")
    shuffled = open_job(pipeline, place / "shuffled", run="shuffled-labels", console=Console(quiet=True))
    shuffle_labels(shuffled, np.random.default_rng(pipeline.seed))
    promote(trained(pipeline, place / "shuffled", "shuffled-labels"))
    folder = place / "shuffled" / pipeline.name
    print("now", registry.current_run(folder))
    promoting.rollback(folder, Console())
    rows = [row for decision in registry.decisions(folder) for row in rows_of(decision)]
    pd.DataFrame(rows).to_csv(arguments.out, index=False)


def trained(pipeline: Pipeline, workspace: Path, run: str) -> Job:
    job = open_job(pipeline, workspace, run=run, console=Console(quiet=True))
    walk.run(job, until="evaluate")
    return job


def promote(job: Job) -> None:
    try:
        promoting.promote(job.run, Console())
    except NotPromotedError as refused:
        print(refused)


def shuffle_labels(job: Job, rng: np.random.Generator) -> None:
    """Give the labels of each learned day to other impressions of that day, with the moments at which they are known."""
    for day in job.days(schema.TRAIN, schema.VALIDATION):
        folder = day_folder(job.examples, day)
        known, table = artifacts.require_manifest(folder), artifacts.read_table(folder / PART)
        order = pa.array(rng.permutation(len(table)))
        for place, name in enumerate(table.column_names):
            if name.startswith((schema.LABEL, schema.KNOWN)):
                table = table.set_column(place, name, table[name].take(order))
        with Origin(known.stage, known.fingerprint, known.inputs).writing(folder) as output:
            output.write_table(PART, table)
    shutil.rmtree(job.folder / LEARNED, ignore_errors=True)  # else days that are learned already would not be learned again


def rows_of(decision: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row per objective of a decision; one row of a rollback."""
    about = {name: decision.get(name) for name in ("decision", "run", "outcome", "current before")}
    names = ("objective", "metric", "positives", "difference", "low", "high", "calibration", "silent", "against")
    votes = [{name: vote[name] for name in names} for vote in decision.get("objectives", [])]
    return [about | vote for vote in votes or [{}]]


if __name__ == "__main__":
    main()
