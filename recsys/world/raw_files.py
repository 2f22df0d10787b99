"""The files of the simulated feed: raw files whose columns have their own names, as in a user's log, and a separate truth file.

Shapes: N impressions, U users, V videos.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from recsys.config import Columns, FeedbackOptions, TableSource, TimeOptions
from recsys.errors import Place, data_error
from recsys.world.behaviour import Expectations, Outcomes, Shown
from recsys.world.population import AGE_BANDS, COUNTRIES, DEVICES, LANGUAGES, STYLES, SUBJECTS, TOPICS, Floats, Ints, Users, Videos

IMPRESSIONS = pa.schema(
    [
        ("request", pa.int64()),
        ("uid", pa.int64()),
        ("vid", pa.int64()),
        ("ts", pa.int64()),  # milliseconds since 1970-01-01 UTC; one moment for a whole page
        ("watching", pa.int64()),  # the query video
        ("slot", pa.int64()),  # from 1
        ("device", pa.string()),
        ("clicked", pa.int64()),
        ("watch_seconds", pa.float64()),
        ("liked", pa.int64()),
        ("shared", pa.int64()),
        ("dismissed", pa.int64()),
    ]
)

SURVEYS = pa.schema([("uid", pa.int64()), ("vid", pa.int64()), ("ts", pa.int64()), ("stars", pa.int64())])

ATTRACTIVENESS = "expected.clicked|examined"  # P(click | examined): a click model without position bias would rank by it
_KEYS = ("request", "uid", "vid", "ts", "slot")
_TRUTH_REALS = (
    "expected.examined",
    ATTRACTIVENESS,
    "expected.watch_seconds|examined",
    "expected.liked|examined",
    "expected.shared|examined",
    "expected.dismissed|examined",
    "expected.clicked",
    "expected.watch_seconds",
    "expected.liked",
    "expected.shared",
    "expected.dismissed",
    "expected.watch_seconds|clicked",
    "expected.liked|clicked",
    "expected.shared|clicked",
    "expected.dismissed|clicked",
    "expected.stars|clicked",
    "latent.interest",
    "latent.satisfaction",
    "latent.quality",
    "latent.clickbait",
    "latent.susceptibility",
    "latent.patience",
    "policy_score",
)
TRUTH = pa.schema([*((key, pa.int64()) for key in _KEYS), ("examined", pa.bool_()), *((name, pa.float32()) for name in _TRUTH_REALS)])

_FIRST_UID, _FIRST_VID = 100_000, 500_000
_ANSWERED_WITHIN = "24h"


@dataclass(frozen=True)
class WorldFiles:
    """The paths of a world's files."""

    folder: Path

    @property
    def impressions(self) -> Path:
        return self.folder / "impressions.parquet"

    @property
    def users(self) -> Path:
        return self.folder / "users.csv"

    @property
    def videos(self) -> Path:
        return self.folder / "videos.csv"

    @property
    def surveys(self) -> Path:
        return self.folder / "surveys.csv"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.parquet"


def table_source(folder: Path) -> TableSource:
    """Return the source that reads the raw files in `folder` like any other log. The truth file is not part of the source."""
    files = WorldFiles(folder)
    return TableSource(
        kind="table",
        log=files.impressions,
        users=files.users,
        items=files.videos,
        columns=Columns(
            user_id="uid", item_id="vid", timestamp="ts", request_id="request", query_item_id="watching", position="slot", device="device"
        ),
        time=TimeOptions(unit="ms", zone="UTC"),
        feedback=(FeedbackOptions(name="survey", file=files.surveys, value="stars", timestamp="ts", within=_ANSWERED_WITHIN),),
    )


