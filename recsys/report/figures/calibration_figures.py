"""Curves of mean prediction against mean label, before and after calibration where there was one."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys.evaluation import Scores, Target, calibration_curve, targets
from recsys.objectives import Objective
from recsys.report.figures.figure import GREY, Figure, figure, named, records, sentence, values, whiskers
from recsys.report.tables.cells import grid

SUMMARIES = {"Σp/Σy": "calibration", "ECE": "ece"}  # name in a figure's title → metric
BEFORE, AFTER = "before", "after"


def curves(
    scores: Scores,
    before: Scores | None,
    at_N: NDArray[np.bool_],
    objectives: Sequence[Objective],
    table: pd.DataFrame,
    *,
    confidence: float,
) -> list[Figure]:
    """Draw one figure per objective or conditional form that has a label on rows `at_N`.

    A figure shows mean prediction against mean label in bins of equal mass. `before` are the scores of the same rows before calibration, if
    there was one. They give a grey curve in the same bins, so that a map moves its points only sideways; there is none where no map changed
    an objective. `table` holds the metrics of these rows: Σp/Σy and ECE stand in the title.
    """
    figures = []
    for target in targets(objectives):
        label_N = scores.label[target.name][at_N]
        now_N, by_N = (of.predicted[target.name].expected_N[at_N] for of in (scores, scores if before is None else before))
        each = {AFTER: now_N, **({} if np.array_equal(now_N, by_N) else {BEFORE: by_N})}
        curve = pd.concat(
            [calibration_curve(label_N, of_N, confidence=confidence, by=by_N).assign(when=when) for when, of_N in each.items()],
            ignore_index=True,
        )
        if len(curve):
            figures.append(_figure(target, curve, table[table["objective"] == target.name]))
    return figures


def _figure(target: Target, curve: pd.DataFrame, table: pd.DataFrame) -> Figure:
    objective, name = target.objective, target.name
    kind = "probability" if objective.is_probability else "value in the label's own unit"
    curve = curve.assign(low=curve["low"].clip(lower=0)) if objective.is_probability else curve
    ends = [float(curve[["mean_predicted", "mean_observed"]].min().min()), float(curve[["mean_predicted", "mean_observed"]].max().max())]
    tooltip = {"mean_predicted:Q": "predicted", "mean_observed:Q": "observed", "low:Q": "low", "high:Q": "high", "n:Q": "rows"}
    base = alt.Chart(records(curve, "mean_predicted", "mean_observed", "low", "high", "n", "when")).encode(
        x=alt.X("mean_predicted:Q", title=f"mean predicted {kind}", scale=alt.Scale(zero=False)), tooltip=named(tooltip)
    )
    if (curve["when"] == BEFORE).any():
        legend = alt.Legend(orient="top")
        scale = alt.Scale(domain=[BEFORE, AFTER], range=[GREY, "#4c78a8"])
        base = base.encode(color=alt.Color("when:N", title="calibration", scale=scale, legend=legend))
    y = alt.Y("mean_observed:Q", title="mean label", scale=alt.Scale(zero=False))
    chart = alt.layer(
        alt.Chart(values([{"end": end} for end in ends])).mark_line(strokeDash=[4, 3], color=GREY).encode(x="end:Q", y="end:Q"),
        *whiskers(base, curve, "low", "high", upright=True, strokeWidth=1.5, opacity=0.6),
        base.mark_line(point=True).encode(y=y),
    )
    said = [f"{summary} {line.value}" for summary, metric in SUMMARIES.items() for line in grid(table[table["metric"] == metric]).lines]
    return figure(f"{name}: {', '.join(said) or 'predicted and observed'}", _text(name, curve), chart, height=230)


def _text(name: str, curve: pd.DataFrame) -> str:
    is_before = curve["when"] == BEFORE
    parts = [f"predicted {row.mean_predicted:.3g}, observed {row.mean_observed:.3g}" for row in curve[~is_before].itertuples()]
    start = f"Calibration of {name}; on the dashed line the prediction is right on average"
    if not is_before.any():
        return sentence(start, parts)
    before = [f"predicted {row.mean_predicted:.3g}, observed {row.mean_observed:.3g}" for row in curve[is_before].itertuples()]
    return f"{sentence(start, parts)} {sentence('Before calibration', before)}"
