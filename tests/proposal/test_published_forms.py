"""Forms of published logs whose columns led a guess astray: positions, watch times of other names, times of what the user did."""

import gzip
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.checkup import look
from recsys.errors import DataError
from recsys.proposal import propose
from tests.proposal.small_feed import proposed, small_feed

pytestmark = pytest.mark.words


# --- Ids ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["session_position", "step", "index", "rank", "row_number"])
@pytest.mark.parametrize("missing", ["user", "item"])
def test_what_numbers_rows_is_no_id(missing: str, name: str, tmp_path: Path) -> None:
    small_feed().rename(columns={f"{missing}_id": name}).to_csv(tmp_path / "feed.csv", index=False)
    with pytest.raises(DataError, match=rf"found no column that tells the {missing} among"):
        propose([tmp_path / "feed.csv"], tmp_path)


def test_an_index_of_users_and_items_is_an_id(tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, small_feed().rename(columns={"user_id": "user_index", "item_id": "item_idx"}))
    assert tables["source"]["columns"] == {"user_id": "user_index", "item_id": "item_idx", "timestamp": "ts"}
    assert "unsure: guessed" not in text


# --- Watch times --------------------------------------------------------------------------------------------------
def _watched(name: str) -> pd.DataFrame:
    return small_feed().assign(**{name: np.random.default_rng(1).integers(0, 90, 3_000)})


@pytest.mark.parametrize("name", ["active_time", "activeTime", "consumed_ms", "time_on_page", "time_spent", "playtime"])
def test_how_long_an_item_was_used_is_a_watch_time(name: str, tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, _watched(name))
    assert [entry["label"] for entry in tables["objective"] if entry.get("kind") == "watch_time"] == [name]
    assert "may be a total" not in text


@pytest.mark.parametrize("name", ["playtime_forever", "total_watch_time", "playtime_2weeks"])
def test_a_total_by_its_name_is_doubted(name: str, tmp_path: Path) -> None:
    _, text = proposed(tmp_path, _watched(name))
    assert f"# unsure: {name} may be a total over many impressions" in text


@pytest.mark.parametrize("name", ["inactive_time", "time_on_market"])
def test_other_times_are_no_watch_time(name: str, tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, _watched(name))
    assert [entry["name"] for entry in tables["objective"]] == ["click"]


# --- Times of what the user did, or 0 -----------------------------------------------------------------------------
def _answers(nothing: int, *, start: int = 1_704_153_600, per_second: int = 1) -> pd.DataFrame:
    """As ZhihuRec has it: the time of the click, else a number that is none."""
    feed = small_feed().drop(columns="click")
    seconds = feed.pop("ts").astype("datetime64[s]").astype("int64") - 1_704_153_600 + start
    rng = np.random.default_rng(15)
    acted = np.where(rng.random(len(feed)) < 0.3, (seconds + rng.integers(1, 900, len(feed))) * per_second, nothing)
    return feed.assign(time=seconds * per_second, read_time=acted)


@pytest.mark.parametrize("nothing", [0, -1])
@pytest.mark.parametrize(("start", "per_second"), [(1_704_153_600, 1), (1_704_153_600, 1_000), (0, 1)])
@pytest.mark.parametrize("name", ["read_time", "click_timestamp"])
def test_a_time_or_a_number_that_is_none_is_a_label(name: str, start: int, per_second: int, nothing: int, tmp_path: Path) -> None:
    feed = _answers(nothing, start=start, per_second=per_second).rename(columns={"read_time": name})
    tables, text = proposed(tmp_path, feed)
    action = name.split("_")[0]
    assert [(entry["name"], entry["label"]) for entry in tables["objective"]] == [(action, f"{name} > 0")]
    assert tables["features"]["signals"] == [action]
    assert "stands only where the user acted" in text
    share = (feed[name] > 0).mean()
    assert abs(float(re.search(r"1 in ([\d.]+)% of", text)[1]) / 100 - share) < 0.03


def test_without_a_header_a_time_after_that_of_the_row_or_0_is_a_label(tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, _answers(0), header=False)
    assert [(entry["name"], entry["label"]) for entry in tables["objective"]] == [("column_4", "column_4 > 0")]
    assert "# unsure: column_4 is taken for the time at which the user acted: it follows the row's" in text


