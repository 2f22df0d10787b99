"""The logging policy: what it learned from the log up to yesterday, which videos it retrieves, and in which order it shows them.

The policy never sees the truth. It guesses clicks from click rates. These rates are one day old, not corrected for position,
and noisy. So the policy prefers clickbait, and a video that it shows high is clicked more because it stands high.

Shapes: U users, V videos, T topics, R requests, C candidates of a request, S slots, N impressions.
"""

from dataclasses import dataclass

import numpy as np

from recsys.world.population import DAY_MS, TOPICS, Bools, Floats, Ints, Videos

_BASE_RATE = 0.18  # the click rate that the policy assumes before it has seen any
_VIDEO_PRIOR = 30.0  # impressions at the base rate that a video's click rate starts from
_TASTE_PRIOR = 10.0  # the same for a user's click rate on a topic
_VIDEO_MEMORY = 0.8  # share of yesterday's counts of a video that is kept
_TASTE_MEMORY = 0.95
_SAME_TOPIC = 0.5  # log lift that the policy gives to the query video's topic
_NOISE = 0.5  # standard deviation of the policy's error about one candidate of one request
_TASTE_SHARPNESS = 2.0  # how strongly retrieval follows the guessed taste of a user
_FRESH_DAYS = 7


@dataclass(frozen=True)
class Policy:
    """Discounted counts of the log up to last midnight."""

    shown_V: Floats
    clicked_V: Floats
    shown_UT: Floats
    clicked_UT: Floats

    @classmethod
    def untaught(cls, users: int, videos: int) -> "Policy":
        return cls(np.zeros(videos), np.zeros(videos), np.zeros((users, len(TOPICS))), np.zeros((users, len(TOPICS))))

    def taught(self, videos: Videos, user_N: Ints, video_N: Ints, clicked_N: Bools) -> "Policy":
        """Return the policy after it has also learned from these impressions of one day."""
        taste_N = user_N * len(TOPICS) + videos.topic_V[video_N]
        shape = self.shown_UT.shape

        def per_video(weight_N: Floats | None) -> Floats:
            return np.bincount(video_N, weight_N, minlength=len(videos)).astype(np.float64)

        def per_taste(weight_N: Floats | None) -> Floats:
            return np.bincount(taste_N, weight_N, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)

        weight_N = clicked_N.astype(np.float64)
        return Policy(
            _VIDEO_MEMORY * self.shown_V + per_video(None),
            _VIDEO_MEMORY * self.clicked_V + per_video(weight_N),
            _TASTE_MEMORY * self.shown_UT + per_taste(None),
            _TASTE_MEMORY * self.clicked_UT + per_taste(weight_N),
        )

    def guess(self) -> "Guess":
        base = float((self.clicked_V.sum() + _VIDEO_PRIOR * _BASE_RATE) / (self.shown_V.sum() + _VIDEO_PRIOR))
        return Guess(
            np.log((self.clicked_V + _VIDEO_PRIOR * base) / (self.shown_V + _VIDEO_PRIOR) / base),
            np.log((self.clicked_UT + _TASTE_PRIOR * base) / (self.shown_UT + _TASTE_PRIOR) / base),
        )


@dataclass(frozen=True)
class Guess:
    """The tables from which the policy scores for one day: log lifts of click rates over the base rate, shrunk towards 0."""

    video_lift_V: Floats
    taste_lift_UT: Floats


