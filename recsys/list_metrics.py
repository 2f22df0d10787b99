"""The names of the metrics of the fused order, such as captured@10%: no other module parses or forms one."""

import re
from dataclasses import dataclass
from typing import Literal

FORM = "captured@P%, captured@K or ndcg@K such as captured@10%"

_OVERALL = re.compile(r"captured@(\d+(?:\.\d+)?(?:e-\d+)?)%")  # a small percentage is written as 1e-05
_IN_LISTS = re.compile(r"(captured|ndcg)@(\d+)")


@dataclass(frozen=True)
class ListMetric:
    """A metric of the fused order: of the first `k` of each list, or (`captured` alone) of the first `percent` of all impressions."""

    kind: Literal["captured", "ndcg"]
    k: int | None = None
    percent: float | None = None

    def __str__(self) -> str:
        if self.percent is None:
            return f"{self.kind}@{self.k}"
        return f"{self.kind}@{float(self.percent)!r}%".replace(".0%", "%")  # with all digits: each percentage has a name of its own

    @classmethod
    def parse(cls, name: str) -> "ListMetric":
        """Return the metric that a name stands for. Raises ValueError for any other text."""
        if (overall := _OVERALL.fullmatch(name)) and 0 < float(overall[1]) < 100:
            return cls("captured", percent=float(overall[1]))
        if (in_lists := _IN_LISTS.fullmatch(name)) and int(in_lists[2]) > 0:
            return cls("ndcg" if in_lists[1] == "ndcg" else "captured", k=int(in_lists[2]))
        raise ValueError(f'found "{name}", expected {FORM}')


def is_list_metric(name: str) -> bool:
    """Return whether the metric of this name, which may be any metric, judges the fused order."""
    try:
        ListMetric.parse(name)
    except ValueError:
        return False
    return True


def is_captured(name: str) -> bool:
    """Return whether the metric of this name, which may be any metric, is captured@P% or captured@K."""
    return is_list_metric(name) and ListMetric.parse(name).kind == "captured"
