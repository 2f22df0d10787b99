"""Losses and gradients that are not finite: they reach no weight, and an accelerator is not waited for to find them.

On a CPU, and with a balancing method that waits anyway, each number is looked at where it arises, and the first bad one is an error at
once. On an accelerator this look would be the longest wait of a small step. There a flag stays on the device. From the first bad step on,
no optimiser moves anything. The flag is read where the training waits for the device anyway: at each line of the journal, and before a
checkpoint. Until then a balancing method and running moments may take a bad number in; nothing of that is written.

Shape letters: K objectives, P parameters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsys.process_group import ALONE, ProcessGroup


class NotFiniteError(ArithmeticError):
    """Losses or gradients that are not finite, so that no step may be taken.

    `losses_K` holds all losses. Where the losses are finite, the error holds one of two things. `lengths_K` holds the lengths of all
    objectives' gradients in the shared layer's weights. Or `weights` names the parameters whose gradient is not finite. `step` is the bad
    step, counted from 1.
    """

    def __init__(self, step: int, losses_K: Tensor, lengths_K: Tensor | None = None, weights: Sequence[str] = ()) -> None:
        what = f"losses {losses_K.tolist()}" if lengths_K is None else f"gradients of length {lengths_K.tolist()}"
        super().__init__(f"gradients of {', '.join(weights)}" if weights else what)
        self.step = step
        self.losses_K = losses_K
        self.lengths_K = lengths_K
        self.weights = tuple(weights)


class Watch:
    """A look-out over the steps of one member. `at_once` says whether each number is looked at where it arises.

    `flag` is true on the device once a number was bad; it stays false where numbers are looked at at once.
    """

    def __init__(
        self,
        num_objectives: int,
        learned: Sequence[tuple[str, nn.Parameter]],
        device: torch.device,
        *,
        at_once: bool,
        holders: ProcessGroup = ALONE,
    ) -> None:
        """`holders` are the processes that embedding tables are spread over: a gradient that is bad in one of them is bad in all."""
        self.at_once = at_once
        self._holders = holders
        self.flag = torch.zeros((), dtype=torch.bool, device=device)
        self.learned = tuple(learned)
        self._step = 0
        # Of the first bad step: its number, the losses, the lengths of the objectives' and of the parameters' gradients.
        ones_K = torch.ones(num_objectives, dtype=torch.float64, device=device)
        self._first = [torch.zeros((), dtype=torch.int64, device=device), ones_K, ones_K, torch.ones(len(learned), device=device)]

    def begin(self, step: int) -> None:
        """Begin a step, counted from 1."""
        self._step = step

    def losses(self, losses_K: Tensor, penalty: Tensor) -> None:
        """Look at the losses and the penalty, before the backward pass. Raise NotFiniteError where they are bad and looked at at once."""
        is_fine = torch.isfinite(losses_K.detach().sum() + penalty.detach())
        if not self.at_once:
            self._note(is_fine, losses_K)
        elif not is_fine:
            raise NotFiniteError(self._step, losses_K.detach())

    def lengths(self, losses_K: Tensor, gramian_KK: Tensor) -> None:
        """Look at the objectives' gradients in the shared layer's weights, before a balancing method reads their products."""
        is_fine = torch.isfinite(gramian_KK).all()
        if not self.at_once:
            self._note(is_fine, losses_K, lengths_K=gramian_KK.diagonal().sqrt())
        elif not is_fine:
            raise NotFiniteError(self._step, losses_K.detach(), gramian_KK.diagonal().sqrt())

    def gradients(self, losses_K: Tensor) -> None:
        """Look at each parameter's gradient, before the optimisers read it. Where one is bad and looked at at once, drop all of them.

        Where numbers are read later, only lengths are kept. So a finite gradient whose length leaves the range of float32 counts as bad.
        And of a sparse gradient there may be an entry per lookup: entries that are finite, and whose sum is not, are not found.
        """
        lengths_P = self._holders.summed(self._lengths())  # of what is finite no length, but bad in all processes what is bad in one
        is_fine = torch.isfinite(lengths_P).all()
        if not self.at_once:
            self._note(is_fine, losses_K, lengths_P=lengths_P)
        elif not is_fine:
            are_bad = [not bool(torch.isfinite(_numbers(parameter)).all()) for _, parameter in self.learned]
            bad = [name for (name, _), is_bad in zip(self.learned, self._holders.any_of(are_bad), strict=True) if is_bad]
            if bad:  # none where only a length left the range of float32
                for _, parameter in self.learned:
                    parameter.grad = None
                raise NotFiniteError(self._step, losses_K.detach(), weights=bad)

    def read(self) -> None:
        """Raise NotFiniteError where any step so far was bad. This waits for the device."""
        if self.at_once or not self.flag:
            return
        step, losses_K, lengths_K, lengths_P = self._first
        if not torch.isfinite(losses_K).all():
            raise NotFiniteError(int(step), losses_K)
        if not torch.isfinite(lengths_K).all():
            raise NotFiniteError(int(step), losses_K, lengths_K)
        bad_P = (~torch.isfinite(lengths_P)).tolist()
        weights = [name for (name, _), bad in zip(self.learned, bad_P, strict=True) if bad]
        raise NotFiniteError(int(step), losses_K, weights=weights)

    def _note(self, is_fine: Tensor, losses_K: Tensor, lengths_K: Tensor | None = None, lengths_P: Tensor | None = None) -> None:
        """Keep the numbers of the first bad step, and raise the flag."""
        is_first = ~is_fine & ~self.flag
        step, *kept = self._first
        found = (losses_K.detach(), lengths_K, lengths_P)
        self._first = [
            torch.where(is_first, self._step, step),
            *(old if new is None else torch.where(is_first, new.to(old.dtype), old) for old, new in zip(kept, found, strict=True)),
        ]
        self.flag = self.flag | ~is_fine

    def _lengths(self) -> Tensor:
        """Return [P] the length of each parameter's gradient; 0 where there is none."""
        numbers = [_numbers(parameter) for _, parameter in self.learned]
        return torch.stack(torch._foreach_norm(numbers))


def _numbers(parameter: nn.Parameter) -> Tensor:
    """Return the numbers of the gradient; none where there is no gradient."""
    if parameter.grad is None:
        return parameter.new_empty(0)
    return parameter.grad._values() if parameter.grad.is_sparse else parameter.grad
