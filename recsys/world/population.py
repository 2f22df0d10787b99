"""Users and videos, with the properties that a log would show and the latent ones that it would not.

Shapes: U users, V videos (of all days, in the order of their upload), A authors, T topics.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from recsys.config import WorldOptions
from recsys.world.streams import Stream, generator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DAY_MS = 86_400_000

TOPICS = ("music", "gaming", "news", "sports", "comedy", "cooking", "travel", "science", "cars", "beauty", "kids", "finance")
COUNTRIES = ("US", "GB", "DE", "FR", "BR", "JP")
LANGUAGES = ("en", "de", "fr", "pt", "ja")
AGE_BANDS = ("13-17", "18-24", "25-34", "35-49", "50+")
DEVICES = ("phone", "tablet", "desktop", "tv")
SUBJECTS = 5  # number of each topic's own tags: "music-1" … "music-5"
STYLES = ("shocking", "review", "howto", "live")  # clickbait often carries the first of these tags

_COUNTRY_SHARES = (0.35, 0.15, 0.15, 0.10, 0.15, 0.10)
_LANGUAGE_OF_COUNTRY = np.array([0, 0, 1, 2, 3, 4])
_LANGUAGE_SHARES = (0.60, 0.12, 0.08, 0.12, 0.08)
_AGE_SHARES = (0.10, 0.25, 0.30, 0.22, 0.13)
_DEVICE_SHARES = (0.55, 0.08, 0.25, 0.12)

_ACTIVITY_SIGMA = 0.8  # of the log-normal distribution: the most active tenth of users makes about a third of all requests
_SIGNUP_DAYS = 1_000
_CATALOGUE_AGE_DAYS = 60.0  # mean age of a video on the first day
_VIDEOS_AN_AUTHOR = 10
_INTEREST_SIGMA = 0.8  # standard deviation of a user's lasting interests around those of the age band
_AGE_INTEREST_SIGMA = 0.5
_MOOD_SIGMA = 0.5  # standard deviation of today's interests around the lasting ones
_MOOD_MEMORY = 0.8  # correlation of a mood with yesterday's


@dataclass(frozen=True)
class Users:
    """Observable: country, age band, signup day. All other fields are latent: no file but the truth may hold them."""

    country_U: Ints
    age_band_U: Ints
    signup_days_U: Ints  # days between the signup and the first day, at least 1
    device_U: Ints  # the device that is used most
    activity_U: Floats  # requests relative to the mean user, mean 1
    patience_U: Floats  # divides the decay of examination, median 1
    susceptibility_U: Floats  # multiplies the effect of clickbait on a click's logit, median 1
    clickiness_U: Floats  # added to the logit of a click, mean 0
    generosity_U: Floats  # added to the logit of a like, mean 0
    lasting_interest_UT: Floats

    @property
    def language(self) -> Ints:
        """The language of each user [U], as indices into LANGUAGES."""
        return _LANGUAGE_OF_COUNTRY[self.country_U]


@dataclass(frozen=True)
class Videos:
    """Observable: author, topic, language, seconds, upload time, tags. Latent: quality and clickbait."""

    author_V: Ints
    topic_V: Ints
    language_V: Ints
    seconds_V: Ints
    uploaded_ms_V: Ints  # ascending
    subject_VX: Bools  # [V, SUBJECTS]: which of its topic's own tags a video carries, at least one
    style_VX: Bools  # [V, STYLES]
    quality_V: Floats  # mean 0, standard deviation 1
    clickbait_V: Floats  # in (0, 1)

    def __len__(self) -> int:
        return len(self.topic_V)


def draw_users(options: WorldOptions, seed: int) -> Users:
    rng = generator(seed, Stream.USERS)
    n = options.users
    age_band_U = rng.choice(len(AGE_BANDS), n, p=_AGE_SHARES)
    age_interest = rng.normal(0, _AGE_INTEREST_SIGMA, (len(AGE_BANDS), len(TOPICS)))
    return Users(
        country_U=rng.choice(len(COUNTRIES), n, p=_COUNTRY_SHARES),
        age_band_U=age_band_U,
        signup_days_U=rng.integers(1, _SIGNUP_DAYS, n),
        device_U=draw_devices(rng, n),
        activity_U=rng.lognormal(-(_ACTIVITY_SIGMA**2) / 2, _ACTIVITY_SIGMA, n),
        patience_U=rng.lognormal(0, 0.3, n),
        susceptibility_U=rng.lognormal(0, 0.4, n),
        clickiness_U=rng.normal(0, 0.4, n),
        generosity_U=rng.normal(0, 0.6, n),
        lasting_interest_UT=age_interest[age_band_U] + rng.normal(0, _INTEREST_SIGMA, (n, len(TOPICS))),
    )


def draw_devices(rng: np.random.Generator, n: int) -> Ints:
    """Draw `n` devices by their shares of all use, as indices into DEVICES."""
    return rng.choice(len(DEVICES), n, p=_DEVICE_SHARES)


def drifted(mood_UT: Floats | None, users: Users, seed: int, day: int) -> Floats:
    """Return today's mood, which is added to the lasting interests.

    It is a stationary autoregressive step from yesterday's mood, `mood_UT`. On the first simulated day `mood_UT` is None, and
    the mood is a fresh draw.
    """
    fresh_UT = generator(seed, Stream.INTERESTS, day).normal(0, _MOOD_SIGMA, users.lasting_interest_UT.shape)
    if mood_UT is None:
        return fresh_UT
    drifted_UT: Floats = _MOOD_MEMORY * mood_UT + np.sqrt(1 - _MOOD_MEMORY**2) * fresh_UT
    return drifted_UT


def draw_videos(options: WorldOptions, seed: int) -> Videos:
    """Draw the videos uploaded before the first day, then those of each day. A day's batch depends on no other batch."""
    authors = _draw_authors(options, seed)
    rng = generator(seed, Stream.VIDEOS, -1)
    ages_ms = rng.exponential(_CATALOGUE_AGE_DAYS * DAY_MS, options.videos).astype(np.int64)
    batches = [_draw_batch(rng, authors, np.sort(midnight_ms(options, 0) - 1_000 - ages_ms))]
    for day in range(options.days):
        rng = generator(seed, Stream.VIDEOS, day)
        times_ms = np.sort(rng.integers(0, DAY_MS, options.new_videos))
        batches.append(_draw_batch(rng, authors, midnight_ms(options, day) + times_ms))
    return Videos(**{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in Videos.__dataclass_fields__})


