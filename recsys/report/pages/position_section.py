"""The observed rate at each position, as examined × relevant, beside the position bias that the bias tower learned."""

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.config import Pipeline
from recsys.evaluation import MIN_USERS, Scores, position_bins, position_curve
from recsys.evaluation.inputs.groups import codes
from recsys.evaluation.inputs.prediction_columns import ids
from recsys.evaluation.inputs.scores import Predicted
from recsys.objectives import Objective
from recsys.report.figures.figure import Figure, figure, named, records, sentence, whiskers
from recsys.report.figures.model_figures import position_bias
from recsys.report.pages.section import Section, number_of
from recsys.report.tables.cells import cell_of
from recsys.report.tables.frame import SPLIT_ORDER
from recsys.report.training_log import Inside

OBSERVED, SHOWN, RELEVANT = "observed", "predicted, as shown", "predicted, position missing"
FROM_LOG, FROM_MODEL = "observed / relevance", "predicted / relevance"


def section(model: Inside | None, predictions: pa.Table, scores: Scores, pipeline: Pipeline) -> Section:
    """Return the section on the latest split in the predictions. `scores` are those of `predictions`."""
    observed = _observed(predictions, scores, pipeline) if schema.POSITION in predictions.column_names else []
    learned = position_bias(model) if model is not None else []
    about = []
    if observed:
        about.append(
            "The observed rate at a position is the share that is examined there times the relevance. Relevance is what the model predicts"
            " with the position missing, known only up to a constant factor, so examination is relative to the first position. Where a"
            " feed shows an item in the same place every time, the model cannot tell the two apart, and neither curve can be relied on."
            f" Intervals resample users; a position that fewer than {MIN_USERS} effective users saw has none."
        )
    if learned:
        about.append(
            "Position bias: what a position on a device adds to the model's output (of a probability: to its logit). The last position"
            " stands for all behind it. Dashed: the learned value of a missing position, with which lists are ranked."
        )
    if not about:
        return Section("bias", "Position", nothing="The log has no position, or no objective depends on it.")
    gist = "what is seen at each position"
    if learned:
        gist += f"; a bias learned for {number_of(len(learned), 'objective')}"
    return Section("bias", "Position", " ".join(about), gist=gist, figures=[*observed, *learned])


def _observed(predictions: pa.Table, scores: Scores, pipeline: Pipeline) -> list[Figure]:
    """Draw one or two figures per objective that sees the position, or whose prediction depends on the position."""
    split = next(name for name in SPLIT_ORDER if pc.any(pc.equal(predictions[schema.SPLIT], name)).as_py())
    at_N = pc.equal(predictions[schema.SPLIT], split).to_numpy()
    code_N, names = position_bins(predictions, scores.run)
    user_N, _ = codes(ids(predictions, schema.USER_ID, scores.run))
    figures = []
    for objective in pipeline.objective:
        predicted = scores.predicted[objective.name]
        by_position = _sees_position(predicted)
        if not objective.sees_position and not by_position:
            continue
        curve = position_curve(
            scores.label[objective.name][at_N],
            predicted.expected_N[at_N],
            predicted.ranking_N[at_N],
            (code_N[at_N], names),
            user_N[at_N],
            bootstrap=pipeline.evaluate.bootstrap,
            confidence=pipeline.evaluate.confidence,
            seed=pipeline.seed,
        )
        if len(curve) > 1:
            figures.append(_rates(objective, curve, by_position=by_position))
            if curve["examined"].notna().any():  # nothing can be relative to a first position at which nothing happened
                figures.append(_examined(objective, curve, by_position=by_position))
    return figures


def _sees_position(predicted: Predicted) -> bool:
    return predicted.ranking_N is not predicted.expected_N and not np.array_equal(predicted.ranking_N, predicted.expected_N)


def _rates(objective: Objective, curve: pd.DataFrame, *, by_position: bool) -> Figure:
    """Draw the observed rate with its interval, and the model's predictions as shown and with the position missing."""
    series = [_series(curve, OBSERVED, "observed", "low", "high")]
    series += [_series(curve, SHOWN, "shown")] if by_position else []
    series.append(_series(curve, RELEVANT, "relevant"))
    first, last = curve.iloc[0], curve.iloc[-1]
    what = "rate" if objective.is_probability else "mean"
    title = (
        f"{objective.name}: observed {what} {cell_of(first.observed, first.low, first.high).text} at position {first.position},"
        f" {cell_of(last.observed, last.low, last.high).text} at {last.position}"
    )
    parts = (f"position {row.position}: {row.observed:.3g} of {row.n:,}, predicted {row.shown:.3g}" for row in curve.itertuples())
    return _lines(title, sentence(f"Observed {what} of {objective.name} by position", parts), pd.concat(series), what)


def _examined(objective: Objective, curve: pd.DataFrame, *, by_position: bool) -> Figure:
    """Draw what each position gets at equal relevance, relative to the first position: by the log, and by the model."""
    series = [_series(curve, FROM_LOG, "examined", "examined_low", "examined_high")]
    series += [_series(curve, FROM_MODEL, "model_examined")] if by_position else []
    first, last = curve.iloc[0], curve.iloc[-1]
    title = (
        f"{objective.name}: at equal relevance, position {last.position} gets"
        f" {cell_of(last.examined, last.examined_low, last.examined_high)} of what position {first.position} gets"
    )
    parts = (f"position {row.position}: {row.examined:.3g}, by the model {row.model_examined:.3g}" for row in curve.itertuples())
    text = sentence(f"{objective.name} at equal relevance, relative to position {first.position}", parts)
    return _lines(title, text, pd.concat(series), f"examined, relative to position {first.position}")


def _series(curve: pd.DataFrame, name: str, value: str, low: str | None = None, high: str | None = None) -> pd.DataFrame:
    bounds = {"low": curve[low] if low else None, "high": curve[high] if high else None}
    return pd.DataFrame({"position": curve["position"], "series": name, "value": curve[value], **bounds, "n": curve["n"]})


def _lines(title: str, text: str, rows: pd.DataFrame, axis: str) -> Figure:
    finite = rows[np.isfinite(rows["value"])]
    base = alt.Chart(records(finite, "position", "series", "value", "low", "high", "n")).encode(
        x=alt.X("position:O", title="position", sort=None, axis=alt.Axis(labelAngle=0)),
        color=alt.Color("series:N", title=None, sort=None, legend=alt.Legend(orient="top", columns=1, labelLimit=260)),
        tooltip=named({"series:N": "what", "position:O": "position", "value:Q": "value", "low:Q": "low", "high:Q": "high", "n:Q": "rows"}),
    )
    chart = alt.layer(
        *whiskers(base, finite, "low", "high", upright=True, strokeWidth=2, opacity=0.7),
        base.mark_line(point=True).encode(y=alt.Y("value:Q", title=axis)),
    )
    return figure(title, text, chart, height=230)
