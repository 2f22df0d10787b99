"""Users, items and requests of a log whose columns lead a guess astray."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.checkup import look
from recsys.errors import DataError
from recsys.proposal import propose
from tests.proposal.small_feed import proposed, small_feed

pytestmark = pytest.mark.words


# --- Names that say user, and names that say an outcome -----------------------------------------------------------
def _analytics_feed() -> pd.DataFrame:
    """As Google Analytics exports it: a user is two numbers with a point between them."""
    feed = small_feed()
    watched = np.where(feed["click"] == 1, np.random.default_rng(6).integers(100, 60_000, len(feed)), 0)
    return pd.DataFrame({
        "user_pseudo_id": [f"{1_000_016 + user}.{1_600_000_000 + 10 * user}" for user in feed["user_id"]], "video_id": feed["item_id"],
        "event_timestamp": feed["ts"].astype("datetime64[us]").astype("int64"), "clicked": feed["click"], "watch_time_ms": watched,
    })  # fmt: skip


def test_a_user_whose_ids_look_like_fractions_goes_by_its_name(tmp_path: Path) -> None:
    feed = _analytics_feed()
    tables, _ = proposed(tmp_path, feed)
    assert tables["source"]["columns"] == {"user_id": "user_pseudo_id", "item_id": "video_id", "timestamp": "event_timestamp"}
    assert [entry["name"] for entry in tables["objective"]] == ["clicked", "watch_time_ms"]
    assert f"days: 2024-01-02 to 2024-01-07; {feed['user_pseudo_id'].nunique()} users" in look(tmp_path / "own.toml").facts


def test_a_user_that_is_mostly_empty_is_not_taken(tmp_path: Path) -> None:
    feed = _analytics_feed()
    feed["user_id"] = feed["user_pseudo_id"].str[:7].where(feed.index % 5 == 0)  # of those who have signed in
    tables, _ = proposed(tmp_path, feed)
    assert tables["source"]["columns"]["user_id"] == "user_pseudo_id"


@pytest.mark.parametrize("name", ["watch_time_ms", "dwell", "play_count", "rating", "list_price", "total_amount", "video_length"])
@pytest.mark.parametrize("missing", ["user", "item"])
def test_what_is_measured_is_no_id_however_its_values_look(missing: str, name: str, tmp_path: Path) -> None:
    feed = small_feed().rename(columns={f"{missing}_id": name})
    feed.to_csv(tmp_path / "feed.csv", index=False)
    with pytest.raises(
        DataError, match=rf"found no column that tells the {missing} among .* Fix: say which it is: --column {missing}_id=NAME"
    ):
        propose([tmp_path / "feed.csv"], tmp_path)


def test_without_names_what_has_one_moment_alone_is_no_user(tmp_path: Path) -> None:
    feed = _lists()[["list", "user_id", "item_id", "ts", "click"]]
    tables, _ = proposed(tmp_path, feed, header=False)
    assert tables["source"]["columns"]["request_id"] == "column_1"
    assert tables["source"]["format"]["log"]["names"][:4] == ["column_1", "user_id", "item_id", "timestamp"]


@pytest.mark.parametrize("owner", ["user_id", "item_id"])
def test_without_names_a_time_that_belongs_to_an_id_makes_no_list_of_it(owner: str, tmp_path: Path) -> None:
    """A user signed up at one moment, and an item was published at one: neither numbers the lists."""
    feed = small_feed().assign(author=lambda rows: 1_000 + rows["item_id"] % 40)[["user_id", "item_id", "author", "ts", "click"]]
    feed["since"] = pd.Timestamp("2023-05-01 09:30:17") + pd.to_timedelta(feed[owner] * 70_001, unit="s")
    tables, _ = proposed(tmp_path, feed, header=False)
    assert tables["source"]["format"]["log"]["names"][:4] == ["user_id", "item_id", "column_3", "timestamp"]


def test_days_alone_tell_no_lists(tmp_path: Path) -> None:
    """All rows of a user may well have one day."""
    feed = small_feed().assign(ts=lambda rows: rows["ts"].dt.date)[["user_id", "item_id", "ts", "click"]]
    feed["user_id"] = pd.factorize(feed["ts"].astype(str) + "-" + feed["user_id"].astype(str))[0]
    tables, _ = proposed(tmp_path, feed, header=False)
    assert tables["source"]["format"]["log"]["names"][:3] == ["user_id", "item_id", "timestamp"]
    assert "request_id" not in tables["source"]["columns"]


# --- Requests -----------------------------------------------------------------------------------------------------
def _lists(length: int = 5, lists: int = 500) -> pd.DataFrame:
    """Lists of some user and moment, numbered in `list`, whose items differ."""
    rng = np.random.default_rng(8)
    rows = small_feed(lists).loc[np.repeat(np.arange(lists), length)].reset_index(drop=True)
    items = np.concatenate([rng.choice(90, length, replace=False) for _ in range(lists)])
    return rows.assign(list=np.repeat(np.arange(lists), length), item_id=items, click=(rng.random(len(rows)) < 0.3).astype(int))


@pytest.mark.parametrize("name", ["impression_id", "imp_id", "page_view_id", "pageview", "srch_id", "session_id"])
def test_what_several_rows_of_a_user_share_is_the_request(name: str, tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, _lists().rename(columns={"list": name}))
    assert tables["source"]["columns"]["request_id"] == name


@pytest.mark.parametrize("name", ["impression_id", "imp_id", "search_id"])
def test_what_each_row_has_for_itself_is_no_request(name: str, tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, _lists().drop(columns="list").reset_index(names=name))
    assert "request_id" not in tables["source"]["columns"]


def test_an_impression_of_one_item_with_several_actions_is_no_request(tmp_path: Path) -> None:
    actions = pd.concat([small_feed().reset_index(names="impression_id").assign(action=action) for action in ("view", "click")])
    feed = actions[(actions["action"] == "view") | (actions["click"] == 1)].drop(columns="click")
    tables, _ = proposed(tmp_path, feed)
    assert tables["source"]["kind"] == "events"
    assert tables["source"]["columns"]["item_id"] == "item_id"
    assert "request_id" not in tables["source"]["columns"]


def test_a_list_within_a_session_is_the_request(tmp_path: Path) -> None:
    feed = _lists().rename(columns={"list": "impression_id"})
    feed.insert(0, "session_id", feed["user_id"].astype(str) + feed["ts"].dt.strftime("-%d"))
    tables, _ = proposed(tmp_path, feed)
    assert tables["source"]["columns"]["request_id"] == "impression_id"


# --- Items that are the same in all rows of a list ----------------------------------------------------------------
def _lists_on_a_page(ranked: str) -> pd.DataFrame:
    """Lists that are shown on the page of some product, beside which `ranked` differs."""
    feed = _lists().rename(columns={"list": "search_id", "item_id": ranked})
    return feed.assign(product_id=1_000 + feed["search_id"] % 40)


@pytest.mark.parametrize("ranked", ["candidate_id", "offer", "shown_product_id"])
def test_the_item_is_what_differs_within_a_list(ranked: str, tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, _lists_on_a_page(ranked))
    assert (tables["source"]["columns"]["item_id"], tables["source"]["columns"]["request_id"]) == (ranked, "search_id")
    assert f"# unsure: {ranked} rather than product_id: product_id is the same in all rows of each search_id, so" in text


def test_an_item_beside_which_only_measures_differ_is_doubtful(tmp_path: Path) -> None:
    feed = _lists_on_a_page("value")
    tables, text = proposed(tmp_path, feed.assign(watch_time=feed["value"] * feed["click"]))
    assert tables["source"]["columns"]["item_id"] == "product_id"
    assert "# unsure: product_id is the same in all rows of each search_id, so it is not what is ranked there. If another" in text


def test_an_item_that_is_told_is_not_doubted(tmp_path: Path) -> None:
    _lists_on_a_page("candidate_id").to_csv(tmp_path / "feed.csv", index=False)
    proposal = propose([tmp_path / "feed.csv"], tmp_path, {"item_id": "product_id"})
    assert proposal.tables["source"]["columns"]["item_id"] == "product_id"
    assert "not what is ranked" not in proposal.text


def test_an_item_that_differs_within_lists_leaves_no_doubt(tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, _lists().rename(columns={"list": "search_id"}))
    assert tables["source"]["columns"]["item_id"] == "item_id"
    assert "not what is ranked" not in text


def test_where_rows_are_actions_a_session_may_be_of_one_item(tmp_path: Path) -> None:
    """A visit to a product has rows of what was done with it: a text such as the referrer is no item, whatever it differs within."""
    rng = np.random.default_rng(3)
    visits = small_feed(1_000).loc[np.repeat(np.arange(1_000), 3)].reset_index(drop=True)
    visits = visits.assign(
        session_id=np.repeat(np.arange(1_000), 3), action=np.tile(["view", "cart", "buy"], 1_000), referrer=rng.integers(0, 30, 3_000)
    ).drop(columns="click")
    visits["referrer"] = "r" + visits["referrer"].astype(str)
    visits["ts"] += pd.to_timedelta(np.tile([0, 5, 9], 1_000), unit="s")
    tables, _ = proposed(tmp_path, visits[(visits["action"] == "view") | (rng.random(3_000) < 0.5)])
    assert tables["source"]["columns"]["item_id"] == "item_id"


def test_an_id_by_its_ending_is_an_id_whatever_else_its_name_says(tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, small_feed().rename(columns={"item_id": "stay_id"}))
    assert tables["source"]["columns"]["item_id"] == "stay_id"


@pytest.mark.parametrize("users", [1, 5])
def test_a_few_users_go_by_their_name(users: int, tmp_path: Path) -> None:
    feed = small_feed()
    tables, _ = proposed(tmp_path, feed.assign(user_id=feed["user_id"] % users))
    assert tables["source"]["columns"] == {"user_id": "user_id", "item_id": "item_id", "timestamp": "ts"}


def test_an_id_of_one_value_is_no_user_beside_one_of_many(tmp_path: Path) -> None:
    feed = small_feed().assign(who=lambda rows: "w" + rows.pop("user_id").astype(str), account_id=7)
    tables, text = proposed(tmp_path, feed)
    assert tables["source"]["columns"]["user_id"] == "who"
    assert "unsure: guessed from the values of who" in text


# --- Sessions without a user --------------------------------------------------------------------------------------
def _visits() -> pd.DataFrame:
    """As OTTO published them: a session has several articles, and an article comes in many sessions."""
    feed = small_feed().rename(columns={"user_id": "session", "item_id": "aid"})
    return feed.assign(aid=feed["aid"] * 7 + 1_000)


def test_without_a_user_a_session_stands_for_one(tmp_path: Path) -> None:
    visits = _visits().assign(aid=lambda rows: rows["aid"] % 24)  # most carts follow a click
    visits["type"] = np.random.default_rng(4).choice(["clicks", "carts", "orders"], len(visits), p=[0.8, 0.1, 0.1])
    tables, text = proposed(tmp_path, visits.drop(columns="click"))
    assert tables["source"]["columns"] == {"user_id": "session", "item_id": "aid", "timestamp": "ts", "action": "type"}
    assert "# unsure: no column names the user of most rows, so each session stands for one" in text


@pytest.mark.parametrize("name", ["city", "colour"])
def test_of_a_visit_what_is_no_user_makes_the_session_none_the_less_one(name: str, tmp_path: Path) -> None:
    """A city is that of each visit, and a colour is another one in each row of it."""
    visits = _visits().rename(columns={"aid": "item_id"})
    said = visits["session"] % 30 if name == "city" else np.random.default_rng(6).integers(0, 30, len(visits))
    tables, _ = proposed(tmp_path, visits.assign(**{name: said}))
    assert tables["source"]["columns"] == {"user_id": "session", "item_id": "item_id", "timestamp": "ts"}


def test_a_cookie_with_several_sessions_is_the_user(tmp_path: Path) -> None:
    visits = _visits().rename(columns={"aid": "item_id"})
    tables, _ = proposed(tmp_path, visits.assign(cookie=visits["session"] % 50))
    assert tables["source"]["columns"]["user_id"] == "cookie"


@pytest.mark.parametrize(("nth", "user"), [(4, "session"), (1, "userId")])
def test_a_session_stands_for_a_user_whom_most_rows_lack(nth: int, user: str, tmp_path: Path) -> None:
    """As in Diginetica, where most visitors have not signed in."""
    visits = _visits().rename(columns={"aid": "item_id"})
    visits.insert(0, "userId", (visits["session"] % 60).where(visits["session"] % nth == 0).astype("Int64"))
    tables, _ = proposed(tmp_path, visits)
    assert tables["source"]["columns"]["user_id"] == user
