"""The logging policy: whom it retrieves, how it orders, and that it learns from yesterday only."""

from dataclasses import fields

import numpy as np
import pytest

from recsys.config import WorldOptions
from recsys.world import ATTRACTIVENESS
from recsys.world.policy import Catalogue, Guess, Policy, fill_pages, retrieve
from recsys.world.population import DAY_MS, TOPICS, draw_videos, midnight_ms

OPTIONS = WorldOptions(users=5, videos=300, new_videos=40, days=3)


@pytest.fixture
def videos():
    return draw_videos(OPTIONS, 7)


def _blank_guess(videos) -> Guess:
    return Policy.untaught(OPTIONS.users, len(videos)).guess()


def _fill(rng, guess, videos, candidates, sharpness, slots=3, query=0):
    n = len(candidates)
    return fill_pages(rng, guess, videos, np.zeros(n, int), np.full(n, query), candidates, slots=slots, sharpness=sharpness)


def test_at_sharpness_0_every_candidate_is_equally_likely_in_every_slot(rng, videos):
    candidates = np.tile([1, 2, 2, 2, 3, 0], (40_000, 1))  # 2 three times, and the query video 0
    lifts = Guess(np.linspace(-5, 5, len(videos)), np.zeros((OPTIONS.users, len(TOPICS))))
    shown = _fill(rng, lifts, videos, candidates, sharpness=0).video_RS
    assert set(np.unique(shown)) == {1, 2, 3}
    for slot in range(3):
        shares = np.bincount(shown[:, slot], minlength=4)[1:] / len(shown)
        np.testing.assert_allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / len(shown)))


def test_the_order_is_plackett_luce(rng, videos, monkeypatch):
    """P(order a, b, c) = w_a/(w_a+w_b+w_c) · w_b/(w_b+w_c), w = exp(sharpness · score), with a policy that does not err."""
    monkeypatch.setattr("recsys.world.policy._NOISE", 0.0)
    monkeypatch.setattr("recsys.world.policy._SAME_TOPIC", 0.0)
    score = np.zeros(len(videos))
    score[[1, 2, 3]] = [0.4, -0.2, 0.1]
    guess = Guess(score, np.zeros((OPTIONS.users, len(TOPICS))))
    shown = _fill(rng, guess, videos, np.tile([1, 2, 3], (40_000, 1)), sharpness=2.0).video_RS
    w = np.exp(2.0 * score)
    for a, b, c in ((1, 2, 3), (3, 1, 2), (2, 3, 1)):
        share = (shown == [a, b, c]).all(axis=1).mean()
        assert share == pytest.approx(w[a] / (w[a] + w[b] + w[c]) * w[b] / (w[b] + w[c]), abs=0.01)


def test_a_sharp_policy_shows_its_own_guess_in_order(sharp_feed):
    score = sharp_feed.truth.policy_score.to_numpy().reshape(-1, sharp_feed.options.slots)
    assert (np.diff(score, axis=1) <= 0.03).all()  # 0.03: Gumbel noise over a sharpness of 1,000
    assert np.corrcoef(sharp_feed.truth.slot, sharp_feed.truth[ATTRACTIVENESS])[0, 1] < -0.05


def test_at_sharpness_0_the_slot_tells_nothing_about_the_video(random_feed):
    truth = random_feed.truth
    for name in (ATTRACTIVENESS, "policy_score", "latent.quality", "latent.clickbait"):
        assert abs(np.corrcoef(truth.slot, truth[name])[0, 1]) < 4 / np.sqrt(len(truth))


def test_the_guess_is_better_than_chance_and_far_from_the_truth(feed):
    correlation = np.corrcoef(feed.truth.policy_score, feed.truth[ATTRACTIVENESS])[0, 1]
    assert 0.3 < correlation < 0.8


def test_the_policy_likes_clickbait(feed, random_feed):
    assert feed.truth["latent.clickbait"].mean() > random_feed.truth["latent.clickbait"].mean() + 0.01


def test_retrieval_can_always_fill_a_page(rng):
    """Three videos for two slots: whatever the query, both others are candidates of every request."""
    tiny = WorldOptions(users=5, videos=3, new_videos=0, slots=2, days=1)
    videos = draw_videos(tiny, 7)
    policy = Policy.untaught(tiny.users, len(videos))
    shelf = Catalogue(policy, videos, midnight_ms(tiny, 0), tiny.slots)
    user = rng.integers(0, tiny.users, 500)
    candidates = retrieve(rng, policy.guess(), shelf, user, rng.integers(0, len(TOPICS), 500), tiny.slots)
    assert candidates.shape == (500, 7 * tiny.slots + 1)
    assert all(set(row) == {0, 1, 2} for row in candidates.tolist())


def test_the_catalogue_of_a_day_holds_what_was_uploaded_before_it(videos):
    for day in range(3):
        shelf = Catalogue(Policy.untaught(5, len(videos)), videos, midnight_ms(OPTIONS, day), 10)
        assert shelf.size == OPTIONS.videos + day * OPTIONS.new_videos
        assert (videos.uploaded_ms_V[: shelf.size] < midnight_ms(OPTIONS, 0) + day * DAY_MS).all()


def test_videos_of_a_topic_are_drawn_in_proportion_to_their_clicks(rng, videos):
    topic = 2
    of_topic = np.flatnonzero(videos.topic_V[: OPTIONS.videos] == topic)
    clicked = np.zeros(len(videos))
    clicked[of_topic[0]] = 99.0
    policy = Policy(2 * clicked, clicked, np.zeros((5, len(TOPICS))), np.zeros((5, len(TOPICS))))
    shelf = Catalogue(policy, videos, midnight_ms(OPTIONS, 0), 10)
    drawn = shelf.popular_of_topic(rng, np.full(20_000, topic))
    assert set(drawn) == set(of_topic)
    assert (drawn == of_topic[0]).mean() == pytest.approx(100 / (99 + len(of_topic)), abs=0.02)


def test_a_taught_policy_has_counted_the_day_and_left_the_old_one_alone(videos):
    old = Policy.untaught(OPTIONS.users, len(videos)).taught(videos, np.array([1]), np.array([4]), np.array([True]))
    before = {f.name: getattr(old, f.name).copy() for f in fields(old)}
    new = old.taught(videos, np.array([1, 1, 3]), np.array([4, 4, 8]), np.array([True, False, False]))
    assert (new.shown_V[4], new.clicked_V[4]) == (pytest.approx(0.8 + 2), pytest.approx(0.8 + 1))
    assert (new.shown_V[8], new.clicked_V[8]) == (1, 0)
    assert new.shown_UT.sum() == pytest.approx(0.95 + 3)
    assert new.clicked_UT[1, videos.topic_V[4]] == pytest.approx(0.95 + 1)
    assert all(np.array_equal(getattr(old, name), value) for name, value in before.items())


def test_the_guess_rises_with_clicks_and_is_zero_for_the_unseen(videos):
    blank = _blank_guess(videos)
    assert (blank.video_lift_V == 0).all()
    assert (blank.taste_lift_UT == 0).all()
    shown = np.repeat([[4, 5]], 50, axis=0).ravel()
    policy = Policy.untaught(OPTIONS.users, len(videos)).taught(videos, np.zeros(100, int), shown, shown == 4)
    lift = policy.guess().video_lift_V
    assert lift[4] > lift[6] > lift[5]