def read_truth(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """Return the truth (schema `TRUTH`): one row per impression, in the order of impressions.parquet.

    Raises DataError where the folder holds no truth that can be read.
    """
    place = WorldFiles(folder).truth
    try:
        return pq.read_table(place, columns=columns, partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise data_error(
            Place(place),
            found=f"no parquet file that can be read ({error})",
            expected="the truth of a simulated feed",
            fix="give the folder that the simulator wrote into, or simulate again",
        ) from error


def impression_batch(request_N: Ints, shown: Shown, outcomes: Outcomes) -> pa.Table:
    return pa.table(
        [
            request_N,
            _uid(shown.user_N),
            _vid(shown.video_N),
            shown.timestamp_N,
            _vid(shown.query_N),
            shown.slot_N,
            _names(DEVICES, shown.device_N),
            outcomes.clicked_N.astype(np.int64),
            outcomes.watch_seconds_N,
            outcomes.liked_N.astype(np.int64),
            outcomes.shared_N.astype(np.int64),
            outcomes.dismissed_N.astype(np.int64),
        ],
        schema=IMPRESSIONS,
    )


def survey_batch(shown: Shown, outcomes: Outcomes) -> pa.Table:
    answered_N = outcomes.stars_N > 0
    return pa.table(
        [
            _uid(shown.user_N[answered_N]),
            _vid(shown.video_N[answered_N]),
            (shown.timestamp_N + outcomes.answer_delay_ms_N)[answered_N],
            outcomes.stars_N[answered_N],
        ],
        schema=SURVEYS,
    )


def truth_batch(
    request_N: Ints, shown: Shown, expected: Expectations, outcomes: Outcomes, users: Users, videos: Videos, score_N: Floats
) -> pa.Table:
    """Return the truth of these impressions (schema `TRUTH`).

    A name with `|examined` is an expectation given examination, a name with `|clicked` one given a click. A name without a
    bar is given only that the video was shown in its slot.
    """
    seen_N, click_N = expected.examined_N, expected.clicked_N
    watch_N = expected.fraction_N * videos.seconds_V[shown.video_N]
    given_examined = {
        "clicked": click_N,
        "watch_seconds": click_N * watch_N,
        "liked": click_N * expected.liked_N,
        "shared": click_N * expected.shared_N,
        "dismissed": expected.dismissed,
    }
    reals = {
        "expected.examined": seen_N,
        **{f"expected.{signal}|examined": value_N for signal, value_N in given_examined.items()},
        **{f"expected.{signal}": seen_N * value_N for signal, value_N in given_examined.items()},
        "expected.watch_seconds|clicked": watch_N,
        "expected.liked|clicked": expected.liked_N,
        "expected.shared|clicked": expected.shared_N,
        "expected.dismissed|clicked": expected.dismissed_clicked_N,
        "expected.stars|clicked": expected.stars,
        "latent.interest": expected.interest_N,
        "latent.satisfaction": expected.satisfaction_N,
        "latent.quality": videos.quality_V[shown.video_N],
        "latent.clickbait": videos.clickbait_V[shown.video_N],
        "latent.susceptibility": users.susceptibility_U[shown.user_N],
        "latent.patience": users.patience_U[shown.user_N],
        "policy_score": score_N,
    }
    keys = [request_N, _uid(shown.user_N), _vid(shown.video_N), shown.timestamp_N, shown.slot_N]
    return pa.table([*keys, outcomes.examined_N, *(reals[name].astype(np.float32) for name in _TRUTH_REALS)], schema=TRUTH)


def user_table(users: Users, start: date) -> pa.Table:
    """Return the users as a log's user table would hold them: without latents."""
    signup_U = np.datetime64(start, "D") - users.signup_days_U
    return pa.table(
        {
            "uid": _uid(np.arange(len(users.country_U))),
            "country": _names(COUNTRIES, users.country_U),
            "age_band": _names(AGE_BANDS, users.age_band_U),
            "signup_date": np.datetime_as_string(signup_U),
        }
    )


def video_table(videos: Videos) -> pa.Table:
    """Return the videos as a log's video table would hold them: without latents. `tags` holds several values, separated by "|"."""
    return pa.table(
        {
            "vid": _vid(np.arange(len(videos))),
            "author": _names(tuple(f"author-{n}" for n in range(videos.author_V.max() + 1)), videos.author_V),
            "topic": _names(TOPICS, videos.topic_V),
            "language": _names(LANGUAGES, videos.language_V),
            "seconds": videos.seconds_V,
            "uploaded": np.datetime_as_string(videos.uploaded_ms_V.astype("datetime64[ms]"), unit="s"),
            "tags": _tags(videos),
        }
    )


def write_csv(table: pa.Table, place: Path) -> None:
    pacsv.write_csv(table, place, pacsv.WriteOptions(quoting_style="needed"))


def _tags(videos: Videos) -> list[str]:
    rows = []
    for topic, subjects, styles in zip(videos.topic_V, videos.subject_VX, videos.style_VX, strict=True):
        own = [f"{TOPICS[topic]}-{n + 1}" for n in range(SUBJECTS) if subjects[n]]
        rows.append("|".join(own + [style for style, carried in zip(STYLES, styles, strict=True) if carried]))
    return rows


def _names(names: tuple[str, ...], index: Ints) -> pa.Array:
    return pa.array(names).take(pa.array(index))


def _uid(user: Ints) -> Ints:
    return user + _FIRST_UID


def _vid(video: Ints) -> Ints:
    return video + _FIRST_VID
