"""What every way of sharing promises.

Shape letters: B rows, T tables, K objectives, D width of what is read, H width of what a tower gets, N whatever a look has.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from recsys.objectives import Objective


@dataclass(frozen=True)
class Setting:
    """What a way of sharing is built for."""

    d_in: int  # of what it reads: the shared hidden layer, or with `model.d_shared = 0` the inputs
    d_tower: int
    dropout: float
    objectives: tuple[Objective, ...]
    starts_K: Tensor  # each output of a fresh model: of a binary objective the logit of its base rate
    d_entity: int = 0  # widths of `Priors`
    d_context: int = 0
    d_inputs: int = 0  # of what lies below the shared hidden layer, for a way that changes it (`from_inputs`)

    @property
    def num_objectives(self) -> int:
        return len(self.objectives)


class Priors(NamedTuple):
    """Parts of the inputs that a way of sharing may ask for by themselves (`reads_priors`)."""

    entity_BP: Tensor  # features of the user, the item and its author, and their ids where `features.ids` names them
    context_BC: Tensor  # features of the context


@dataclass(frozen=True)
class Look:
    """A matrix worth showing: a row an objective; the mean over the rows of the batch where it depends on them. Detached."""

    values_KN: Tensor
    columns: tuple[str, ...]  # what the N are
    polarised_K: Tensor | None = None  # of gates: the share of rows on which one expert holds more than POLARISED


@dataclass(frozen=True)
class Shared:
    """What a way of sharing gives to the rest."""

    outputs_BKH: Tensor  # inputs of the towers
    shared: Tensor | None = None  # what several objectives read; None where nothing is shared
    made_by: tuple[nn.Parameter, ...] = ()  # the last linear layer's weights under `shared` that several objectives change; (): the frame's
    read_BTD: Tensor | None = None  # what the shared hidden layer gave (`from_inputs`)
    own: tuple[Tensor, ...] = ()  # what belongs to one objective in parameters that hold shared numbers too: under these is nothing else
    penalty: Tensor | None = None  # added to the loss in training; None: nothing, and always so in evaluation mode
    show: dict[str, Look] = field(default_factory=dict)  # title → what is worth showing in a report


class Sharing(nn.Module, ABC):
    """[B, T, D] inputs, one of each of T embedding tables, → [B, K, d_out] for the towers, in the objectives' order."""

    d_out: int
    owns_towers: ClassVar[bool] = False  # the way changes the towers: `outputs_BKH` go straight to the output layer
    reads_priors: ClassVar[bool] = False
    shares_nothing: ClassVar[bool] = False  # no parameter, in the way or in the frame around it, is reached by two objectives' losses

    @abstractmethod
    def __init__(self, options: Any, setting: Setting) -> None:
        """`options`: the way's own table of options."""
        super().__init__()

    @classmethod
    def num_tables(cls, num_objectives: int) -> int:
        """T: one embedding table for all. Where objectives own tables, the last K of the T are theirs."""
        return 1

    def own_below(self) -> Iterable[nn.Parameter]:
        """Parameters under `Shared.shared`, or under one tensor with it, of which each number is changed by one objective's loss only."""
        return ()

    @abstractmethod
    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared: ...

    def from_inputs(self, inputs_BTD: Tensor, hidden: Callable[[Tensor], Tensor], priors: Priors | None = None) -> Shared:
        """Call `forward` on what `hidden`, the shared hidden layer, makes of the inputs [B, T, D], and say what that was in `read_BTD`.

        The frame calls it. A way that changes the inputs before that layer reads them does it here.
        """
        read_BTD = hidden(inputs_BTD)
        shared: Shared = self(read_BTD, priors)
        return replace(shared, read_BTD=read_BTD)
