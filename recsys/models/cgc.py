"""Customized gate control: experts of an objective's own beside shared ones."""

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from recsys.config import CGCOptions
from recsys.models.looks import gate_look, numbered
from recsys.models.sharing import Priors, Setting, Shared, Sharing
from recsys.nn.experts import OwnAndSharedExperts
from recsys.nn.extraction import ExtractionLevel
from recsys.nn.linear import StackedMLP, stacked


class CGC(Sharing):
    """o_k = softmax(W_k x) · [f_k,1 … f_k,m, s_1 … s_S]: Tang et al. (RecSys 2020), §4.1.

    An objective's gate sees its own experts and the shared ones; no objective reads another's. So what helps only one cannot disturb
    the others, which in MMoE, where all read all, it can. With no shared expert and one of its own, an objective has a net of its own
    above whatever lies below.
    `shared` are the outputs of all experts: below them lies everything that objectives share, but for what the gates read. Balancing acts
    on the shared experts' last weights (without any: on the frame's layer below); own experts are heads.
    """

    def __init__(self, options: CGCOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        nets = partial(StackedMLP, d_in=setting.d_in, hidden=options.hidden)
        experts = OwnAndSharedExperts(setting.num_objectives, options.own_experts, options.shared_experts, nets)
        self.level = ExtractionLevel(experts, setting.d_in, shared_gate=False, dropout=options.expert_dropout, top_k=options.top_k)
        self.names = numbered("own", options.own_experts) + numbered("shared", options.shared_experts)
        self.num_objectives = setting.num_objectives
        self.d_out = options.hidden[-1]

    def own_below(self) -> Iterable[nn.Parameter]:
        return self.level.experts.own.parameters()

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        inputs_1BD = stacked(inputs_BTD)
        found = self.level(inputs_1BD.expand(self.num_objectives, -1, -1), inputs_1BD)
        show = {"gates": gate_look(found.gates_BKN, self.names)}
        return Shared(found.own_BKH, shared=found.experts_EBH, made_by=self.level.experts.shared_weights, show=show)
