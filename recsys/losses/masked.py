"""The losses and values of all objectives at once; a null label has no part in loss or gradient.

Shape letters: B rows, N training rows, K objectives in the layout's order, J objectives of one loss, A durations, V values.
"""

from collections.abc import Iterator, Mapping, Sequence
from pkgutil import resolve_name

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys import objectives, schema
from recsys.errors import data_error
from recsys.losses.distribution import Distribution
from recsys.losses.loss import Loss, Sample
from recsys.losses.ordinal import Ordinal
from recsys.objectives import Objective, durations
from recsys.process_group import total

LOSSES: dict[str, type[Loss]] = {name: resolve_name(learned.implementation) for name, learned in objectives.LOSSES.items()}


class ObjectiveLosses(nn.Module):
    """A map from [B, K] outputs to K losses and to [B, V] values. Its constants are float64 buffers, saved with the model.

    A fresh instance has neutral constants, to be filled by `load_state_dict`. `fit` makes an instance from training labels. The only
    parameters are the thresholds of ordinal objectives and of distributions. `warnings` say what `fit` found odd, one sentence each.

    `durations` are the columns of `objectives.durations`, NaN where missing. Every method that takes durations raises ValueError where an
    objective needs one and there are none. `weights` are ≥ 0; without weights every row counts 1.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__()
        self.objectives = tuple(objectives)
        self.warnings: tuple[str, ...] = ()
        self._durations = durations(self.objectives)
        for name, neutral in (("start_K", 0.0), ("scale_K", 1.0)):
            self.register_buffer(name, torch.full((len(self.objectives),), neutral, dtype=torch.float64))
        self.start_K: Tensor  # outputs whose prediction is the best constant
        self.scale_K: Tensor  # mean losses of the best constants, the units in which losses are counted
        self.methods = nn.ModuleDict()
        order: list[int] = []
        for name, loss in LOSSES.items():
            places = [k for k, objective in enumerate(self.objectives) if objective.learned_by == name]
            if places:
                self.methods[name] = loss([self.objectives[k] for k in places])
                self.register_buffer(f"{name}_J", torch.tensor(places), persistent=False)
                lengths = [self._durations.index(column) for column in durations([self.objectives[k] for k in places])]
                self.register_buffer(f"{name}_A", torch.tensor(lengths, dtype=torch.int64), persistent=False)
                order += places
        self.register_buffer("back_K", torch.tensor(np.argsort(order)), persistent=False)
        self.back_K: Tensor

    @classmethod
    def fit(
        cls,
        objectives: Sequence[Objective],
        labels_NK: NDArray[np.floating],
        durations_NA: NDArray[np.floating] | None = None,
        weights_N: NDArray[np.floating] | None = None,
    ) -> "ObjectiveLosses":
        """Fit the constants to training labels [N, K], NaN where not observed. At `start_K` losses are 1 and values the labels' means.

        Raise DataError where an objective has no label at all, a label that its kind does not allow, or labels it cannot learn from.
        """
        losses = cls(objectives)
        losses._need(durations_NA)
        for _, loss, places in losses._named():
            for j, k in enumerate(places.tolist()):
                _refuse_bad_labels(loss.objectives[j], labels_NK[:, k])
                fitted = loss.fit(j, losses._sample(k, labels_NK, durations_NA, weights_N))
                losses.start_K[k], losses.scale_K[k] = fitted.start, fitted.scale
                losses.warnings += fitted.warnings
        losses.fit_smearing(np.broadcast_to(losses.start_K.numpy(), labels_NK.shape), labels_NK, durations_NA, weights_N)
        return losses

    @property
    def is_smeared(self) -> bool:
        """Return whether some values need `fit_smearing` to be means."""
        return any(loss.is_smeared for _, loss, _ in self._named())

    def forward(
        self, outputs_BK: Tensor, labels_BK: Tensor, durations_BA: Tensor | None = None, weights_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return losses [K] and the observed rows' total weights [K].

        A loss is the weighted mean over the observed rows, in units of the best constant's loss. An objective without an observed row of a
        weight above 0 has a loss of exactly 0 and gives no gradient. Where several processes share the batch, the weights are those of the
        whole batch, and the losses are this process's parts of them: they add up.
        """
        self._need(durations_BA)
        outputs_BK = outputs_BK.to(torch.promote_types(outputs_BK.dtype, torch.float32))
        observed_BK = ~labels_BK.isnan()
        known_BK = torch.where(observed_BK, labels_BK, 0.0).to(outputs_BK.dtype)  # before the loss: in its gradient NaN · 0 would be NaN
        rows = [
            loss.per_row(outputs_BK[:, places], known_BK[:, places], self._lengths(name, durations_BA))
            for name, loss, places in self._named()
        ]
        return self._means(rows, observed_BK, weights_B)

    def against(
        self,
        told: Mapping[str, Tensor],
        outputs_BK: Tensor,
        labels_BK: Tensor,
        durations_BA: Tensor | None = None,
        weights_B: Tensor | None = None,
    ) -> Tensor:
        """Return losses [K] against what a teacher says (`told_by`), over the rows and in the units of the losses against the labels.

        Of the labels only this is read: whether they are observed.
        """
        self._need(durations_BA)
        outputs_BK = outputs_BK.to(torch.promote_types(outputs_BK.dtype, torch.float32))
        rows = [
            loss.per_row_told(outputs_BK[:, places], told[name], self._lengths(name, durations_BA)) for name, loss, places in self._named()
        ]
        return self._means(rows, ~labels_BK.isnan(), weights_B)[0]

    def _means(self, rows: Sequence[Tensor], observed_BK: Tensor, weights_B: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return [K] the weighted means of the observed rows' losses, in their units, and [K] the weights. `rows`: [B, J] of each loss."""
        rows_BK = torch.cat(list(rows), dim=1)[:, self.back_K]
        weights_BK = observed_BK.to(rows_BK.dtype)
        if weights_B is not None:
            weights_BK = weights_BK * weights_B[:, None].to(rows_BK.dtype)
        counts_K = total(weights_BK.sum(0))
        sums_K = (weights_BK * rows_BK.where(observed_BK, 0.0)).sum(0)
        return sums_K / counts_K.where(counts_K > 0, 1.0) / self.scale_K.to(sums_K.dtype), counts_K

    @torch.no_grad()
    def told_by(self, teacher: "ObjectiveLosses", outputs_BK: Tensor, durations_BA: Tensor | None = None) -> dict[str, Tensor]:
        """Return what the outputs of a teacher say: method → [B, J, ...] (`Loss.told_by`). Its objectives are these, in this order."""
        self._need(durations_BA)
        outputs_BK = outputs_BK.to(torch.promote_types(outputs_BK.dtype, torch.float32))
        pairs = zip(self._named(), teacher._named(), strict=True)
        return {
            name: loss.told_by(its, outputs_BK[:, places], self._lengths(name, durations_BA)) for (name, loss, places), (_, its, _) in pairs
        }

    @torch.no_grad()
    def values(self, outputs_BK: Tensor, durations_BA: Tensor | None = None) -> Tensor:
        """Return [B, V] float64 in the order of `predictions.value_names`.

        Values are probabilities (for a conditional objective the joint one), expected values in the labels' own units, percentiles, and
        probabilities of levels.
        """
        self._need(durations_BA)
        outputs_BK = outputs_BK.double()
        means, percentiles, levels = [], [], []
        for name, loss, places in self._named():
            outputs_BJ, lengths_BA = outputs_BK[:, places], self._lengths(name, durations_BA)
            means.append(loss.value(outputs_BJ, lengths_BA))
            match loss:
                case Distribution():
                    percentiles.append(loss.percentiles(outputs_BJ, lengths_BA))
                case Ordinal():
                    levels.append(loss.level_probabilities(outputs_BJ))
        return torch.cat([torch.cat(means, dim=1)[:, self.back_K], *percentiles, *levels], dim=1)

    @torch.no_grad()
    def fit_smearing(
        self,
        outputs_NK: NDArray[np.floating],
        labels_NK: NDArray[np.floating],
        durations_NA: NDArray[np.floating] | None = None,
        weights_N: NDArray[np.floating] | None = None,
    ) -> None:
        """Turn values that were learned on another scale into means: Σ w·value = Σ w·label on these rows, which should be training rows.

        An objective with no observed row keeps its constant.
        """
        self._need(durations_NA)
        durations_TA = None if durations_NA is None else self._doubles(durations_NA)
        for name, loss, places in self._named():
            if loss.is_smeared:
                columns = places.tolist()
                outputs_NJ, labels_NJ = self._doubles(outputs_NK[:, columns]), self._doubles(labels_NK[:, columns])
                observed_NJ = ~labels_NJ.isnan()
                weights_NJ = observed_NJ.double() if weights_N is None else observed_NJ * self._doubles(weights_N)[:, None]
                loss.fit_smearing(outputs_NJ, labels_NJ.where(observed_NJ, 0.0), self._lengths(name, durations_TA), weights_NJ)

    def _lengths(self, name: str, durations_BA: Tensor | None) -> Tensor | None:
        """Return the columns of the durations that this loss reads, in its own order; None where it reads none."""
        columns = self.get_buffer(f"{name}_A")
        return durations_BA[:, columns] if durations_BA is not None and len(columns) else None

    def _named(self) -> Iterator[tuple[str, Loss, Tensor]]:
        """Yield each loss in use with its name and the places of its objectives."""
        for name, loss in self.methods.items():
            assert isinstance(loss, Loss)
            yield name, loss, self.get_buffer(f"{name}_J")

    def _doubles(self, array: NDArray[np.floating]) -> Tensor:
        return torch.tensor(array, dtype=torch.float64, device=self.start_K.device)

    def _need(self, durations: object) -> None:
        if self._durations and durations is None:
            raise ValueError(f"found no durations, expected columns of {', '.join(self._durations)}, which objectives read")

    def _sample(
        self,
        k: int,
        labels_NK: NDArray[np.floating],
        durations_NA: NDArray[np.floating] | None,
        weights_N: NDArray[np.floating] | None,
    ) -> Sample:
        """Return the rows of objective k that count. Raise DataError where there is none."""
        objective = self.objectives[k]
        weights_N = np.ones(len(labels_NK)) if weights_N is None else np.asarray(weights_N, dtype=np.float64)
        known_N = ~np.isnan(labels_NK[:, k])
        counts_N = known_N & (weights_N > 0)
        if not counts_N.any():
            is_known = bool(known_N.any())
            raise data_error(
                f"column {schema.label_column(objective.name)}",
                found="labels on training rows of weight 0 alone" if is_known else "no label on any training day",
                expected="at least one observed label" + (" on a row of a weight above 0" if is_known else ""),
                bad_rows=len(labels_NK),
                rows=len(labels_NK),
                fix="widen split.train, or mend " + ("train.weight" if is_known else "the objective's label or observed"),
            )

        def column(array: NDArray[np.floating], place: int) -> NDArray[np.float64]:
            return np.asarray(array[counts_N, place], dtype=np.float64)

        sample = Sample(labels_N=column(labels_NK, k), weights_N=weights_N[counts_N])
        if objective.duration is not None and durations_NA is not None:
            sample = sample._replace(durations_N=column(durations_NA, self._durations.index(objective.duration)))
        if objective.given is not None:
            given = [other.name for other in self.objectives].index(objective.given)
            happened, did_not = (_share(counts_N, weights_N * (labels_NK[:, given] == label)) for label in (1.0, 0.0))
            # Where the given objective did not happen, the label is 0 and there, unless it is not known yet. The same share is not
            # known yet where it did happen.
            sample = sample._replace(given_N=column(labels_NK, given), known_share=min(1.0, happened / (did_not or 1.0)))
        return sample


def _share(chosen_N: NDArray[np.bool_], weights_N: NDArray[np.float64]) -> float:
    """Return the share of the weight that is chosen; 1 where there is no weight."""
    return float(weights_N @ chosen_N / weights_N.sum()) if weights_N.any() else 1.0


def _refuse_bad_labels(objective: Objective, labels_N: NDArray[np.floating]) -> None:
    legal = objective.legal_labels()
    known_N = labels_N[~np.isnan(labels_N)].astype(np.float64)
    bad = known_N[~legal.allow(known_N)]
    if len(bad):
        raise data_error(
            f"column {schema.label_column(objective.name)}",
            found=", ".join(f"{value:g}" for value in np.unique(bad)[:5]),
            expected=f"{legal.words} ({objective.kind})",
            bad_rows=len(bad),
            rows=len(known_N),
            fix="mend the objective's label or its kind",
        )