@pytest.mark.parametrize("header", [True, False])
def test_a_time_before_that_of_the_row_or_0_is_no_label(header: bool, tmp_path: Path) -> None:
    """Such as the last click of the user: it is known before."""
    feed = _answers(0)
    feed = feed.assign(read_time=np.where(feed["read_time"] > 0, 2 * feed["time"] - feed["read_time"], 0), done=feed["user_id"] * 7 % 2)
    feed["done"] = (np.random.default_rng(16).random(len(feed)) < 0.3).astype(int)
    tables, _ = proposed(tmp_path, feed.rename(columns={"read_time": "last_click_time", "done": "click"}), header=header)
    assert [entry["label"] for entry in tables["objective"]] == ["click = 1" if header else "column_5 = 1"]


def test_a_time_or_minus_1_that_says_the_same_as_a_label_is_no_second_one(tmp_path: Path) -> None:
    """As Criteo has it: a conversion and its time, from the log's own start."""
    feed = _answers(-1, start=0).rename(columns={"time": "timestamp", "read_time": "conversion_timestamp"})
    tables, _ = proposed(tmp_path, feed.assign(conversion=(feed["conversion_timestamp"] > 0).astype(int)))
    assert [entry["label"] for entry in tables["objective"]] == ["conversion = 1"]


# --- How long an item is ------------------------------------------------------------------------------------------
def _videos(name: str, *, differing: float = 0.0) -> pd.DataFrame:
    """A feed with the length of each video in its rows; a share of the videos was cut anew."""
    rng = np.random.default_rng(11)
    feed = small_feed()
    length = rng.integers(5, 600, 90)[feed["item_id"]] * 1_000
    is_later = (feed["item_id"] < 90 * differing) & (feed["ts"] > pd.Timestamp("2024-01-05"))
    watched = (feed["click"] * rng.random(len(feed)) * length).round()
    return feed.assign(**{name: length + 7 * is_later}, watch_time_ms=watched)


@pytest.mark.parametrize("differing", [0.0, 0.05])
@pytest.mark.parametrize(
    "name", ["duration", "duration_ms", "video_duration", "videoLength", "track_length_seconds", "runtime", "running_time"]
)
def test_the_length_of_an_item_is_known_before(name: str, differing: float, tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, _videos(name, differing=differing))
    assert tables["features"]["context"] == [name]
    assert [entry["name"] for entry in tables["objective"]] == ["click", "watch_time_ms"]
    assert tables["objective"][1]["duration"] == name
    assert f"It is learned by {name}, the length of the item" in text
    assert f"unsure: {name}" not in text


@pytest.mark.parametrize("method", ["distribution", "d2q"])
def test_what_is_learned_by_the_length_passes_the_check(method: str, tmp_path: Path) -> None:
    text = proposed(tmp_path, _videos("duration_ms"))[1]
    label = 'label = "watch_time_ms"'
    (tmp_path / "by_length.toml").write_text(text.replace(label, f'{label}\nmethod = "{method}"'))
    assert look(tmp_path / "by_length.toml").error is None


def test_a_length_that_alone_tells_a_label_is_left_out_and_nothing_is_learned_by_it(tmp_path: Path) -> None:
    feed = _videos("duration_ms")
    feed["click"] = ((feed["duration_ms"] > 300_000) ^ (feed.index % 150 == 0)).astype(int)
    tables, text = proposed(tmp_path, feed)
    assert "Left out: duration_ms alone tells click" in text
    assert "context" not in tables["features"]
    assert [entry.get("duration") for entry in tables["objective"]] == [None, None]
    assert "It is learned by" not in text


@pytest.mark.parametrize("name", ["play_duration", "visit_duration", "watch_length", "avg_duration", "view_duration_ms"])
def test_how_long_somebody_did_something_is_no_feature_though_each_item_has_one_number(name: str, tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, _videos(name))
    assert "context" not in tables["features"]


@pytest.mark.parametrize("name", ["duration", "duration_ms", "session_length", "video_duration"])
def test_a_duration_that_differs_within_an_item_is_no_feature(name: str, tmp_path: Path) -> None:
    feed = small_feed()
    tables, _ = proposed(tmp_path, feed.assign(**{name: np.random.default_rng(12).integers(1, 900, len(feed))}))
    assert "context" not in tables["features"]
    assert [entry["name"] for entry in tables["objective"]] == (["click", "duration"] if name == "duration" else ["click"])


# --- Yes and no of what? ------------------------------------------------------------------------------------------
def _outcome(kind: str, feed: pd.DataFrame) -> dict[str, object]:
    rng = np.random.default_rng(13)
    rows = len(feed)
    return {
        "watch_time_ms": {"watch_time_ms": rng.integers(0, 9_000, rows)},
        "rating": {"rating": rng.integers(1, 6, rows)},
        "played_ratio_pct": {"played_ratio_pct": rng.integers(0, 101, rows)},
        "action": {"action": rng.choice(["view", "buy"], rows, p=[0.9, 0.1])},
        "clicks": {"clicks": rng.integers(0, 9, rows) * (rng.random(rows) < 0.2)},
        "click": {"click": (rng.random(rows) < 0.3) * 1},
    }[kind]


