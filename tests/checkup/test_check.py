"""`recsys check`: each mistake is found once, alone and among others, before anything runs; a clean log gives no finding."""

import json
import re
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.errors import RecsysError
from tests.checkup.edits import DAY, START, TOML, make_files, toml
from tests.checkup.mistakes import MISTAKES, TOGETHER
from tests.sources.miniatures import SOURCES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_files(tmp_path)
    return tmp_path


def _findings(path: Path) -> tuple[list[str], int]:
    """Every problem and warning, and the code with which the command ends."""
    try:
        found = look(path)
    except RecsysError as error:
        return str(error).splitlines(), error.exit_code
    return [*found.config, *found.data, *found.warnings], 0 if found.error is None else found.error.exit_code


@pytest.mark.words
def test_a_clean_pipeline_gives_no_finding(folder: Path) -> None:
    assert _findings(folder / "own.toml") == ([], 0)


@pytest.mark.words
def test_a_column_of_the_log_with_one_of_our_names_may_stand_there_unread(folder: Path) -> None:
    log = pd.read_csv(folder / "log.csv")
    log.assign(user_id=1, item_id=2, position=log.index % 3, timestamp=0).to_csv(folder / "log.csv", index=False)
    assert _findings(folder / "own.toml") == ([], 0)
    toml('"clicked = 1"', '"log.position = 1"')(folder)
    assert _findings(folder / "own.toml") == ([], 0)


ALONE = [pytest.param((name,), marks=pytest.mark.words if any(name in names for names in TOGETHER) else ()) for name in MISTAKES]


