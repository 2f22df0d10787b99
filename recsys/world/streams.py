"""Random streams: one generator for every (seed, purpose, day), so that no draw depends on how many other draws were made."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """The purpose of a stream of random numbers. A seed's draws depend on the values: append, never renumber."""

    USERS = 0
    AUTHORS = 1
    VIDEOS = 2
    INTERESTS = 3
    REQUESTS = 4
    POLICY = 5
    BEHAVIOUR = 6


def generator(seed: int, stream: Stream, day: int = 0) -> np.random.Generator:
    """Return a generator that is equal for equal arguments. `day` is 0 on the first logged day, and negative before it."""
    return np.random.default_rng([seed, int(stream), day % 2**32])