@pytest.mark.parametrize("kind", ["watch_time_ms", "rating", "played_ratio_pct", "action", "clicks", "click"])
def test_yes_and_no_of_what_is_no_objective_beside_an_outcome(kind: str, tmp_path: Path) -> None:
    feed = small_feed().drop(columns="click").assign(item_id=lambda rows: rows["item_id"] % 30)
    rng = np.random.default_rng(14)
    feed = feed.assign(**_outcome(kind, feed), is_organic=rng.integers(0, 2, len(feed)), has_thumbnail=rng.random(len(feed)) < 0.7)
    tables, text = proposed(tmp_path, feed)
    assert not {"organic", "has_thumbnail"} & {entry["name"] for entry in tables["objective"]}
    assert not {"is_organic", "has_thumbnail"} & set(tables["features"]["signals"])
    assert "# unsure: left out, because no name says whether the user did it: is_organic, has_thumbnail." in text
    assert "an [[objective]] with a label such as is_organic = 1." in text


def test_yes_and_no_of_what_is_an_objective_where_nothing_else_is(tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, small_feed().rename(columns={"click": "is_organic"}))
    assert [entry["label"] for entry in tables["objective"]] == ["is_organic = 1"]
    assert "their names do not say what they are" in text


# --- Times of what the user did -----------------------------------------------------------------------------------
def _tweets() -> pd.DataFrame:
    """As the challenge of 2020 gave them: a time per action, empty where it was not done, and a relation known before."""
    rng = np.random.default_rng(2)
    feed = small_feed().rename(columns={"item_id": "tweet_id", "user_id": "engaging_user_id"}).drop(columns="click")
    seconds = feed.pop("ts").astype("datetime64[s]").astype("int64")
    published = 1_704_067_200 + feed["tweet_id"] * 60
    feed = feed.assign(tweet_timestamp=published, engagee_follows_engager=rng.random(len(feed)) < 0.4, shown_at=seconds)
    for name, share in (("reply", 0.05), ("retweet", 0.1), ("retweet_with_comment", 0.03), ("like", 0.4)):
        feed[f"{name}_timestamp"] = (seconds + 30).where(rng.random(len(feed)) < share).astype("Int64")
    return feed


def test_each_time_of_an_action_is_a_label(tmp_path: Path) -> None:
    tables, text = proposed(tmp_path, _tweets())
    assert {entry["name"]: (entry["label"], entry.get("group")) for entry in tables["objective"]} == {
        "reply": ("reply_timestamp is not null", None),
        "retweet": ("retweet_timestamp is not null", "satisfaction"),
        "retweet_with_comment": ("retweet_with_comment_timestamp is not null", "satisfaction"),
        "like": ("like_timestamp is not null", "satisfaction"),
    }
    assert tables["source"]["columns"]["timestamp"] == "shown_at"
    assert tables["features"]["signals"] == ["reply", "retweet", "retweet_with_comment", "like"]
    assert "like_timestamp stands only where the user acted. If that may be later than features.label_delay, raise it." in text


