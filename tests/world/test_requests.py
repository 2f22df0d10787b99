"""Who comes when, watching what."""

import numpy as np
import pytest

from recsys.config import WorldOptions
from recsys.world.policy import Catalogue, Policy
from recsys.world.population import DAY_MS, draw_users, draw_videos, drifted, midnight_ms
from recsys.world.requests import Memory, draw_requests

OPTIONS = WorldOptions(users=20_000, days=1, requests=2.0)


@pytest.fixture(scope="module")
def users():
    return draw_users(OPTIONS, 7)


@pytest.fixture(scope="module")
def shelf():
    videos = draw_videos(OPTIONS, 7)
    return Catalogue(Policy.untaught(OPTIONS.users, len(videos)), videos, midnight_ms(OPTIONS, 0), OPTIONS.slots)


def test_requests_lie_in_their_day_in_order_with_ids_of_their_own(rng, users, shelf):
    requests = draw_requests(rng, OPTIONS, 3, users, shelf, Memory.empty(OPTIONS.users))
    assert (np.diff(requests.timestamp_R) >= 0).all()
    assert requests.timestamp_R[0] >= midnight_ms(OPTIONS, 3)
    assert requests.timestamp_R[-1] < midnight_ms(OPTIONS, 3) + DAY_MS
    assert (np.diff(requests.id_R) > 0).all()
    assert requests.id_R[-1] < 2**53


def test_the_mean_user_makes_the_stated_number_of_requests(rng, users, shelf):
    requests = draw_requests(rng, OPTIONS, 0, users, shelf, Memory.empty(OPTIONS.users))
    expected = OPTIONS.requests * users.activity_U.sum()
    assert len(requests) == pytest.approx(expected, rel=0.03)
    assert users.activity_U.mean() == pytest.approx(1, rel=0.03)


def test_activity_is_log_normal(users):
    """Mean of the logarithm −σ²/2 and standard deviation σ = 0.8, skewness and excess kurtosis of a normal distribution."""
    log = np.log(users.activity_U)
    z = (log - log.mean()) / log.std()
    assert log.mean() == pytest.approx(-0.32, abs=0.03)
    assert log.std() == pytest.approx(0.8, abs=0.02)
    assert (z**3).mean() == pytest.approx(0, abs=0.1)
    assert (z**4).mean() == pytest.approx(3, abs=0.2)


def test_active_users_make_more_requests(feed):
    made = feed.log.groupby("uid").request.nunique().reindex(feed.users.uid, fill_value=0)
    assert made.var() > 3 * made.mean()  # equal users would give about 1 (visits) to 2 (requests come in visits)


def test_the_evening_is_busier_than_the_night(feed):
    hour = feed.log.drop_duplicates("request").ts % DAY_MS // 3_600_000
    assert hour.between(19, 21).mean() > 5 * hour.between(2, 4).mean()


def test_most_query_videos_were_watched_before(feed):
    """Of users with enough of a past, in the second half of the log."""
    clicks = feed.log[feed.log.clicked == 1].groupby(["uid", "vid"]).ts.min()
    pages = feed.log.drop_duplicates("request")
    pages = pages[pages.ts > pages.ts.max() - 3 * DAY_MS]
    first = clicks.reindex(list(zip(pages.uid, pages.watching, strict=True))).to_numpy()
    assert 0.4 < (first < pages.ts.to_numpy()).mean() < 0.8


def test_memory_keeps_clicked_videos_of_the_right_user_and_leaves_the_old_one_alone():
    empty = Memory.empty(3)
    memory = empty.after(np.array([0, 2, 0, 2]), np.array([10, 11, 12, 13]), np.array([True, True, False, False]))
    assert (empty.video_UM == -1).all()
    assert set(memory.video_UM[0]) == {-1, 10}
    assert (memory.video_UM[1] == -1).all()
    assert set(memory.video_UM[2]) == {-1, 11}


def test_interests_drift_and_stay_as_wide_as_they_were(users):
    moods = [drifted(None, users, 7, 0)]
    for day in range(1, 20):
        moods.append(drifted(moods[-1], users, 7, day))
    flat = [mood.ravel() for mood in moods]
    assert np.corrcoef(flat[0], flat[1])[0, 1] == pytest.approx(0.8, abs=0.01)
    assert np.corrcoef(flat[0], flat[19])[0, 1] == pytest.approx(0.8**19, abs=0.01)
    assert flat[19].std() == pytest.approx(flat[0].std(), rel=0.02)
