"""All objectives' losses and values at once, a null label out of both loss and gradient.

Shape letters: B rows, N training rows, K objectives in the layout's order, J objectives of one kind.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys import schema
from recsys.errors import data_error
from recsys.losses.binary import Binary
from recsys.losses.kind import Constants, Fitted, Kind
from recsys.losses.regression import Regression
from recsys.losses.watch_time import WatchTime, smearing
from recsys.objectives import Objective

KINDS: dict[str, Kind] = {"binary": Binary(), "regression": Regression(), "watch_time": WatchTime()}


class ObjectiveLosses(nn.Module):
    """From [B, K] outputs to K losses and to [B, K] values. Its constants are buffers, saved with the model, float64.

    A fresh one has neutral constants, to be filled by `load_state_dict`; `fit` makes one from training labels.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__()
        self.objectives = tuple(objectives)
        num = len(self.objectives)
        for name, neutral in (("start_K", 0.0), ("scale_K", 1.0), ("mean_K", 0.0), ("std_K", 1.0), ("smear_K", 1.0)):
            self.register_buffer(name, torch.full((num,), neutral, dtype=torch.float64))
        self.start_K: Tensor
        self.scale_K: Tensor
        self.mean_K: Tensor
        self.std_K: Tensor
        self.smear_K: Tensor
        places = {kind: [k for k, objective in enumerate(self.objectives) if objective.kind == kind] for kind in KINDS}
        self.present = [kind for kind in KINDS if places[kind]]
        for kind in self.present:
            self.register_buffer(f"{kind}_J", torch.tensor(places[kind]), persistent=False)
        order = [k for kind in self.present for k in places[kind]]
        self.register_buffer("back_K", torch.tensor(np.argsort(order)), persistent=False)
        self.back_K: Tensor

    @classmethod
    def fit(cls, objectives: Sequence[Objective], labels_NK: NDArray[np.floating]) -> "ObjectiveLosses":
        """Constants from training labels [N, K], NaN where not observed.

        Raises DataError where an objective has no label at all, or one that its kind does not allow.
        """
        losses = cls(objectives)
        for k, objective in enumerate(losses.objectives):
            fitted = _fit(objective, np.asarray(labels_NK[:, k], dtype=np.float64))
            losses.start_K[k], losses.scale_K[k] = fitted.start, fitted.scale
            losses.mean_K[k], losses.std_K[k] = fitted.mean, fitted.std
        return losses

    def forward(self, outputs_BK: Tensor, labels_BK: Tensor) -> tuple[Tensor, Tensor]:
        """Returns losses [K], means over the observed rows in units of the best constant's loss, and their counts [K].

        An objective without an observed row has a loss of exactly 0 and gives no gradient.
        """
        observed_BK = ~labels_BK.isnan()
        known_BK = torch.where(observed_BK, labels_BK, 0.0).to(outputs_BK.dtype)  # before the loss: NaN · 0 is NaN in its gradient
        rows = [
            KINDS[kind].loss(outputs_BK[:, self._places(kind)], known_BK[:, self._places(kind)], self._constants(kind))
            for kind in self.present
        ]
        rows_BK = torch.cat(rows, dim=1)[:, self.back_K]
        counts_K = observed_BK.sum(0)
        sums_K = torch.where(observed_BK, rows_BK, 0.0).sum(0)
        return sums_K / counts_K.clamp(min=1) / self.scale_K.to(sums_K.dtype), counts_K

    def values(self, outputs_BK: Tensor) -> Tensor:
        """[B, K] float64: probabilities, and expected values in the labels' own units."""
        outputs_BK = outputs_BK.double()
        values = [KINDS[kind].value(outputs_BK[:, self._places(kind)], self._constants(kind)) for kind in self.present]
        return torch.cat(values, dim=1)[:, self.back_K]

    def fit_smearing(self, outputs_NK: NDArray[np.floating], labels_NK: NDArray[np.floating]) -> None:
        """Sets the watch-time objectives' smearing from a trained model's outputs on training rows; kept where no row is observed."""
        for k, objective in enumerate(self.objectives):
            observed = ~np.isnan(labels_NK[:, k])
            if objective.kind == "watch_time" and observed.any():
                predictions = outputs_NK[observed, k].astype(np.float64) * self.std_K[k].item() + self.mean_K[k].item()
                self.smear_K[k] = smearing(predictions, labels_NK[observed, k].astype(np.float64))

    def _places(self, kind: str) -> Tensor:
        return self.get_buffer(f"{kind}_J")

    def _constants(self, kind: str) -> Constants:
        places_J = self._places(kind)
        return Constants(self.mean_K[places_J], self.std_K[places_J], self.smear_K[places_J])


def _fit(objective: Objective, labels_N: NDArray[np.float64]) -> Fitted:
    kind = KINDS[objective.kind]
    observed_N = labels_N[~np.isnan(labels_N)]
    place = f"column {schema.label_column(objective.name)}"
    if not len(observed_N):
        raise data_error(
            place,
            found="no label on any training day",
            expected="at least one observed label",
            bad_rows=len(labels_N),
            rows=len(labels_N),
            fix="widen split.train, or mend the objective's label or observed",
        )
    bad = observed_N[~kind.are_valid(observed_N)]
    if len(bad):
        raise data_error(
            place,
            found=f"{bad[0]:g}",
            expected=f"{kind.expected} ({objective.kind})",
            bad_rows=len(bad),
            rows=len(observed_N),
            fix="mend the objective's label or its kind",
        )
    return kind.fit(observed_N)
