"""Trade-offs: every objective's captured share under other fusion weights, computed in the page while a reader moves the weights.

The page gets a sample's terms, labels and lists. It computes the same as `evaluation.lists`, with additions in the same order. The points
behind the reader's point (random weights, the runs compared with) are computed here, on the same rows.

Shapes: N rows of the sample, K objectives, M mixes: sets of fusion weights.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.config import Pipeline
from recsys.evaluation import Metric, list_metric
from recsys.evaluation.fused_order import FusedRows, OrderMetric
from recsys.evaluation.inputs.rows import FloatArray
from recsys.evaluation.intervals.bootstrap import Undefined
from recsys.list_metrics import ListMetric
from recsys.objectives import Objective
from recsys.predictions import judged_beside
from recsys.report.pages.examples import Shown, shown_lists
from recsys.report.pages.page_sample import Sample, most_rows, same_rows, take_sample
from recsys.report.pages.section import Section, Widget, number_of
from recsys.report.pages.slider_range import travels
from recsys.report.tables.cells import grid
from recsys.report.tables.frame import short_names, whole
from recsys.report.templates import inline_json, render
from recsys.workspace import PREDICTIONS

MIXES = 300  # random sets of weights behind the reader's point
EVENNESS = 0.7  # of the Dirichlet distribution of these sets: below 1, some objectives count for much and others for little
UNKNOWN = 255  # the byte for an unknown binary label


@dataclass(frozen=True)
class Beside:
    """The data beside a run: the folders of the runs that it is compared with, and the folder of examples.

    The examples hold the items' features.
    """

    runs: Sequence[Path]
    examples: Path | None


def sections(run: str, predictions: pa.Table, table: pd.DataFrame, pipeline: Pipeline, beside: Beside) -> list[Section]:
    """Return the trade-offs of a run, and its example lists where there are some.

    `table` is the run's `frame`. Raises DataError where a row lacks a prediction, or another run scored other impressions.
    """
    objectives = pipeline.objective
    if len(objectives) < 2:
        return [_none("There is one objective: no weight changes its order.")]
    sample = take_sample(predictions, objectives, run, most=most_rows(objectives), seed=pipeline.seed)
    if not len(sample.rows):
        return [_none(f"Every list is longer than the {most_rows(objectives):,} rows that fit into a page.")]
    metrics, left_out = _split_by_sense(chosen_metrics(pipeline), sample.rows)
    if not metrics:
        return [_none(f"No objective has one of {', '.join(metric.name for metric in left_out)} on these days, or none is asked for.")]
    runs = {other.name: same_rows(sample, _predictions_of(other), objectives, other.name) for other in beside.runs}
    payload = data(sample, objectives, metrics, runs, seed=pipeline.seed)
    lists = shown_lists(sample, objectives, beside.examples, zone=pipeline.zone, seed=pipeline.seed)
    payload["metrics"] = [each | _known(table, sample, each["name"], objectives) for each in payload["metrics"]]
    payload["lists"] = [shown.as_json() for shown in lists]
    return [_tradeoffs(sample, payload, [*metrics, *left_out], pipeline), *_examples(lists, pipeline)]


def _predictions_of(run: Path) -> pa.Table:
    return artifacts.read_table(run / PREDICTIONS, judged_beside(artifacts.read_schema(run / PREDICTIONS).names))


def _none(why: str) -> Section:
    return Section("tradeoffs", "Trade-offs", nothing=why)


def chosen_metrics(pipeline: Pipeline) -> list[Metric]:
    """Return captured@P% for each P of the pipeline, then captured@K for each K."""
    overall = [ListMetric("captured", percent=percent) for percent in pipeline.evaluate.top_percent]
    return [list_metric(asked) for asked in (*overall, *(ListMetric("captured", k=k) for k in pipeline.evaluate.list_k))]


def _tradeoffs(sample: Sample, payload: dict[str, Any], metrics: Sequence[Metric], pipeline: Pipeline) -> Section:
    split = sample.split
    size = f"{len(sample.rows):,} {split} impressions"
    drawn = f"all {size}" if sample.is_whole else f"{size} of {sample.of_rows:,}: whole lists, drawn with seed {pipeline.seed}"
    about = (
        "The order is by Σ weight × log prediction. Move a weight, and see what every objective gains or loses."
        f" {_words(metrics, [each['name'] for each in payload['metrics']])} Computed in this page from {drawn}."
    )
    markup = render(
        "tradeoffs.html",
        metrics=[each["name"] for each in payload["metrics"]],
        groups={
            group: [(k, objective) for k, objective in enumerate(payload["objectives"]) if objective["group"] == group]
            for group in (schema.ENGAGEMENT, schema.SATISFACTION)
        },
        mixes=len(payload["mixes"]["weights"]),
        split=split,
        confidence=pipeline.evaluate.confidence,
        chance=f"{pipeline.evaluate.top_percent[0]:g}%" if pipeline.evaluate.top_percent else None,
        can_fuse=split == schema.TEST and schema.VALIDATION in pipeline.split.parts(),
    )
    widget = Widget(markup, "tradeoffs.css", ("tradeoffs.js", "plane.js", "share.js"), {"tradeoffs-data": inline_json(payload)})
    gist = f"{number_of(len(payload['objectives']), 'slider')}: the weights of the one order"
    return Section("tradeoffs", "Trade-offs", about, gist=gist, widget=widget)


def _split_by_sense(metrics: Sequence[Metric], rows: FusedRows) -> tuple[list[Metric], list[Metric]]:
    """Return the metrics that are defined for some objective on these rows, and those that are defined for none.

    For example, captured@10 is undefined where no list is longer than 10.
    """
    parts: tuple[list[Metric], list[Metric]] = ([], [])
    for metric in metrics:
        parts[None not in _reasons(rows, metric)].append(metric)
    return parts


def _known(table: pd.DataFrame, sample: Sample, metric: str, objectives: Sequence[Objective]) -> dict[str, list[Any]]:
    """Return each objective's metric under the run's own weights on all rows of the split, from metrics.parquet.

    It is given in words (`whole`) and as an interval.
    """
    of_metric = whole(table[(table["split"] == sample.split) & (table["metric"] == metric)])
    cells = {line.objective: line.value for line in grid(of_metric).lines if line.value.value is not None}
    found = [cells.get(objective.name) for objective in objectives]
    words = ["" if cell is None else f"on all {sample.of_rows:,} rows {cell.text} {cell.interval}" for cell in found]
    return {"whole": words, "intervals": [None if cell is None or cell.low is None else [cell.low, cell.high] for cell in found]}


def _words(metrics: Sequence[Metric], shown: Sequence[str]) -> str:
    """Return in words what the shown metrics are, and which metrics are defined for no objective."""
    percents, counts = ([name for name in shown if (ListMetric.parse(name).k is None) is overall] for overall in (True, False))
    parts = []
    if percents:
        of_all = "the share of all positives (of a value: of its sum) that is in that top part of all impressions"
        parts.append(f"{', '.join(percents)}: {of_all}.")
    if counts:
        of_list = "the share of a list's positives (of a value: of its sum) that is in its first K places, the mean over longer lists"
        parts.append(f"{', '.join(counts)}: {of_list}; K is the number behind the @.")
    if left_out := [metric.name for metric in metrics if metric.name not in shown]:
        parts.append(f"Not shown, because undefined for every objective: {', '.join(left_out)}.")
    return " ".join(parts)


def _examples(lists: Sequence[Shown], pipeline: Pipeline) -> list[Section]:
    if not lists:
        return []
    about = (
        f"Lists of {number_of(len(lists), 'user')} as they were shown, ordered again in three ways; drawn with seed {pipeline.seed}. Lists"
        " in which something wanted happened come first. What happened is from the log: an item that stood low had less of a chance to be"
        " seen, so no order can be judged by one list."
    )
    markup = render("examples.html")
    widget = Widget(markup, "examples.css", ("examples.js",))
    return [Section("lists", "Example lists", about, gist=f"{number_of(len(lists), 'user')}, three orders each", widget=widget)]


# --- What the page computes with ----------------------------------------------------------------------------------
def data(
    sample: Sample, objectives: Sequence[Objective], metrics: Sequence[Metric], runs: Mapping[str, FusedRows], *, seed: int
) -> dict[str, Any]:
    """Return everything that the page's script reads, except the lists. Arrays are base64, little-endian."""
    rows = sample.rows
    own_K = np.array([objective.fusion_weight for objective in objectives])
    spread_K = rows.spread()
    mixes_MK = mixes(own_K, spread_K, seed)
    judged = [OrderMetric(rows, metric) for metric in metrics]
    travel = travels(rows, judged[0], own_K)
    names = short_names(list(runs))
    return {
        "objectives": [
            {
                "name": objective.name,
                "group": objective.group,
                "better": objective.better,
                "weight": objective.fusion_weight,
                "spread": float(spread_K[k]),
                "unit": travel[k].unit,
                "last": travel[k].last,
                "toml": objective_toml(objective),
            }
            for k, objective in enumerate(objectives)
        ],
        "metrics": [{"name": metric.name, "reasons": _reasons(rows, metric)} for metric in metrics],
        "terms": [_packed(rows.terms_NK[:, k], "<f4") for k in range(len(objectives))],
        "labels": [_label(rows.labels_NK[:, k], objective) for k, objective in enumerate(objectives)],
        "list": _packed(rows.list_N, "<u2"),
        "own": [_short(each.values(rows.score(own_K))) for each in judged],
        "mixes": {
            "weights": mixes_MK.tolist(),
            "values": [[_short(each.values(rows.score(weights_K))) for weights_K in mixes_MK] for each in judged],
        },
        "runs": [
            {"name": names[name], "values": [_short(each.values(scored.score(own_K))) for each in judged]} for name, scored in runs.items()
        ],
    }


