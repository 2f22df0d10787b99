"""The interface that every architecture implements.

Shape letters: B rows, T tables, K objectives, D width of what is read, H width of what a tower gets, N columns of a look.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from recsys.nn.input_parts import InputParts
from recsys.objectives import Objective


@dataclass(frozen=True)
class Setting:
    """The sizes and the objectives that an architecture is built for."""

    d_in: int  # width of what the architecture reads: the shared hidden layer, or with `model.d_shared = 0` the inputs
    d_tower: int
    dropout: float
    objectives: tuple[Objective, ...]
    starts_K: Tensor  # each output of a fresh model: for a binary objective the logit of its base rate
    d_entity: int = 0  # widths of `Priors`
    d_context: int = 0
    d_inputs: int = 0  # width of the inputs below the shared hidden layer, for an architecture that changes them (`from_inputs`)

    @property
    def num_objectives(self) -> int:
        return len(self.objectives)


class Priors(NamedTuple):
    """Parts of the inputs that an architecture may ask for separately (`reads_priors`)."""

    entity_BP: Tensor  # features of the user, the item and its author, and their ids where `features.ids` names them
    context_BC: Tensor  # features of the context


@dataclass(frozen=True)
class Look:
    """A matrix worth showing, with one row per objective. Detached.

    Where it depends on the rows of the batch, it is the mean over these rows.
    """

    values_KN: Tensor
    columns: tuple[str, ...]  # names of the N columns
    polarised_K: Tensor | None = None  # for gates: the share of rows on which one expert holds more than POLARISED


@dataclass(frozen=True)
class Shared:
    """The results that an architecture gives to the frame."""

    outputs_BKH: Tensor  # inputs of the towers
    shared: Tensor | None = None  # what several objectives read; None where nothing is shared
    made_by: tuple[nn.Parameter, ...] = ()  # the last linear layer's weights under `shared` that several objectives change; (): the frame's
    read_BTD: Tensor | None = None  # output of the shared hidden layer (`from_inputs`)
    own: tuple[Tensor, ...] = ()  # each objective's part depends only on its own numbers; the parameters below hold shared numbers too
    penalty: Tensor | None = None  # added to the loss in training; None: no penalty, as always in evaluation mode
    show: dict[str, Look] = field(default_factory=dict)  # title → what is worth showing in a report


class Architecture(nn.Module, ABC):
    """An architecture: [B, T, D] inputs, one for each of T embedding tables, → [B, K, d_out] for the towers, in the objectives' order."""

    d_out: int
    owns_towers: ClassVar[bool] = False  # the architecture changes the towers: `outputs_BKH` go straight to the output layer
    reads_priors: ClassVar[bool] = False
    shares_nothing: ClassVar[bool] = False  # no parameter, in the architecture or the frame, is reached by two objectives' losses

    @abstractmethod
    def __init__(self, options: Any, setting: Setting) -> None:
        """Build the architecture from `options`, its own table of options."""
        super().__init__()

    @classmethod
    def num_tables(cls, num_objectives: int) -> int:
        """Return T: one embedding table for all. Where objectives own tables, the last K of the T are theirs."""
        return 1

    def axes(self) -> dict[str, str]:
        """Return what the axes of the own tensors hold, in the words of models/wiring.py: pattern of a whole name → a word per axis."""
        return {}

    def axis_names(self) -> dict[str, Sequence[Hashable]]:
        """Return what names in `axes` other than those of models/wiring.py stand for, one label per block."""
        return {}

    def own_below(self) -> Iterable[nn.Parameter]:
        """Return parameters of which each number is changed by one objective's loss only.

        They are those that lie under `Shared.shared`, or under a tensor that `Shared.shared` is a part of.
        """
        return ()

    @abstractmethod
    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared: ...

    def from_inputs(self, inputs: InputParts, hidden: Callable[[InputParts], Tensor], priors: Priors | None = None) -> Shared:
        """Apply `hidden`, the shared hidden layer, to the inputs [T, B, D], and `forward` to its output; keep that output in `read_BTD`.

        The frame calls this method. An architecture that changes the inputs before that layer reads them does so here.
        """
        read_BTD = hidden(inputs)
        shared: Shared = self(read_BTD, priors)
        return replace(shared, read_BTD=read_BTD)
