"""[fuse]: the aim for which fusion weights are tuned."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from recsys.config.forms import CHANGE
from recsys.list_metrics import ListMetric
from recsys.options import Options

ALL_OTHERS = "*"  # in `constraints`


def _is_list_metric(name: str) -> str:
    ListMetric.parse(name)
    return name


ListMetricName = Annotated[str, AfterValidator(_is_list_metric)]


class Fuse(Options):
    """The aim for which `recsys fuse` tunes the fusion weights.

    `constraints` give the least change of an objective's metric, relative to the run's present weights. The change counts in the
    direction that is better for the objective: "-1%" may lose one percent, "+2%" must gain two. "*" stands for all other
    objectives but the one maximised.
    """

    maximise: str | None = Field(
        default=None,
        description="Objective to capture the most of (if lower labels are better: the least); without it: `--maximise` names it.",
    )
    metric: ListMetricName = Field(default="captured@10%", description="Metric of the fused order that is maximised and constrained.")
    constraints: dict[str, Annotated[str, Field(pattern=CHANGE)]] = Field(
        default_factory=dict, description="Least relative change of the metric, by objective; `*`: of all others but the one maximised."
    )

    def least_changes(self, names: Sequence[str]) -> dict[str, float]:
        """Return objective → least relative change, for each of `names` that has one."""
        named = {name: float(text.removesuffix("%")) / 100 for name, text in self.constraints.items()}
        everyone = {} if ALL_OTHERS not in named else {name: named[ALL_OTHERS] for name in names if name != self.maximise}
        return {name: change for name, change in (everyone | named).items() if name != ALL_OTHERS}
