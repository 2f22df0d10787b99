"""Scores of factors against plain loops: whose vectors, and what a user's vector knows at the very moment."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, cast

import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
import pytest

from recsys.days import Day
from recsys.features.factors import DayFactors, fit_day
from recsys.features.feature_columns import Column
from recsys.features.plan import Entity, Factor, Plan, Signal
from recsys.features.running import OwnPast
from recsys.progress import Console
from tests.staged import build

DAY, DELAY = Day("2024-01-02", "UTC"), 600_000
USER, ITEM = (Column(name, "events", name, "text", dt.string) for name in ("user_id", "item_id"))
LIKE = Signal("like", "log.like", DELAY, 1)
FACTOR = Factor(Entity((USER, ITEM)), (LIKE,))
USERS, ITEMS = 30, 20


def some_pairs(rng: np.random.Generator) -> pa.Table:
    liked_UI = rng.standard_normal((USERS, 2)) @ rng.standard_normal((2, ITEMS)) > 0
    places = [(u, i) for u in range(USERS) for i in range(ITEMS) if rng.random() < 0.7]
    columns = {"user_id": [f"u{u}" for u, _ in places], "item_id": [f"i{i}" for _, i in places]}
    numbers = {"known.like": rng.integers(0, 3, len(places))}
    return pa.table(
        {**columns, **numbers, "sum.like": [int(n * liked_UI[place]) for n, place in zip(numbers["known.like"], places, strict=True)]}
    )


def rows_of(rng: np.random.Generator, rows: int, *, first: int) -> list[dict[str, Any]]:
    """Moments are whole minutes, so that some lie exactly on a border. User u98 and item i98 are in no pair."""
    return [
        {
            "user_id": str(rng.choice(["u1", "u2", "u98"])),
            "item_id": None if rng.random() < 0.1 else str(rng.choice(["i1", "i2", "i3", "i98"])),
            "timestamp": int(DAY.start + 60_000 * rng.integers(first, 300)),
            "signal.like": None if rng.random() < 0.2 else int(rng.integers(2)),
        }
        for _ in range(rows)
    ]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.int64(), "signal.like": pa.int64()}
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds))


def scored(factors: DayFactors, asks: list[dict[str, Any]], past: list[dict[str, Any]]) -> list[float]:
    past = sorted(past, key=lambda row: (row["user_id"], row["timestamp"]))
    # Only histories read the plan.
    own = OwnPast(table(asks), table(past), cast(Plan, None))
    scores = factors.scores(table(asks), table(past), own, DAY)
    assert scores.schema == pa.schema([("agg.user_id+item_id.like.factors", pa.float32())])
    return cast(list[float], scores.column(0).to_pylist())


def by_hand(
    factors: DayFactors, ask: dict[str, Any], past: list[dict[str, Any]], *, signal: str = "signal.like", delay: int = DELAY, day: Day = DAY
) -> float:
    """The user's equations with a term for each of his impressions that became known today, before the ask; then the product."""
    (fit,) = factors._fits
    if fit is None:
        return 0.0
    users, items, found = fit.users.to_pylist(), fit.values.to_pylist(), fit.found
    precision, information = np.diag(1.0 / found.prior_of_users_D), np.zeros(4)
    if ask["user_id"] in users:
        at = users.index(ask["user_id"])
        precision, information = fit.evidence.precision_NDD[at].copy(), fit.evidence.information_ND[at].copy()
    for row in past:
        known = day.start <= row["timestamp"] + delay < ask["timestamp"]
        if row["user_id"] == ask["user_id"] and known and row["item_id"] in items and row[signal] is not None:
            mean, cov = (side[items.index(row["item_id"])] for side in (found.items.mean_ND, found.items.cov_NDD))
            x = np.append(mean[:3], 1.0)
            spread = np.zeros((4, 4))
            spread[:3, :3] = cov[:3, :3]
            y = (row[signal] - found.centre) / found.scale
            precision += (np.outer(x, x) + spread) / found.noise
            information += (y * x - x * mean[3] - np.append(cov[:3, 3], 0.0)) / found.noise
    if ask["item_id"] not in items:
        return 0.0
    vector = np.linalg.inv(precision) @ information
    return float(vector[:3] @ found.items.mean_ND[items.index(ask["item_id"]), :3] * found.scale)


