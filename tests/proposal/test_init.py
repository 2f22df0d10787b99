"""`recsys init`: from files as they lie on disk to a pipeline that check finds nothing wrong with and run walks through, unedited."""

import gzip
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.config import load
from recsys.errors import DataError
from recsys.proposal import propose
from tests.checkup.mistakes import make_files
from tests.proposal.as_they_lie import LOGS, csv_with_tabs, tianchi
from tests.proposal.small_feed import proposed, small_feed
from tests.spread import some


def _init(files: list[Path], out: Path) -> dict:
    assert run_command(["init", *map(str, files), "--out", str(out)]) == 0
    return tomllib.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", LOGS)
def test_the_roles_of_a_log_as_it_lies(name: str, tmp_path: Path) -> None:
    lying = LOGS[name]
    raw = _init(lying.write(tmp_path), tmp_path / "own.toml")
    assert raw["source"]["kind"] == lying.kind
    assert raw["source"]["columns"] == lying.columns
    assert {key: value for key, value in raw["source"]["time"].items() if key != "zone"} == lying.time
    assert [entry["name"] for entry in raw["objective"]] == lying.objectives
    assert raw["source"] | lying.source == raw["source"]
    assert raw["features"] | lying.features == raw["features"]


@pytest.mark.words
@pytest.mark.parametrize("name", some(LOGS, 3))
def test_check_finds_nothing_wrong_with_it(name: str, tmp_path: Path) -> None:
    _init(LOGS[name].write(tmp_path), tmp_path / "own.toml")
    found = look(tmp_path / "own.toml")
    assert found.error is None
    assert found.warnings == []


@pytest.mark.words
@pytest.mark.parametrize("name", LOGS)
def test_run_walks_through_it(name: str, tmp_path: Path) -> None:
    _init(LOGS[name].write(tmp_path), tmp_path / "own.toml")
    assert run_command(["run", str(tmp_path / "own.toml"), "--workspace", str(tmp_path / "data")]) == 0
    (page,) = (tmp_path / "data" / "own" / "runs").rglob("report.html")
    run, workspace = page.parent, ["--workspace", str(tmp_path / "data")]
    assert run_command(["show", run.name, *workspace]) == 0
    scores = pq.read_table(run / "predictions.parquet").to_pandas()
    objective = next(name for name in scores if name.startswith("pred.") and "|" not in name and "=" not in name)
    scores[["event_id", objective]].to_csv(tmp_path / "theirs.csv", index=False)
    assert run_command(["compare", run.name, "--predictions", str(tmp_path / "theirs.csv"), *workspace]) == 0


