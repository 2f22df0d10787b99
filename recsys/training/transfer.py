"""Fine-tuning: a member starts with the numbers of a trained run's member, matched by name. Some of these numbers may be frozen.

Every number of the new member that the first run has too is copied. Vectors are matched by (space, value), columns of the inputs by
feature, numbers of one objective by the objective's name, and all others by place. models/wiring.py knows what each axis holds. Columns of
the inputs that only the new run has start at zero, so that at first they change nothing. Everything else starts fresh. The new run's own
encoder normalises numbers and decides which values are known. Optimisers start anew.

Shape letters: R rows of an embedding table, T tables, W width of a row, N looked-up rows.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from recsys.config import Model as ModelOptions
from recsys.config import Pipeline
from recsys.encoding import PADDING_ROW, Encoder
from recsys.encoding.layout import Batch
from recsys.encoding.vocabulary import Vocabulary
from recsys.errors import ConfigError
from recsys.models import ARCHITECTURES, Ranker
from recsys.models.wiring import TABLE as _TABLE
from recsys.models.wiring import Labels, Wiring
from recsys.scoring.member import Member
from recsys.scoring.model_folder import Model, read_model
from recsys.workspace import MODEL

_NOT_COPIED = ("inputs.dense_columns", "inputs.embeddings.slots.columns_C", "inputs.embeddings.history.columns_C")  # indices of columns
_FREE = {"members", "input_share", "dropout", "position_dropout"}  # options of [model] that change no shape, or only axes with names
_KIND = ("kind", "loss", "method", "duration", "levels", "given")  # options of an objective that decide what its output means
_NAMED = 5  # names that a message lists


@dataclass(frozen=True)
class Held:
    """The numbers that a member was given. `loaded`: name of a parameter → True where a number comes from the first run."""

    said: tuple[str, ...]
    loaded: Mapping[str, Tensor]
    frozen: frozenset[str]  # names of parameters

    def whole(self, ranker: Ranker) -> list[nn.Parameter]:
        """Return the dense parameters that are frozen as a whole. No optimiser needs to know them."""
        return [parameter for name, parameter in ranker.named_parameters() if self._is_whole(name)]

    def hold(self, ranker: Ranker, dense: Optimizer) -> None:
        """Make all further steps leave the frozen numbers as they are.

        In the embedding table, frozen numbers lose their gradient; without a gradient they stay as they are. A vector is held where the
        first run knew the value, a linear weight where it knew the objective too. Any other parameter may have new numbers beside frozen
        ones. Its frozen numbers are put back after each step, because decay moves them too.
        """
        parts = []
        for name, parameter in ranker.named_parameters():
            if name == _TABLE and name in self.frozen:
                _hold_part(parameter, self.loaded[name].to(parameter.device))
            elif name in self.frozen and not self._is_whole(name):
                mask = self.loaded[name].to(parameter.device)
                parts.append((parameter, mask, parameter.detach()[mask].clone()))
        whole = self.whole(ranker)

        @torch.no_grad()
        def put_back(*_: Any) -> None:
            for parameter, mask, kept in parts:
                parameter[mask] = kept
            for parameter in whole:
                parameter.grad = None

        dense.register_step_post_hook(put_back)

    def _is_whole(self, name: str) -> bool:
        return name in self.frozen and name != _TABLE and bool(self.loaded[name].all())


def _hold_part(table: nn.Parameter, held_RW: Tensor) -> None:
    def without(gradient: Tensor) -> Tensor:
        rows_N = gradient._indices()[0]
        values_NW = gradient._values().masked_fill(held_RW[rows_N], 0.0)
        return torch.sparse_coo_tensor(
            rows_N.unsqueeze(0), values_NW, gradient.shape, is_coalesced=gradient.is_coalesced(), check_invariants=False
        )

    table.register_hook(without)  # type: ignore[no-untyped-call]


class Transfer:
    """A transfer from one trained run to the members of another run."""

    def __init__(self, pipeline: Pipeline, encoder: Encoder, run: Path) -> None:
        """Read the first run. Raise ConfigError where the models differ in more than names, ArtifactError where it cannot be read."""
        self.pipeline, self.encoder, self.name = pipeline, encoder, run.name
        self.first: Model = read_model(run / MODEL)
        self.new_objectives = tuple(objective.name for objective in pipeline.objective)
        self.old_objectives = tuple(objective.name for objective in self.first.pipeline.objective)
        self._require_fit()
        self._rows_R = _rows(encoder.vocabulary, self.first.encoder.vocabulary)

    def start(self, member: Member, index: int, one: Batch) -> Held:
        """Give a member, on the CPU, what the first run's member `index` has. If that run has fewer members, they are used again in turn.

        `one` is a batch, to find what the architecture shares. Raise ConfigError where inputs must be told apart but cannot be, or where
        something is to be frozen that is not there.
        """
        old = self.first.members[index % len(self.first.members)]
        wirings = self._wirings(member, old)
        self._require_inputs(*wirings)
        loaded = {name: torch.zeros(parameter.shape, dtype=torch.bool) for name, parameter in member.ranker.named_parameters()}
        theirs, left_out = old.ranker.state_dict(), []
        with torch.no_grad():
            for name, tensor in member.ranker.state_dict().items():
                if name == _TABLE:
                    self._start_table(tensor, theirs[name], *wirings, loaded[name])
                elif name not in _NOT_COPIED and not self._is_descriptor(name):
                    mask = _start_tensor(name, tensor, theirs.get(name), *wirings)
                    if mask is None:
                        left_out.append(name)
                    elif name in loaded:
                        loaded[name] = mask
            self._start_losses(member, old)
        frozen = self._frozen(member.ranker, one)
        held = Held(tuple(self._told(wirings, loaded, frozen, left_out)), loaded, frozen)
        if len(held.whole(member.ranker)) == len(member.ranker.dense_parameters()):
            raise ConfigError(
                f"train.freeze: found {', '.join(self.pipeline.train.freeze)}, which is all there is, expected something left to learn."
                " Fix: freeze less"
            )
        return held

    # --- What must fit ----------------------------------------------------------------------------------------
    def _require_fit(self) -> None:
        problems = [
            f"model.{key}: found {_shown(ours)}, expected {_shown(theirs)} as the run {self.name} has it (train.init_from): its weights"
            " are of that shape. Fix: the same value, in place of a model.budget_macs that made another, or no train.init_from"
            for key, ours, theirs in _differing(_shape(self.pipeline.model), _shape(self.first.pipeline.model))
        ]
        known = {objective.name: objective for objective in self.first.pipeline.objective}
        for objective in self.pipeline.objective:
            for key in _KIND if objective.name in known else ():
                ours, theirs = getattr(objective, key), getattr(known[objective.name], key)
                if ours != theirs:
                    problems.append(
                        f"objective.{objective.name}.{key}: found {_shown(ours)}, expected {_shown(theirs)} as the run {self.name} has it"
                        " (train.init_from). Fix: the same value, or another name for what is another objective"
                    )
        if problems:
            raise ConfigError(problems)

    def _require_inputs(self, new: Wiring, old: Wiring) -> None:
        """Raise ConfigError where the inputs differ and the architecture reads them itself.

        Such an architecture has axes on which the columns cannot be told apart.
        """
        if new.columns == old.columns or (
            self.pipeline.model.d_shared and not ARCHITECTURES[self.pipeline.model.architecture].reads_priors
        ):
            return
        ours, theirs = (_features(wiring.columns) for wiring in (new, old))
        differing = sorted(set(ours) ^ set(theirs)) or ["their order"]
        raise ConfigError(
            f"train.init_from: found inputs that differ from those of the run {self.name} ({_listed(differing)}), expected the same,"
            f' because with model.architecture = "{self.pipeline.model.architecture}" and model.d_shared = {self.pipeline.model.d_shared}'
            " the architecture reads them itself. Fix: the same [features], or another architecture above a shared layer"
        )

    def _wirings(self, member: Member, old: Member) -> tuple[Wiring, Wiring]:
        return (
            Wiring(member.ranker, self.pipeline.model, self.pipeline.objective, _codes(self.encoder)),
            Wiring(old.ranker, self.first.pipeline.model, self.first.pipeline.objective, _codes(self.first.encoder)),
        )

    def _is_descriptor(self, name: str) -> bool:
        """Return whether a tensor describes tasks that are not those of the first run, so that the description cannot be copied."""
        return name == "architecture.descriptors_KZ" and self.new_objectives != self.old_objectives

    # --- What is copied ---------------------------------------------------------------------------------------
    def _start_table(self, new: Tensor, old: Tensor, ours: Wiring, theirs: Wiring, loaded: Tensor) -> None:
        """Copy the vectors of the values that both vocabularies know, and their linear weights for the objectives that both runs have."""
        new_TRW, old_TRW = new.view(ours.tables, -1, new.shape[1]), old.view(theirs.tables, -1, old.shape[1])
        loaded_TRW = loaded.view(new_TRW.shape)
        known_R = torch.from_numpy(np.flatnonzero(self._rows_R >= 0))
        rows_R = torch.from_numpy(self._rows_R[known_R.numpy()]).long()
        columns = _places(self._table_columns(ours, new.shape[1]), self._table_columns(theirs, old.shape[1]))
        for t, s in zip(*(places.tolist() for places in _places(ours.table_labels, theirs.table_labels)), strict=True):
            new_TRW[t, known_R[:, None], columns[0]] = old_TRW[s, rows_R[:, None], columns[1]]
            loaded_TRW[t, known_R[:, None], columns[0]] = True

    def _table_columns(self, wiring: Wiring, width: int) -> Labels:
        d_embedding = self.pipeline.model.d_embedding
        linear = wiring.objectives if wiring.of_tables == 0 else ("linear",)
        return (*range(d_embedding), *linear)[:width]  # no linear weights without `skip`

    def _start_losses(self, member: Member, old: Member) -> None:
        """Copy the constants and thresholds of the objectives that both runs have, because the outputs are on their scale."""
        ours, theirs = member.losses.state_dict(), old.losses.state_dict()
        for name, tensor in ours.items():
            labels = [self._of_losses(losses, name) for losses in (member.losses, old.losses)]
            if name not in theirs:
                continue
            new_J, old_J = _places(*labels)
            sizes = [slice(0, min(a, b)) for a, b in zip(tensor.shape[1:], theirs[name].shape[1:], strict=True)]  # thresholds are padded
            for j, i in zip(new_J.tolist(), old_J.tolist(), strict=True):
                tensor[(j, *sizes)] = theirs[name][(i, *sizes)]

    def _of_losses(self, losses: nn.Module, name: str) -> Labels:
        """Return the objectives of a constant's rows: all objectives, or those of the constant's kind."""
        parent = losses.get_submodule(name.rpartition(".")[0])
        return tuple(objective.name for objective in getattr(parent, "objectives", ()))

    # --- What is frozen ---------------------------------------------------------------------------------------
    def _frozen(self, ranker: Ranker, one: Batch) -> frozenset[str]:
        """Return the names of the parameters in the groups of `train.freeze`."""
        names: set[str] = set()
        for group in self.pipeline.train.freeze:
            match group:
                case "embeddings":
                    names.add(_TABLE)
                case "shared":
                    names |= {name for name, _ in ranker.named_parameters() if name.startswith(("hidden.", "inputs.attention."))}
                case "towers":
                    names |= {name for name, _ in ranker.named_parameters() if name.startswith("towers.")}
                case "experts":
                    names |= self._trunk(ranker, one)
        return frozenset(names)

    def _trunk(self, ranker: Ranker, one: Batch) -> set[str]:
        """Return the names of the architecture's parameters that the shared tensor depends on. Raise ConfigError without any."""
        was_training = ranker.training
        shared = ranker.eval()(one, position="missing").shared
        ranker.train(was_training)
        inner = {f"architecture.{name}": parameter for name, parameter in ranker.architecture.named_parameters()}
        reached = () if shared is None else torch.autograd.grad(shared.sum(), list(inner.values()), allow_unused=True)
        trunk = {name for name, gradient in zip(inner, reached, strict=shared is not None) if gradient is not None}
        if not trunk:
            raise ConfigError(
                f'train.freeze: found "experts" with model.architecture = "{self.pipeline.model.architecture}", which has no layer that all'
                ' objectives read, expected an architecture with one. Fix: leave "experts" out'
            )
        return trunk

    # --- What is said -----------------------------------------------------------------------------------------
    def _told(
        self, wirings: tuple[Wiring, Wiring], loaded: Mapping[str, Tensor], frozen: frozenset[str], left_out: Sequence[str]
    ) -> list[str]:
        ours, theirs = wirings
        start = f"train: from {self.name}:"
        known = [name for name in self.new_objectives if name in self.old_objectives]
        fresh = [name for name in self.new_objectives if name not in self.old_objectives]
        gone = [name for name in self.old_objectives if name not in self.new_objectives]
        objectives = [f"objectives loaded {_listed(known)}", f"fresh {_listed(fresh)}", *([f"left behind {_listed(gone)}"] if gone else [])]
        rows, matched = len(self._rows_R) - 1, int((self._rows_R > PADDING_ROW).sum())
        behind = self.first.encoder.vocabulary.num_rows - 1 - matched
        said = [
            f"{start} {', '.join(objectives)}",
            f"{start} vectors of {matched:,} of {rows:,} values loaded, {rows - matched:,} that it did not know fresh,"
            f" {behind:,} of its own are not met any more",
        ]
        new, old = _features(ours.columns), _features(theirs.columns)
        added, dropped = [name for name in new if name not in old], [name for name in old if name not in new]
        same = _same_scales(self.encoder, self.first.encoder)
        scales = "normalised as there" if same else "normalised by this run's encoder, which is not the same"
        said.append(
            f"{start} {len(new) - len(added)} of {len(new)} inputs loaded"
            + (f", at zero {_listed(added)}" if added else "")
            + (f", left behind {_listed(dropped)}" if dropped else "")
            + f"; numbers are {scales}"
        )
        if left_out:
            said.append(f"{start} fresh, because it is not there or of another shape: {_listed(left_out)}")
        if frozen:
            rest = sum(mask.numel() for mask in loaded.values())
            held = sum(int(loaded[name].sum()) for name in frozen)
            said.append(f"train: frozen {', '.join(self.pipeline.train.freeze)}: {held:,} of {rest:,} numbers; what is new in them learns")
        return said