def test_a_users_vector_knows_what_became_known_today_before_the_moment(rng: np.random.Generator) -> None:
    factors = DayFactors.fit(some_pairs(rng), FACTOR, 3)
    asks, yesterday = rows_of(rng, 60, first=0), rows_of(rng, 30, first=-60)
    past = [*asks, *yesterday]
    expected = [by_hand(factors, ask, past) for ask in asks]
    assert scored(factors, asks, past) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert sum(value != 0 for value in expected) > 20
    early = [by_hand(factors, ask, []) for ask in asks]
    assert sum(abs(a - b) > 1e-3 for a, b in zip(expected, early, strict=True)) > 20, "the day's news matter"
    assert any(ask["user_id"] == "u98" and value != 0 for ask, value in zip(asks, expected, strict=True)), "a new user tells his taste"


def test_a_value_of_the_day_counts_as_no_more_than_those_before(rng: np.random.Generator) -> None:
    factors = DayFactors.fit(some_pairs(rng), FACTOR, 3)
    asks = rows_of(rng, 60, first=0)
    ones, huge = ([row | {"signal.like": value * (row["signal.like"] or 0)} for row in asks] for value in (1, 10**12))
    assert scored(factors, asks, huge) == scored(factors, asks, ones)


def test_scores_do_not_depend_on_who_else_asks(rng: np.random.Generator) -> None:
    factors = DayFactors.fit(some_pairs(rng), FACTOR, 3)
    asks = rows_of(rng, 60, first=0)
    together = scored(factors, asks, asks)
    of_one = [ask for ask in asks if ask["user_id"] == "u2"]
    assert scored(factors, of_one, of_one) == [score for ask, score in zip(asks, together, strict=True) if ask["user_id"] == "u2"]


