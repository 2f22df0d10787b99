"""What is done with runs that stand: found by name, compared, fused anew; and the metrics of another system's scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys import artifacts
from recsys.config import Pipeline, with_table
from recsys.errors import ArtifactError, ConfigError
from recsys.pipeline import CONFIG_FILE, METRICS_FILE, PREDICTIONS_FILE, contents, metrics_of, write_metrics
from recsys.predictions import read_foreign
from recsys.progress import Console

FUSION_FILE = "fusion.toml"
_WITH = {METRICS_FILE: "evaluated", PREDICTIONS_FILE: "scored"}  # in words


def find_run(name: str, workspace: Path, *, file: str = METRICS_FILE) -> Path:
    """A run that has `file`, by its path or by its name anywhere in the workspace. Raises ConfigError where none or several fit."""
    if (Path(name) / file).is_file():
        return Path(name)
    runs = sorted(path.parent for path in workspace.glob(f"*/runs/*/{file}"))
    found = [path for path in runs if path.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{name}: found in {', '.join(map(str, found))}, expected one. Fix: give its path")
    there = ", ".join(path.name for path in runs) or "none"
    raise ConfigError(f"{name}: found no {_WITH[file]} run of that name under {workspace}; there are: {there}")


def pipeline_of(run: Path) -> Pipeline:
    """The config that a run was made with."""
    known = artifacts.read_json(run / CONFIG_FILE)
    if known is None:
        raise ArtifactError(f"{run / CONFIG_FILE}: found nothing, expected the config of the run. Fix: run the pipeline again")
    return Pipeline.model_validate(known["pipeline"])


def compare(runs: Sequence[Path]) -> pa.Table:
    """Paired differences of each later run to the first, on the same rows."""
    first, *others = runs
    pipeline = pipeline_of(first)
    base = {first.name: artifacts.read_table(first / PREDICTIONS_FILE)}
    tables = [metrics_of(pipeline, artifacts.read_table(run / PREDICTIONS_FILE), run=run.name, against=base) for run in others]
    return pa.concat_tables(tables)


def fuse(run: Path, asked: Mapping[str, Any], console: Console) -> Path:
    """Tunes a run's fusion weights for the aim of its [fuse] table, with `asked` in place of its keys; says and writes what was found.

    Raises ConfigError without something to maximise, and as `fusion.tune` does.
    """
    from recsys import fusion  # scipy's optimisers, which no other verb needs

    pipeline = with_table(pipeline_of(run), "fuse", asked)
    wanted, options = pipeline.fuse, pipeline.evaluate
    if wanted.maximise is None:
        raise ConfigError('fuse: found nothing to maximise. Fix: --maximise OBJECTIVE, or maximise = "OBJECTIVE" under [fuse]')
    inputs = contents([run / PREDICTIONS_FILE])
    tuned = fusion.tune(
        artifacts.read_table(run / PREDICTIONS_FILE),
        pipeline.objective,
        fusion.Aim(wanted.maximise, wanted.metric, wanted.least_changes([objective.name for objective in pipeline.objective])),
        run=run.name,
        bootstrap=options.bootstrap,
        confidence=options.confidence,
        seed=pipeline.seed,
    )
    fingerprint = artifacts.fingerprint([wanted.model_dump(mode="json"), pipeline.seed, inputs])
    artifacts.write_file(
        run / FUSION_FILE,
        lambda draft: draft.write_text(tuned.toml, encoding="utf-8"),
        stage="fuse",
        fingerprint=fingerprint,
        inputs=inputs,
    )
    console.say(f"{tuned.text}\n\n{tuned.toml}\nfusion weights: {run / FUSION_FILE}")
    return run / FUSION_FILE


def evaluate_file(pipeline: Pipeline, predictions: Path, out: Path) -> pa.Table:
    """The metrics of any other system's scores, written to `out`/metrics.parquet. The log is not opened."""
    rows = metrics_of(pipeline, read_foreign(predictions, pipeline.objective), run=predictions.stem, against={})
    identity = [pipeline.evaluate.model_dump(mode="json"), str(predictions)]
    write_metrics(out / METRICS_FILE, rows, fingerprint=artifacts.fingerprint(identity))
    return rows
