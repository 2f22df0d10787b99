"""The ranker: one frame around every architecture, so that only the architectures differ in a comparison.

Shape letters: B rows, T tables, K objectives, D width of the inputs.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from recsys.config import Model
from recsys.encoding.layout import Batch, Layout
from recsys.models.architecture import Architecture, Look, Priors, Setting
from recsys.models.inputs import DRAWN, Inputs, TableStart
from recsys.nn.bias_tower import BiasTower, drop_codes, without_position
from recsys.nn.cross import LowRankCross
from recsys.nn.dropout import Dropout
from recsys.nn.embeddings import EmbeddingTables
from recsys.nn.input_parts import InputLinear, InputParts
from recsys.nn.linear import StackedMLP, unstacked
from recsys.nn.towers import Towers
from recsys.objectives import Objective

TABLE = "inputs.embeddings.tables.table"  # the parameter that holds all embedding tables
Position = Literal["logged", "missing"]


class Output(NamedTuple):
    """The results of one forward pass.

    `outputs_BK` holds logits of binary objectives and the standardised scale of the others; losses/ reads both.
    """

    outputs_BK: Tensor
    read_BKH: Tensor  # what each tower reads
    beside: tuple[Tensor, ...]  # what shared layers add to the outputs beside the towers, [B, K] each
    shared: Tensor | None
    made_by: tuple[nn.Parameter, ...]  # weights of the layer that makes `shared`; (): there is none, the architecture reads the inputs
    layer_BTD: Tensor  # output of the shared hidden layer; the inputs where there is no such layer
    own: tuple[Tensor, ...]  # each objective's part depends only on its own numbers; the parameters below hold shared numbers too
    penalty: Tensor
    show: dict[str, Look]


class ParameterGroups(NamedTuple):
    """The parameters, each in one group."""

    embedding: list[nn.Parameter]  # tables; row-wise Adagrad learns them
    weights: list[nn.Parameter]
    biases: list[nn.Parameter]  # what no decay should pull to zero
    positions: list[nn.Parameter]  # the bias tower's tables: learned at a table's pace, else a day's steps would not reach its logits


class Ranker(nn.Module):
    """Inputs → shared hidden layer → architecture (`Architecture`) → towers; beside these a linear path, a cross layer and the bias tower.

    It may change the inputs before the shared hidden layer reads them (`Architecture.from_inputs`). The parts beside it read the
    inputs unchanged.
    """

    def __init__(
        self,
        options: Model,
        layout: Layout,
        objectives: Sequence[Objective],
        starts_K: Tensor,
        seed: int,
        *,
        architecture: type[Architecture],
        tables_start: TableStart = DRAWN,
    ) -> None:
        """Build a fresh model, whose outputs are `starts_K` (losses.ObjectiveLosses.start_K).

        The global random state is left as it was.
        """
        assert tuple(objective.name for objective in objectives) == layout.objectives, "the layout is of other objectives"
        super().__init__()
        tables = architecture.num_tables(len(objectives))
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed CUDA too, which is not forked here
            self.inputs = Inputs(options, layout, len(objectives), tables, seed, tables_start)
            widths = (options.d_shared,) if options.d_shared else ()
            self.hidden = StackedMLP(tables, self.inputs.d_out, widths, dropout=options.dropout, first=InputLinear)
            self.architecture = architecture(getattr(options, options.architecture), self._setting(options, objectives, starts_K))
            self.dropout = Dropout(options.dropout)
            hidden = () if architecture.owns_towers else (options.d_tower,)
            self.towers = Towers(self.architecture.d_out, hidden, starts_K, dropout=options.dropout)
            self.cross = _cross(options, tables, self.inputs.d_out, len(objectives))
        self.bias_tower = _bias_tower(options, layout, objectives)
        self.position_dropout = options.position_dropout
        is_input = options.position == "input" and layout.positions > 0
        self._told_missing = [k for k, objective in enumerate(objectives) if is_input and not objective.sees_position]

    def forward(self, batch: Batch, *, position: Position) -> Output:
        """Compute the outputs of a batch, with `position` as in the log or missing.

        "logged": as it was in the log; in training, position and device are now and then missing. "missing": as when ranking.
        """
        codes_B2 = self._codes(batch.bias, position)
        inputs, linear_BK = self.inputs(batch, codes_B2)
        shared = self.architecture.from_inputs(inputs, self._shared_layer, self._priors(inputs))
        outputs_BK = self.towers(self.dropout(shared.outputs_BKH))
        own = shared.own
        beside: tuple[Tensor, ...] = ()
        if linear_BK is not None:
            outputs_BK = outputs_BK + linear_BK
            own += (linear_BK,)
        if self.cross is not None:
            cross_BK = self.cross(inputs.of_last_tables(self.cross.num_tables)).flatten(1)
            outputs_BK = outputs_BK + cross_BK
            if self.cross.num_tables > 1:
                own += (cross_BK,)
            else:
                beside = (cross_BK,)
        if self.bias_tower is not None:
            outputs_BK = outputs_BK + self.bias_tower(codes_B2)
        assert shared.read_BTD is not None, "from_inputs says what the shared hidden layer gave"
        penalty = outputs_BK.new_zeros(()) if shared.penalty is None else shared.penalty
        made_by = shared.made_by or ((self.hidden.last_weight,) if len(self.hidden.layers) else ())
        return Output(outputs_BK, shared.outputs_BKH, beside, shared.shared, made_by, shared.read_BTD, own, penalty, shared.show)

    def predict(self, batch: Batch, *, position: Position) -> Output:
        """Return what `forward` gives for a model in evaluation mode, except for objectives that do not see the position.

        These always get the outputs of a missing position. The bias tower does this by itself. A position that is an input is read by all
        objectives, so a second pass with the position missing gives these outputs.
        """
        output: Output = self(batch, position=position)
        if position == "missing" or not self._told_missing:
            return output
        missing: Output = self(batch, position="missing")
        outputs_BK = output.outputs_BK.clone()
        outputs_BK[:, self._told_missing] = missing.outputs_BK[:, self._told_missing]
        return output._replace(outputs_BK=outputs_BK)

    def _setting(self, options: Model, objectives: Sequence[Objective], starts_K: Tensor) -> Setting:
        return Setting(
            d_in=self.hidden.d_out,
            d_tower=options.d_tower,
            dropout=options.dropout,
            objectives=tuple(objectives),
            starts_K=starts_K,
            d_entity=len(self.inputs.entity_columns),
            d_context=len(self.inputs.context_columns),
            d_inputs=self.inputs.d_out,
        )

    def _shared_layer(self, inputs: InputParts) -> Tensor:
        """Apply the shared hidden layer, [T, B, D] → [B, T, d_shared]; without such a layer return the inputs themselves, [B, T, D]."""
        return unstacked(self.hidden(inputs) if len(self.hidden.layers) else inputs.whole())

    def _priors(self, inputs: InputParts) -> Priors | None:
        """Return the parts of the one table's inputs that the architecture reads; None where it reads none."""
        if not self.architecture.reads_priors:
            return None
        inputs_BD = inputs.whole().squeeze(0)
        return Priors(inputs_BD[:, self.inputs.entity_columns], inputs_BD[:, self.inputs.context_columns])

    def _codes(self, codes_B2: Tensor, position: Position) -> Tensor:
        if position == "missing":
            return without_position(codes_B2)
        return drop_codes(codes_B2, self.position_dropout) if self.training else codes_B2

    def words(self, name: str) -> list[str]:
        """Return the words of a tensor's axes (models/wiring.py); none where it holds nothing that has a name."""
        patterns = {rf"architecture\.(?:{pattern})": words for pattern, words in self.architecture.axes().items()} | self.axes()
        return next((words.split() for pattern, words in patterns.items() if re.fullmatch(pattern, name)), [])

    def axes(self) -> dict[str, str]:
        """Return what the axes of the frame's tensors hold: pattern of a whole name → a word per axis."""
        axes = {
            r"towers\..*": "k",
            r"inputs\.skip\..*": "* * k",
            r"bias_tower\.tables\.position": "* k",
            r"bias_tower\.tables\.device": "d k",
            r"bias_tower\.tables\.together": "*.d k",
        }
        tables = (None, "k", "1+k")[self.architecture.num_tables(2) - 1]  # one for all; one per objective; one shared and one per objective
        if tables is None:
            return axes | {TABLE: "r *+k" if self.inputs.skip else "r", r"cross\.out\..*": "* * k"}
        return axes | {TABLE: f"{tables}.r", r"(hidden|inputs\.attention)\..*": tables, r"cross\..*": "k"}

    @property
    def tables(self) -> EmbeddingTables:
        """The embedding tables, all in one parameter (`TABLE`)."""
        return self.inputs.embeddings.tables

    def embedding_parameters(self) -> list[nn.Parameter]:
        """Return the embedding tables. The gradients of large ones are sparse."""
        return self.parameter_groups().embedding

    def dense_parameters(self) -> list[nn.Parameter]:
        """Return all parameters that are not embedding tables."""
        groups = self.parameter_groups()
        return groups.weights + groups.biases + groups.positions

    def parameter_groups(self) -> ParameterGroups:
        """Return every parameter once. Decay is for weights: a bias at a base rate or a position's logit is not small by nature."""
        groups = ParameterGroups([], [], [], [])
        for name, parameter in self.named_parameters():
            if name.startswith("inputs.embeddings."):
                groups.embedding.append(parameter)
            elif name.startswith("bias_tower."):
                groups.positions.append(parameter)
            elif name.endswith(".weight"):
                groups.weights.append(parameter)
            else:
                groups.biases.append(parameter)
        return groups


def _cross(options: Model, tables: int, d_in: int, num_objectives: int) -> LowRankCross | None:
    """Build the cross layer, or return None where `cross_rank` is 0.

    With one table, one layer over this table serves all objectives. Otherwise there is one layer per objective, over the objective's own
    table. A table beside these is read by nets only.
    """
    if options.cross_rank == 0:
        return None
    if tables == 1:
        return LowRankCross(1, d_in, options.cross_rank, num_objectives)
    return LowRankCross(num_objectives, d_in, options.cross_rank, 1)


def _bias_tower(options: Model, layout: Layout, objectives: Sequence[Objective]) -> BiasTower | None:
    """Build the bias tower; return None where the model is not to have one, the log has nothing for it, or no objective sees it."""
    sees_position = [objective.sees_position for objective in objectives]
    if options.position != "tower" or not (layout.positions or layout.devices) or not any(sees_position):
        return None
    return BiasTower(layout.positions, layout.devices, torch.tensor(sees_position))