class Catalogue:
    """The videos of one day. They are retrieved by topic, and in proportion to their popularity as the policy knows it."""

    def __init__(self, policy: Policy, videos: Videos, midnight: int, slots: int) -> None:
        """Hold the videos uploaded before `midnight` (ms), the start of the day.

        Later videos are held only where the earlier ones cannot fill a page.
        """
        self.size = max(slots + 1, int(np.searchsorted(videos.uploaded_ms_V, midnight)))
        older = int(np.searchsorted(videos.uploaded_ms_V, midnight - _FRESH_DAYS * DAY_MS))
        self.fresh = max(slots, self.size - older)
        self.by_topic_V = np.argsort(videos.topic_V[: self.size], kind="stable")
        weight_V = 1 + policy.clicked_V[self.by_topic_V]
        self.mass_V = np.concatenate([[0.0], np.cumsum(weight_V)])
        self.first_of_topic_T = np.searchsorted(videos.topic_V[self.by_topic_V], np.arange(len(TOPICS) + 1))

    def popular(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
        return self._at_mass(rng.random(shape) * self.mass_V[-1])

    def popular_of_topic(self, rng: np.random.Generator, topic: Ints) -> Ints:
        """Draw one video for each entry of `topic`. For a topic without videos, take the nearest video of another topic."""
        low = self.mass_V[self.first_of_topic_T[topic]]
        high = self.mass_V[self.first_of_topic_T[topic + 1]]
        return self._at_mass(low + rng.random(topic.shape) * (high - low))

    def newest(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
        return rng.integers(self.size - self.fresh, self.size, shape)

    def distinct(self, rng: np.random.Generator, requests: int, n: int) -> Ints:
        """Draw videos [R, n]: n different ones per request, each video equally likely.

        The videos stand in a random circle, and each request gets an arc of it.
        """
        circle_V = rng.permutation(self.size)
        arc_RX: Ints = circle_V[(rng.integers(0, self.size, (requests, 1)) + np.arange(n)) % self.size]
        return arc_RX

    def _at_mass(self, mass: Floats) -> Ints:
        place = np.searchsorted(self.mass_V, mass, side="right") - 1
        return self.by_topic_V[np.minimum(place, self.size - 1)]


def retrieve(rng: np.random.Generator, guess: Guess, shelf: Catalogue, user_R: Ints, query_topic_R: Ints, slots: int) -> Ints:
    """Draw candidates [R, C], C = 7·slots + 1: by the query's topic, the user's taste, popularity, freshness, and at random.

    The random part alone holds slots + 1 different videos. So a page can be filled even where the other parts repeat videos.
    """
    n = len(user_R)
    appetite_RT = np.cumsum(np.exp(_TASTE_SHARPNESS * guess.taste_lift_UT[user_R]), axis=1)
    pick_RX = rng.random((n, 2 * slots)) * appetite_RT[:, -1:]
    taste_RX = (pick_RX[:, :, None] >= appetite_RT[:, None, :-1]).sum(axis=2)
    return np.concatenate(
        [
            shelf.popular_of_topic(rng, np.repeat(query_topic_R[:, None], 2 * slots, axis=1)),
            shelf.popular_of_topic(rng, taste_RX),
            shelf.popular(rng, (n, slots)),
            shelf.newest(rng, (n, slots)),
            shelf.distinct(rng, n, slots + 1),
        ],
        axis=1,
    )


@dataclass(frozen=True)
class Pages:
    """The pages shown: the videos from the first slot to the last, and the policy's score of each."""

    video_RS: Ints
    score_RS: Floats  # log lift of a click over the base rate, as guessed


def fill_pages(
    rng: np.random.Generator, guess: Guess, videos: Videos, user_R: Ints, query_R: Ints, candidate_RC: Ints, *, slots: int, sharpness: float
) -> Pages:
    """Score the candidates and show `slots` of them, no video twice and never the query video.

    The order is a draw from the Plackett–Luce model with weights exp(sharpness · score). The draw adds Gumbel noise and
    sorts (Kool et al., ICML 2019, "Stochastic beams and where to find them"). The order is uniform at sharpness 0, and
    sorted by score at ∞.
    """
    sorted_RC = np.sort(candidate_RC, axis=1)
    topic_RC = videos.topic_V[sorted_RC]
    score_RC = guess.video_lift_V[sorted_RC] + guess.taste_lift_UT[user_R[:, None], topic_RC]
    score_RC += _SAME_TOPIC * (topic_RC == videos.topic_V[query_R][:, None]) + rng.normal(0, _NOISE, sorted_RC.shape)
    barred_RC = sorted_RC == query_R[:, None]
    barred_RC[:, 1:] |= sorted_RC[:, 1:] == sorted_RC[:, :-1]
    key_RC = np.where(barred_RC, -np.inf, sharpness * score_RC + rng.gumbel(size=sorted_RC.shape))
    top_RS = np.argpartition(-key_RC, slots - 1, axis=1)[:, :slots]
    order_RS = np.argsort(-np.take_along_axis(key_RC, top_RS, axis=1), axis=1)
    shown_RS = np.take_along_axis(top_RS, order_RS, axis=1)
    return Pages(np.take_along_axis(sorted_RC, shown_RS, axis=1), np.take_along_axis(score_RC, shown_RS, axis=1))
