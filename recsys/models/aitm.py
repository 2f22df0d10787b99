"""One tower per objective; each tower hands what it found to the next objective of its chain.

Shape letters: B rows, K objectives, H width of a tower.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from recsys.config.architectures import AITMOptions
from recsys.models.architecture import Architecture, Look, Priors, Setting, Shared
from recsys.nn.information_transfer import InformationTransfer, Step
from recsys.nn.linear import StackedMLP, unstacked
from recsys.objectives import Objective, chain


class AITM(Architecture):
    """Towers q_k = tower_k(x) and outputs z_k = AIT(q_k, ReLU(G_k z_s + b_k)), s the objective before k: Xi et al. (AITM, KDD 2021).

    AIT is attention over its two arguments, see `InformationTransfer`. The objective before k is the one that k is `given`. An objective
    without a `given` then receives nothing, so there may be several chains, and trees. Where no objective has a `given`, the chain is the
    order of the file: click, then like, as the steps of the paper's audience. The widths of the towers are `hidden`, then `model.d_tower`.
    The paper has a penalty where a later step is more likely than an earlier one. It is left out here. With `given`, the model predicts the
    product of the conditional probabilities, so no later step can be more likely. The order of a file does not promise that a later step is
    less likely.
    `shared` are the inputs, the last activation that all objectives read. Balancing acts on the weights of the frame's layer that makes the
    inputs.
    """

    owns_towers = True

    def __init__(self, options: AITMOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.below = StackedMLP(setting.num_objectives, setting.d_in, options.hidden, dropout=setting.dropout)
        self.towers = StackedMLP(setting.num_objectives, options.hidden[-1], (setting.d_tower,))
        self.transfer = InformationTransfer(steps(setting.objectives), setting.d_tower)
        self.objectives = setting.objectives
        self.d_out = setting.d_tower

    def axes(self) -> dict[str, str]:
        return {r"(below|towers)\..*": "k"} | {rf"transfer\.handed\.{n}\..*": f"step{n}" for n in range(len(self.transfer.steps))}

    def axis_names(self) -> dict[str, Sequence[Hashable]]:
        named = [objective.name for objective in self.objectives]
        pairs = [[(named[a], named[b]) for a, b in zip(step.sources, step.receivers, strict=True)] for step in self.transfer.steps]
        return {f"step{n}": pairs_of_step for n, pairs_of_step in enumerate(pairs)}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        inputs_BD = inputs_BTD.squeeze(1)
        own_KBH = self.towers(self.below(inputs_BD.expand(len(self.objectives), -1, -1)))
        found_KBH, received_KB = self.transfer(own_KBH)
        return Shared(unstacked(found_KBH), shared=inputs_BD, show={"attention": self._look(received_KB)})

    def _look(self, received_KB: Tensor) -> Look:
        """Return how much of each objective is its own, and how much it received from which other objective."""
        received_K = received_KB.detach().mean(1)
        shares_KK = torch.diag(1 - received_K)
        for step in self.transfer.steps:
            shares_KK[list(step.receivers), list(step.sources)] = received_K[list(step.receivers)]
        return Look(shares_KK, tuple(objective.name for objective in self.objectives))


def steps(objectives: Sequence[Objective]) -> list[Step]:
    """Return which objective receives from which, by the distance from the head of the chain.

    Raise ValueError where `given` names no other objective, or runs in a circle.
    """
    if all(objective.given is None for objective in objectives):
        return [Step((k,), (k - 1,)) for k in range(1, len(objectives))]
    places = {objective.name: k for k, objective in enumerate(objectives)}
    by_depth: dict[int, list[tuple[int, int]]] = {}
    for k, objective in enumerate(objectives):
        found = chain(objective, objectives)
        if len(found) > 1:
            by_depth.setdefault(len(found) - 1, []).append((k, places[found[1].name]))
    return [Step(*zip(*by_depth[depth], strict=True)) for depth in sorted(by_depth)]