@pytest.mark.parametrize("numbers", [1, 60, 200])
def test_scores_do_not_depend_on_how_many_are_made_at_once(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    """A step adds one impression or a few, so the news of a user begin, go on and end in different steps."""
    factors = DayFactors.fit(some_pairs(rng), FACTOR, 3)
    asks = rows_of(rng, 60, first=0)
    whole = scored(factors, asks, asks)
    monkeypatch.setattr("recsys.features.factors._MOST_NUMBERS", numbers)
    assert scored(factors, asks, asks) == whole


def test_without_pairs_all_scores_are_0(rng: np.random.Generator) -> None:
    factors = DayFactors.fit(some_pairs(rng)[:0], FACTOR, 3)
    asks = rows_of(rng, 5, first=0)
    assert scored(factors, asks, asks) == [0.0] * 5


def test_what_became_known_on_days_since_the_fit_counts_like_what_became_known_today(rng: np.random.Generator) -> None:
    """Two likes and a dislike of one video, one like of a new user, and a like of a video without a vector."""
    factors = DayFactors.fit(some_pairs(rng), FACTOR, 3)
    told = [("u1", "i1", 1), ("u1", "i1", 1), ("u1", "i1", 0), ("u98", "i2", 1), ("u2", "i98", 1)]
    moment = {"timestamp": DAY.start - DELAY}  # known as the day begins
    past = [{"user_id": user, "item_id": item, "signal.like": like, **moment} for user, item, like in told]
    keys = sorted({(user, item) for user, item, _ in told})
    likes = [[like for user, item, like in told if (user, item) == key] for key in keys]
    news = pa.table(
        {
            "user_id": [user for user, _ in keys],
            "item_id": [item for _, item in keys],
            "known.like": [len(of) for of in likes],
            "sum.like": [sum(of) for of in likes],
        }
    )
    asks = [
        {"user_id": user, "item_id": item, "timestamp": DAY.start + 1, "signal.like": None}
        for user in ("u1", "u2", "u98", "u99")
        for item in ("i1", "i2", "i3")
    ]
    expected = scored(factors, asks, [*asks, *past])
    assert scored(factors.after(news), asks, asks) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert sum(a != b for a, b in zip(expected, scored(factors, asks, asks), strict=True)) == 6, "u1's and u98's scores"
    assert factors.after(news[:0]) is factors


@pytest.mark.parametrize(
    ("days", "rows", "window", "fitted"),
    [
        ([1], [100], 7, [1]),
        (range(1, 6), [100] * 5, 7, [1, 2, 3, 4, 5]),  # each day is more than a fiftieth of a week
        (range(1, 61), [100] * 60, 100, [*range(1, 52), 51, 53, 53, 55, 55, 57, 57, 59, 59]),  # before the 52nd 100 of 5,100 are new
        ([1, 2, 90], [1_000, 1, 5], 7, [1, 2, 90]),  # nothing is in the window: what is there is all new
    ],
)
def test_a_day_is_fitted_anew_once_a_fiftieth_of_its_window_is_new(
    days: Sequence[int], rows: list[int], window: int, fitted: list[int]
) -> None:
    days = list(days)
    assert [fit_day(days[:last], rows[:last], window) for last in range(1, len(days) + 1)] == fitted


SLOW = DELAY + 20 * 3_600_000


@pytest.mark.words
@pytest.mark.parametrize(
    ("signal", "stored", "delay", "features"),
    [
        ("is_click", "log.is_click", DELAY, {}),
        pytest.param("survey", "feedback.survey", SLOW, {"history": 0, "today": []}, marks=pytest.mark.words),
        pytest.param(
            *("survey", "feedback.survey", SLOW, {"entities": [["user_id", "item_id"], ["item_id"]], "signals": ["survey"]}),
            marks=pytest.mark.words,
        ),
    ],
    ids=["a column of the log", "a feedback and nothing else of the past", "an entity that is counted too"],
)
@pytest.mark.parametrize("renewed", [0.02, pytest.param(0.9, marks=pytest.mark.words)])
def test_examples_hold_the_scores_of_the_pairs_of_the_days_before(
    feed: Any, monkeypatch: pytest.MonkeyPatch, renewed: float, signal: str, stored: str, delay: int, features: dict[str, Any]
) -> None:
    """From a raw log: pairs by loops over what became known in the longest window of three days, and what became known since.

    With .9 of a window to be new, the third day is scored by the fit of the second.
    """
    monkeypatch.setattr("recsys.features.factors.RENEWED", renewed)
    rows = [row | {"position": 0} for row in feed.tasteful_events(3)]  # positions that never ascend: each impression is a list of its own
    pipeline = feed.pipeline(features={"factors": {"item_id": [signal]}, "d_factors": 3, **features})
    built = feed.build("log", rows, pipeline)
    column = f"agg.user_id+item_id.{signal}.factors"
    factor = Factor(Entity((USER, ITEM)), (Signal(signal, stored, delay, 1),))
    by_id = {row["event_id"]: row for row in rows}
    seen: list[float] = []
    for iso, table in feed.examples(built.folder).items():
        day = Day(iso, feed.zone)
        fitted = Day(feed.days[1], feed.zone) if renewed == 0.9 and iso == feed.days[2] else day
        learned = pairs_by_loops(rows, feed, before(feed, fitted, 3), fitted.start, signal, stored, delay)
        news = pairs_by_loops(rows, feed, fitted.start, day.start, signal, stored, delay)
        factors = DayFactors.fit(learned, factor, 3).after(news)
        for example in table.select(["event_id", column]).to_pylist():
            expected = by_hand(factors, by_id[example["event_id"]], rows, signal=stored, delay=delay, day=day)
            assert example[column] == pytest.approx(expected, rel=1e-5, abs=1e-7)
            seen.append(example[column])
    assert len(seen) == len(rows)
    assert np.mean(np.abs(seen) > 0.1) > 0.2


def before(feed: Any, day: Day, days: int) -> int:
    """The start of the day so many days before."""
    return int(feed.midnight((date.fromisoformat(day.iso) - timedelta(days=days)).isoformat()))


def pairs_by_loops(rows: list[dict[str, Any]], feed: Any, begin: int, end: int, signal: str, stored: str, delay: int) -> pa.Table:
    """Count and sum, per user and item in order, the values that became known from `begin` to before `end`."""
    found: dict[tuple[int, str], list[int]] = {}
    for row in rows:
        if row[stored] is not None and begin <= row["timestamp"] + delay < end:
            found.setdefault((row["user_id"], row["item_id"]), []).append(row[stored])
    places = sorted(found)
    columns = {
        "user_id": pa.array([user for user, _ in places], pa.int64()),
        "item_id": pa.array([item for _, item in places], pa.string()),
    }
    sums = {f"known.{signal}": [len(found[place]) for place in places], f"sum.{signal}": [sum(found[place]) for place in places]}
    return pa.table({**columns, **{name: pa.array(numbers, pa.int64()) for name, numbers in sums.items()}})


@pytest.mark.parametrize(
    ("entities", "found"),
    [
        ([["user_id"], ["item_id"]], {"item_id": ("is_click", "watch")}),
        ([["item_id"], ["tag", "tab"], ["user_id"]], {"item_id": ("is_click", "watch")}),
        ([["item_id"], ["tag", "tab"]], {}),
        ([["user_id"], ["tab", "user_id"]], {}),
    ],
)
def test_where_no_factors_are_given_they_are_of_items_if_users_are_counted_and_never_joined(feed: Any, entities: Any, found: Any) -> None:
    features = {"entities": entities, "signals": ["is_click", "watch", "survey"], "factors": None}
    assert feed.pipeline(features=features).features.factored == found
    assert feed.pipeline(features=features | {"factors": {}}).features.factored == {}
    assert feed.pipeline(features=features | {"signals": []}).features.factored == {}


@pytest.mark.words
@pytest.mark.parametrize(
    ("fewest", "most", "is_fitted"),
    [(3, 10**6, True), pytest.param(10**3, 10**6, False, marks=pytest.mark.words), pytest.param(3, 5, False, marks=pytest.mark.words)],
)
def test_factors_that_nobody_asked_for_are_fitted_where_pairs_are_neither_too_thin_nor_too_many(
    feed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fewest: int, most: int, is_fitted: bool
) -> None:
    monkeypatch.setattr("recsys.features.factors.FEWEST_ROWS", fewest)
    monkeypatch.setattr("recsys.features.factors.MOST_PAIRS", most)
    simple = {"entities": [["user_id"], ["item_id"]], "today": [], "slices": [], "signals": ["is_click"], "d_factors": 2}
    workspace = feed.write("log", feed.tasteful_events(7))

    def scores(factors: Any) -> Any:
        built = build(feed.pipeline(features=simple | {"factors": factors}), workspace, console=Console())
        return feed.examples(built.folder)[feed.days[-1]]["agg.user_id+item_id.is_click.factors"].to_numpy()

    given = scores({"item_id": ["is_click"]})
    assert given.any()
    assert "warning" not in capsys.readouterr().out
    np.testing.assert_array_equal(scores(None), given if is_fitted else 0)
    assert ("found more than 5 pairs of users and items in the window from 2022-03-02 on" in capsys.readouterr().out) is (most == 5)


@pytest.mark.words
def test_the_order_of_factors_in_the_toml_changes_no_byte(feed: Any) -> None:
    """A config that was written down has another order, and a run goes on from the states of the first one."""
    rows, factors = feed.tasteful_events(5), {"item_id": ["is_click"], "author_id": ["watch"]}
    found = []
    for name, some in (("one", factors), ("other", dict(reversed(factors.items())))):
        feed.build(name, rows, feed.pipeline(features={"factors": some, "d_factors": 2}))
        found.append(feed.bytes(feed.folder / name))
    assert found[0] == found[1]
