"""Tests of the words of errors: the names that a message offers."""

import errno

import pytest

from recsys.errors import near, nearest, nearest_file, system_error


@pytest.mark.parametrize(
    ("word", "names", "meant"),
    [
        ("evnet_id", ["event_id", "item_id", "request_id"], ["event_id"]),
        ("num_expert", ["d_expert", "num_experts"], ["num_experts", "d_expert"]),
        ("Durée", ["durée"], ["durée"]),
        ("tog", ["tag", "genre"], ["tag"]),
        ("uid", ["ts", "user_uid"], ["user_uid"]),
        ("boot", ["confidence", "bootstrap"], ["bootstrap"]),
        ("cagrad", ["mean", "torchjd.cagrad"], ["torchjd.cagrad"]),
    ],
)
def test_a_slip_of_a_name_is_near(word: str, names: list[str], meant: list[str]) -> None:
    assert near(word, names, most=2) == meant


@pytest.mark.parametrize(
    ("word", "others"),
    [
        ("event_id", ["vid", "request_id", "user_id", "video_id", "id"]),  # "event_id; did you mean "vid"?" was said
        ("user_id", ["vid", "item_id", "request_id", "seed"]),
        ("timestamp", ["title", "ts", "topic"]),
        ("epochs", ["checks", "objective"]),
        ("on", ["one_net", "only_new"]),
        ("", ["user_id", "_"]),
    ],
)
def test_a_name_with_another_meaning_is_not_near(word: str, others: list[str]) -> None:
    assert near(word, others, most=2) == []


@pytest.mark.parametrize(
    ("name", "there", "meant"),
    [
        ("play.csv", ["plays.csv", "empty.csv"], '; did you mean "plays.csv"?'),
        ("plays.cvs", ["plays.csv"], '; did you mean "plays.csv"?'),
        ("none.csv", ["items.csv", "users.csv"], ""),
    ],
)
def test_a_file_is_near_whatever_its_suffix_is(name: str, there: list[str], meant: str) -> None:
    assert nearest_file(name, there, most=2) == meant


def test_names_are_offered_as_they_are_written() -> None:
    assert nearest("userid", ["UserId", "User_Id"], most=2) == '; did you mean "UserId" or "User_Id"?'
    assert nearest("userid", ["clicked"]) == ""


def test_a_file_that_cannot_be_put_into_its_place_is_named_by_that_place() -> None:
    error = OSError(errno.EISDIR, "Is a directory", ".report.html.7.draft", None, "report.html")
    assert system_error(error, "the workspace").startswith("report.html: Is a directory. Fix: a folder stands where a file is to be")
