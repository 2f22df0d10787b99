"""Hierarchy of multi-gate experts: experts for all objectives, for a group of them and for one, in two levels.

Shape letters: B rows, K objectives, G groups, H width of an expert, N experts that a gate mixes, E all experts.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from recsys.config.architectures import HoMEOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.looks import gate_look, numbered
from recsys.nn.experts import OwnAndSharedExperts, for_each, mix, mix_own
from recsys.nn.extraction import ExtractionLevel
from recsys.nn.gates import OwnGates, SelfGates
from recsys.nn.linear import stacked
from recsys.nn.normalised_experts import NormalisedExperts


class HoME(Architecture):
    """Wang et al. (HoME, arXiv 2408.05430, 2024), with the groups of the objectives (`group`) as its task groups.

    Expert: f(v) = swish(batch norm(net(v ⊙ 2σ(v A B)))), see `NormalisedExperts`.
    Meta level, on the input x: a group's gate mixes the group's own experts and the shared ones; the shared gate mixes all experts. Each
    adds its own experts by its self gate: z_g = g_g(x) · [f_g(x), f_s(x)] + h_g(x) · f_g(x), z_s = g_s(x) · [f_1(x) … f_G(x), f_s(x)] +
    h_s(x) · f_s(x).
    Task level: objective k of group g mixes its own experts, its group's and the shared ones. These experts read the group's and the shared
    meta representation: o_k = g_k(z_g ⊕ z_s) · [f_k(z_g), f_g(z_g), f_s(z_s)] + h_k(z_g) · f_k(z_g).
    g are softmax gates. h are the self gates: σ for one expert, softmax for several. No objective reads another objective's experts or
    another group's. This is the paper's hierarchy mask, which keeps one objective from taking over a shared expert.

    Where we could not check the paper's text, we chose: one low-rank gate per expert (the paper mixes several), gates without hidden
    layers, experts of the same shape on both levels, and the same numbers of experts on both levels. One of the two groups (engagement,
    satisfaction) may be absent.
    `shared` are the outputs of all experts of the task level. Balancing acts on last weights, below the normalisation: those of the shared
    experts, and those of the groups' experts (where a group has several objectives).
    """

    def __init__(self, options: HoMEOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        groups = sorted({objective.group for objective in setting.objectives})
        places = [groups.index(objective.group) for objective in setting.objectives]
        self.register_buffer("group_of_K", torch.tensor(places), persistent=False)
        self.group_of_K: Tensor
        self.num_groups, self.num_group_experts = len(groups), options.group_experts
        self.has_common_group = len(groups) < setting.num_objectives  # some group has several objectives
        d_out = options.hidden[-1]
        self.meta = MetaLevel(options, setting.d_in, len(groups))
        self.task = TaskLevel(options, d_out, setting.num_objectives, len(groups))
        by_group = tuple(name for group in groups for name in numbered(group, options.group_experts))
        shared = numbered("shared", options.shared_experts)
        self.meta_names = by_group + shared
        self.names = numbered("own", options.own_experts) + by_group + shared
        self.num_own = options.own_experts
        self.d_out = d_out

    def axes(self) -> dict[str, str]:
        of_objectives = {r"task\.own\.(?!norm\.batches).*": "k.*", r"task\.(gates|own_self)\..*": "k"}
        of_groups = {r"(task\.group|meta\.level\.experts\.own)\.(?!norm\.batches).*": "g.*", r"meta\.(level\.gates|group_self)\..*": "g"}
        return of_objectives | of_groups | {r"meta\.level\.shared_gate\..*": f"* * {self.num_group_experts}g+*"}

    def own_below(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the objectives' experts; where each group is one objective, those that only this group reads, too."""
        own: list[nn.Module] = [self.task.own]
        if not self.has_common_group:
            own += [self.task.group, self.meta.level.gates, self.meta.group_self]
        for part in own:
            yield from part.parameters()

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        metas_GBH, shared_1BH, meta_gates_BGN = self.meta(stacked(inputs_BTD))
        outputs_BKH, experts_EBH, gates_BKN = self.task(metas_GBH, shared_1BH, self.group_of_K)
        show = {
            "gates, meta level": gate_look(self._by_group(meta_gates_BGN[:, self.group_of_K], 0), self.meta_names),
            "gates, task level": gate_look(self._by_group(gates_BKN, self.num_own), self.names),
        }
        grouped = (self.task.group.last_weight,) if self.has_common_group else ()
        made_by = (*grouped, self.task.shared.last_weight)
        return Shared(outputs_BKH, shared=experts_EBH, made_by=made_by, show=show)

    def _by_group(self, gates_BKN: Tensor, start: int) -> Tensor:
        """Put the weights of the experts of an objective's group into the columns of this group, with zeros in the other groups' columns.

        `gates_BKN` holds these experts from column `start` on.
        """
        gates_BKN = gates_BKN.detach()
        parts = torch.split(gates_BKN, [start, self.num_group_experts, gates_BKN.shape[-1] - start - self.num_group_experts], dim=-1)
        belongs_KG1 = nn.functional.one_hot(self.group_of_K, self.num_groups).unsqueeze(-1)
        return torch.cat([parts[0], (parts[1].unsqueeze(2) * belongs_KG1).flatten(2), parts[2]], dim=-1)