def transfer_of(pipeline: Pipeline, encoder: Encoder) -> Transfer | None:
    """Return the transfer; None where the pipeline starts from no other run."""
    return None if pipeline.train.init_from is None else Transfer(pipeline, encoder, pipeline.train.init_from)


# --- One tensor -----------------------------------------------------------------------------------------------------
def _start_tensor(name: str, new: Tensor, old: Tensor | None, ours: Wiring, theirs: Wiring) -> Tensor | None:
    """Copy the numbers that both have, and return their mask. Return None where an axis without names has another size."""
    if old is None or old.ndim != new.ndim:
        return None
    labels = list(zip(ours.axes(name, new.shape), theirs.axes(name, old.shape), strict=True))
    if any(len(a) != len(b) and not (_has_names(a, b) or ours.reads(name, axis)) for axis, (a, b) in enumerate(labels)):
        return None
    pairs = [_places(a, b) for a, b in labels]
    mask = torch.zeros(new.shape, dtype=torch.bool)
    for axis, (a, b) in enumerate(labels):
        if ours.reads(name, axis):
            known = set(b)
            added = torch.tensor([place for place, label in enumerate(a) if label not in known], dtype=torch.int64)
            new[_grid([added if at == axis else pair[0] for at, pair in enumerate(pairs)])] = 0.0
    if not pairs:  # a number
        new.copy_(old)
        return ~mask
    places = _grid([pair[0] for pair in pairs])
    new[places] = old[_grid([pair[1] for pair in pairs])]
    mask[places] = True
    return mask


