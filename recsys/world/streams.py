"""Random streams: one generator for every (seed, purpose, day), so that no draw depends on how many other draws were made."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream of random numbers is for. The values are part of what a seed means: append, never renumber."""

    USERS = 0
    AUTHORS = 1
    VIDEOS = 2
    INTERESTS = 3
    REQUESTS = 4
    POLICY = 5
    BEHAVIOUR = 6


def generator(seed: int, stream: Stream, day: int = 0) -> np.random.Generator:
    """A generator that is equal for equal arguments. `day` counts from 0, the first logged day; earlier ones are negative."""
    return np.random.default_rng([seed, int(stream), day % 2**32])