@pytest.mark.parametrize("names", [*ALONE, *TOGETHER], ids=" + ".join)
def test_each_mistake_is_found_once_whatever_else_is_wrong(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        MISTAKES[name].edit(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    found, code = _findings(folder / "own.toml")
    for name in names:
        matching = [line for line in found if re.search(MISTAKES[name].words, line)]
        assert len(matching) == 1, f"{name}: {len(matching)} of {found}"
    assert len(found) == len(names), found
    expected = {MISTAKES[name].exit_code for name in names}
    assert code == (2 if 2 in expected else max(expected))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_log_of_few_users_is_not_asked_for_more_days(folder: Path) -> None:
    log = pd.read_csv(folder / "log.csv")
    log[log["uid"] < 3].to_csv(folder / "log.csv", index=False)
    said = [line.split("Fix: ")[1] for line in _findings(folder / "own.toml")[0] if "equally active users" in line]
    assert said == ["give a log of 20 users or more"] * 2


def test_rows_with_several_bad_columns_tell_of_each(folder: Path) -> None:
    """The second column came to light when the first was mended: each row counted for that alone."""
    log = pd.read_csv(folder / "log.csv").astype({"uid": object, "ts": object})
    log.loc[log.index % 3 == 0, ["uid", "ts"]] = [None, "?"]
    log.to_csv(folder / "log.csv", index=False)
    found, _ = _findings(folder / "own.toml")
    rows = f"{(len(log) + 2) // 3:,} of {len(log):,} rows"
    assert [column for column in ("uid", "ts") if any(f"column {column}: found " in line and rows in line for line in found)] == [
        "uid",
        "ts",
    ]


@pytest.mark.words
def test_two_features_whose_names_differ_by_case_alone_are_no_bug(folder: Path) -> None:
    log = pd.read_csv(folder / "log.csv")
    log.assign(Surface=log["surface"]).to_csv(folder / "log.csv", index=False)
    toml('context = ["surface"]', 'context = ["surface", "Surface"]')(folder)
    found, code = _findings(folder / "own.toml")
    assert [line.split(",")[0] for line in found] == ["the log: found Surface and surface", "the log: found surface and Surface"]
    assert code == 3


@pytest.mark.words
def test_a_signal_that_another_one_differs_from_by_case_alone_is_no_bug(folder: Path) -> None:
    toml('signals = ["clicked"', 'expressions = { Clicked = "clicked > 0" }\nsignals = ["Clicked", "clicked"')(folder)
    found, code = _findings(folder / "own.toml")
    assert [line.split(",")[0] for line in found] == ["features.signals: found clicked"]
    assert code == 3


# --- What is said -------------------------------------------------------------------------------------------------
def test_the_facts_are_those_of_the_files(folder: Path) -> None:
    facts = look(folder / "own.toml").facts
    log = pd.read_csv(folder / "log.csv")
    day = log["ts"] // 86_400_000 - 19_723  # 2024-01-01
    train, test = log[day.between(1, 3)], log[day == 5]
    assert facts[0] == "log: 3,000 rows in 1 file; read 3,000 = kept 3,000 + duplicate 0 + quarantined 0"
    assert f"users: 120 rows in 1 file; of {log['uid'].nunique()} different user_id in the log {log['uid'].nunique()} have a row" in facts
    assert f"days: 2024-01-01 to 2024-01-06; {log['uid'].nunique()} users" in facts
    (row,) = [line.split() for line in facts if line.startswith("test ")]
    assert row == ["test", "2024-01-06", "to", "2024-01-06", f"{len(test):,}", str(test["uid"].nunique())]
    (click,) = [line for line in facts if line.startswith("click")]
    assert f"{len(train):,}, {train['clicked'].sum():,} ({train['clicked'].mean():.2%})" in click
    (watched,) = [line for line in facts if line.startswith("watch_time")]
    assert f"{len(test):,}, {test['watched'].mean():.4g}" in watched


@pytest.mark.words
def test_of_a_log_in_which_users_and_items_come_often_factors_are_named(folder: Path) -> None:
    (folder / "own.toml").write_text(TOML.replace('["genre"]]', '["user_id", "genre"]]'))  # rates of the user and a column: no factors
    log = pd.read_csv(folder / "log.csv")
    log["uid"], log["vid"] = log["uid"] % 40, log["vid"] % 50
    log.to_csv(folder / "log.csv", index=False)
    (said,) = [fact for fact in look(folder / "own.toml").facts if "features.factors" in fact]
    assert f"({3_000 / log['uid'].nunique():.0f} rows per user, {3_000 / log['vid'].nunique():.0f} per item)" in said
    log[::2].to_csv(folder / "log.csv", index=False)
    assert not [fact for fact in look(folder / "own.toml").facts if "features.factors" in fact]


def test_factors_that_are_there_are_not_named_again(folder: Path) -> None:
    (folder / "own.toml").write_text(TOML + 'factors = { vid_of_nothing = ["clicked"], item_id = ["clicked"] }\n')
    found = look(folder / "own.toml")
    (problem,) = str(found.error).splitlines()
    assert "features.factors: found the name vid_of_nothing, expected a column of events or items or users" in problem
    assert not [fact for fact in found.facts if "features.factors" in fact]


@pytest.mark.words
def test_at_most_so_many_rows_of_a_file_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows hold the first days: the others are not judged, unless all rows are read."""
    monkeypatch.setattr("recsys.checkup.checkup.MOST_ROWS", 1_000)
    found = look(folder / "own.toml")
    assert found.facts[0].startswith("log: the first 1,000 rows of 1 file (--full reads all of them); ")
    assert found.error is None
    (warning,) = found.warnings
    assert "split.train" not in warning
    assert "split.validation (2024-01-05 to 2024-01-05), split.test (2024-01-06 to 2024-01-06): found no rows in what was read" in warning
    assert look(folder / "own.toml", full=True).warnings == []


def test_the_verb_says_facts_then_warnings_then_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "own.toml")
    assert run_command(["check", path]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{path}: nothing wrong found"
    MISTAKES["a label twice"].edit(folder)
    assert run_command(["check", path]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("warning: objective.like.label: found the label of click")
    assert out[-1] == f"{path}: nothing found that a run would refuse"
    MISTAKES["an empty file"].edit(folder)
    assert run_command(["check", path]) == 3
    assert "users.csv: found an empty file" in capsys.readouterr().err
    MISTAKES["a key misspelt"].edit(folder)
    assert run_command(["check", path, "--quiet"]) == 2
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["warning"]
    assert "slizes: unknown key" in said.err
    assert "users.csv: found an empty file" in said.err


@pytest.mark.parametrize("text", ["", "[source", "[source]\nkind = 3\n", "[split]\n", TOML.replace("[split]", "[spilt]")])
def test_a_toml_that_holds_too_little_is_an_error_of_the_toml(folder: Path, text: str) -> None:
    (folder / "own.toml").write_text(text)
    findings, code = _findings(folder / "own.toml")
    assert findings
    assert code == 2


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=() if kind in ("csv", "events") else pytest.mark.words) for kind in SOURCES])
def test_ten_clean_logs_give_no_finding_besides_that_there_is_no_test(kind: str, tmp_path: Path) -> None:
    source = SOURCES[kind](tmp_path)
    label = {"movielens": "rating >= 4", "open_bandit": "click = 1", "world": "clicked = 1"}.get(str(source["kind"]), "is_click = 1")
    lines = [f"{key} = {json.dumps(str(value) if isinstance(value, Path) else value)}" for key, value in source.items() if _is_plain(value)]
    for key, table in ((key, value) for key, value in source.items() if isinstance(value, dict)):
        lines += [f"[source.{key}]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    for entry in source.get("feedback", []):
        lines += ["[[source.feedback]]", *(f"{name} = {json.dumps(value)}" for name, value in entry.items())]
    split = '[split]\ntrain = ["2024-01-01", "2024-01-03"]\n'
    objective = f'[[objective]]\nname = "click"\nlabel = "{label}"\n'
    (tmp_path / "own.toml").write_text("\n".join(["[source]", *lines, split, objective]))
    findings, _ = _findings(tmp_path / "own.toml")
    assert findings == ["split: found neither validation nor test days, expected some to judge on. Fix: name test days"]


def _is_plain(value: object) -> bool:
    return not isinstance(value, dict) and not (isinstance(value, list) and any(isinstance(entry, dict) for entry in value))


@pytest.mark.words
@pytest.mark.parametrize("share", [1.0, 0.9])
def test_lists_of_one_item_each_are_warned_of(folder: Path, share: float) -> None:
    log = pd.read_csv(folder / "log.csv")
    log["list"] = log.index // 3
    is_same = np.random.default_rng(1).random(1_000) < share
    log["vid"] = np.where(is_same[log["list"]], log.groupby("list")["vid"].transform("first"), log["vid"])
    log["uid"] = log.groupby("list")["uid"].transform("first")
    log.to_csv(folder / "log.csv", index=False)
    toml('position = "slot"', 'position = "slot"\nrequest_id = "list"')(folder)
    found = [line for line in look(folder / "own.toml").warnings if "nothing to rank" in line]
    said = "source.columns: found one item_id in all rows of 1,000 of the 1,000 requests with two rows or more"
    assert [line.startswith(said) for line in found] == ([True] if share == 1 else [])


@pytest.mark.words
def test_an_item_that_a_list_shows_at_two_positions_contradicts_nothing(folder: Path) -> None:
    log = pd.read_csv(folder / "log.csv")
    again = log[5:15].assign(clicked=1 - log[5:15]["clicked"], slot=log[5:15]["slot"] + 1)
    pd.concat([log, again]).to_csv(folder / "log.csv", index=False)
    assert _findings(folder / "own.toml") == ([], 0)


# --- The alarm for leaks ------------------------------------------------------------------------------------------
@pytest.mark.words
@pytest.mark.parametrize("auc", [0.97, 0.985, 0.015, 0.03])
def test_the_alarm_goes_by_the_auc_of_the_feature_alone(folder: Path, auc: float) -> None:
    """Scores of the two classes are normal with a distance that gives the AUC: Φ(d / √2) = AUC."""
    log = pd.read_csv(folder / "log.csv")
    distance = NormalDist().inv_cdf(auc) * 2**0.5
    log["hint"] = np.random.default_rng(1).normal(size=len(log)) + distance * log["clicked"]
    log.to_csv(folder / "log.csv", index=False)
    toml('context = ["surface"]', 'context = ["surface", "hint"]')(folder)
    found, _ = _findings(folder / "own.toml")
    assert [("hint, which alone tells click" in line) for line in found] == ([True] if abs(auc - 0.5) > 0.48 else [])


@pytest.mark.words
def test_a_category_of_many_values_is_no_leak(folder: Path) -> None:
    """Each value is seen once or twice. The mean of its own label would tell the label perfectly."""
    log = pd.read_csv(folder / "log.csv")
    log["token"] = [f"t{n}" for n in range(len(log))]
    log.to_csv(folder / "log.csv", index=False)
    toml('context = ["surface"]', 'context = ["surface", "token"]')(folder)
    assert _findings(folder / "own.toml") == ([], 0)


# --- Parts of a log -----------------------------------------------------------------------------------------------
@pytest.mark.words
def test_what_the_first_rows_alone_show_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that is empty at first, and rows that are bad at first: a run sees the others too."""
    log = pd.read_csv(folder / "log.csv", dtype=object)
    log.loc[:1_200, "liked"] = ""
    log.loc[log.index < 20, "watched"] = "none"
    log.to_csv(folder / "log.csv", index=False)
    monkeypatch.setattr("recsys.checkup.checkup.MOST_ROWS", 1_000)
    found = look(folder / "own.toml")
    assert found.error is None
    assert any(line.startswith("in the rows that were read: ") and "column watched" in line for line in found.warnings)


def test_torn_rows_behind_the_last_that_is_read_do_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (folder / "log.csv").read_text().splitlines()
    (folder / "log.csv").write_text("\n".join([*lines[:1_200], *(f"{line},x" for line in lines[1_200:])]) + "\n")
    monkeypatch.setattr("recsys.checkup.checkup.MOST_ROWS", 1_000)
    found = look(folder / "own.toml")
    assert found.facts[0].startswith("log: the first 1,000 rows of 1 file")
    assert not any("fields" in line for line in (*found.warnings, *found.data))


def test_where_the_first_rows_are_of_no_training_day_those_of_one_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = pd.read_csv(folder / "log.csv", dtype=object)
    begin = int(np.argmax(log["ts"].astype(int) >= START + DAY))
    log.loc[begin + 10 : begin + 19, "watched"] = "none"
    lines = log.to_csv(index=False).splitlines()
    lines[5:15] = [f"{line},torn" for line in lines[5:15]]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr("recsys.checkup.checkup.MOST_ROWS", 300)
    found = look(folder / "own.toml")
    assert found.error is None
    assert found.facts[0].startswith("log: 300 rows of 1 file, from the first of the training days on (--full reads all of them); ")
    (train,) = [line.split() for line in found.facts if line.startswith("train ")]
    assert train[1:5] == ["2024-01-02", "to", "2024-01-04", "290"]
    read = [line for line in found.warnings if line.startswith("in the rows that were read: ")]
    assert len(read) == 1, "the torn rows are not among those that were read"
    assert f"log.csv:{begin + 12} column watched: found " in read[0]
    (survey,) = [line for line in found.facts if line.startswith("feedback survey: ")]
    assert ", from the first of the training days on " in survey


def test_where_no_row_is_of_a_training_day_the_first_rows_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml('train = ["2024-01-02", "2024-01-04"]', 'train = ["2023-01-02", "2023-01-04"]')(folder)
    monkeypatch.setattr("recsys.checkup.checkup.MOST_ROWS", 300)
    found = look(folder / "own.toml")
    assert found.facts[0].startswith("log: the first 300 rows of 1 file")
    assert any("split.train (2023-01-02 to 2023-01-04)" in line and "found no rows in what was read" in line for line in found.warnings)


@pytest.mark.words
def test_few_rows_in_another_unit_do_not_change_how_the_others_are_read(folder: Path) -> None:
    log = pd.read_csv(folder / "log.csv", dtype=object)
    log.loc[log.index % 40 == 0, "ts"] = log["ts"].str[:-3]
    log.to_csv(folder / "log.csv", index=False)
    found, code = _findings(folder / "own.toml")
    assert code == 3
    (problem,) = found
    assert "75 of 3,000 rows. Fix: these rows seem to be in s: mend the rows" in problem


def test_an_open_end_of_the_split_is_no_bug(folder: Path) -> None:
    toml('test = ["2024-01-06", "2024-01-06"]', 'test = ["2024-01-06", "9999-12-31"]')(folder)
    assert _findings(folder / "own.toml") == ([], 0)


def test_a_source_that_is_not_there_hides_no_mistake_of_the_toml(folder: Path) -> None:
    (folder / "own.toml").write_text('[source]\nkind = "movielens"\npath = "nowhere"\n' + TOML[TOML.index("[split]") :] + "slizes = []\n")
    found, code = _findings(folder / "own.toml")
    assert code == 2
    assert any("slizes: unknown key" in line for line in found)
    assert any("no ratings of MovieLens" in line for line in found)


@pytest.mark.words
def test_a_large_world_is_looked_at_as_a_small_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.checkup.checkup.MOST_ROWS", 3_000)
    world = '[source]\nkind = "world"\nusers = 90\ndays = 6\nvideos = 60\n'
    split = '[split]\ntrain = ["2024-01-02", "2024-01-05"]\ntest = ["2024-01-06", "2024-01-06"]\n'
    rest = f'{split}[[objective]]\nname = "click"\nlabel = "clicked = 1"\n'
    (folder / "own.toml").write_text(world + rest)
    found = look(folder / "own.toml")
    assert found.error is None
    assert found.facts[0] == "world: 50 of its 90 users were simulated for this look (--full simulates all)"
    assert not any(line.startswith("world:") for line in look(folder / "own.toml", full=True).facts)


def test_users_of_whom_none_is_in_the_log_are_said_with_both_ways_to_write_them(folder: Path) -> None:
    users = pd.read_csv(folder / "users.csv")
    users.assign(uid=1_000 + users["uid"]).to_csv(folder / "users.csv", index=False)
    found = look(folder / "own.toml")
    (said,) = [line for line in found.facts if line.startswith("users: ")]
    assert said.endswith("in the log 0 have a row: the log has '0', this table has '1000'")
    (warning,) = [line for line in found.warnings if line.startswith("users: ")]
    assert "found a row for none of the" in warning
    assert "write user_id in both the same way" in warning


@pytest.mark.words
def test_a_feedback_of_which_no_action_matches_is_warned_of(folder: Path) -> None:
    answers = pd.read_csv(folder / "survey.csv", dtype={"ts": str})
    answers.assign(uid=1_000 + answers["uid"]).to_csv(folder / "survey.csv", index=False)
    (warning,) = [line for line in look(folder / "own.toml").warnings if line.startswith("feedback survey: ")]
    assert f"found none of {len(answers)} actions that matches an impression, expected most" in warning
    answers.assign(uid=answers["uid"].where(answers.index == 0, 1_000)).to_csv(folder / "survey.csv", index=False)
    assert not [line for line in look(folder / "own.toml").warnings if line.startswith("feedback survey: ")]


def test_a_table_that_describes_one_user_is_not_warned_of(folder: Path) -> None:
    users = pd.read_csv(folder / "users.csv")
    users.assign(uid=np.where(users.index == 0, users["uid"], 1_000 + users["uid"])).to_csv(folder / "users.csv", index=False)
    assert [line for line in look(folder / "own.toml").warnings if line.startswith("users: ")] == []


@pytest.mark.words
@pytest.mark.parametrize("multi", ["{}", '{ tags = "," }'])
def test_lists_that_would_be_read_as_one_text_are_warned_of(folder: Path, multi: str) -> None:
    users = pd.read_csv(folder / "users.csv")
    users.assign(tags=[["a", "b"], ["b"]] * (len(users) // 2) + [[]] * (len(users) % 2)).to_parquet(folder / "users.parquet")
    found = look(folder / "own.toml", [f"source.users={folder / 'users.parquet'}", 'features.user=["tags"]', f"features.multi={multi}"])
    assert found.error is None
    warned = [warning for warning in found.warnings if "tags" in warning]
    said = "users: found lists in tags, expected it in features.multi: each different list is a category of its own."
    fix = ' Fix: multi = { "tags" = "," } in [features]'
    assert warned == ([said + fix] if multi == "{}" else [])


@pytest.mark.words
def test_labels_that_given_makes_zeros_are_warned_of(folder: Path) -> None:
    log = pd.read_csv(folder / "log.csv")
    impossible = int(((log["liked"] == 1) & (log["clicked"] == 0)).sum())
    assert impossible
    more = ["objective.like.given=click"]
    (warned,) = [warning for warning in look(folder / "own.toml", more).warnings if "given" in warning]
    assert f"objective.like.given: found {impossible} of {(log['liked'] == 1).sum()} labels of 1 where click is 0" in warned
    log.assign(liked=log["liked"] * log["clicked"]).to_csv(folder / "log.csv", index=False)
    assert not [warning for warning in look(folder / "own.toml", more).warnings if "given" in warning]
