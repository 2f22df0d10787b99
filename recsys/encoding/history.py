"""The signals of past impressions on scales that a net can read. Zero means that nothing happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys import schema


@dataclass(frozen=True)
class SignalScale:
    """The scale of a signal.

    A signal that was only 0 or 1 in training stays as it is. Others become log(1 + x), in units of its root mean square.
    They are not centred, so that "none" is 0 like padding. Only the age of an impression is centred too (standardised): it comes
    as a logarithm and is never 0.
    """

    name: str
    is_log: bool
    centre: float
    scale: float
    lowest: float  # the range in training, to which a value is clipped first
    highest: float
    is_sparse: bool  # had a null in training, so gets an indicator

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale values. The result is finite, and 0 where a value is missing."""
        clipped = values.clip(self.lowest, self.highest)
        scaled = ((np.log1p(clipped) if self.is_log else clipped) - self.centre) / self.scale
        return np.where(np.isnan(values), 0.0, scaled)


def signal_names(scales: Sequence[SignalScale]) -> tuple[str, ...]:
    """Return the names of the history signals' last axis: the values, then the missing-value indicators."""
    return tuple(scale.name for scale in scales) + tuple(f"{scale.name}?" for scale in scales if scale.is_sparse)


def transform(scales: Sequence[SignalScale], signals: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return [M, G] for M past impressions, in the order of `signal_names`."""
    columns = [scale.transform(signals[scale.name]) for scale in scales]
    columns += [np.isnan(signals[scale.name]).astype(np.float64) for scale in scales if scale.is_sparse]
    return np.stack(columns, axis=1).astype(np.float32)


@dataclass
class _Moments:
    """The moments of a signal's values and of their log(1 + x)."""

    count: int = 0
    is_binary: bool = True
    is_sparse: bool = False
    lowest: float = np.inf
    highest: float = -np.inf
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))


class ScalesFitter:
    """Sums over all past impressions in the histories of the training days, whatever their rows."""

    def __init__(self, names: Sequence[str]) -> None:
        self._moments = {name: _Moments() for name in names}

    def add(self, name: str, values: NDArray[np.float64]) -> None:
        moments = self._moments[name]
        is_known = ~np.isnan(values)
        moments.is_sparse |= not is_known.all()
        known = values[is_known].clip(0.0)
        if not len(known):
            return
        moments.count += len(known)
        moments.is_binary &= bool(np.isin(known, (0.0, 1.0)).all())
        moments.lowest, moments.highest = min(moments.lowest, known.min()), max(moments.highest, known.max())
        both = np.stack([known, np.log1p(known)])
        moments.sums += both.sum(axis=1)
        moments.squares += (both**2).sum(axis=1)

    def scales(self) -> tuple[SignalScale, ...]:
        return tuple(_scale(name, moments) for name, moments in self._moments.items())


def _scale(name: str, moments: _Moments) -> SignalScale:
    if not moments.count:
        return SignalScale(name, False, 0.0, 1.0, 0.0, 0.0, moments.is_sparse)
    is_age = name == schema.HISTORY_AGE
    is_log = not (is_age or moments.is_binary)
    mean = float(moments.sums[int(is_log)]) / moments.count
    centre = mean if is_age else 0.0
    spread = float(np.sqrt(max(float(moments.squares[int(is_log)]) / moments.count - centre**2, 0.0)))
    is_raw = moments.is_binary and not is_age
    scale = 1.0 if is_raw or spread < 1e-6 else spread
    lowest = moments.lowest if is_age else 0.0
    return SignalScale(name, is_log, centre, scale, lowest, moments.highest, moments.is_sparse)
