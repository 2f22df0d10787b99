"""The requests of a day: which user comes when, on which device, watching which video.

Shapes: U users, J visits, R requests (in the order of time), M remembered videos per user.
"""

from dataclasses import dataclass

import numpy as np

from recsys.config import WorldOptions
from recsys.world.policy import Catalogue
from recsys.world.population import DAY_MS, Bools, Floats, Ints, Users, draw_devices, midnight_ms

_END_OF_VISIT = 0.6  # probability that a request is the last of its visit: 1.67 requests per visit
_PAUSE_MS = 240_000.0  # mean time between two requests of a visit
_OWN_DEVICE = 0.75  # share of visits on the user's usual device
_FROM_MEMORY = 0.75  # share of requests whose query video the user has watched before, where there is such a video
_REMEMBERED = 4
_HOUR_WEIGHTS = (3, 2, 1, 1, 1, 1, 2, 4, 5, 5, 5, 5, 6, 6, 5, 5, 6, 7, 8, 10, 12, 12, 10, 6)


@dataclass(frozen=True)
class Requests:
    id_R: Ints
    user_R: Ints
    timestamp_R: Ints
    device_R: Ints
    query_R: Ints

    def __len__(self) -> int:
        return len(self.id_R)

    def block(self, start: int, length: int) -> "Requests":
        return Requests(**{name: getattr(self, name)[start : start + length] for name in Requests.__dataclass_fields__})


@dataclass(frozen=True)
class Memory:
    """A few videos that each user has watched on earlier days; −1 where there is none yet."""

    video_UM: Ints

    @classmethod
    def empty(cls, users: int) -> "Memory":
        return cls(np.full((users, _REMEMBERED), -1))

    def after(self, user_N: Ints, video_N: Ints, clicked_N: Bools) -> "Memory":
        """Return the memory after these impressions, which are in the order of time.

        A click overwrites one place in the memory of its user.
        """
        video_UM = self.video_UM.copy()
        user, video = user_N[clicked_N], video_N[clicked_N]
        video_UM[user, np.arange(len(user)) % _REMEMBERED] = video
        return Memory(video_UM)


def draw_requests(rng: np.random.Generator, options: WorldOptions, day: int, users: Users, shelf: Catalogue, memory: Memory) -> Requests:
    """Draw all requests of one day, each at a time within the day."""
    visits_U = rng.poisson(options.requests * _END_OF_VISIT * users.activity_U)
    user_J = np.repeat(np.arange(options.users), visits_U)
    device_J = np.where(rng.random(len(user_J)) < _OWN_DEVICE, users.device_U[user_J], draw_devices(rng, len(user_J)))
    length_J = rng.geometric(_END_OF_VISIT, len(user_J))
    time_R = _times_of_day(rng, length_J)
    order_R = np.argsort(time_R, kind="stable")
    user_R = np.repeat(user_J, length_J)[order_R]
    midnight = midnight_ms(options, day)
    return Requests(
        id_R=midnight // DAY_MS * 1_000_000_000 + np.arange(len(user_R)),
        user_R=user_R,
        timestamp_R=midnight + time_R[order_R],
        device_R=np.repeat(device_J, length_J)[order_R],
        query_R=_queries(rng, user_R, shelf, memory),
    )


def _times_of_day(rng: np.random.Generator, length_J: Ints) -> Ints:
    """Draw the time of each request, in milliseconds since midnight.

    A visit that passes midnight goes on at the start of the same day, so that each day is complete.
    """
    weight = np.array(_HOUR_WEIGHTS, dtype=np.float64)
    hour_J = rng.choice(24, len(length_J), p=weight / weight.sum())
    begin_J = (hour_J + rng.random(len(length_J))) * 3_600_000
    elapsed_R: Floats = np.cumsum(rng.exponential(_PAUSE_MS, int(length_J.sum())))
    first_J = np.cumsum(length_J) - length_J
    time_R = np.repeat(begin_J - elapsed_R[first_J], length_J) + elapsed_R
    return time_R.astype(np.int64) % DAY_MS


def _queries(rng: np.random.Generator, user_R: Ints, shelf: Catalogue, memory: Memory) -> Ints:
    remembered_R = memory.video_UM[user_R, rng.integers(0, _REMEMBERED, len(user_R))]
    popular_R = shelf.popular(rng, user_R.shape)
    return np.where((rng.random(len(user_R)) < _FROM_MEMORY) & (remembered_R >= 0), remembered_R, popular_R)
