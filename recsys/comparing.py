"""Runs compared with one another, or with another system's scores: one table, verdicts in words, a page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from recsys import artifacts, evaluation, report, schema
from recsys.config import Pipeline
from recsys.errors import ConfigError, Place, data_error, percent
from recsys.evaluation import Judged
from recsys.foreign_predictions import name_of
from recsys.judge import judging
from recsys.list_metrics import ListMetric, is_list_metric
from recsys.other_system import KEYS, Joined, join, time_of
from recsys.progress import Console
from recsys.runs import pipeline_of
from recsys.stages import contents
from recsys.workspace import PREDICTIONS

COMPARISON_FILE = "compare.html"


def compare(runs: Sequence[Path], metrics: Sequence[str], console: Console, *, split: str | None, out: Path | None) -> pa.Table:
    """Compare each run with the first. Say the result, and return it as rows of schema.COMPARISON.

    With `out`, also write the result as a page (in a folder: compare.html). `metrics` are as in `evaluation.judged_by`; where there are
    none, those of `evaluation.headline`. Objectives and options are those of the first run. Raise ConfigError where two runs have one name,
    and where `out` is a file but not a page; and raise what `evaluation.paired` raises.
    """
    pipeline, split = _judging(runs, split, out)
    judged = evaluation.judged_by(pipeline.objective, metrics, conditional=True) if metrics else evaluation.headline(pipeline.objective)
    scored = ((run.name, _predictions(run, split)[0]) for run in runs)
    rows = _compared(pipeline, scored, judged, split, all_judged=bool(metrics), console=console)
    if out is not None:
        _write_page(
            out,
            rows,
            pipeline,
            _facts(runs, pipeline, split),
            [contents([run / PREDICTIONS for run in runs]), list(metrics), split],
            console,
        )
    return rows


def compare_with_file(
    runs: Sequence[Path],
    file: Path,
    key: Mapping[str, str],
    metrics: Sequence[str],
    console: Console,
    *,
    split: str | None,
    out: Path | None,
) -> pa.Table:
    """Compare each run with another system's scores, on the impressions that both have. Otherwise as `compare`.

    `key` is our column → theirs (`other_system.join`). A file without predictions, but with a `score`, is judged by its order alone. A
    metric without an objective is that of the objectives that the file predicts. Raise ConfigError for one that fits none of these.
    """
    pipeline, split = _judging(runs, split, out)
    ours, others = _predictions(runs[0], split)
    joined = join(ours, file, key, pipeline.objective, time_of(pipeline, key), others)
    for line in joined.said(file):
        console.say(line)
    judged = _judged_by_file(pipeline, joined, metrics, file)
    name = name_of(file)
    if name in [run.name for run in runs]:
        name = file.name
    ids = joined.ours[schema.EVENT_ID].combine_chunks()

    def scored() -> Iterator[tuple[str, pa.Table]]:
        yield name, joined.theirs
        for run in runs:
            table, _ = _predictions(run, split)
            yield run.name, table.filter(pa.compute.is_in(table[schema.EVENT_ID], value_set=ids))

    rows = _compared(pipeline, scored(), judged, split, all_judged=bool(metrics), console=console)
    if out is not None:
        facts = _facts(runs, pipeline, split) | {"Compared with": f"{file}, {len(joined.ours):,} of {len(ours):,} impressions"}
        _write_page(
            out,
            rows,
            pipeline,
            facts,
            [contents([run / PREDICTIONS for run in runs]), rows.to_pylist(), str(file), list(metrics), split],
            console,
        )
    return rows


def _judged_by_file(pipeline: Pipeline, joined: Joined, metrics: Sequence[str], file: Path) -> tuple[Judged, ...]:
    """Return the numbers that both sides have: of objectives that the file predicts, and of the fused order where it has one."""

    def can(judged: Judged) -> bool:
        return joined.has(judged.metric.name, judged.target.name)

    order = [str(ListMetric("captured", percent=percent)) for percent in pipeline.evaluate.top_percent[:1]] if joined.has_order else []
    if metrics:
        asked = evaluation.judged_by(pipeline.objective, metrics, conditional=True)
        by_text = [[each for each in asked if _is_named(each, text)] for text in metrics]
        cannot = [each for named in by_text if not any(map(can, named)) for each in named]
        problems = []
        for of_order, lack, column in ((False, "no predictions for", "pred.X"), (True, "no order for", "score")):
            if lacking := [each for each in cannot if is_list_metric(each.metric.name) == of_order]:
                said = ", ".join(dict.fromkeys(f"{each.metric.name} of {each.objective}" for each in lacking))
                problems.append(f"--metric: found {said}, which {file} has {lack}. Fix: another metric, or {column} in the file")
        if problems:
            raise ConfigError(problems)
        return tuple(each for each in asked if can(each))
    by_order = evaluation.judged_by(pipeline.objective, order) if order else ()
    return tuple(each for each in (*evaluation.headline(pipeline.objective), *by_order) if can(each))


def _is_named(judged: Judged, text: str) -> bool:
    """Return whether --metric NAME or OBJECTIVE=NAME asks for this number."""
    objective, _, metric = text.rpartition("=")
    name = str(ListMetric.parse(metric)) if is_list_metric(metric) else metric  # captured@10.0% is captured@10%
    return judged.metric.name == name and objective in ("", judged.objective)


def _judging(runs: Sequence[Path], split: str | None, out: Path | None) -> tuple[Pipeline, str]:
    """Return the config of the first run, and the part of the split to judge on."""
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"compare: found {', '.join(twice)} more than once, expected runs of different names")
    if out is not None and out.suffix != ".html" and out.is_file():
        raise ConfigError(f"--out {out}: found a file, expected FILE.html or a folder")
    pipeline, *_ = [pipeline_of(run) for run in runs]
    return pipeline, judging(pipeline, split)


def _predictions(run: Path, split: str) -> tuple[pa.Table, pa.Table]:
    """Return what a run predicts of the part that is judged, and which impressions it has of other parts: there, runs may have other days.

    Without parts, all rows are test. Raise DataError where the table has rows, but none of this part.
    """
    table = artifacts.read_table(run / PREDICTIONS)
    if schema.SPLIT not in table.column_names:
        table = table.append_column(schema.SPLIT, pa.array([schema.TEST] * len(table), pa.string()))
    parts = table[schema.SPLIT].combine_chunks()
    parts = parts.dictionary_decode() if pa.types.is_dictionary(parts.type) else parts
    is_text = pa.types.is_string(parts.type) or pa.types.is_large_string(parts.type)
    chosen_N = pa.compute.fill_null(pa.compute.equal(parts, split), False) if is_text else pa.repeat(False, len(table))
    chosen = table.filter(chosen_N)
    if len(table) and not len(chosen):
        there = ", ".join(sorted({str(each) for each in parts.unique().to_pylist()})) if is_text else f"values of type {parts.type}"
        raise data_error(
            Place(run / PREDICTIONS, column=schema.SPLIT), found=there, expected=f"{split} in some rows", fix="name the part of each row"
        )
    known = table.select([name for name in table.column_names if name in (*KEYS, schema.SPLIT)])
    return chosen, known.filter(pa.compute.invert(chosen_N))


def _compared(
    pipeline: Pipeline,
    scored: Iterable[tuple[str, pa.Table]],
    judged: Sequence[Judged],
    split: str,
    *,
    all_judged: bool,
    console: Console,
) -> pa.Table:
    """Return and say the comparison. Unless `all_judged`, of the metrics within lists and within users one is kept."""
    options = pipeline.evaluate
    paired = evaluation.paired(scored, pipeline.objective, judged, split=split, bootstrap=options.bootstrap, seed=pipeline.seed)
    rows = evaluation.comparison(paired if all_judged else evaluation.one_within(paired), split=split, confidence=options.confidence)
    report.terminal_matrix(f"{pipeline.name}: {split} days", report.comparison_matrix(rows), console)
    for line in report.comparison_words(rows, options.confidence):
        console.result(line)
    console.give({"pipeline": pipeline.name, "split": split, "rows": rows.to_pylist()})
    return rows


def _write_page(out: Path, rows: pa.Table, pipeline: Pipeline, facts: Mapping[str, str], inputs: Sequence[Any], console: Console) -> None:
    page = out if out.suffix == ".html" else out / COMPARISON_FILE
    confidence = pipeline.evaluate.confidence
    report.write_comparison(page, rows, pipeline.name, facts, confidence=confidence, fingerprint=artifacts.fingerprint(list(inputs)))
    console.say(f"comparison: {page}")


def _facts(runs: Sequence[Path], pipeline: Pipeline, split: str) -> dict[str, str]:
    return {
        "Runs": ", ".join(run.name for run in runs),
        "Compared with": runs[0].name,
        "Judged on": pipeline.split.said(split),
        "Intervals": f"{percent(pipeline.evaluate.confidence)}, {pipeline.evaluate.bootstrap:,} bootstrap replicates over the same users",
    }
