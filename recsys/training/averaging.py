"""The moving average of a member's parameters.

A training that stops after some of its planned passes stops at a high learning rate. Its last parameters then carry the noise of the last
steps. Their average carries less (Polyak and Juditsky, SIAM J. Control Optim. 1992; as a moving average of weights in Tarvainen and
Valpola, NeurIPS 2017).
"""

import copy

import torch

from recsys.scoring.member import Member


class Average:
    """A copy of a member whose parameters are means of those that the member had.

    In the first steps they are plain means. From the step on that is the window (`update`), they are exponential moving averages:
    θ̄ ← θ̄ + (θ − θ̄) / window.
    An embedding table so large that its gradient is sparse is not averaged, because each step would have to visit all of its rows. The copy
    shares it with the member.
    """

    def __init__(self, member: Member) -> None:
        tables = member.ranker.inputs.embeddings.tables
        shared = {id(tables.table): tables.table} if tables.is_sparse else {}
        self.member: Member = copy.deepcopy(member, dict(shared))
        self.steps = 0
        self._buffers = list(member.buffers())
        self._theirs = [parameter.detach() for parameter in member.parameters() if id(parameter) not in shared]
        self.means = {name: parameter.detach() for name, parameter in self.member.named_parameters() if id(parameter) not in shared}

    @torch.no_grad()
    def update(self, window: float) -> None:
        """Take in the member's parameters after a step. The mean is over `window` steps, 1 or more."""
        self.steps += 1
        share = max(1 / self.steps, 1 / window)
        torch._foreach_lerp_(list(self.means.values()), self._theirs, share)

    @torch.no_grad()
    def predicting(self) -> Member:
        """Return the averaged member, with the buffers (constants, running moments) as the member has them now."""
        for ours, theirs in zip(self.member.buffers(), self._buffers, strict=True):
            ours.copy_(theirs)
        return self.member
