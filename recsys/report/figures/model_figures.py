"""Figures of a training and of the position bias that it learned."""

from dataclasses import dataclass
from math import ceil

import altair as alt
import pandas as pd

from recsys.errors import fixed
from recsys.report.figures.figure import GREY, Figure, figure, named, records, sentence, steps
from recsys.report.training_log import Inside

CHOOSE = "choose"  # the phase before a refit; a refit starts afresh and has no rows to be judged on
KEPT = "kept"  # the event with the losses of the passes that were kept; these losses stand in the passes' own lines already
LEARNED = "train"  # the part of the rows that were learned; all other rows were predicted before anything was learned from them
CURVE_POINTS = 24  # points per member's training loss: the noise of single batches would hide the curve


@dataclass(frozen=True)
class Best:
    """The judged pass or day with an objective's least loss on rows not learned yet.

    The loss is the mean over members. A member that has stopped counts with its last loss: those that go on are not like the others.
    """

    objective: str
    unit: str  # "pass" or "day"
    at: str
    loss: float
    last: str
    last_loss: float

    @property
    def is_last(self) -> bool:
        return self.at == self.last

    def __str__(self) -> str:
        found = f"{self.objective} {'after' if self.unit == 'pass' else 'on'} {self.unit} {self.at} ({fixed(self.loss, 3)}"
        return (
            f"{found}, the last)"
            if self.is_last
            else f"{found}; {fixed(self.last_loss, 3)} {'after' if self.unit == 'pass' else 'on'} {self.last})"
        )


def best(curves: pd.DataFrame) -> list[Best]:
    """Return one `Best` per objective that was judged more than once before the refit, in the journal's order."""
    judged = curves[(curves["phase"] == CHOOSE) & (curves["part"] != LEARNED) & curves["loss"].notna()]
    unit = "pass" if (judged["event"] == "pass").any() else "day"
    found = []
    for objective, rows in judged[judged["event"] == unit].groupby("objective", sort=False):
        of_members = rows.pivot_table(index=unit, columns="member", values="loss").ffill()
        means = [(str(place), float(loss)) for place, loss in of_members.mean(axis=1).items()]
        if len(means) > 1:
            found.append(Best(str(objective), unit, *min(means, key=lambda mean: mean[1]), *means[-1]))
    return found


def learning_curves(curves: pd.DataFrame) -> list[Figure]:
    """Draw one figure per objective: each member's loss over steps, before the refit. A ring marks the least loss (`best`)."""
    shown = curves[(curves["phase"] == CHOOSE) & (curves["event"] != KEPT) & curves["loss"].notna()]
    places = {found.objective: found for found in best(curves)}
    return [_learning_curve(str(name), rows, places.get(str(name))) for name, rows in shown.groupby("objective", sort=False)]


def _smoothed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return training losses as means over groups of consecutive batches, each at the last step of its group.

    Judged rows stay as they are.
    """
    is_learned = rows["part"] == LEARNED
    learned = rows[is_learned]
    place = learned.groupby("member").cumcount()
    size = ceil((place.max() + 1) / CURVE_POINTS) if len(learned) else 1
    runs = learned.assign(run=place // size).groupby(["member", "run"], sort=False, as_index=False)
    means = runs.agg(step=("step", "last"), loss=("loss", "mean"), part=("part", "last"), day=("day", "last"))
    return pd.concat([means.assign(auc=None), rows[~is_learned]], ignore_index=True)


def _learning_curve(objective: str, rows: pd.DataFrame, where: Best | None) -> Figure:
    drawn = _smoothed(rows)
    base = alt.Chart(records(drawn, "step", "loss", "auc", "part", "member", "day")).encode(
        x=steps(),
        y=alt.Y("loss:Q", title="loss (1: the best constant)", scale=alt.Scale(zero=False)),
        color=alt.Color("part:N", title=None, legend=alt.Legend(orient="top")),
        detail="member:N",
        tooltip=named({"part:N": "rows", "member:N": "member", "step:Q": "step", "loss:Q": "loss", "auc:Q": "AUC", "day:O": "day"}),
    )
    learned, judged = alt.datum.part == LEARNED, alt.datum.part != LEARNED
    layers = [
        base.transform_filter(learned).mark_line(strokeWidth=1, opacity=0.7),
        base.transform_filter(judged).mark_line(point=True, strokeWidth=2),
    ]
    if where is not None:
        at = rows[(rows["event"] == where.unit) & (rows[where.unit].astype(str) == where.at) & (rows["part"] != LEARNED)]
        ring = alt.Chart(records(at, "step", "loss")).mark_point(size=170, strokeWidth=2, filled=False, color=GREY)
        layers.append(ring.encode(x="step:Q", y=alt.Y("loss:Q", scale=alt.Scale(zero=False))))
    of_member = drawn.sort_values("step", kind="stable").groupby(["part", "member"], sort=False)["loss"].last()
    last = of_member.groupby("part", sort=False).mean()
    parts = [f"{part} {loss:.4g}" for part, loss in last.items()]
    text = sentence(f"Loss of {objective} over training steps, at the end", [*parts, *([] if where is None else [f"best: {where}"])])
    ends = [f"{part} {fixed(loss, 3)}" for part, loss in last.items() if part != LEARNED]
    title = f"{objective}: " + (", ".join(ends) + " at the end" if ends else "loss over training steps")
    if where is not None:
        title += f", best {'after' if where.unit == 'pass' else 'on'} {where.unit} {where.at}"
    return figure(title, text, alt.layer(*layers))


def position_bias(inside: Inside) -> list[Figure]:
    """Draw one figure per objective that sees the position: what it learned to add to the output by position, one line per device.

    Without devices the one line is that of any. A dashed line shows what a missing position adds. The tower starts from zeros, so an
    objective with only zeros has learned nothing and is not drawn.
    """
    unnamed = "not known" if any(bias.device is not None for bias in inside.position_bias) else "any device"
    named_devices = [bias.model_dump() | {"device": unnamed if bias.device is None else str(bias.device)} for bias in inside.position_bias]
    rows = pd.DataFrame(named_devices, columns=["objective", "device", "position", "logit"])
    learned = rows[(rows["logit"] != 0).groupby(rows["objective"]).transform("any")]
    return [_position_bias(str(objective), of_objective) for objective, of_objective in learned.groupby("objective", sort=False)]


def _position_bias(objective: str, rows: pd.DataFrame) -> Figure:
    colour = alt.Color("device:N", title="device", sort=None, legend=alt.Legend(orient="top", columns=3))
    y = alt.Y("logit:Q", title="added to the output by the bias tower", scale=alt.Scale(zero=False))
    tooltip = named({"device:N": "device", "position:Q": "position", "logit:Q": "added"})
    known, missing = rows[rows["position"].notna()], rows[rows["position"].isna()]
    chart = alt.layer(
        alt.Chart(records(known, "device", "position", "logit"))
        .mark_line(point=True)
        .encode(x=alt.X("position:Q", title="position", axis=alt.Axis(tickMinStep=1, format="d")), y=y, color=colour, tooltip=tooltip),
        alt.Chart(records(missing, "device", "position", "logit")).mark_rule(strokeDash=[4, 3]).encode(y=y, color=colour, tooltip=tooltip),
    )
    parts = (
        f"{device} at {'a missing position' if pd.isna(position) else int(position)} {logit:+z.2f}"
        for device, position, logit in zip(rows["device"], rows["position"], rows["logit"], strict=True)
    )
    return figure(f"{objective}: learned position bias", sentence(f"Learned position bias of {objective}", parts), chart, height=230)
