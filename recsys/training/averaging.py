"""Average a member's parameters over its last steps.

A training that stops after some of its planned passes stops at a high learning rate. Its last parameters then carry the noise of the last
steps. Their average carries less (Polyak and Juditsky, SIAM J. Control Optim. 1992; as a moving average of weights in Tarvainen and
Valpola, NeurIPS 2017). The noise grows with the learning rate, so the window does too: where the rate falls to zero, the average becomes
the parameters themselves and lags behind nothing.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from recsys.scoring.member import Member


class Average:
    """A copy of a member whose numbers are averages of those that the member had.

    Averaged are the parameters, and what the ranker measures of the rows while it learns (moments of a batch normalisation). In the first
    steps an average is a plain mean. From the step on that is the window, it is an exponential moving average: θ̄ ← θ̄ + (θ − θ̄) / window.

    An embedding table so large that its gradient is sparse is not averaged, because each step would have to visit all of its rows. The copy
    shares it with the member.
    """

    def __init__(self, member: Member, steps: int = 0, means: Mapping[str, Tensor] | None = None) -> None:
        """Start afresh, or after so many steps with the means that they left. What is not averaged is as the member has it now."""
        shared = {id(table): table for table in member.ranker.embedding_parameters() if member.ranker.tables.is_sparse}
        self.member: Member = copy.deepcopy(member, dict(shared))  # what the memo holds is taken as it is, not copied
        self.steps = steps
        learned, averaged = _numbers(member), _numbers(self.member)
        self.means = {name: mean for name, mean in averaged.items() if id(learned[name]) not in shared}
        self._learned = [learned[name].detach() for name in self.means]
        with torch.no_grad():
            for name, mean in (means or {}).items():
                if name in self.means:  # a table that has grown so large that it is shared now is not
                    self.means[name].copy_(mean)

    @torch.no_grad()
    def update(self, window: float) -> None:
        """Take in the member's numbers after a step. A window of less than one step is one step: the numbers themselves."""
        self.steps += 1
        share = max(1 / self.steps, 1 / max(window, 1.0))
        torch._foreach_lerp_([mean.detach() for mean in self.means.values()], self._learned, share)  # one call instead of one per tensor


def _numbers(member: Member) -> dict[str, Tensor]:
    """Return the parameters, and the ranker's saved buffers of real numbers."""
    saved = {
        name: tensor for name, tensor in member.ranker.state_dict(prefix="ranker.", keep_vars=True).items() if tensor.is_floating_point()
    }
    return saved | dict(member.named_parameters())