def mixes(own_K: FloatArray, spread_K: FloatArray, seed: int) -> FloatArray:
    """Return sets of weights [M, K] with three digits: each objective alone, then random ones.

    The weights of a set together pull on the order as strongly as the run's own weights. The pull of an objective is its weight times the
    spread (standard deviation) of its term.
    """
    size = len(own_K)
    pull_MK = np.concatenate([np.eye(size), np.random.default_rng(seed).dirichlet(np.full(size, EVENNESS), MIXES)])
    weights_MK = pull_MK * (float(own_K @ spread_K) or 1.0) / spread_K
    return np.array([[float(f"{weight:.3g}") for weight in weights_K] for weights_K in weights_MK])


def objective_toml(objective: Objective) -> str:
    """Return an objective's [[objective]] table with the options that differ from the defaults. The page adds the fusion weight."""
    said = objective.model_dump(exclude={"fusion_weight"}, exclude_defaults=True)
    return "".join(["[[objective]]\n", *(f"{key} = {_toml(value)}\n" for key, value in said.items())])


def _toml(value: str | float | tuple[float, ...]) -> str:
    """Return a value as TOML.

    Strings, numbers and arrays are written as in JSON, except that TOML wants a delete character escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _reasons(rows: FusedRows, metric: Metric) -> list[str | None]:
    """Return for each objective why its metric is undefined under any weights, None where it is defined."""
    estimates = [metric.estimate(rows.rows(k, np.zeros(len(rows)))) for k in range(rows.terms_NK.shape[1])]
    return [estimate.reason if isinstance(estimate, Undefined) else None for estimate in estimates]


def _label(label_N: FloatArray, objective: Objective) -> dict[str, str]:
    if objective.is_probability:
        return {"bytes": _packed(np.where(np.isnan(label_N), UNKNOWN, label_N), "u1")}
    return {"floats": _packed(label_N, "<f4")}


def _packed(values_N: np.ndarray[Any, Any], kind: str) -> str:
    return b64encode(values_N.astype(kind).tobytes()).decode()


def _short(values_K: FloatArray) -> list[float]:
    return [float(f"{value:.5g}") for value in values_K]
