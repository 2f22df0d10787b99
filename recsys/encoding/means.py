"""The means of training labels: the background that a metric such as normalised entropy is judged against."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys import schema
from recsys.objectives import Objective

# Legend: N rows, K objectives, M means.


def label_means(days: Iterable[NDArray[np.floating]], objectives: Sequence[Objective]) -> dict[str, float]:
    """Return each objective's mean of observed labels. An objective without an observed label is absent.

    Labels come as one [N, K] per day, NaN where not observed. An objective with `given` also gets `like|click`: its mean over
    the rows where the label of `given` is 1. All rows count alike, because metrics know no weights.
    """
    places = {objective.name: k for k, objective in enumerate(objectives)}
    conditional = {schema.conditional_name(o.name, o.given): (places[o.name], places[o.given]) for o in objectives if o.given is not None}
    names = (*places, *conditional)
    sums_M, counts_M = np.zeros(len(names)), np.zeros(len(names), np.int64)
    for labels_NK in days:
        columns = [labels_NK[:, k] for k in places.values()]
        columns += [labels_NK[labels_NK[:, given] == 1, k] for k, given in conditional.values()]
        counts_M += [int((~np.isnan(column)).sum()) for column in columns]
        sums_M += [float(np.nansum(column, dtype=np.float64)) for column in columns]
    return {name: float(sums_M[m] / counts_M[m]) for m, name in enumerate(names) if counts_M[m] > 0}
