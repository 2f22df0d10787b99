"""A number: squared loss on the standardised label."""

from torch import Tensor

from recsys.losses.standardised import Standardised


class Squared(Standardised):
    """The loss (o − z)² with z the standardised label. The value is a conditional mean, because squared loss learns that mean."""

    def per_row(self, outputs_BJ: Tensor, labels_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self.per_row_told(outputs_BJ, self._standardise(labels_BJ), durations_BA)

    def per_row_told(self, outputs_BJ: Tensor, told: Tensor, durations_BA: Tensor | None) -> Tensor:
        return (outputs_BJ - told).square()

    def value(self, outputs_BJ: Tensor, durations_BA: Tensor | None) -> Tensor:
        return self._in_label_units(outputs_BJ)