@pytest.mark.parametrize("data", [gzip.compress(b"uid,vid,ts\n" * 1_000)[:-20], b"uid,vid,ts\n1,2,3\n"], ids=["cut short", "not gzip"])
def test_a_damaged_gzip_file_is_said(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.csv.gz").write_bytes(data)
    assert run_command(["init", str(tmp_path / "log.csv.gz"), "--out", str(tmp_path / "own.toml")]) == 3
    assert "log.csv.gz: found a damaged gzip file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("above", "behind", "said"),
    [
        ("", ",x", "log.csv:2: found 5 fields, expected 4, as in the header; 300 of 300 rows. Fix: name all 5 columns in the header; if"),
        ("# of March, by me\n", "", "above the header (# of March, by me), expected the 4 fields of the header, which seems to be line 2"),
    ],
    ids=["wider than the header", "a comment above it"],
)
@pytest.mark.parametrize("separator", [",", "\t"])
def test_rows_that_do_not_fit_the_first_line_are_said(
    above: str, behind: str, said: str, separator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{place % 40},{place % 30},{1_704_067_200 + place},{place % 2}{behind}" for place in range(300)]
    text = "\n".join(["user_id,item_id,ts,clicked", *rows]).replace(",", separator)
    (tmp_path / "log.csv").write_text(above + text)
    assert run_command(["init", str(tmp_path / "log.csv"), "--out", str(tmp_path / "own.toml")]) == 3
    assert said in capsys.readouterr().err


@pytest.mark.words
def test_columns_whose_names_differ_by_case_alone_are_left_out_and_said(tmp_path: Path) -> None:
    make_files(tmp_path)
    log, items = pd.read_csv(tmp_path / "log.csv"), pd.read_csv(tmp_path / "items.csv")
    log.assign(Clicked=log["liked"], Surface=log["surface"]).to_csv(tmp_path / "log.csv", index=False)
    items.assign(Genre=items["genre"]).to_csv(tmp_path / "items.csv", index=False)
    raw = _init([tmp_path / "log.csv", tmp_path / "items.csv"], tmp_path / "init.toml")
    assert [entry["name"] for entry in raw["objective"]] == ["liked", "watched"]
    assert raw["features"]["item"] == ["length"]
    assert "context" not in raw["features"]
    said = "differ by case alone: surface (log), clicked (log), Clicked (log), Surface (log), genre (items), Genre (items)."
    assert said in (tmp_path / "init.toml").read_text()
    assert look(tmp_path / "init.toml").error is None


def test_where_no_label_is_left_those_that_differ_by_case_alone_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_files(tmp_path)
    log = pd.read_csv(tmp_path / "log.csv").drop(columns=["liked", "watched"])
    log.assign(Clicked=log["clicked"]).to_csv(tmp_path / "log.csv", index=False)
    assert run_command(["init", str(tmp_path / "log.csv"), "--out", str(tmp_path / "init.toml")]) == 3
    assert "found no column that tells what the user did (besides clicked, Clicked, whose names" in capsys.readouterr().err


@pytest.mark.words
def test_an_action_named_like_a_word_of_sql_is_quoted(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), 2_000
    seconds = 1_704_067_200 + np.sort(rng.integers(0, 10 * 86_400, rows))
    log = pd.DataFrame({"uid": rng.integers(0, 50, rows), "vid": rng.integers(0, 30, rows), "ts": seconds, "action": "view"})
    liked = log.sample(frac=0.3, random_state=0).assign(action="like", ts=lambda rows: rows["ts"] + 5)
    pd.concat([log, liked]).sort_values("ts").to_csv(tmp_path / "log.csv", index=False)
    (objective,) = _init([tmp_path / "log.csv"], tmp_path / "own.toml")["objective"]
    assert objective["label"] == '"like" is not null'
    assert look(tmp_path / "own.toml").error is None


@pytest.mark.words
@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
def test_times_that_count_from_the_logs_own_start_get_a_day(
    unit: str, per_second: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit shows in the last row, which lies beyond those that are looked at."""
    monkeypatch.setattr(import_module("recsys.proposal.propose"), "MOST_ROWS", 500)  # the package has a function of that name
    rng, rows = np.random.default_rng(0), 2_000
    log = pd.DataFrame({"uid": rng.integers(0, 50, rows), "campaign": rng.integers(0, 30, rows), "click": rng.integers(0, 2, rows)})
    log["timestamp"] = np.sort(rng.integers(0, 10 * 86_400, rows)) * per_second
    log.to_csv(tmp_path / "log.csv", index=False)
    raw = _init([tmp_path / "log.csv"], tmp_path / "own.toml")
    assert raw["source"]["columns"] == {"user_id": "uid", "item_id": "campaign", "timestamp": "timestamp"}
    assert raw["source"]["time"] == {"unit": unit, "since": "2000-01-01", "zone": "UTC"}
    assert raw["split"]["test"][1] == "2000-01-10"
    assert "# unsure: the numbers of timestamp lie in 1970" in (tmp_path / "own.toml").read_text(encoding="utf-8")


@pytest.mark.words
@pytest.mark.parametrize(("users", "items", "found"), [(20, 25, {"item_id": ["liked"]}), (500, 25, None), (20, 500, None)])
def test_factors_are_proposed_where_users_and_items_come_often(users: int, items: int, found: object, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"user_id": rng.integers(0, users, 2_000), "item_id": rng.integers(1_000, 1_000 + items, 2_000),
                         "timestamp": 1_704_067_200 + np.sort(rng.integers(0, 10 * 86_400, 2_000)),
                         "liked": rng.integers(0, 2, 2_000)})  # fmt: skip
    rows.to_csv(tmp_path / "log.csv", index=False)
    assert _init([tmp_path / "log.csv"], tmp_path / "own.toml")["features"].get("factors") == found
    assert look(tmp_path / "own.toml").error is None


def _searches(tmp_path: Path) -> Path:
    rng, rows = np.random.default_rng(0), 2_000
    seconds = 1_704_067_200 + np.sort(rng.integers(0, 10 * 86_400, rows))
    log = pd.DataFrame({"search_id": rng.integers(0, 300, rows), "item": rng.integers(0, 40, rows), "clicked": rng.integers(0, 2, rows)})
    log.assign(shown=seconds, loaded=seconds + 1).to_csv(tmp_path / "log.csv", index=False)
    return tmp_path / "log.csv"


@pytest.mark.words
def test_a_column_that_is_told_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = _searches(tmp_path)
    assert run_command(["init", str(log), "--out", str(tmp_path / "own.toml")]) == 3
    assert "found no column that tells the user among" in (said := capsys.readouterr().err)
    assert "Fix: say which it is: --column user_id=NAME" in said
    told = ["--column", "user_id=search_id", "--column", "timestamp=loaded"]
    assert run_command(["init", str(log), *told, "--out", str(tmp_path / "own.toml")]) == 0
    raw = tomllib.loads((tmp_path / "own.toml").read_text(encoding="utf-8"))
    assert raw["source"]["columns"] == {"user_id": "search_id", "item_id": "item", "timestamp": "loaded"}
    assert "unsure: guessed from the values of search_id" not in (tmp_path / "own.toml").read_text(encoding="utf-8")
    assert look(tmp_path / "own.toml").error is None


def test_the_file_with_the_told_columns_is_the_log(tmp_path: Path) -> None:
    log = _searches(tmp_path)
    other = pd.read_csv(log).rename(columns={"search_id": "user_id"})
    pd.concat([other, other]).to_csv(tmp_path / "other.csv", index=False)
    proposal = propose([tmp_path / "other.csv", log], tmp_path, {"user_id": "search_id"})
    assert proposal.tables["source"]["log"] == "log.csv"


def test_of_several_files_a_told_name_that_none_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pages.csv").write_text("item,kind\n" + "".join(f"{n},k{n % 3}\n" for n in range(40)))
    files = [str(_searches(tmp_path)), str(tmp_path / "pages.csv")]
    assert run_command(["init", *files, "--column", "user_id=serch_id", "--out", str(tmp_path / "own.toml")]) == 3
    assert 'pages.csv: found no column serch_id; did you mean "search_id"?' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        (["user=search_id"], 2, 'found "user=search_id", expected OURS=THEIRS, such as user_id=visitor, with one of user_id, item_id, '),
        (["user_id="], 2, 'found "user_id=", expected OURS=THEIRS'),
        (["user_id=item", "item_id=item"], 2, "found a column twice, expected each once"),
        (["user_id=serch_id"], 3, 'found no column serch_id; did you mean "search_id"?, expected the one that --column '),
        (["user_id=search_id", "timestamp=clicked"], 3, "log.csv column clicked: found no times ("),
    ],
)
def test_what_is_told_wrongly_is_said(told: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [part for text in told for part in ("--column", text)]
    assert run_command(["init", str(_searches(tmp_path)), *options, "--out", str(tmp_path / "own.toml")]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "own.toml").exists()


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
def test_no_file_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = tianchi(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_command(["init", path.name]) == 0
    written = (tmp_path / f"{path.stem}.toml").read_bytes()
    capsys.readouterr()
    assert run_command(["init", path.name]) == 2
    assert "found a file, expected none: init overwrites nothing. Fix: --out another name" in capsys.readouterr().err
    assert (tmp_path / f"{path.stem}.toml").read_bytes() == written


def test_paths_are_relative_to_the_toml(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "pipelines").mkdir()
    raw = _init(csv_with_tabs(tmp_path / "data"), tmp_path / "pipelines" / "own.toml")
    assert raw["source"]["log"] == "../data/feed.csv"
    assert look(tmp_path / "pipelines" / "own.toml").error is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.drop(columns="time"), "found no column of times among"),
        (lambda log: log.assign(time="2014-12-01 05"), "found no column of times among"),
        (lambda log: log.assign(time=np.arange(len(log)) % 24), "found no column of times among"),
        (lambda log: log.assign(item_id=3).drop(columns="user_geohash"), "found no column that tells the item among"),
        (lambda log: log[log["time"] < "2014-12-02"], r"found rows of one day \(2014-12-01\), expected two days or more"),
        (lambda log: log.drop(columns="behavior_type"), "found no column that tells what the user did"),
        (
            lambda log: log[log["behavior_type"] == 1].drop(columns="behavior_type").assign(click=0),
            "found no column that tells what the user did",
        ),
    ],
)
def test_a_log_that_cannot_be_told_is_an_error_of_the_data(change, words: str, tmp_path: Path) -> None:
    (path,) = tianchi(tmp_path)
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(DataError, match=words):
        propose([path], tmp_path)


@pytest.mark.words
def test_a_feature_that_tells_the_label_is_left_out(tmp_path: Path) -> None:
    files = csv_with_tabs(tmp_path)
    feed = pd.read_csv(tmp_path / "feed.csv", sep="\t")
    feed.assign(module_shown=feed["is_click"].map({0: "list", 1: "player"})).to_csv(tmp_path / "feed.csv", sep="\t", index=False)
    proposal = propose(files, tmp_path)
    assert "module_shown" not in proposal.tables["features"]["context"]
    assert "Left out: module_shown alone tells click (AUC 1.000)" in proposal.text


@pytest.mark.words
def test_a_file_that_describes_nothing_is_named(tmp_path: Path) -> None:
    files = csv_with_tabs(tmp_path)
    (tmp_path / "notes.csv").write_text("day,weather\n2024-01-01,rain\n2024-01-02,sun\n")
    proposal = propose([*files, tmp_path / "notes.csv"], tmp_path)
    words = "Not used: notes.csv (no column of it is a key of users or items: a value of its own in each row,"
    assert f"# {words}" in proposal.text
    assert sum(line.startswith(words) for line in proposal.said) == 1


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
def test_parquet_needs_no_form(tmp_path: Path) -> None:
    (path,) = tianchi(tmp_path)
    log = pd.read_csv(path)
    log["time"] = pd.to_datetime(log["time"], format="%Y-%m-%d %H")
    log.to_parquet(tmp_path / "log.parquet")
    raw = _init([tmp_path / "log.parquet"], tmp_path / "own.toml")
    assert raw["source"]["time"] == {"zone": "UTC"}
    assert "format" not in raw["source"]
    assert look(tmp_path / "own.toml").error is None


# --- Logs that lead a guess astray --------------------------------------------------------------------------------
@pytest.mark.words
def test_the_index_that_pandas_writes_is_no_user(tmp_path: Path) -> None:
    tables, _ = proposed(tmp_path, small_feed(), index=True)
    assert tables["source"]["columns"] == {"user_id": "user_id", "item_id": "item_id", "timestamp": "ts"}


@pytest.mark.words
def test_months_and_days_are_told_apart_by_the_shorter_span(tmp_path: Path) -> None:
    feed = small_feed()
    tables, text = proposed(tmp_path, feed.assign(ts=feed["ts"].dt.strftime("%m/%d/%Y %H:%M")))
    assert tables["source"]["time"]["format"] == "%m/%d/%Y %H:%M"
    assert "# unsure: %m/%d/%Y %H:%M and %d/%m/%Y %H:%M both read the times" in text


@pytest.mark.words
def test_the_time_of_an_item_is_no_time_of_an_impression(tmp_path: Path) -> None:
    feed = small_feed()
    published = pd.Timestamp("2020-01-01") + pd.to_timedelta(feed["item_id"] * 1_000_003, unit="s")
    tables, text = proposed(tmp_path, feed.assign(ts=feed["ts"].dt.strftime("%Y%m%d"), publish_time=published, click_time=feed["ts"]))
    assert tables["source"]["columns"]["timestamp"] == "ts"
    assert "# Other times of the log, not used: publish_time, click_time." in text


@pytest.mark.words
def test_what_is_written_after_the_impression_is_no_feature(tmp_path: Path) -> None:
    feed = small_feed()
    rng = np.random.default_rng(6)
    after = ["hours_played", "page_dwell", "applied_count", "type_of_purchase", "next_page", "exit_section"]
    feed = feed.assign(surface=rng.choice(["home", "search"], len(feed)), **{name: rng.integers(0, 6, len(feed)) for name in after})
    tables, text = proposed(tmp_path, feed)
    assert tables["features"]["context"] == ["surface"]
    assert "# Known before the impression? Their names sound so: check each." in text


@pytest.mark.words
def test_an_hour_and_a_weekday_of_the_log_are_no_context_because_ours_stand_for_them(tmp_path: Path) -> None:
    feed = small_feed()
    tables, text = proposed(tmp_path, feed.assign(surface=feed["user_id"] % 2, hour=feed["ts"].dt.hour, Weekday=feed["ts"].dt.day_name()))
    assert tables["features"]["context"] == ["surface"]
    assert "Weekday" not in text


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


def test_a_folder_is_a_log(tmp_path: Path) -> None:
    feed = small_feed()
    (tmp_path / "days").mkdir()
    for day, rows in feed.groupby(feed["ts"].dt.strftime("%Y-%m-%d")):
        rows.to_parquet(tmp_path / "days" / f"{day}.parquet")
    tables = propose([tmp_path / "days"], tmp_path).tables
    assert tables["source"]["log"] == "days"
    assert tables["split"]["test"][1] == feed["ts"].max().strftime("%Y-%m-%d")


@pytest.mark.words
def test_names_that_would_meet_get_numbers(tmp_path: Path) -> None:
    feed = small_feed()
    tables, _ = proposed(tmp_path, feed.assign(is_click=feed["click"].sample(frac=1, random_state=1).to_numpy()))
    assert [entry["name"] for entry in tables["objective"]] == ["click", "click_2"]


@pytest.mark.words
def test_a_kind_of_client_is_no_user_and_a_position_from_0_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    feed = small_feed().rename(columns={"user_id": "cookie", "item_id": "listing"})
    feed = feed.assign(client=rng.choice(["web", "ios"], len(feed)), position=rng.integers(0, 10, len(feed)))
    tables, text = proposed(tmp_path, feed)
    assert tables["source"]["columns"]["user_id"] == "cookie"
    assert "position" not in tables["source"]["columns"]
    assert "# unsure: position may be the position, but does not count from 1. A position is no feature." in text
    assert [entry["name"] for entry in tables["objective"]] == ["click"]


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


def test_a_table_without_rows_is_no_bug(tmp_path: Path) -> None:
    small_feed().head(0).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="found no rows"):
        propose([tmp_path / "log.parquet"], tmp_path)


@pytest.mark.parametrize(("stem", "name"), [("my plays", "my-plays"), ("журнал", "log"), ("_x", "x"), ("plays-2.v3", "plays-2.v3")])
def test_a_file_that_can_be_no_name_of_a_pipeline_gets_one(
    tmp_path: Path, stem: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small_feed().to_csv(tmp_path / "log.csv", index=False)
    out = tmp_path / f"{stem}.toml"
    assert run_command(["init", str(tmp_path / "log.csv"), "--out", str(out)]) == 0
    assert load(out).name == name
    assert ("name" in tomllib.loads(out.read_text(encoding="utf-8"))) == (stem != name)
    assert (f"recsys check '{out}'" in capsys.readouterr().out) == (stem == "my plays" or not stem.isascii())


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


def test_a_file_in_sections_is_said_to_have_rows_of_another_width(tmp_path: Path) -> None:
    """As that of the Netflix prize: a line with a movie stands above the rows of those who rated it."""
    parts = [f"{movie}:\n" + "".join(f"{user},{user % 5 + 1},2005-09-{user % 9 + 1:02d}\n" for user in range(40)) for movie in range(1, 30)]
    (tmp_path / "combined_data_1.txt").write_text("".join(parts))
    with pytest.raises(
        DataError, match=r"txt:2: found 3 fields, expected 1, as in the header; 1,160 of 1,188 rows\. Fix: mend the header; where"
    ):
        propose([tmp_path / "combined_data_1.txt"], tmp_path)


def test_two_rows_of_another_century_do_not_end_the_split(tmp_path: Path) -> None:
    feed = small_feed()
    split = proposed(tmp_path, feed)[0]["split"]
    feed.loc[:1, "ts"] += pd.to_timedelta([27_000, 27_001], unit="D")
    (tmp_path / "far").mkdir()
    tables, text = proposed(tmp_path / "far", feed)
    assert tables["split"] == split
    assert "# unsure: left out: 2097-12-04, 2097-12-05 (2 rows), far from all other days." in text