def test_without_a_time_of_the_impression_that_of_an_action_stands_for_none(tmp_path: Path) -> None:
    tables, text = proposed(
        tmp_path, _tweets().assign(tweet_timestamp=lambda tweets: tweets["shown_at"] // 3_600 * 3_600).drop(columns="shown_at")
    )
    assert tables["source"]["columns"]["timestamp"] == "tweet_timestamp"
    assert len(tables["objective"]) == 4
    assert "engagee_follows_engager" in text


def test_a_time_that_says_the_same_as_a_label_is_no_second_one(tmp_path: Path) -> None:
    feed = small_feed()
    tables, _ = proposed(tmp_path, feed.assign(click_time=feed["ts"].where(feed["click"] == 1)))
    assert [entry["label"] for entry in tables["objective"]] == ["click = 1"]


def test_a_time_of_the_item_is_doubted_as_that_of_the_impression(tmp_path: Path) -> None:
    feed = small_feed().assign(ts=lambda rows: pd.Timestamp("2024-01-02") + pd.to_timedelta(rows["item_id"] * 5_000, unit="s"))
    _, text = proposed(tmp_path, feed)
    assert "# unsure: ts is the same in all rows of each item_id, as when it was published" in text


def test_where_nothing_is_doubted_nothing_is_said_of_it(tmp_path: Path) -> None:
    small_feed().to_csv(tmp_path / "feed.csv", index=False)
    proposal = propose([tmp_path / "feed.csv"], tmp_path)
    assert "unsure" not in "\n".join(proposal.said)


# --- Sessions of music, events of news ----------------------------------------------------------------------------
def test_an_hour_is_no_item(tmp_path: Path) -> None:
    feed = small_feed().rename(columns={"item_id": "track_id_clean"}).drop(columns="user_id")
    feed.insert(0, "hour_of_day", feed["ts"].dt.hour)
    feed.to_csv(tmp_path / "feed.csv", index=False)
    with pytest.raises(DataError, match="found no column that tells the user among"):
        propose([tmp_path / "feed.csv"], tmp_path)


def test_the_number_of_an_event_is_no_time(tmp_path: Path) -> None:
    feed = small_feed()
    tables, _ = proposed(
        tmp_path, feed.assign(ts=feed["ts"].astype("datetime64[s]").astype("int64") // 60 * 60, eventId=10**9 + feed.index)
    )
    assert tables["source"]["columns"]["timestamp"] == "ts"


def test_a_share_in_percent_is_an_outcome(tmp_path: Path) -> None:
    feed = small_feed().drop(columns="click")
    tables, _ = proposed(tmp_path, feed.assign(played_ratio_pct=np.random.default_rng(3).integers(0, 101, len(feed))))
    assert [entry["label"] for entry in tables["objective"]] == ["played_ratio_pct"]


def test_seconds_of_seven_digits_are_no_days(tmp_path: Path) -> None:
    feed = small_feed()
    seconds = feed["ts"].astype("datetime64[s]").astype("int64")
    _, text = proposed(tmp_path, feed.assign(ts=seconds - seconds.min() + 1_000_000))
    assert "count from the log's own start" in text
    assert "holds days alone" not in text


# --- Advice that mends the file -----------------------------------------------------------------------------------
def _run_advice(message: str) -> None:
    command = re.search(r"(python -c '.*') and ", message)
    assert command is not None, message
    subprocess.run([sys.executable, *shlex.split(command[1])[1:]], check=True)


@pytest.mark.parametrize(("name", "hour"), [("feed.csv", True), ("feed.parquet", False)])
def test_a_time_in_parts_is_told_how_to_be_written_as_one(name: str, hour: bool, tmp_path: Path) -> None:
    feed = small_feed()
    at = feed.pop("ts").dt
    feed = feed.assign(Year=at.year, month=at.month, day=at.day, **({"hour": at.hour} if hour else {}))
    feed.to_csv(tmp_path / name, index=False) if name.endswith("csv") else feed.to_parquet(tmp_path / name, index=False)
    with pytest.raises(DataError, match="write year, month and day into one") as error:
        propose([tmp_path / name], tmp_path)
    _run_advice(str(error.value))
    tables = propose([tmp_path / "feed-timed.parquet"], tmp_path).tables
    assert tables["source"]["columns"]["timestamp"] == "shown_at"
    assert tables["split"]["test"][1] == "2024-01-07"


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_python_are_told_how_to_be_converted(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("feed.json.gz" if packed else "feed.json")
    with gzip.open(path, "wt") if packed else path.open("w") as file:
        file.writelines(f"{row | {'ts': str(row['ts']), 'early': True, 'note': None}!r}\n" for row in small_feed().to_dict("records"))
    with pytest.raises(DataError, match="found dicts as Python prints them") as error:
        propose([path], tmp_path)
    _run_advice(str(error.value))
    tables = propose([path.with_suffix(".parquet")], tmp_path).tables
    assert tables["source"]["columns"]["timestamp"] == "ts"


@pytest.mark.parametrize(
    ("name", "form", "how"),
    [
        ("watch_ms", "{:,}", "numbers without a comma between thousands"),
        ("watch_pct", "{} %", "numbers without a percent sign"),
        ("watch_time", "{}:05", "one number of seconds"),
    ],
)
@pytest.mark.parametrize("clicks", [False, True])
def test_odd_numbers_are_told_how_to_be_written(name: str, form: str, how: str, clicks: bool, tmp_path: Path) -> None:
    feed = small_feed()
    feed[name] = [form.format(number) for number in np.random.default_rng(4).integers(1, 9_000, len(feed))]
    words = f"Write {name} ({feed[name].iloc[0]}) as {how}"
    if clicks:
        assert f"# unsure: {words}" in proposed(tmp_path, feed)[1]
        return
    feed.drop(columns="click").to_csv(tmp_path / "feed.csv", index=False)
    with pytest.raises(DataError, match=re.escape(f"Fix: {words}")):
        propose([tmp_path / "feed.csv"], tmp_path)


@pytest.mark.parametrize(
    ("name", "form", "how"),
    [
        ("plays.tsv", "%Y-%m-%dT%H:%M:%SZ", {"sep": "\t", "header": False}),
        ("plays.csv", "%d.%m.%Y %H:%M", {}),
        ("plays.csv", "%s", {}),
        ("plays.parquet", None, {}),
    ],
)
def test_a_log_of_what_was_chosen_alone_is_told_how_to_draw_items(name: str, form: str | None, how: dict, tmp_path: Path) -> None:
    plays = small_feed().drop(columns="click").assign(user_id=lambda rows: "u" + rows["user_id"].astype(str).str.zfill(6))
    times = plays["ts"].dt.floor("min")
    plays["ts"] = times.astype("datetime64[s]").astype("int64") if form == "%s" else times.dt.strftime(form) if form else times
    path = tmp_path / name
    plays.to_parquet(path, index=False) if form is None else plays.to_csv(path, **{"index": False, **how})
    with pytest.raises(DataError, match="the log lacks what was shown and not chosen") as error:
        propose([path], tmp_path)
    _run_advice(str(error.value))
    drawn = pd.read_csv(tmp_path / "plays-drawn.csv", dtype={"user_id": str})
    chosen, others = drawn[drawn["chosen"] == 1], drawn[drawn["chosen"] == 0]
    assert sorted(chosen["user_id"] + " " + chosen["item_id"].astype(str)) == sorted(plays["user_id"] + " " + plays["item_id"].astype(str))
    assert 3 * len(chosen) < len(others) <= 4 * len(chosen)
    of_list = others.merge(chosen, on="request_id", suffixes=("", "_chosen"))
    assert (of_list["item_id"] != of_list["item_id_chosen"]).all()
    assert ((of_list["user_id"] == of_list["user_id_chosen"]) & (of_list["timestamp"] == of_list["timestamp_chosen"])).all()
    first = chosen.drop_duplicates("item_id").set_index("item_id")["request_id"]  # lists are numbered in the order of time
    assert (others["item_id"].map(first) < others["request_id"]).all()
    assert (
        chosen.sort_values("request_id")["timestamp"].pipe(pd.to_datetime, format=form if form not in (None, "%s") else None).diff()[1:]
        >= pd.Timedelta(0)
    ).all()
    proposal = propose([tmp_path / "plays-drawn.csv"], tmp_path)
    assert [entry["label"] for entry in proposal.tables["objective"]] == ["chosen = 1"]
    assert proposal.tables["source"]["columns"]["request_id"] == "request_id"
    (tmp_path / "own.toml").write_text(proposal.text)
    assert look(tmp_path / "own.toml").error is None


@pytest.mark.parametrize(("name", "by_user"), [("feed.csv", False), ("feed.csv", True), ("feed.parquet", True)])
def test_a_log_without_times_is_told_how_to_be_parted_into_days(name: str, by_user: bool, tmp_path: Path) -> None:
    feed = small_feed().drop(columns="ts").reset_index(names="row")
    feed = feed.sort_values(["user_id", "row"]) if by_user else feed
    rows = feed.drop(columns="row").assign(watched=feed["row"] + 0.5)
    rows.to_csv(tmp_path / name, index=False) if name.endswith("csv") else rows.to_parquet(tmp_path / name, index=False)
    with pytest.raises(DataError, match="write folders of days") as error:
        propose([tmp_path / name], tmp_path)
    _run_advice(str(error.value))
    parts = [pd.read_csv(path).assign(day=path.parent.name) for path in sorted((tmp_path / "feed-days").rglob("*.csv"))]
    found = pd.concat(parts).sort_values("day", kind="stable")
    assert found["day"].nunique() == 10
    assert sorted(found["watched"]) == sorted(rows["watched"])
    groups = [of_user for _, of_user in found.groupby("user_id")] if by_user else [found]
    for group in groups:
        latest = group.groupby("day")["watched"].agg(["min", "max"])
        assert (latest["min"].iloc[1:].to_numpy() > latest["max"].iloc[:-1].to_numpy()).all()
    proposal = propose([tmp_path / "feed-days"], tmp_path)
    (tmp_path / "own.toml").write_text(proposal.text)
    assert look(tmp_path / "own.toml").error is None
    assert proposal.tables["source"]["columns"]["timestamp"] == "date"