def midnight_ms(options: WorldOptions, day: int) -> int:
    """Return the start of a day (UTC) in milliseconds since 1970. The first logged day is day 0."""
    return (options.start.toordinal() - date(1970, 1, 1).toordinal() + day) * DAY_MS


@dataclass(frozen=True)
class _Authors:
    share_A: Floats
    topic_A: Ints
    language_A: Ints
    quality_A: Floats
    clickbait_A: Floats  # as a logit


def _draw_authors(options: WorldOptions, seed: int) -> _Authors:
    rng = generator(seed, Stream.AUTHORS)
    n = max(1, options.videos // _VIDEOS_AN_AUTHOR)
    output_A = rng.lognormal(0, 1.0, n)
    return _Authors(
        share_A=output_A / output_A.sum(),
        topic_A=rng.integers(0, len(TOPICS), n),
        language_A=rng.choice(len(LANGUAGES), n, p=_LANGUAGE_SHARES),
        quality_A=rng.normal(0, 1, n),
        clickbait_A=rng.normal(-1.0, 0.8, n),
    )


def _draw_batch(rng: np.random.Generator, authors: _Authors, uploaded_ms_V: Ints) -> Videos:
    n = len(uploaded_ms_V)
    author_V = rng.choice(len(authors.share_A), n, p=authors.share_A)
    clickbait_V = 1 / (1 + np.exp(-authors.clickbait_A[author_V] - rng.normal(0, 0.6, n)))
    subject_VX = rng.random((n, SUBJECTS)) < 0.25
    subject_VX[np.arange(n), rng.integers(0, SUBJECTS, n)] = True
    style_VX = rng.random((n, len(STYLES))) < 0.15
    style_VX[:, 0] = rng.random(n) < clickbait_V
    return Videos(
        author_V=author_V,
        topic_V=np.where(rng.random(n) < 0.8, authors.topic_A[author_V], rng.integers(0, len(TOPICS), n)),
        language_V=authors.language_A[author_V],
        seconds_V=np.clip(rng.lognormal(np.log(150), 0.7, n), 15, 1_800).astype(np.int64),
        uploaded_ms_V=uploaded_ms_V // 1_000 * 1_000,
        subject_VX=subject_VX,
        style_VX=style_VX,
        quality_V=0.6 * authors.quality_A[author_V] + 0.8 * rng.normal(0, 1, n),
        clickbait_V=clickbait_V,
    )
