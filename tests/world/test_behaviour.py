"""The truth is true: closed forms by hand, frequencies within their binomial error, and the conflicts that were designed."""

import math
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from recsys.config import WorldOptions
from recsys.world import ATTRACTIVENESS
from recsys.world.behaviour import Expectations, Shown, draw_outcomes, expectations
from recsys.world.population import DEVICES, draw_users, draw_videos

SIGNALS = ["clicked", "liked", "shared", "dismissed"]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _z(happened: pd.Series, probability: pd.Series) -> float:
    """Standard errors between a sum of independent Bernoulli draws and its expectation."""
    p = probability.astype(float)
    return float((happened.astype(float) - p).sum() / math.sqrt((p * (1 - p)).sum()))


def test_expectations_by_hand():
    """docs/world.md, evaluated for single impressions with the standard library."""
    options = WorldOptions(users=20, videos=40, days=1)
    users, videos = draw_users(options, 1), draw_videos(options, 1)
    interest = users.lasting_interest_UT
    rows = [(0, 0, 1, 0, 1), (3, 17, 17, 1, 4), (7, 5, 20, 3, 10), (19, 39, 2, 2, 2)]
    user, video, query, device, slot = (np.array(column) for column in zip(*rows, strict=True))
    ts = np.full(len(rows), videos.uploaded_ms_V[40] + 86_400_000)
    expected = expectations(users, videos, interest, Shown(user, video, query, device, slot, ts))
    for n, (u, v, q, d, k) in enumerate(rows):
        theta, quality, bait = interest[u, videos.topic_V[v]], videos.quality_V[v], videos.clickbait_V[v] - 0.3
        topic, author = videos.topic_V[v] == videos.topic_V[q], videos.author_V[v] == videos.author_V[q]
        language = users.language[u] == videos.language_V[v]
        age = (ts[n] - videos.uploaded_ms_V[v]) / 86_400_000
        sat = 0.8 * theta + 0.3 * topic + 0.8 * quality - 3.5 * bait + 0.6 * language
        click = -2.0 + 0.9 * theta + 0.7 * topic + 0.5 * author + 0.4 * quality + 0.6 * language + 0.4 * math.exp(-age / 3)
        click += users.clickiness_U[u] + 3.0 * users.susceptibility_U[u] * bait
        device_watch = {"phone": -0.2, "tablet": 0.0, "desktop": 0.1, "tv": 0.5}[DEVICES[d]]
        decay = {"phone": 0.75, "tablet": 0.55, "desktop": 0.4, "tv": 0.3}[DEVICES[d]]
        dismissal_clicked, dismissal_unclicked = _sigmoid(-3.6 - sat), _sigmoid(-4.0 - 0.5 * theta + 2.0 * bait)
        assert expected.examined_N[n] == pytest.approx(k ** (-decay / users.patience_U[u]))
        assert expected.clicked_N[n] == pytest.approx(_sigmoid(click))
        assert expected.fraction_N[n] == pytest.approx(
            _sigmoid(-0.6 + 0.6 * sat + device_watch - 0.5 * math.log(videos.seconds_V[v] / 150))
        )
        assert expected.liked_N[n] == pytest.approx(_sigmoid(-3.7 + sat + users.generosity_U[u]))
        assert expected.dismissed[n] == pytest.approx(_sigmoid(click) * dismissal_clicked + (1 - _sigmoid(click)) * dismissal_unclicked)
        assert expected.stars[n] == pytest.approx(1 + sum(_sigmoid(1.2 * sat - t) for t in (-2.4, -1.4, 0.0, 1.8)))


def test_expectations_leave_their_arguments_alone():
    options = WorldOptions(users=20, videos=40, days=1)
    users, videos = draw_users(options, 1), draw_videos(options, 1)
    column = np.arange(10)
    shown = Shown(column, column, column + 1, column % 4, column + 1, np.full(10, 1_704_067_200_000))
    before = {f.name: getattr(shown, f.name).copy() for f in fields(shown)}
    interest = users.lasting_interest_UT.copy()
    expectations(users, videos, users.lasting_interest_UT, shown)
    assert all(np.array_equal(getattr(shown, name), value) for name, value in before.items())
    assert np.array_equal(interest, users.lasting_interest_UT)


