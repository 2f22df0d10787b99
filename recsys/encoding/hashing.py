"""Numbers that look random but are computed. The same input gives the same number, whatever the other inputs and their order."""

import numpy as np
from numpy.typing import NDArray


def mixed(numbers: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Spread running numbers over all of 64 bits, no two alike, with splitmix64's finaliser (Steele et al., OOPSLA 2014)."""
    z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
