"""Fine-tuning: a member starts with the numbers of a trained run's member, matched by name. Some of these numbers may be frozen.

Every number of the new member that the first run has too is copied. Vectors are matched by (space, value), numbers of one objective by the
objective's name, those of a group or of a device by its name, and all others by place: models/wiring.py knows what each axis holds. So both
runs must have the same columns of the inputs. Everything else starts fresh. The new run's own encoder normalises numbers and decides which
values are known. Optimisers start anew.

Shape letters: R rows of an embedding table, K objectives, Z width of a descriptor, N places along an axis.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys import schema
from recsys.config import Learning, Pipeline
from recsys.encoding import PADDING_ROW, Encoder
from recsys.encoding.layout import Batch
from recsys.encoding.vocabulary import Vocabulary
from recsys.errors import ConfigError
from recsys.models import ARCHITECTURES, Ranker
from recsys.models.wiring import Match, by_name, matched
from recsys.scoring.member import Member
from recsys.scoring.model_folder import Model, read_model
from recsys.training.freezing import Held, frozen_parameters
from recsys.workspace import MODEL

_DESCRIPTORS = "architecture.descriptors_KZ"  # what tells a net its task
_CHOSEN = ("inputs.dense_columns", "inputs.embeddings.slots.columns_C")  # with `input_share`, the columns that a member sees
_FREE = {"members", "dropout", "position_dropout"}  # options of [model] that change no shape
_KIND = ("kind", "loss", "method", "duration", "levels", "given")  # options of an objective that decide what its output means
_NAMED = 5  # names that a message lists


class Transfer:
    """A transfer from one trained run to the members of another run."""

    def __init__(self, pipeline: Pipeline, encoder: Encoder, run: Path) -> None:
        """Read the first run. Raise ConfigError where the models differ in more than names, ArtifactError where it cannot be read."""
        self.pipeline, self.encoder, self.name = pipeline, encoder, run.name
        self.first: Model = read_model(run / MODEL)
        problems = [*self._other_options(), *self._other_inputs()]
        if problems:
            raise ConfigError(problems)
        ours, theirs = pipeline.objective, self.first.pipeline.objective
        self.new_objectives, self.old_objectives = (tuple(one.name for one in objectives) for objectives in (ours, theirs))
        groups = [sorted({one.group for one in objectives}) for objectives in (ours, theirs)]
        self._named = {
            "k": by_name(self.new_objectives, self.old_objectives),
            "g": by_name(*groups),
            "d": by_name((None, *encoder.bias.devices), (None, *self.first.encoder.bias.devices)),  # None: missing
            "r": Match(_rows(encoder.vocabulary, self.first.encoder.vocabulary), self.first.encoder.vocabulary.num_rows),
        }

    def knowing(self, encoder: Encoder) -> "Transfer":
        """Return the same transfer to members that know the values of this encoder, which has grown."""
        found = copy(self)
        found.encoder = encoder
        rows = Match(_rows(encoder.vocabulary, self.first.encoder.vocabulary), self.first.encoder.vocabulary.num_rows)
        found._named = self._named | {"r": rows}
        return found

    def start(self, member: Member, index: int, one: Batch) -> Held:
        """Give a member, on the CPU, what the first run's member `index` has. If that run has fewer members, they are used again in turn.

        `one` is a batch, to find what the architecture shares. Raise ConfigError where the two members do not see the same columns, or
        where something is to be frozen that is not there.
        """
        old = self.first.members[index % len(self.first.members)]
        loaded = {name: torch.zeros(parameter.shape, dtype=torch.bool) for name, parameter in member.ranker.named_parameters()}
        left_out = self._start_ranker(member.ranker, old.ranker, loaded)
        self._start_losses(member, old)
        frozen = frozen_parameters(member.ranker, self.pipeline, one)
        held = Held(tuple(self._told(loaded, frozen, left_out)), loaded, frozen)
        if len(held.whole(member.ranker)) == len(member.ranker.dense_parameters()):
            raise ConfigError(
                f"train.freeze: found {', '.join(self.pipeline.train.freeze)}, which is all there is, expected something left to learn."
                " Fix: freeze less"
            )
        return held

    # --- What must fit ----------------------------------------------------------------------------------------
    def _other_options(self) -> Iterator[str]:
        theirs = _options(self.first.pipeline)
        for key, ours in _options(self.pipeline).items():
            if key in theirs and ours != theirs[key]:
                is_model = key.startswith("model.")
                fix = "in place of a model.budget_macs that made another" if is_model else "or another name for what is another objective"
                yield (
                    f"{key}: found {_shown(ours)}, expected {_shown(theirs[key])} as the run {self.name} has it (train.init_from): its"
                    f" weights are made for that. Fix: the same value, {fix}, or no train.init_from"
                )

    def _other_inputs(self) -> Iterator[str]:
        new, old = (_inputs(encoder, self.pipeline.model.position) for encoder in (self.encoder, self.first.encoder))
        for what, ours in new.items():
            if ours != old[what]:
                added, missing = ([name for name in a if name not in b] for a, b in ((ours, old[what]), (old[what], ours)))
                found = [f"{_listed(names)} {word}" for names, word in ((added, "added"), (missing, "missing")) if names]
                yield (
                    f"features: found {what} that differ from those of the run {self.name} (train.init_from):"
                    f" {', '.join(found) or 'another order'}; expected the same, because its weights are matched to them by place. Fix: the"
                    ' same [features], on days with the same positions and missing numbers ("NAME?" marks one), or no train.init_from'
                )

    # --- What is copied ---------------------------------------------------------------------------------------
    @torch.no_grad()
    def _start_ranker(self, ranker: Ranker, old: Ranker, loaded: dict[str, Tensor]) -> list[str]:
        """Copy what both have, and set in `loaded` what has been copied. Return the names of the tensors of another shape."""
        theirs, there, left_out = old.state_dict(), old.architecture.axis_names(), []
        named = self._named | {name: by_name(labels, there.get(name, ())) for name, labels in ranker.architecture.axis_names().items()}
        for name, tensor in ranker.state_dict().items():
            if name in _CHOSEN and not torch.equal(tensor, theirs[name]):
                raise ConfigError(
                    f"model.input_share: found {self.pipeline.model.input_share}, by which this member and that of the run {self.name} see"
                    " other columns (train.init_from), expected the same. Fix: that run's seed and no more members than it has"
                )
            if name == _DESCRIPTORS and self.new_objectives != self.old_objectives:
                continue  # it describes other tasks
            words = ranker.words(name)
            words += ["*"] * (tensor.ndim - len(words))
            matches = [matched(word, size, named) for word, size in zip(words, tensor.shape, strict=True)]
            if name not in theirs or theirs[name].shape != tuple(found.size for found in matches):
                left_out.append(name)
                continue
            mask = _copy(tensor, theirs[name], matches)
            if name in loaded:
                loaded[name] = mask
        return left_out

    @torch.no_grad()
    def _start_losses(self, member: Member, old: Member) -> None:
        """Copy the constants and thresholds of the objectives that both runs have, because the outputs are on their scale."""
        theirs = old.losses.state_dict()
        for name, tensor in member.losses.state_dict().items():
            if name in theirs:
                of_rows = [_of_losses(losses, name) for losses in (member.losses, old.losses)]
                padded = zip(tensor.shape[1:], theirs[name].shape[1:], strict=True)  # thresholds of objectives with fewer levels
                _copy(tensor, theirs[name], [by_name(*of_rows), *(by_name(range(a), range(b)) for a, b in padded)])

    # --- What is said -----------------------------------------------------------------------------------------
    def _told(self, loaded: Mapping[str, Tensor], frozen: frozenset[str], left_out: Sequence[str]) -> Iterator[str]:
        start = f"train: from {self.name}:"
        known = [name for name in self.new_objectives if name in self.old_objectives]
        fresh = [name for name in self.new_objectives if name not in self.old_objectives]
        gone = [name for name in self.old_objectives if name not in self.new_objectives]
        left_behind = f", left behind {_listed(gone)}" if gone else ""
        yield f"{start} objectives loaded {_listed(known)}, fresh {_listed(fresh)}{left_behind}"
        rows = self._named["r"]
        num, known_rows = len(rows.there_N) - 1, int((rows.there_N > PADDING_ROW).sum())
        yield (
            f"{start} vectors of {known_rows:,} of {num:,} values loaded, {num - known_rows:,} that it did not know fresh,"
            f" {rows.size - 1 - known_rows:,} of its own are not met any more"
        )
        ours, theirs = ((encoder.normaliser.table(), encoder.scales) for encoder in (self.encoder, self.first.encoder))
        yield f"{start} numbers are normalised {'as there' if ours == theirs else 'by the encoder of this run, which is not the same'}"
        if left_out:
            yield f"{start} fresh, because it is not there or of another shape: {_listed(left_out)}"
        if known_days := self._known_days():
            through, own = self.first.learned_through, self.first.pipeline.learned_through
            by = ", with the runs that it started from" if through > own else ""
            yield (
                f"train: warning: found {self.name} (train.init_from) to have learned all days up to {through}{by},"
                f" expected it to know none of the {' and '.join(known_days)}: if it is of the same log, what chooses and judges this run"
                " is better there than on new days. Fix: a run that has learned earlier days alone"
            )
        if frozen:
            rest = sum(mask.numel() for mask in loaded.values())
            held = sum(int(loaded[name].sum()) for name in frozen)
            yield f"train: frozen {', '.join(self.pipeline.train.freeze)}: {held:,} of {rest:,} numbers; what is new in them learns"

    def _known_days(self) -> list[str]:
        """Return the parts of this run's split that choose or judge it and of which the first run knows labels.

        In time order training days are judged, too: each is predicted before it is learned.
        """
        parts = schema.SPLITS if self.pipeline.train.order == "time" else (schema.VALIDATION, schema.TEST)
        split, learned = self.pipeline.split, self.first.learned_through
        return [split.said(part) for part in parts if part in split.parts() and split.days(part)[0] <= learned]


# --- One tensor -----------------------------------------------------------------------------------------------------
def _copy(new: Tensor, old: Tensor, matches: Sequence[Match]) -> Tensor:
    """Copy the numbers that both have, and return their mask."""
    ours = [np.flatnonzero(found.there_N >= 0) for found in matches]
    theirs = [found.there_N[places] for found, places in zip(matches, ours, strict=True)]
    new_places, old_places = (tuple(torch.from_numpy(axis) for axis in np.ix_(*places)) for places in (ours, theirs))
    new[new_places] = old[old_places]
    mask = torch.zeros(new.shape, dtype=torch.bool)
    mask[new_places] = True
    return mask


def _of_losses(losses: nn.Module, name: str) -> list[str]:
    """Return the objectives of a constant's rows: all objectives, or those of the constant's loss."""
    return [objective.name for objective in getattr(losses.get_submodule(name.rpartition(".")[0]), "objectives", ())]


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
def _options(pipeline: Learning) -> dict[str, Any]:
    """Return the options that determine the model's shapes and what its outputs mean."""
    model, architecture = pipeline.model, pipeline.model.architecture
    options = getattr(model, architecture)
    own = {f"model.{architecture}.{key}": value for key, value in options if key != "top_k" and not isinstance(value, float)}
    frame = {f"model.{key}": value for key, value in model if key not in _FREE and key not in ARCHITECTURES}
    kinds = {f"objective.{objective.name}.{key}": getattr(objective, key) for objective in pipeline.objective for key in _KIND}
    return frame | own | kinds


def _inputs(encoder: Encoder, position: str) -> dict[str, tuple[str, ...]]:
    """Return the columns of the inputs in their order, by what a message calls them."""
    layout, bias = encoder.layout, encoder.bias
    slots, past = (tuple(f"{slot.feature} (width {slot.width})" for slot in part) for part in (layout.slots, layout.history_slots))
    positions = range(bias.first_position, bias.first_position + bias.positions) if position != "blind" else ()
    return {
        "numbers": layout.dense,
        "categories": slots,
        "columns of the history": past + layout.history_signals,
        "positions": tuple(str(number) for number in positions),
        "devices": bias.devices if position == "input" else (),  # the bias tower's are matched by name
    }


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) or "none"
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(list(value)) if isinstance(value, tuple) else str(value)
