"""The behaviour of users on their impressions: the true probabilities, and one draw from them.

Clicks follow the position-based click model (Richardson et al., WWW 2007; Joachims et al., WSDM 2017). A click needs an
examination. Examination depends on the slot, the device and the user's patience, but not on the video. A click given
examination does not depend on the slot. Given the latents, all further draws are independent. So every expectation has a
closed form (docs/world.md lists them).

Shapes: N impressions, U users, T topics; the 4 behind `N4` are the thresholds of the stars 2 to 5.
"""

from dataclasses import dataclass

import numpy as np

from recsys.world.population import DAY_MS, DEVICES, TOPICS, Bools, Floats, Ints, Users, Videos

MEAN_CLICKBAIT = 0.3
_EXAMINATION_DECAY = np.array([0.75, 0.55, 0.40, 0.30])  # per device of DEVICES: P(examined) = slot^(−decay / patience)
_DEVICE_WATCH = np.array([-0.2, 0.0, 0.1, 0.5])  # per device of DEVICES, added to the logit of the watched fraction
_VIRALITY = np.array([0.2, -0.1, 0.5, 0.1, 0.7, 0.0, 0.0, 0.2, -0.3, -0.2, -0.9, -0.4])  # per topic, added to the logit of a share
_STAR_THRESHOLDS = np.array([-2.4, -1.4, 0.0, 1.8])
_FRACTION_CONCENTRATION = 3.0  # α + β of the Beta distribution of the watched fraction
_SURVEY_DELAY_MS = 1_800_000.0  # median time from an impression to the answer, without the time of watching
_EARLIEST_ANSWER_MS, _LATEST_ANSWER_MS = 60_000, DAY_MS - 60_000

assert len(_EXAMINATION_DECAY) == len(_DEVICE_WATCH) == len(DEVICES)
assert len(_VIRALITY) == len(TOPICS)


@dataclass(frozen=True)
class Shown:
    """Impressions, as indices into users, videos and DEVICES; slots count from 1."""

    user_N: Ints
    video_N: Ints
    query_N: Ints
    device_N: Ints
    slot_N: Ints
    timestamp_N: Ints


@dataclass(frozen=True)
class Expectations:
    """The truth about each impression: probabilities, and the mean watched fraction. Each field's comment names its condition."""

    interest_N: Floats  # the user's interest in the video's topic today (latent)
    satisfaction_N: Floats  # the latent that raises watching, likes, shares and stars, and lowers dismissals
    examined_N: Floats
    clicked_N: Floats  # given examined: the attractiveness
    fraction_N: Floats  # share of the video that is watched, given clicked
    liked_N: Floats  # given clicked
    shared_N: Floats  # given clicked
    dismissed_clicked_N: Floats  # given clicked
    dismissed_unclicked_N: Floats  # given examined and not clicked
    stars_at_least_N4: Floats  # P(stars ≥ 2), … P(stars ≥ 5), given clicked and asked

    @property
    def dismissed(self) -> Floats:
        """The probability of a dismissal given examination, [N]."""
        return self.clicked_N * self.dismissed_clicked_N + (1 - self.clicked_N) * self.dismissed_unclicked_N

    @property
    def stars(self) -> Floats:
        """The mean number of stars, given clicked and asked, [N]."""
        mean_N: Floats = 1 + self.stars_at_least_N4.sum(axis=1)
        return mean_N