@pytest.mark.words
def test_nothing_happens_to_what_is_not_examined(feed):
    unseen = feed.log[~feed.truth.examined]
    assert len(unseen) > 10_000
    assert (unseen[[*SIGNALS, "watch_seconds"]] == 0).all(axis=None)


def test_watches_likes_and_shares_need_a_click_and_dismissals_do_not(feed):
    unclicked = feed.log[feed.log.clicked == 0]
    assert (unclicked[["watch_seconds", "liked", "shared"]] == 0).all(axis=None)
    assert unclicked.dismissed.sum() > 0
    assert feed.log[feed.log.clicked == 1].dismissed.sum() > 0
    seconds = feed.videos.set_index("vid").seconds[feed.log.vid].to_numpy()
    assert (feed.log.watch_seconds <= seconds).all()


@pytest.mark.parametrize("signal", SIGNALS)
def test_signals_happen_as_often_as_the_truth_says(feed, signal):
    """Overall, where examined, where clicked, and in every tenth of the expectation."""
    happened, truth = feed.log[signal], feed.truth
    expected = truth[f"expected.{signal}"]
    assert abs(_z(happened, expected)) < 4
    assert abs(_z(happened[truth.examined], truth[f"expected.{signal}|examined"][truth.examined])) < 4
    if signal != "clicked":
        clicked = feed.log.clicked == 1
        assert abs(_z(happened[clicked], truth[f"expected.{signal}|clicked"][clicked])) < 4
    for _, tenth in expected.groupby(pd.qcut(expected, 10, labels=False)):
        assert abs(_z(happened[tenth.index], tenth)) < 4


def test_examination_happens_as_often_as_the_truth_says(feed):
    for _, rows in feed.truth.groupby([feed.log.slot, feed.log.device]):
        if rows.slot.iloc[0] == 1:
            assert rows.examined.all()
        else:
            assert abs(_z(rows.examined, rows["expected.examined"])) < 4


@pytest.mark.parametrize(
    ("expectation", "condition"), [("watch_seconds", None), ("watch_seconds|examined", "examined"), ("watch_seconds|clicked", "clicked")]
)
def test_watch_time_has_the_mean_that_the_truth_says(feed, expectation, condition):
    at = {None: slice(None), "examined": feed.truth.examined, "clicked": feed.log.clicked == 1}[condition]
    error = feed.log.watch_seconds[at] - feed.truth[f"expected.{expectation}"][at]
    assert abs(error.mean()) < 4 * error.std() / math.sqrt(len(error))


def test_stars_have_the_mean_that_the_truth_says(feed):
    answered = feed.surveys.merge(feed.log, on=["uid", "vid"], suffixes=("_answer", ""))
    answered = answered.merge(feed.truth[["request", "vid", "expected.stars|clicked"]], on=["request", "vid"])
    answered = answered[(answered.clicked == 1) & (answered.ts_answer - answered.ts).between(0, 86_400_000)]
    error = answered.stars - answered["expected.stars|clicked"]
    assert len(error) > 1_000
    assert answered.stars.between(1, 5).all()
    assert abs(error.mean()) < 4 * error.std() / math.sqrt(len(error))


def test_surveys_are_answered_at_the_stated_rate(feed):
    n, rate = int(feed.log.clicked.sum()), feed.options.survey_rate
    assert abs(len(feed.surveys) - n * rate) < 4 * math.sqrt(n * rate * (1 - rate))


def test_unconditional_is_examination_times_given_examined(feed):
    for signal in [*SIGNALS, "watch_seconds"]:
        product = feed.truth["expected.examined"] * feed.truth[f"expected.{signal}|examined"]
        np.testing.assert_allclose(feed.truth[f"expected.{signal}"], product, rtol=1e-5)


