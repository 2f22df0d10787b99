"""Progressive layered extraction: each objective's own experts and shared ones, in levels."""

from collections.abc import Iterator
from functools import partial
from typing import cast

from torch import Tensor, nn

from recsys.config.architectures import PLEOptions
from recsys.models.architecture import Architecture, Look, Priors, Setting, Shared
from recsys.models.looks import gate_look, numbered
from recsys.nn.experts import OwnAndSharedExperts
from recsys.nn.extraction import ExtractionLevel
from recsys.nn.linear import StackedMLP, stacked


class PLE(Architecture):
    """Levels of customized gate control: Tang et al. (RecSys 2020), §4.2. With one level it is CGC.

    Objective k's experts and gate on level j read what its gate gave on level j − 1: o_k^j = softmax(W_k^j o_k^{j−1}) · [f_k^j(o_k^{j−1}),
    s^j(o_s^{j−1})], o^0 = x. The shared experts read the shared path. The shared path's own gate mixes *all* experts of a level, o_s^j =
    softmax(W_s^j o_s^{j−1}) · [f_1^j … f_K^j, s^j]. Nothing reads the shared path above the last level, so that level has no such gate.
    Without shared experts there is no shared path, and the levels are stacks of the objectives' own experts.
    All levels have the same shape: `own_experts`, `shared_experts` and `hidden`, the widths of the nets, hold for each level.
    `shared` are the outputs of all experts of the last level. Balancing acts on the last weights of that level's shared experts; without
    shared experts, on the frame's layer below.
    """

    def __init__(self, options: PLEOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.levels = nn.ModuleList()
        d_in = setting.d_in
        for level in range(options.levels):
            nets = partial(StackedMLP, d_in=d_in, hidden=options.hidden)
            experts = OwnAndSharedExperts(setting.num_objectives, options.own_experts, options.shared_experts, nets)
            goes_on = options.shared_experts > 0 and level < options.levels - 1
            self.levels.append(ExtractionLevel(experts, d_in, shared_gate=goes_on, dropout=options.expert_dropout, top_k=options.top_k))
            d_in = options.hidden[-1]
        self.names = numbered("own", options.own_experts) + numbered("shared", options.shared_experts)
        self.num_objectives = setting.num_objectives
        self.d_out = d_in

    def axes(self) -> dict[str, str]:
        own = {r"levels\..*\.experts\.own\..*": "k.*", r"levels\..*\.gates\..*": "k"}
        return own | {r"levels\..*\.shared_gate\..*": f"* * {self._levels()[0].experts.num_own}k+*"}

    def own_below(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the objectives' gates, and of the own experts that no shared gate reads.

        These experts are the last level's; without shared experts they are those of all levels.
        """
        for level in self._levels():
            yield from level.gates.parameters()
            if level.shared_gate is None:
                yield from level.experts.own.parameters()

    def forward(self, inputs_BTD: Tensor, priors: Priors | None = None) -> Shared:
        shared_1BD = stacked(inputs_BTD)
        own_KBD = shared_1BD.expand(self.num_objectives, -1, -1)
        show: dict[str, Look] = {}
        for number, level in enumerate(self._levels(), start=1):
            found = level(own_KBD, shared_1BD)
            own_KBD = found.own_BKH.transpose(0, 1)
            if found.shared_BH is not None:
                shared_1BD = found.shared_BH.unsqueeze(0)
            show[f"gates, level {number}"] = gate_look(found.gates_BKN, self.names)
        return Shared(found.own_BKH, shared=found.experts_EBH, made_by=level.experts.shared_weights, show=show)

    def _levels(self) -> list[ExtractionLevel]:
        return [cast(ExtractionLevel, level) for level in self.levels]
