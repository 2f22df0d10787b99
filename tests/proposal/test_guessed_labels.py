"""Labels that `recsys init` finds or names in logs as people write them: words, ratings, shares, counts, rare ones."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.proposal import propose
from recsys.proposal.role_names import is_regretted
from tests.checkup.edits import make_files
from tests.proposal.as_they_lie import LOGS, csv_with_tabs
from tests.proposal.small_feed import proposed, small_feed
from tests.spread import some


def test_where_no_label_is_left_those_that_differ_by_case_alone_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_files(tmp_path)
    log = pd.read_csv(tmp_path / "log.csv").drop(columns=["liked", "watched"])
    log.assign(Clicked=log["clicked"]).to_csv(tmp_path / "log.csv", index=False)
    assert run_command(["init", str(tmp_path / "log.csv"), "--out", str(tmp_path / "init.toml")]) == 3
    assert "found no column that tells what the user did (besides clicked, Clicked, whose names" in capsys.readouterr().err


def test_base_rates_and_doubts_stand_as_comments(tmp_path: Path) -> None:
    files = LOGS["tabs-without-a-header"].write(tmp_path)
    text = propose(files, tmp_path).text
    log = pd.read_csv(files[0], sep="\t", header=None)
    first, last = tomllib.loads(text)["split"]["train"]
    days = pd.to_datetime(log[2], unit="ms").dt.strftime("%Y-%m-%d")
    click = log[6][days.between(first, last)]
    assert f"# 1 in {click.mean():.2%} of {len(click):,} training rows" in text
    assert "# unsure: guessed from the values of column_1, not from its name" in text
    assert "# unsure: the columns of two values, or of yes and nothing; their names do not say what they are" in text
    assert "#   column_4: " in text


@pytest.mark.words
def test_a_feature_that_tells_the_label_is_left_out(tmp_path: Path) -> None:
    files = csv_with_tabs(tmp_path)
    feed = pd.read_csv(tmp_path / "feed.csv", sep="\t")
    feed.assign(module_shown=feed["is_click"].map({0: "list", 1: "player"})).to_csv(tmp_path / "feed.csv", sep="\t", index=False)
    proposal = propose(files, tmp_path)
    assert "module_shown" not in proposal.tables["features"]["context"]
    assert "Left out: module_shown alone tells click (AUC 1.000)" in proposal.text


@pytest.mark.parametrize(("beside", "name"), [("click", "liked"), ("like", "well_rated"), ("is_liked", "well_rated")])
def test_a_good_rating_has_a_name_of_its_own(beside: str, name: str, tmp_path: Path) -> None:
    """Beside the column liked it was liked_2."""
    feed = small_feed().rename(columns={"click": beside})
    tables, _ = proposed(tmp_path, feed.assign(rating=np.random.default_rng(3).integers(1, 6, len(feed))))
    assert [entry["name"] for entry in tables["objective"]] == [beside.removeprefix("is_"), name, "rating"]


@pytest.mark.words
@pytest.mark.parametrize(("shares", "cut"), [((5, 10, 30, 35, 20), 4), ((20, 20, 25, 20, 15), 3), ((10, 15, 35, 25, 15), 4)])
def test_liked_is_the_rating_from_which_on_nearly_half_of_the_ratings_lie(shares: tuple[int, ...], cut: int, tmp_path: Path) -> None:
    stars = np.random.default_rng(0).permutation(np.repeat([1, 2, 3, 4, 5], np.array(shares) * 6))
    log = pd.DataFrame({"user_id": np.arange(600) % 30, "item_id": np.arange(600) // 7, "rating": stars})
    log["timestamp"] = 1_704_067_200 + 700 * log.index
    log.to_csv(tmp_path / "log.csv", index=False)
    liked = propose([tmp_path / "log.csv"], tmp_path).tables["objective"][0]
    assert (liked["name"], liked["label"]) == ("liked", f"rating >= {cut}")


@pytest.mark.words
@pytest.mark.parametrize("name", some(['said "yes"', "select", "点击", "like", "order", "case", "is click"], 7))
def test_a_label_may_have_any_name(name: str, tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, small_feed().rename(columns={"click": name}))
    assert len(tables["objective"]) == 1


@pytest.mark.words
@pytest.mark.parametrize("words", some(["no yes", "False True", "false true", "N Y"], 4))
def test_labels_in_words(words: str, tmp_path: Path) -> None:
    no, yes = words.split()
    feed = small_feed()
    tables, text = proposed(tmp_path, feed.assign(click=feed["click"].map({0: no, 1: yes})))
    assert [entry["name"] for entry in tables["objective"]] == ["click"]
    train = feed[feed["ts"].dt.strftime("%Y-%m-%d").between(*tables["split"]["train"])]
    assert f"# 1 in {train['click'].mean():.2%} of {len(train):,} training rows" in text


@pytest.mark.words
@pytest.mark.parametrize(("is_property", "objectives"), [(False, ["verified_purchase", "liked", "rating"]), (True, ["verified_purchase"])])
def test_a_rating_is_an_objective_beside_labels(is_property: bool, objectives: list[str], tmp_path: Path) -> None:
    """As reviews of Amazon have it. The stars of a hotel say nothing of what the user did."""
    feed = small_feed().rename(columns={"item_id": "asin", "click": "verified_purchase"})
    stars = feed["asin"] % 5 if is_property else np.random.default_rng(8).integers(0, 5, len(feed))
    feed = feed.assign(verified_purchase=feed["verified_purchase"].map({0: "false", 1: "true"}), rating=stars + 1)
    tables, _ = proposed(tmp_path, feed)
    assert [entry["name"] for entry in tables["objective"]] == objectives
    assert tables["features"]["signals"] == [name for name in objectives if name != "liked"]


@pytest.mark.words
@pytest.mark.parametrize("name", ["watch_ratio", "playRatio", "completion", "completion_rate", "watched_share", "page_view_ratio"])
@pytest.mark.parametrize("has_watch_time", [True, False])
def test_a_watched_share_is_an_outcome(has_watch_time: bool, name: str, tmp_path: Path) -> None:
    feed = small_feed().drop(columns="click").assign(video_duration=20.0)
    seconds = np.random.default_rng(9).exponential(10, len(feed)).round(2)
    feed = feed.assign(**{name: seconds / 20}, **({"play_duration": seconds} if has_watch_time else {}))
    tables, text = proposed(tmp_path, feed)
    (objective,) = tables["objective"]
    if has_watch_time:
        assert objective["name"] == "play_duration"
        assert f"# Left out, because it is an outcome, known only after the impression: {name}." in text
    else:
        assert (objective["kind"], objective["label"]) == ("regression", name)
    assert tables["features"]["signals"] == ["play_duration" if has_watch_time else name]
    assert "context" not in tables["features"]


@pytest.mark.words
@pytest.mark.parametrize("owner", ["user_id", "item_id"])
def test_a_property_with_the_name_of_a_rating_is_no_rating_beside_labels(owner: str, tmp_path: Path) -> None:
    feed = small_feed()
    feed["stars"] = feed[owner] % 5 + 1
    feed["score"] = np.arange(len(feed)) % 7
    tables, _ = proposed(tmp_path, feed)
    assert [each["name"] for each in tables["objective"]] == ["click"]


@pytest.mark.words
@pytest.mark.parametrize(
    ("name", "yes", "no", "label"),
    [
        ("is_conv", "1", "", "is not null"),
        ("klick", "1", "", "is not null"),
        ("is_conv", "true", "", "is not null"),
        ("klick", "ja", "nein", "= 'ja'"),
        ("is_conv", "1", "-1", "= 1"),
    ],
)
def test_yes_and_nothing_and_the_words_of_other_languages_are_labels(name: str, yes: str, no: str, label: str, tmp_path: Path) -> None:
    """A column of 1 and nothing has one value for each item, and is no property of it."""
    feed = small_feed().rename(columns={"click": name})
    tables, _ = proposed(tmp_path, feed.assign(**{name: feed[name].map({1: yes, 0: no})}))
    (objective,) = tables["objective"]
    assert objective["label"] == f"{name} {label}"
    (signal,) = tables["features"]["signals"]
    assert tables["features"]["expressions"] == {signal: f"{name} {label}"}
    found = [line for line in look(tmp_path / "own.toml").facts if line.startswith(objective["name"])]
    days = feed["ts"].dt.date.astype(str).between(*tables["split"]["train"])
    assert f"{feed[days][name].sum():,} ({feed[days][name].mean():.2%})" in found[0]


@pytest.mark.words
@pytest.mark.parametrize("name", ["seconds_watched", "ms_played"])
def test_a_watch_time_is_found_whose_unit_stands_in_front(name: str, tmp_path: Path) -> None:
    """seconds_watched is the one of docs/bring-your-own-log.md, ms_played that of Spotify."""
    feed = small_feed()
    tables, _ = proposed(tmp_path, feed.assign(**{name: feed["click"] * np.arange(len(feed)) / 100}))
    assert [entry["label"] for entry in tables["objective"]] == ["click = 1", name]


@pytest.mark.words
def test_a_count_of_what_was_done_is_a_label_where_nothing_else_is(tmp_path: Path) -> None:
    """Beside a label a count may be one of the item or of the user, up to that moment."""
    feed = small_feed()
    done = feed.assign(clicks=feed["click"] * (1 + np.arange(len(feed)) % 3))
    tables, _ = proposed(tmp_path, done)
    assert [entry["label"] for entry in tables["objective"]] == ["click = 1"]
    (tmp_path / "alone").mkdir()
    tables, _ = proposed(tmp_path / "alone", done.drop(columns="click"))
    assert [entry["label"] for entry in tables["objective"]] == ["clicks > 0"]
    assert tables["features"]["signals"] == ["clicks"]


@pytest.mark.words
def test_a_time_that_stands_on_some_rows_is_named_as_a_label(tmp_path: Path) -> None:
    feed = small_feed()
    applied = (feed["ts"] + pd.Timedelta("1h")).where(feed["click"] == 1)
    _, text = proposed(tmp_path, feed.assign(applied_at=applied))
    assert "Where applied_at stands only if the user acted, applied_at is not null is a label" in text


def test_a_log_that_tells_nothing_is_named_as_it_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    small_feed().drop(columns="click").to_csv(tmp_path / "feed.csv", index=False)
    assert run_command(["init", str(tmp_path / "feed.csv"), "--out", str(tmp_path / "there" / "own.toml")]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 'feed.csv'}: found no column that tells what the user did among user_id, item_id, ts, ")


def _bought(rows: int = 20_000) -> pd.DataFrame:
    """A feed with two rows per item and few purchases: nearly every item has one answer alone."""
    rng = np.random.default_rng(1)
    feed = small_feed(rows)
    return feed.assign(user_id=rng.integers(0, 900, rows), item_id=rng.integers(0, 9_000, rows), purchase=(rng.random(rows) < 0.005) * 1)


def test_a_rare_label_is_no_property_of_items_that_come_twice(tmp_path: Path) -> None:
    feed = _bought()
    assert (feed.groupby("item_id")["purchase"].nunique() == 1).mean() > 0.985
    tables, _ = proposed(tmp_path, feed)
    assert [entry["label"] for entry in tables["objective"]] == ["click = 1", "purchase = 1"]


@pytest.mark.parametrize("owner", ["user_id", "item_id"])
def test_a_rare_property_is_no_label(owner: str, tmp_path: Path) -> None:
    """As is_subscriber of EB-NeRD is one of the user."""
    feed = _bought()
    tables, text = proposed(tmp_path, feed.assign(is_subscriber=(feed[owner] % 100 == 0).astype(int)))
    assert [entry["name"] for entry in tables["objective"]] == ["click", "purchase"]
    assert "# unsure: is_subscriber." in text


def _base_rates(tmp_path: Path) -> dict[str, str]:
    """Objective → positives of the training days, as check counts them."""
    facts = look(tmp_path / "own.toml").facts
    return {line.split()[0]: " ".join(line.split()[2:4]) for line in facts if "%" in line}


@pytest.mark.words
@pytest.mark.parametrize("name", ["action", "became"])
def test_words_that_say_what_became_of_each_impression_are_labels(name: str, tmp_path: Path) -> None:
    """Hardly any action has a view of its user and item: it is no event log, whose run would set the actions aside."""
    rng = np.random.default_rng(4)
    feed = small_feed().drop(columns="click")
    feed["user_id"], feed["item_id"] = rng.integers(0, 600, len(feed)), rng.integers(0, 400, len(feed))
    feed[name] = rng.choice(["view", "click", "save", "share it"], len(feed), p=[0.6, 0.2, 0.1, 0.1])
    tables, text = proposed(tmp_path, feed)
    assert tables["source"]["kind"] == "table"
    assert f"unsure: {name} is taken for what became" in text
    train = feed[feed["ts"].dt.date.astype(str).between(*tables["split"]["train"])][name]
    found = _base_rates(tmp_path)
    assert found == {
        word: f"{(train == says).sum():,} ({(train == says).mean():.2%})"
        for word, says in (("click", "click"), ("save", "save"), ("share_it", "share it"))
    }
    assert set(tables["features"]["signals"]) == set(found)


@pytest.mark.words
@pytest.mark.parametrize("words", ["click no_click", "clicked skipped", "like dislike", "clicked not-clicked", "clk nonclk"])
def test_a_word_beside_its_denial_is_a_label(words: str, tmp_path: Path) -> None:
    feed = small_feed()
    yes, no = words.split()
    tables, _ = proposed(tmp_path, feed.assign(answer=feed.pop("click").map({1: yes, 0: no})))
    assert [entry["label"] for entry in tables["objective"]] == [f"answer = '{yes}'"]


def test_a_label_of_1_and_2_is_doubtful_and_a_code_of_1_and_2_is_none(tmp_path: Path) -> None:
    feed = small_feed()
    tables, text = proposed(tmp_path, feed.assign(is_booked=feed.pop("click") + 1, sex=feed["user_id"] * feed["item_id"] % 2 + 1))
    assert [entry["label"] for entry in tables["objective"]] == ["is_booked = 2"]
    assert "# unsure: is_booked holds 1 and 2, and 2 is taken for yes. Write is_booked = 1 where 1 is yes\n# 1 in" in text
    assert tables["features"]["expressions"] == {"booked": "is_booked = 2"}


def test_what_is_said_of_an_objective_stands_above_it_where_an_earlier_one_is_left_out(tmp_path: Path) -> None:
    feed = small_feed()
    opened = pd.Series(np.arange(len(feed)) < 3, dtype=int).sample(frac=1, random_state=0).to_numpy()
    feed.insert(0, "report", opened)  # too few
    _, text = proposed(tmp_path, feed.assign(love=feed["click"] * (np.arange(len(feed)) % 2)))
    above = text[: text.index('name = "love"')].split("[[objective]]")[-2]
    assert '# It is 1 only where click is 1: given = "click" would learn it so.' in above


@pytest.mark.parametrize("name", ["watch_minutes", "listening_min", "spent_h"])
def test_minutes_and_hours_are_a_watch_time(name: str, tmp_path: Path) -> None:
    feed = small_feed()
    watched = np.where(feed["click"] == 1, np.random.default_rng(3).exponential(0.7, len(feed)).round(3), 0)
    tables, _ = proposed(tmp_path, feed.assign(**{name: watched}))
    assert name in [entry["label"] for entry in tables["objective"] if entry.get("kind") == "watch_time"]


@pytest.mark.parametrize("nothing", [None, "none"])
def test_each_opinion_is_an_objective_and_no_opinion_is_none_of_them(nothing: str | None, tmp_path: Path) -> None:
    """Of thumbs up and down no objective was proposed; of like and dislike one, learned of those alone who had said either."""
    feed = small_feed()
    drawn = np.random.default_rng(3).choice(["up", "down", "👍"], len(feed), p=[0.5, 0.3, 0.2])
    thumbs = pd.Series(np.where(feed["click"] == 1, drawn, nothing))
    tables, text = proposed(tmp_path, feed.assign(thumbs=thumbs))
    found = {entry["name"]: (entry["label"], entry.get("better"), entry.get("group")) for entry in tables["objective"]}
    assert found["thumbs_up"] == ("coalesce(thumbs, '') = 'up'", None, "satisfaction")
    assert found["thumbs_down"] == ("coalesce(thumbs, '') = 'down'", "lower", "satisfaction")
    assert found["thumbs"] == ("coalesce(thumbs, '') = '👍'", None, "satisfaction")
    assert len(found) == 4
    assert "unsure: rows where thumbs says nothing count as 0" in text
    is_learned = feed["ts"].dt.strftime("%Y-%m-%d").between(*tables["split"]["train"])
    assert f"# 1 in {(thumbs == 'up')[is_learned].mean():.2%} of {is_learned.sum():,} training rows" in text
    assert tables["features"]["signals"][0] == "click"


def test_an_answer_is_no_opinion_and_words_of_all_rows_are_none(tmp_path: Path) -> None:
    feed = small_feed()
    rng = np.random.default_rng(3)
    asked = np.where(rng.random(len(feed)) < 0.2, rng.choice(["yes", "no"], len(feed)), None)
    tables, _ = proposed(tmp_path, feed.assign(feedback=asked, reaction=rng.choice(["calm", "loud"], len(feed))))
    assert not [entry for entry in tables["objective"] if "coalesce" in entry["label"]]


@pytest.mark.parametrize("name", ["thumbs_down", "thumb_down", "downvote", "down_voted", "vote_down"])
def test_what_a_user_votes_down_is_better_lower(name: str) -> None:
    assert is_regretted(name)
    assert not is_regretted(name.replace("down", "up"))