def test_position_decides_on_examination_but_not_on_a_click_given_it(random_feed):
    """Shown at random: the click rate falls with the slot, steepest on a phone; among the examined it stays where it is."""
    log, truth = random_feed.log, random_feed.truth
    by_slot = log.pivot_table(index="slot", columns="device", values="clicked")
    assert (by_slot.loc[1] > by_slot.loc[3]).all()
    assert (by_slot.loc[3] > by_slot.loc[10]).all()
    kept = by_slot.loc[10] / by_slot.loc[1]
    assert kept["phone"] < kept["desktop"]
    assert kept["phone"] < kept["tv"]
    examined = truth.examined
    for _, rows in log[examined].groupby("slot"):
        p = truth.loc[rows.index, ATTRACTIVENESS]
        everywhere = truth.loc[examined, ATTRACTIVENESS]
        assert abs(rows.clicked.mean() - everywhere.mean()) < 4 * math.sqrt(everywhere.mean() * (1 - everywhere.mean()) / len(rows))
        assert abs(_z(rows.clicked, p)) < 4


def test_clickbait_raises_clicks_and_lowers_satisfaction(random_feed):
    log, truth = random_feed.log, random_feed.truth
    bait, clicked = truth["latent.clickbait"], log.clicked == 1

    def slope(signal, at) -> float:
        return float(np.corrcoef(bait[at], signal[at])[0, 1]) * math.sqrt(int(at.sum()))  # in standard errors of no relation

    seconds = random_feed.videos.set_index("vid").seconds[log.vid].to_numpy()
    assert slope(log.clicked, truth.examined) > 10
    assert slope(log.liked, clicked) < -10
    assert slope(log.watch_seconds / seconds, clicked) < -10
    assert slope(log.dismissed, clicked) > 5
    assert slope(truth["expected.stars|clicked"], clicked) < -10


def test_surveyed_clickbait_gets_fewer_stars(feed):
    answered = feed.surveys.merge(feed.truth.drop_duplicates("vid")[["vid", "latent.clickbait"]], on="vid")
    median = answered["latent.clickbait"].median()
    low, high = (answered.stars[answered["latent.clickbait"] <= median], answered.stars[answered["latent.clickbait"] > median])
    assert low.mean() - high.mean() > 4 * math.sqrt(low.var() / len(low) + high.var() / len(high))


def test_rates_are_those_of_a_feed(feed):
    """The bounds that the defaults aim at: docs/world.md."""
    assert 0.15 < feed.log.clicked.mean() < 0.25
    assert 0.015 < feed.log.liked.mean() < 0.03
    assert 0.005 < feed.log.shared.mean() < 0.01
    assert 0.01 < feed.log.dismissed.mean() < 0.02
    assert 60 < feed.log.watch_seconds[feed.log.clicked == 1].mean() < 120


def test_outcomes_follow_the_expectations_they_are_drawn_from(rng):
    """Chosen probabilities, 300,000 draws: each star, the survey's delay within a day, the Beta's mean and variance."""
    n = 300_000
    half, at_least = np.full(n, 0.5), np.tile([0.9, 0.7, 0.4, 0.1], (n, 1))
    sure, never = np.ones(n), np.zeros(n)
    expected = Expectations(half, half, sure, sure, np.full(n, 0.3), half, never, never, sure, at_least)
    outcomes = draw_outcomes(rng, expected, np.full(n, 200), survey_rate=1.0)
    shares = np.bincount(outcomes.stars_N, minlength=6) / n
    np.testing.assert_allclose(shares, [0, 0.1, 0.2, 0.3, 0.3, 0.1], atol=0.004)
    assert outcomes.answer_delay_ms_N.min() >= 60_000
    assert outcomes.answer_delay_ms_N.max() == 86_400_000 - 60_000  # some of so many would take longer than a day
    fraction = outcomes.watch_seconds_N / 200
    assert fraction.mean() == pytest.approx(0.3, abs=0.002)
    assert fraction.var() == pytest.approx(0.3 * 0.7 / (3 + 1), abs=0.001)  # m(1 − m)/(α + β + 1)
    assert outcomes.clicked_N.all()
    assert not (outcomes.shared_N | outcomes.dismissed_N).any()
    assert outcomes.liked_N.mean() == pytest.approx(0.5, abs=0.004)