def expectations(users: Users, videos: Videos, interest_UT: Floats, shown: Shown) -> Expectations:
    """Compute the truth about each impression by the closed forms of docs/world.md."""
    user_N, video_N, query_N = shown.user_N, shown.video_N, shown.query_N
    topic_N = videos.topic_V[video_N]
    interest_N = interest_UT[user_N, topic_N]
    quality_N = videos.quality_V[video_N]
    bait_N = videos.clickbait_V[video_N] - MEAN_CLICKBAIT
    same_topic_N = topic_N == videos.topic_V[query_N]
    same_author_N = videos.author_V[video_N] == videos.author_V[query_N]
    own_language_N = users.language[user_N] == videos.language_V[video_N]
    age_days_N = (shown.timestamp_N - videos.uploaded_ms_V[video_N]) / DAY_MS

    appeal_N = 0.9 * interest_N + 0.7 * same_topic_N + 0.5 * same_author_N + 0.4 * quality_N + 0.6 * own_language_N
    appeal_N += users.clickiness_U[user_N] + 0.4 * np.exp(-age_days_N / 3)
    satisfaction_N = 0.8 * interest_N + 0.3 * same_topic_N + 0.8 * quality_N - 3.5 * bait_N + 0.6 * own_language_N
    return Expectations(
        interest_N=interest_N,
        satisfaction_N=satisfaction_N,
        examined_N=shown.slot_N ** (-_EXAMINATION_DECAY[shown.device_N] / users.patience_U[user_N]),
        clicked_N=_sigmoid(-2.0 + appeal_N + 3.0 * users.susceptibility_U[user_N] * bait_N),
        fraction_N=_sigmoid(-0.6 + 0.6 * satisfaction_N + _DEVICE_WATCH[shown.device_N] - 0.5 * np.log(videos.seconds_V[video_N] / 150)),
        liked_N=_sigmoid(-3.7 + satisfaction_N + users.generosity_U[user_N]),
        shared_N=_sigmoid(-4.1 + 0.5 * satisfaction_N + _VIRALITY[topic_N]),
        dismissed_clicked_N=_sigmoid(-3.6 - satisfaction_N),
        dismissed_unclicked_N=_sigmoid(-4.0 - 0.5 * interest_N + 2.0 * bait_N),
        stars_at_least_N4=_sigmoid(1.2 * satisfaction_N[:, None] - _STAR_THRESHOLDS),
    )


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of each impression."""

    examined_N: Bools
    clicked_N: Bools
    watch_seconds_N: Floats  # rounded to hundredths
    liked_N: Bools
    shared_N: Bools
    dismissed_N: Bools
    stars_N: Ints  # 0 where no survey was answered
    answer_delay_ms_N: Ints  # time from the impression to the answer; meaningless where stars = 0


def draw_outcomes(rng: np.random.Generator, expected: Expectations, seconds_N: Ints, survey_rate: float) -> Outcomes:
    """Draw all outcomes once.

    Surveys are answered at random, for the share `survey_rate` of the watches. The share does not depend on the video.
    """
    n = len(seconds_N)
    examined_N = rng.random(n) < expected.examined_N
    clicked_N = examined_N & (rng.random(n) < expected.clicked_N)
    alpha_N = _FRACTION_CONCENTRATION * expected.fraction_N
    watched_N = seconds_N * rng.beta(alpha_N, _FRACTION_CONCENTRATION - alpha_N)
    dismissal_N = np.where(clicked_N, expected.dismissed_clicked_N, expected.dismissed_unclicked_N)
    watch_seconds_N = np.where(clicked_N, np.round(watched_N, 2), 0.0)
    liked_N = clicked_N & (rng.random(n) < expected.liked_N)
    shared_N = clicked_N & (rng.random(n) < expected.shared_N)
    dismissed_N = examined_N & (rng.random(n) < dismissal_N)
    asked_N = clicked_N & (rng.random(n) < survey_rate)
    stars_N = 1 + (rng.random((n, 1)) < expected.stars_at_least_N4).sum(axis=1)
    delay_N = watch_seconds_N * 1_000 + _SURVEY_DELAY_MS * rng.lognormal(0, 1, n)
    return Outcomes(
        examined_N=examined_N,
        clicked_N=clicked_N,
        watch_seconds_N=watch_seconds_N,
        liked_N=liked_N,
        shared_N=shared_N,
        dismissed_N=dismissed_N,
        stars_N=np.where(asked_N, stars_N, 0),
        answer_delay_ms_N=np.clip(delay_N, _EARLIEST_ANSWER_MS, _LATEST_ANSWER_MS).astype(np.int64),
    )


def _sigmoid(logit: Floats) -> Floats:
    return 1 / (1 + np.exp(-logit))