class MetaLevel(nn.Module):
    """The meta representations of the input: one for each group of objectives, and one for all of them."""

    def __init__(self, options: HoMEOptions, d_in: int, num_groups: int) -> None:
        super().__init__()
        nets = partial(NormalisedExperts, d_in=d_in, hidden=options.hidden, rank=options.feature_rank)
        experts = OwnAndSharedExperts(num_groups, options.group_experts, options.shared_experts, nets)
        self.level = ExtractionLevel(experts, d_in, shared_gate=True, dropout=options.expert_dropout, top_k=options.top_k)
        self.group_self = SelfGates(d_in, num_groups, options.group_experts)
        self.shared_self = SelfGates(d_in, 1, options.shared_experts)
        self.num_groups = num_groups

    def forward(self, x_1BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the groups' representations [G, B, H], the shared one [1, B, H] and the groups' gates [B, G, N]."""
        x_GBD = x_1BD.expand(self.num_groups, -1, -1)
        found = self.level(x_GBD, x_1BD)
        group_GMBH, shared_SBH = self.level.experts.split(found.experts_EBH)
        metas_BGH = found.own_BKH + mix_own(self.group_self(x_GBD), group_GMBH)
        shared_B1H = found.shared_BH.unsqueeze(1) + mix(self.shared_self(x_1BD), shared_SBH)
        return stacked(metas_BGH), stacked(shared_B1H), found.gates_BKN


class TaskLevel(nn.Module):
    """The output of each objective, from its group's and the shared meta representation."""

    def __init__(self, options: HoMEOptions, d_in: int, num_objectives: int, num_groups: int) -> None:
        super().__init__()
        nets = partial(NormalisedExperts, d_in=d_in, hidden=options.hidden, rank=options.feature_rank)
        self.counts = [options.own_experts, options.group_experts, options.shared_experts]
        self.own = nets(num_objectives * options.own_experts)
        self.group = nets(num_groups * options.group_experts)
        self.shared = nets(options.shared_experts)
        self.gates = OwnGates(2 * d_in, num_objectives, sum(self.counts), dropout=options.expert_dropout, top_k=options.top_k)
        self.own_self = SelfGates(d_in, num_objectives, options.own_experts)

    def forward(self, metas_GBD: Tensor, shared_1BD: Tensor, group_of_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs [B, K, H], all experts [E, B, H] (own, group, shared) and gates [B, K, N] (in the same order)."""
        num_own, num_group, num_shared = self.counts
        meta_KBD = metas_GBD[group_of_K]
        parts = (
            self.own(for_each(meta_KBD, num_own)),
            self.group(for_each(metas_GBD, num_group)),
            self.shared(for_each(shared_1BD, num_shared)),
        )
        experts_EBH = torch.cat(parts)
        own_EBH, group_EBH, shared_SBH = torch.split(experts_EBH, [len(part) for part in parts])
        own_KMBH = torch.unflatten(own_EBH, 0, (-1, num_own))
        group_KMBH = torch.unflatten(group_EBH, 0, (-1, num_group))[group_of_K]

        gates_BKN = self.gates(torch.cat([meta_KBD, shared_1BD.expand(len(meta_KBD), -1, -1)], dim=-1))
        own_gates, group_gates, shared_gates = torch.split(gates_BKN, self.counts, dim=-1)
        outputs_BKH = mix_own(own_gates + self.own_self(meta_KBD), own_KMBH) + mix_own(group_gates, group_KMBH)
        return outputs_BKH + mix(shared_gates, shared_SBH), experts_EBH, gates_BKN
