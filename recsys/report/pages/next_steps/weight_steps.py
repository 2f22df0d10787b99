"""Steps that the fusion weights ask for."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

import pyarrow as pa

from recsys import fusion, schema
from recsys.evaluation import Scores
from recsys.evaluation.inputs.rows import FloatArray
from recsys.list_metrics import is_captured
from recsys.objectives import Objective
from recsys.predictions import fused_term
from recsys.report.pages.next_steps.data_steps import wide_differences, without_intervals
from recsys.report.pages.next_steps.seen import Seen, Step
from recsys.report.pages.what_was_run import is_of
from recsys.report.tables.cells import rounded_percent
from recsys.report.tables.frame import whole


def weights(seen: Seen) -> Iterator[Step]:
    """Say which objectives make the one order, and how other weights are found. A choice of weights is always due."""
    objectives = seen.pipeline.objective
    if not any(objective.fusion_weight for objective in objectives):
        yield Step("Give the one order a weight", "Every fusion_weight is 0, so impressions are ordered by chance.")
    pull = pulls(seen.predictions, seen.scores, objectives, seen.split)
    if len(pull) < 2 or not is_of(seen.predictions, schema.VALIDATION).any():
        return
    most, least = max(pull, key=lambda name: pull[name]), min(pull, key=lambda name: pull[name])
    command = _fuse(seen, pull)
    if ways := [*(["move the sliders"] if _has_sliders(seen) else []), *(["state an aim"] if command else [])]:
        why = f"In the one order {most} has {rounded_percent(pull[most])} of the pull, {least} {rounded_percent(pull[least])}."
        yield Step("Choose the trade-off", f"{why} {', or '.join(ways).capitalize()}.", command)


def _has_sliders(seen: Seen) -> bool:
    """Return whether the fused order captures anything that sliders could show."""
    of_split = whole(seen.table[seen.table["split"] == seen.split])
    return bool(of_split["value"][of_split["metric"].map(is_captured)].notna().any())


def _fuse(seen: Seen, pull: Mapping[str, float]) -> str | None:
    """Return the command that finds other weights: for the pipeline's own aim, else for an objective that pulls little but can be told.

    Constraints are on the others that validation days tell of: of labels that are all one answer any order captures as much. There is no
    command where these tell of none to maximise.
    """
    command = f"recsys fuse {quote(seen.run)}"
    if seen.pipeline.fuse.maximise is not None:
        return command
    pipeline, names = seen.pipeline, [objective.name for objective in seen.pipeline.objective]
    told = fusion.told(seen.fitted_to, pipeline.objective, pipeline.fuse.metric, run=seen.run) - seen.one_answers.keys()
    vague = {*wide_differences(seen.main), *without_intervals(seen.main)}
    ordered = {objective.name for objective in pipeline.objective if objective.better == schema.HIGHER} - vague
    if not (may_aim := ordered & told & pull.keys() or told & pull.keys()):
        return None
    aim = min(may_aim, key=lambda name: (pull[name], name))
    others = ["'*=-1%'"] if told == set(names) else [f"{name}=-1%" for name in names if name in told and name != aim]
    return " ".join([command, f"--maximise {aim}", *(f"--no-worse {other}" for other in others)])


def pulls(predictions: pa.Table, scores: Scores, objectives: Sequence[Objective], split: str) -> Mapping[str, float]:
    """Return objective → its share of the pull on the order, which is its weight times the standard deviation of its term.

    An objective of weight 0 has none.
    """
    in_split_N = is_of(predictions, split)
    found: dict[str, float] = {}
    for objective in objectives:
        term_N: FloatArray = fused_term(scores.predicted[objective.name].ranking_N[in_split_N], objective)
        found[objective.name] = objective.fusion_weight * float(term_N.std())
    total = sum(found.values())
    return {name: pull / total for name, pull in found.items() if pull > 0}
