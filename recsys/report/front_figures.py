"""Figures of a sweep: every two numbers as a plane with the front in it, and each number by point and seed."""

from collections.abc import Sequence
from itertools import combinations

import altair as alt
import numpy as np
import pandas as pd

from recsys import schema
from recsys.evaluation import non_dominated
from recsys.report.figure import GREY, Figure, figure, named, records, sentence

MAX_PLANES = 6
MAX_NAMES = 8  # of points on the front, written beside them; more would hide each other
VERDICTS = (schema.FRONT, schema.NOISE, schema.DOMINATED)
SHAPES = ("circle", "diamond", "cross")


def number_name(objective: str, metric: str) -> str:
    return f"{objective} ({metric})"


def planes(points: pd.DataFrame) -> list[Figure]:
    """One a pair of numbers; of more than six pairs those in which points that are better by one are least often so by the other.

    `points` has a row a point and number: point, verdict, number, better, value, and relative_value, relative_low, relative_high.
    """
    numbers = list(dict.fromkeys(points["number"]))
    pairs = sorted(combinations(numbers, 2), key=lambda pair: _agreement(points, *pair))[:MAX_PLANES]
    return [_plane(points, *pair) for pair in combinations(numbers, 2) if pair in pairs]


def by_seed(points: pd.DataFrame, runs: pd.DataFrame) -> list[Figure]:
    """One a number: the mean of each point with its interval, and the value of each seed. `runs` has point, number, seed, value."""
    return [_by_seed(str(number), of, runs[runs["number"] == number]) for number, of in points.groupby("number", sort=False)]


def _agreement(points: pd.DataFrame, x: str, y: str) -> float:
    """Rank correlation over the points, oriented; 1 where it cannot be told."""
    wide = points.pivot(index="point", columns="number", values="value")[[x, y]].rank()
    sign = np.prod([-1.0 if points.loc[points["number"] == each, "better"].iloc[0] == schema.LOWER else 1.0 for each in (x, y)])
    deviation = wide - wide.mean()
    spread = float(np.sqrt((deviation[x] ** 2).sum() * (deviation[y] ** 2).sum()))
    return float(sign * (deviation[x] * deviation[y]).sum() / spread) if spread else 1.0


def _plane(points: pd.DataFrame, x: str, y: str) -> Figure:
    sides = [points[points["number"] == each].set_index("point") for each in (x, y)]
    across, up = (_crossed(side).add_suffix(suffix) for side, suffix in zip(sides, ("_x", "_y"), strict=True))
    table = sides[0][["verdict"]].join(across).join(up).reset_index()
    lower = [side["better"].iloc[0] == schema.LOWER for side in sides]
    shown = table["point"].where((table["verdict"] == schema.FRONT) & ((table["verdict"] == schema.FRONT).sum() <= MAX_NAMES), "")
    table = table.assign(label=shown)
    axes = {
        "x": alt.X("value_x:Q", title=f"{x}{' ←' if lower[0] else ''}", scale=alt.Scale(zero=False, reverse=lower[0])),
        "y": alt.Y("value_y:Q", title=f"{y}{' ↓' if lower[1] else ''}", scale=alt.Scale(zero=False, reverse=lower[1])),
    }
    said = {"point:N": "point", "verdict:N": "verdict", "value_x:Q": x, "value_y:Q": y}
    base = alt.Chart(records(table, *table.columns)).encode(color=_colour(), tooltip=named(said))
    crosses = [
        base.mark_rule(opacity=0.45).encode(x=alt.X("low_x:Q"), x2="high_x:Q", y=axes["y"]),
        base.mark_rule(opacity=0.45).encode(x=axes["x"], y=alt.Y("low_y:Q"), y2="high_y:Q"),
    ]
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(**axes, shape=_shape())
    names = base.mark_text(align="left", dx=7, dy=-7, fontSize=11, limit=150).encode(**axes, text="label:N")
    title = f"{x} and {y}: up and right is better in both"
    text = sentence(title, (f"{row.point} {row.value_x:.4f}, {row.value_y:.4f}, {row.verdict}" for row in table.itertuples()))
    return figure(title, text, alt.layer(_stairs(table, lower, axes), *crosses, marks, names), height=280)


def _crossed(side: pd.DataFrame) -> pd.DataFrame:
    """A number with the bounds of its difference to the mean of all points, from that mean on."""
    mean = side["value"] - side["relative_value"]
    return pd.DataFrame({"value": side["value"], "low": mean + side["relative_low"], "high": mean + side["relative_high"]})


def _stairs(table: pd.DataFrame, lower: Sequence[bool], axes: dict[str, alt.X | alt.Y]) -> alt.Chart:
    """The edge of what is worse by both numbers than some point, whatever its other numbers."""
    sign = np.where(lower, -1.0, 1.0)
    oriented = table[["value_x", "value_y"]].to_numpy() * sign
    edge = table[["value_x", "value_y"]].iloc[np.flatnonzero(non_dominated(oriented))]
    edge = edge.iloc[np.argsort(edge["value_x"].to_numpy() * sign[0], kind="stable")].assign(place=range(len(edge)))
    line = alt.Chart(records(edge, "value_x", "value_y", "place")).mark_line(
        interpolate="step-before", strokeDash=[4, 3], color=GREY, strokeWidth=1.5
    )
    return line.encode(**axes, order="place:Q")


def _by_seed(number: str, points: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    base = alt.Chart(records(points, "point", "verdict", "value", "low", "high")).encode(
        y=alt.Y("point:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)), color=_colour()
    )
    x = alt.X("value:Q", title=number, scale=alt.Scale(zero=False))
    seeds = (
        alt.Chart(records(runs, "point", "seed", "value"))
        .mark_tick(thickness=1.5, size=11, color=GREY)
        .encode(x=x, y=alt.Y("point:N", sort=None), tooltip=named({"point:N": "point", "seed:O": "seed", "value:Q": number}))
    )
    said = named({"point:N": "point", "value:Q": number, "low:Q": "low", "high:Q": "high"})
    layers = [
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        seeds,
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, shape=_shape(), tooltip=said),
    ]
    title = f"{number} by point; grey: each seed"
    text = sentence(title, (f"{row.point} {row.value:.4f}" for row in points.itertuples()))
    return figure(title, text, alt.layer(*layers), height=max(120, 22 * points["point"].nunique() + 20))


def _colour() -> alt.Color:
    return alt.Color("verdict:N", title=None, scale=alt.Scale(domain=list(VERDICTS)), legend=alt.Legend(orient="top"))


def _shape() -> alt.Shape:
    return alt.Shape("verdict:N", title=None, scale=alt.Scale(domain=list(VERDICTS), range=list(SHAPES)), legend=alt.Legend(orient="top"))
