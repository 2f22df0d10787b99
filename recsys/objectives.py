"""What one ranking model is asked to predict."""

import re
from typing import Literal

from pydantic import Field, field_validator

from recsys import schema
from recsys.options import Options

Kind = Literal["binary", "regression", "watch_time"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Objective(Options):
    """One objective of a feed: a label on impressions, the loss that fits its kind, and its place in the fused score.

    `kind`: "binary" (a probability, cross-entropy), "regression" (squared loss on the label standardised over training
    days) or "watch_time" (a non-negative duration, learned as log(1 + y) and returned as an expected value in the
    label's own unit).
    `label` and `observed` are scalar SQL expressions over the log's own columns and the feedback columns. Where
    `observed` is not true the label is null: out of the loss and out of the metrics.
    `better` is the direction of the *label*: "lower" for what a feed wants less of (a dismissal).
    """

    name: str
    kind: Kind = "binary"
    group: Literal["engagement", "satisfaction"] = "engagement"
    label: str
    observed: str | None = None
    better: Literal["higher", "lower"] = "higher"
    loss_weight: float = Field(default=1.0, ge=0)
    fusion_weight: float = Field(default=1.0, ge=0)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a name starts with a letter and holds letters, digits and _ only")
        return name

    @property
    def is_probability(self) -> bool:
        return self.kind == "binary"

    @property
    def sees_position(self) -> bool:
        """Whether the position-bias tower adds to this objective's output (Zhao et al. 2019, Fig. 1: engagement only)."""
        return self.group == schema.ENGAGEMENT
