"""Layers that objectives own, under a prior on how the objectives are related."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recsys.config.architectures import DeepRelationshipOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.looks import by_layer
from recsys.nn.experts import Experts
from recsys.nn.linear import StackedMLP, unstacked
from recsys.nn.nets import start_equal, weights_by_net
from recsys.nn.relationship import TaskCovariance


class DeepRelationship(Architecture):
    """Deep relationship networks (Long et al., NeurIPS 2017): shared layers, h = net(x), then each objective's own layers, net_k(h).

    The weights of each own layer, W [K, D·H], are under a matrix-normal prior, with the penalty ½ · strength · Σ_l tr(W_lᵀ Ω_l⁻¹ W_l). Ω_l
    is set in closed form from W_l before each training step (nn/relationship.py). The paper also learns the covariances of features and of
    units; here these are identities. The prior pulls related objectives together and opposed ones apart. The own layers start equal:
    weights of different objectives can be compared only where their units mean the same. The correlation shown is that of these weights.
    Where parameters are averaged (`train.averaging`), Ω is averaged like them.
    The towers above start from different weights. So the correlation says which nets are alike. This is less than to say which objectives
    are alike. Balancing acts on the weights that make h.
    """

    def __init__(self, options: DeepRelationshipOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.bottom = StackedMLP(1, setting.d_in, options.hidden)
        self.nets = Experts(setting.num_objectives, self.bottom.d_out, options.task_hidden)
        start_equal(self.nets)
        self.relations = nn.ModuleList(TaskCovariance(setting.num_objectives) for _ in options.task_hidden)
        self.strength = options.strength
        self.objectives = setting.objectives
        self.d_out = self.nets.d_out

    def axes(self) -> dict[str, str]:
        return {r"nets\.first\..*": "* * k.*", r"nets\.rest\..*": "k", r"relations\..*": "k k"}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        bottom_BH: Tensor = self.bottom(inputs_BTD.transpose(0, 1)).squeeze(0)
        nets_KBH = self.nets(bottom_BH)
        relations = [cast(TaskCovariance, relation) for relation in self.relations]
        penalty = self._penalty(relations) if self.training else None
        show = by_layer("task correlation", [relation.correlation() for relation in relations], self.objectives)
        return Shared(unstacked(nets_KBH), shared=bottom_BH, made_by=(self.bottom.last_weight,), penalty=penalty, show=show)

    def _penalty(self, relations: Sequence[TaskCovariance]) -> Tensor:
        penalties = []
        for relation, weight_KDH in zip(relations, weights_by_net(self.nets), strict=True):
            weights_KP = weight_KDH.flatten(1)
            relation.update(weights_KP)
            penalties.append(relation.penalty(weights_KP))
        return self.strength * torch.stack(penalties).sum()
