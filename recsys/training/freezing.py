"""The parts of a fine-tuned member that stay as they were loaded. Shape letters: R rows of a table, W width of a row, N looked-up rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from recsys.config import Learning
from recsys.encoding.layout import Batch
from recsys.errors import ConfigError
from recsys.models import Ranker
from recsys.models.ranker import TABLE


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
            if name == TABLE and name in self.frozen:
                _hold_part(parameter, self.loaded[name].to(parameter.device))
            elif name in self.frozen and not self._is_whole(name):
                mask = self.loaded[name].to(parameter.device)
                parts.append((parameter, mask, parameter.detach().clone()))
        whole = self.whole(ranker)

        @torch.no_grad()
        def put_back(*_: Any) -> None:
            for parameter, mask, kept in parts:
                parameter.copy_(torch.where(mask, kept, parameter))  # not by the mask as an index, for which a GPU is waited for
            for parameter in whole:
                parameter.grad = None

        dense.register_step_post_hook(put_back)

    def _is_whole(self, name: str) -> bool:
        return name in self.frozen and name != TABLE and bool(self.loaded[name].all())


def _hold_part(table: nn.Parameter, held_RW: Tensor) -> None:
    def without(gradient: Tensor) -> Tensor:
        if not gradient.is_sparse:
            return gradient.masked_fill(held_RW, 0.0)
        rows_N = gradient._indices()[0]
        values_NW = gradient._values().masked_fill(held_RW[rows_N], 0.0)
        return torch.sparse_coo_tensor(
            rows_N.unsqueeze(0), values_NW, gradient.shape, is_coalesced=gradient.is_coalesced(), check_invariants=False
        )

    table.register_hook(without)  # type: ignore[no-untyped-call]


def frozen_parameters(ranker: Ranker, pipeline: Learning, one: Batch) -> frozenset[str]:
    """Return the names of the parameters in the groups of `train.freeze`.

    `one` is a batch, to find what the architecture shares. Raise ConfigError where what is shared is to be frozen and there is nothing.
    """
    names: set[str] = set()
    for group in pipeline.train.freeze:
        match group:
            case "embeddings":
                names.add(TABLE)
            case "shared":
                names |= _common(ranker)
            case "towers":
                names |= _towers(ranker, one)
            case "experts":
                names |= _trunk(ranker, pipeline.model.architecture, one)
    return frozenset(names)


def _common(ranker: Ranker) -> set[str]:
    """Return the names of the parameters of the shared hidden layer and of the attention. Raise ConfigError without any."""
    common = {name for name, _ in ranker.named_parameters() if name.startswith(("hidden.", "inputs.attention."))}
    if not common:
        raise ConfigError(
            'train.freeze: found "shared" with model.d_shared = 0 and without features.history, expected a shared hidden layer or an'
            ' attention. Fix: leave "shared" out'
        )
    return common


def _towers(ranker: Ranker, one: Batch) -> set[str]:
    """Return the names of the towers' parameters. Where they are part of the architecture, it is what is no trunk of it."""
    names = {name for name, _ in ranker.named_parameters() if name.startswith("towers.")}
    return names | _of_architecture(ranker).keys() - _below_shared(ranker, one) if ranker.architecture.owns_towers else names


def _trunk(ranker: Ranker, architecture: str, one: Batch) -> set[str]:
    """Return the names of the architecture's parameters that the shared tensor depends on. Raise ConfigError without any."""
    trunk = _below_shared(ranker, one)
    if not trunk:
        raise ConfigError(
            f'train.freeze: found "experts" with model.architecture = "{architecture}", which has no layer that all'
            ' objectives read, expected an architecture with one. Fix: leave "experts" out'
        )
    return trunk


def _below_shared(ranker: Ranker, one: Batch) -> set[str]:
    """Return the names of the architecture's parameters that the shared tensor depends on."""
    was_training = ranker.training
    shared = ranker.eval()(one, position="missing").shared
    ranker.train(was_training)
    inner = _of_architecture(ranker)
    if shared is None or not shared.requires_grad or not inner:
        return set()
    reached = torch.autograd.grad(shared.sum(), list(inner.values()), allow_unused=True)
    return {name for name, gradient in zip(inner, reached, strict=True) if gradient is not None}


def _of_architecture(ranker: Ranker) -> dict[str, nn.Parameter]:
    return {f"architecture.{name}": parameter for name, parameter in ranker.architecture.named_parameters()}
