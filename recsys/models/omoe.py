"""One-gate mixture of experts: one pool of experts, one gate for all objectives."""

from torch import Tensor

from recsys.config.architectures import OMoEOptions
from recsys.models.architecture import Architecture, Priors, Setting, Shared
from recsys.models.looks import gate_look
from recsys.nn.experts import Experts, mix
from recsys.nn.gates import Gates


class OMoE(Architecture):
    """The mixture f(x) = Σ_n g_n(x) f_n(x) under all towers, g = softmax(W x): the one-gate control of Ma et al. (KDD 2018).

    Every tower reads the same mixture. So the gain of MMoE over this model is the worth of one gate per objective.
    """

    def __init__(self, options: OMoEOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.experts = Experts(options.num_experts, setting.d_in, options.hidden)
        self.gate = Gates(setting.d_in, 1, options.num_experts, dropout=options.expert_dropout, top_k=options.top_k)
        self.num_objectives = setting.num_objectives
        self.d_out = self.experts.d_out

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        inputs_BD = inputs_BTD.squeeze(1)
        experts_NBH = self.experts(inputs_BD)
        gate_B1N = self.gate(inputs_BD)
        outputs_BKH = mix(gate_B1N, experts_NBH).expand(-1, self.num_objectives, -1)
        show = {"gates": gate_look(gate_B1N.expand(-1, self.num_objectives, -1))}
        return Shared(outputs_BKH, shared=experts_NBH, made_by=(self.experts.last_weight,), show=show)
