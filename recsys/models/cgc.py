"""Customized gate control: each objective has its own experts beside shared ones."""

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from recsys.config.architectures import CGCOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.looks import gate_look, numbered
from recsys.nn.experts import OwnAndSharedExperts
from recsys.nn.extraction import ExtractionLevel
from recsys.nn.linear import StackedMLP, stacked


class CGC(Architecture):
    """The mixture o_k = softmax(W_k x) · [f_k,1 … f_k,m, s_1 … s_S]: Tang et al. (RecSys 2020), §4.1.

    An objective's gate sees the objective's own experts and the shared ones. No objective reads another objective's experts. So an expert
    that helps only one objective cannot disturb the others. In MMoE, where all objectives read all experts, it can. With no shared expert
    and one own expert per objective, each objective has its own net above the layers of the frame.
    `shared` are the outputs of all experts. Below them lies everything that objectives share, except what the gates read. Balancing acts on
    the shared experts' last weights; without shared experts, on the frame's layer below. Own experts are heads.
    """

    def __init__(self, options: CGCOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        nets = partial(StackedMLP, d_in=setting.d_in, hidden=options.hidden)
        experts = OwnAndSharedExperts(setting.num_objectives, options.own_experts, options.shared_experts, nets)
        self.level = ExtractionLevel(experts, setting.d_in, shared_gate=False, dropout=options.expert_dropout, top_k=options.top_k)
        self.names = numbered("own", options.own_experts) + numbered("shared", options.shared_experts)
        self.num_objectives = setting.num_objectives
        self.d_out = options.hidden[-1]

    def axes(self) -> dict[str, str]:
        return {r"level\.experts\.own\..*": "k.*", r"level\.gates\..*": "k"}

    def own_below(self) -> Iterable[nn.Parameter]:
        return self.level.experts.own.parameters()

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        inputs_1BD = stacked(inputs_BTD)
        found = self.level(inputs_1BD.expand(self.num_objectives, -1, -1), inputs_1BD)
        show = {"gates": gate_look(found.gates_BKN, self.names)}
        return Shared(found.own_BKH, shared=found.experts_EBH, made_by=self.level.experts.shared_weights, show=show)
