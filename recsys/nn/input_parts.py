"""Inputs in two parts: numbers of the log, and what is learned beside them.

As [x; z] W = x W_x + z W_z, a first layer can read both parts without putting them together. Nothing is learned below the numbers x, so no
gradient is computed for them: of the demo's 384 inputs, 287 are numbers. They are the same for every table, so in float32 they are not
copied table by table (autocast makes such copies). Two such layers of 128 and 65 outputs take 12 instead of 17 ms with six tables (1,024
rows, forward and backward, two threads of a CPU).

Shape letters: T tables, B rows, P numbers, E learned inputs, D = P + E inputs, H outputs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from recsys.nn.linear import StackedWeights, product, product_outside_autocast


class InputParts(NamedTuple):
    """The inputs [T, B, D] of the nets. Numbers come first, also in weights.

    Numbers are all that is given: those of the log, their bins, position and device as inputs, the mean signals of the history.
    """

    numbers_BP: Tensor
    learned_TBE: Tensor

    def numbers_per_table(self) -> Tensor:
        """Return the numbers once per table, [T, B, P], as a view."""
        return self.numbers_BP.expand(len(self.learned_TBE), -1, -1)

    def whole(self) -> Tensor:
        """Return [T, B, D]."""
        return torch.cat([self.numbers_per_table(), self.learned_TBE], dim=-1)

    def split(self, values: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """Split an axis of D entries into those of the numbers and those of what is learned."""
        of_numbers, of_learned = torch.split(values, [self.numbers_BP.shape[-1], self.learned_TBE.shape[-1]], dim=dim)
        return of_numbers, of_learned

    def of_last_tables(self, number: int) -> "InputParts":
        """Return the inputs of the last tables; as they are, where these are all: the gradient of a slice is a copy, filled with zeros."""
        return self if number == len(self.learned_TBE) else self._replace(learned_TBE=self.learned_TBE[-number:])


def learned_only(inputs_TBD: Tensor) -> InputParts:
    """Return inputs of which all are learned, or scaled by something learned."""
    return InputParts(inputs_TBD.new_empty(inputs_TBD.shape[1], 0), inputs_TBD)


class InputLinear(StackedWeights):
    """T linear maps of inputs in two parts, → [T, B, H]."""

    def forward(self, parts: InputParts) -> Tensor:
        of_numbers_TPH, of_learned_TEH = parts.split(self.weight, dim=1)
        return product(parts.learned_TBE, of_learned_TEH, product(parts.numbers_per_table(), of_numbers_TPH, self.bias))


def parts_product_outside_autocast(parts: InputParts, weight_TDH: Tensor) -> Tensor:
    """Return x_t W_t outside autocast, [T, B, H] (`linear.product_outside_autocast`)."""
    of_numbers_TPH, of_learned_TEH = parts.split(weight_TDH, dim=1)
    return product_outside_autocast(parts.numbers_per_table(), of_numbers_TPH) + product_outside_autocast(parts.learned_TBE, of_learned_TEH)


def times_one_plus(parts: InputParts, factors_TBD: Tensor) -> Tensor:
    """Return x ⊙ (1 + f), [T, B, D]."""
    of_numbers_TBP, of_learned_TBE = parts.split(factors_TBD, dim=2)
    numbers_TBP, learned_TBE = parts.numbers_per_table(), parts.learned_TBE
    scaled = [torch.addcmul(numbers_TBP, numbers_TBP, of_numbers_TBP), torch.addcmul(learned_TBE, learned_TBE, of_learned_TBE)]
    return torch.cat(scaled, dim=-1)