def _places(ours: Labels, theirs: Labels) -> tuple[Tensor, Tensor]:
    """Return the places of the labels that both have: in `ours`, and in `theirs`."""
    there = {label: place for place, label in enumerate(theirs)}
    pairs = [(place, there[label]) for place, label in enumerate(ours) if label in there]
    new, old = zip(*pairs, strict=True) if pairs else ((), ())
    return torch.tensor(new, dtype=torch.int64), torch.tensor(old, dtype=torch.int64)


def _grid(places: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return one index of all combinations of the places along each axis."""
    return torch.meshgrid(*places, indexing="ij") if places else ()


def _has_names(ours: Labels, theirs: Labels) -> bool:
    """Return whether an axis may differ in size.

    It may where some of its labels hold a name: of an objective, or of what a code stands for.
    """
    return any(_is_name(label) for label in (*ours[:1], *theirs[:1], *ours[-1:], *theirs[-1:]))


def _is_name(label: Hashable) -> bool:
    if isinstance(label, tuple):
        return any(_is_name(part) for part in label)
    return isinstance(label, str)


# --- Rows of the table ----------------------------------------------------------------------------------------------
def _rows(new: Vocabulary, old: Vocabulary) -> NDArray[np.int64]:
    """Return [R], the old row of every new row: padding, unknown rows of the spaces that both have, equal values; −1 for the others."""
    rows_R = np.full(new.num_rows, -1, np.int64)
    rows_R[PADDING_ROW] = PADDING_ROW
    for space, unknown in new.unknown_rows.items():
        if space in old.unknown_rows:
            rows_R[unknown] = old.unknown_rows[space]
            found = pc.fill_null(pc.index_in(new.values[space], value_set=old.values[space]), -1).to_numpy()
            rows_R[new.rows[space]] = np.append(old.rows[space], -1)[found]
    return rows_R


# --- Comparing the two ----------------------------------------------------------------------------------------------
def _shape(model: ModelOptions) -> dict[str, Any]:
    """Return the options that determine a model's shapes."""
    own = getattr(model, model.architecture)
    frame = {key: getattr(model, key) for key in type(model).model_fields if key not in _FREE and key not in ARCHITECTURES}
    way = {f"{model.architecture}.{key}": getattr(own, key) for key in type(own).model_fields if key != "top_k"}
    return frame | {key: value for key, value in way.items() if not isinstance(value, float)}


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the options that differ, with both values. Where the architecture differs, return only the architecture."""
    keys = ["architecture"] if ours["architecture"] != theirs["architecture"] else list(ours)
    return [(key, ours[key], theirs[key]) for key in keys if ours[key] != theirs[key]]


def _same_scales(ours: Encoder, theirs: Encoder) -> bool:
    tables: list[pa.Table] = [encoder.normaliser.table() for encoder in (ours, theirs)]
    return tables[0].equals(tables[1]) and ours.scales == theirs.scales


def _codes(encoder: Encoder) -> tuple[Labels, Labels]:
    """Return what the codes of position and device stand for, the missing one first."""
    bias = encoder.bias
    positions = range(bias.first_position, bias.first_position + bias.positions)
    return (
        tuple(f"position {position}" for position in ("?", *positions)),
        tuple(f"device {device}" for device in ("?", *bias.devices)),
    )


def _features(columns: Sequence[tuple[str, Hashable, int]]) -> list[str]:
    """Return the names of the inputs, each once."""
    return list(dict.fromkeys(str(name) for kind, name, _ in columns if kind not in ("attention", "padding")))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) or "none"
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(list(value)) if isinstance(value, tuple) else str(value)
