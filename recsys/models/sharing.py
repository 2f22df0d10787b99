"""What every way of sharing promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from recsys.objectives import Objective


@dataclass(frozen=True)
class Shared:
    """What a way of sharing gives to the rest. B rows, K objectives, H width."""

    outputs_BKH: Tensor  # inputs of the towers
    shared: Tensor | None = None  # what all objectives read, on which balancing may act; None where nothing is shared
    penalty: Tensor | None = None  # added to the loss; None: nothing
    show: dict[str, Tensor] = field(default_factory=dict)  # worth showing in a report; detached


class Sharing(nn.Module, ABC):
    """[B, T, D] inputs, one of each of T embedding tables, → [B, K, d_out] for the towers, in the objectives' order."""

    d_out: int

    @abstractmethod
    def __init__(self, options: Any, d_in: int, objectives: Sequence[Objective]) -> None:
        """`options`: the way's own table of options."""
        super().__init__()

    @classmethod
    def num_tables(cls, num_objectives: int) -> int:
        """T: one embedding table for all. Where objectives own tables, the last K of the T are theirs."""
        return 1

    @abstractmethod
    def forward(self, inputs_BTD: Tensor) -> Shared: ...
