"""Figures of a sweep: every two numbers as a plane with the front in it, and each number by point and seed."""

from collections.abc import Sequence
from itertools import combinations

import altair as alt
import numpy as np
import pandas as pd

from recsys import schema
from recsys.evaluation import non_dominated
from recsys.report.figures.figure import GREY, Figure, figure, legend_of, named, records, sentence, whiskers

MAX_PLANES = 6
MAX_NAMES = 8  # most names beside points: of all points, or else of those on the front; more would hide each other
VERDICTS = (schema.FRONT, schema.NOISE, schema.DOMINATED, schema.UNTOLD)
SHAPES = ("circle", "diamond", "cross", "square")


def number_name(objective: str, metric: str) -> str:
    return f"{objective} ({metric})"


def planes(points: pd.DataFrame) -> list[Figure]:
    """Draw one plane per pair of numbers; of more than six pairs, those whose two numbers order the points least alike.

    `points` has one row per point and number: point, verdict, number, better, value, and relative_value, relative_low, relative_high.
    """
    numbers = list(dict.fromkeys(points["number"]))
    pairs = sorted(combinations(numbers, 2), key=lambda pair: _agreement(points, *pair))[:MAX_PLANES]
    return [_plane(points, *pair) for pair in combinations(numbers, 2) if pair in pairs]


def by_seed(points: pd.DataFrame, runs: pd.DataFrame) -> list[Figure]:
    """Draw one figure per number: the mean of each point with its interval, and the value of each seed.

    `runs` has point, number, seed, value.
    """
    return [_by_seed(str(number), of, runs[runs["number"] == number]) for number, of in points.groupby("number", sort=False)]


def _agreement(points: pd.DataFrame, x: str, y: str) -> float:
    """Return the rank correlation of two numbers over the points, both turned so that higher is better. 1 where it is undefined."""
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
    table = table.assign(label=_labels(table), goes_right=_goes_right(table, lower), goes_down=_goes_down(table, lower))
    axes = {
        "x": alt.X("value_x:Q", title=f"{x}{' ←' if lower[0] else ''}", scale=alt.Scale(zero=False, reverse=lower[0])),
        "y": alt.Y("value_y:Q", title=f"{y}{' ↓' if lower[1] else ''}", scale=alt.Scale(zero=False, reverse=lower[1])),
    }
    said = {"point:N": "point", "verdict:N": "verdict", "value_x:Q": x, "value_y:Q": y}
    base = alt.Chart(records(table, *table.columns)).encode(color=_colour(table["verdict"]), tooltip=named(said))
    crosses = [
        *whiskers(base.encode(y=axes["y"]), table, "low_x", "high_x", opacity=0.45),
        *whiskers(base.encode(x=axes["x"]), table, "low_y", "high_y", upright=True, opacity=0.45),
    ]
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(**axes, shape=_shape(table["verdict"]))
    side, across_px, down_px = (
        alt.ExprRef(f"datum.{which}") for which in ("goes_right ? 'left' : 'right'", "goes_right ? 7 : -7", "goes_down ? 10 : -7")
    )
    names = base.mark_text(align=side, dx=across_px, dy=down_px, fontSize=11, limit=150).encode(**axes, text="label:N")
    title = f"{x} and {y}: up and right is better in both"
    text = sentence(title, (f"{row.point} {row.value_x:.4f}, {row.value_y:.4f}, {row.verdict}" for row in table.itertuples()))
    return figure(title, text, alt.layer(_stairs(table, lower, axes), *crosses, marks, names), height=280)


def _labels(table: pd.DataFrame) -> pd.Series:
    """Return the names of all points while there is room for all, else of those on the front, else none."""
    is_named = (table["verdict"] == schema.FRONT) | (len(table) <= MAX_NAMES)
    return table["point"].where(is_named & (is_named.sum() <= MAX_NAMES), "")


def _goes_right(table: pd.DataFrame, lower: Sequence[bool]) -> pd.Series:
    """Return whether a point's name stands to its right. It does in the left half of the plane, so that no name is cut at an edge."""
    middle = (table["low_x"].fillna(table["value_x"]).min() + table["high_x"].fillna(table["value_x"]).max()) / 2
    is_left: pd.Series = (table["value_x"] > middle) if lower[0] else (table["value_x"] <= middle)
    return is_left


def _goes_down(table: pd.DataFrame, lower: Sequence[bool]) -> list[bool]:
    """Return whether a point's name stands below it.

    It does where the point's nearest neighbour in the plane stands above, so that the two names keep apart.
    """
    at_P2 = np.column_stack(
        [
            table[f"value_{axis}"].to_numpy()
            * (-1 if is_lower else 1)
            / ((table[f"high_{axis}"].max() - table[f"low_{axis}"].min()) or 1.0)
            for axis, is_lower in zip("xy", lower, strict=True)
        ]
    )
    apart_PP = np.linalg.norm(at_P2[:, None] - at_P2[None], axis=2)
    np.fill_diagonal(apart_PP, np.inf)
    return [bool(at_P2[nearest, 1] > at_P2[place, 1]) for place, nearest in enumerate(apart_PP.argmin(axis=1))]


def _crossed(side: pd.DataFrame) -> pd.DataFrame:
    """Return a number with the bounds of its difference to the mean of all points, added to that mean."""
    mean = side["value"] - side["relative_value"]
    return pd.DataFrame({"value": side["value"], "low": mean + side["relative_low"], "high": mean + side["relative_high"]})


def _stairs(table: pd.DataFrame, lower: Sequence[bool], axes: dict[str, alt.X | alt.Y]) -> alt.Chart:
    """Draw the edge of the area in which both numbers are worse than those of some point.

    The point's other numbers do not matter.
    """
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
        y=alt.Y("point:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)), color=_colour(points["verdict"])
    )
    x = alt.X("value:Q", title=number, scale=alt.Scale(zero=False))
    seeds = (
        alt.Chart(records(runs, "point", "seed", "value"))
        .mark_tick(thickness=1.5, size=11, color=GREY)
        .encode(x=x, y=alt.Y("point:N", sort=None), tooltip=named({"point:N": "point", "seed:O": "seed", "value:Q": number}))
    )
    said = named({"point:N": "point", "value:Q": number, "low:Q": "low", "high:Q": "high"})
    layers = [
        *whiskers(base, points, "low", "high", strokeWidth=2),
        *([seeds] if runs["seed"].nunique() > 1 else []),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, shape=_shape(points["verdict"]), tooltip=said),
    ]
    title = f"{number} by point" + ("; grey: each seed" if runs["seed"].nunique() > 1 else "")
    text = sentence(title, (f"{row.point} {row.value:.4f}" for row in points.itertuples()))
    return figure(title, text, alt.layer(*layers), height=max(120, 22 * points["point"].nunique() + 20))


def _colour(verdicts: pd.Series) -> alt.Color:
    return alt.Color("verdict:N", title=None, scale=alt.Scale(domain=list(VERDICTS)), legend=_legend(verdicts))


def _shape(verdicts: pd.Series) -> alt.Shape:
    return alt.Shape("verdict:N", title=None, scale=alt.Scale(domain=list(VERDICTS), range=list(SHAPES)), legend=_legend(verdicts))


def _legend(verdicts: pd.Series) -> alt.Legend:
    """Return the legend of the verdicts that occur, narrow enough for a phone. Each verdict keeps its colour and shape in every figure."""
    there = [verdict for verdict in VERDICTS if verdict in set(verdicts)]
    return legend_of(there, values=there)
