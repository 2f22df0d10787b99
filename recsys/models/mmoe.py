"""Multi-gate mixture of experts: one pool of experts, one softmax gate per objective."""

from torch import Tensor

from recsys.config.architectures import MMoEOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.looks import gate_look
from recsys.nn.experts import Experts, mix
from recsys.nn.gates import Gates


class MMoE(Architecture):
    """Ma et al. (KDD 2018), eq. 6–7, above the frame's shared hidden layer as in Zhao et al. (RecSys 2019, §4.2).

    With `model.d_shared = 0` experts and gates read the input itself: the form of the 2018 paper.
    """

    def __init__(self, options: MMoEOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.experts = Experts(options.num_experts, setting.d_in, options.hidden)
        self.gates = Gates(setting.d_in, setting.num_objectives, options.num_experts, dropout=options.expert_dropout, top_k=options.top_k)
        self.d_out = self.experts.d_out

    def axes(self) -> dict[str, str]:
        return {r"gates\..*": "* * k.*"}

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        inputs_BD = inputs_BTD.squeeze(1)
        experts_NBH = self.experts(inputs_BD)
        gates_BKN = self.gates(inputs_BD)
        show = {"gates": gate_look(gates_BKN)}
        return Shared(mix(gates_BKN, experts_NBH), shared=experts_NBH, made_by=(self.experts.last_weight,), show=show)
