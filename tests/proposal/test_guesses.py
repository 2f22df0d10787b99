"""The single guesses: times, headers, lists in cells, splits; and the text that they end in."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.proposal import propose
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.day_split import day_split, far_days, torn_day
from recsys.proposal.guessed_roles import guess_roles
from recsys.proposal.role_names import TOLD, is_regretted, is_satisfaction
from recsys.proposal.toml_text import toml_text
from recsys.sources import read_unknown
from tests.proposal.small_feed import proposed, small_feed

# The first text that is drawn in a fresh clone takes a second: a table of all letters is made for it.
_no_clock = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _facts(values: list[object], name: str = "x") -> ColumnFacts:
    return ColumnFacts.of(name, pa.chunked_array([pa.array(values)]))


@pytest.mark.parametrize(
    ("values", "time"),
    [
        (["1704067200", "1704153600"], {"unit": "s"}),
        (["1704067200.5", "1704153600.25"], {"unit": "s"}),
        (["1704067200000", "1704153600000"], {"unit": "ms"}),
        (["1704067200000000", "1704153600000000"], {"unit": "us"}),
        (["1704067200000000001", "1704153600000000000"], {"unit": "ns"}),
        ([874724710, 893286638], {"unit": "s"}),
        (["2024-01-01 10:00:00", "2024-01-02T10:00:00Z"], {"unit": "iso"}),
        (["2024-01-01", "2024-01-02"], {"unit": "iso"}),
        (["2014-12-06 02", "2014-12-07 23"], {"format": "%Y-%m-%d %H"}),
        (["20220425", "20220426"], {"format": "%Y%m%d"}),
        (["14102100", "14102223"], {"format": "%y%m%d%H"}),
        (["20101112", "20101113"], {"format": "%Y%m%d"}),
        (["31.12.2023 10:00", "01.01.2024 11:30"], {"format": "%d.%m.%Y %H:%M"}),
        (["12/31/2023 10:00", "01/01/2024 11:30"], {"format": "%m/%d/%Y %H:%M"}),
        (["31/12/2023 10:00", "01/01/2024 11:30"], {"format": "%d/%m/%Y %H:%M"}),
        (["31-12-2023 10:00:05", "01-01-2024 11:30:00"], {"format": "%d-%m-%Y %H:%M:%S"}),
        (["12-31-2023", "01-01-2024"], {"format": "%m-%d-%Y"}),
        (["12/31/2023 1:00 PM", "01/01/2024 11:30 AM"], {"format": "%m/%d/%Y %I:%M %p"}),
        (["31/Dec/2023:10:00:05 +0100", "01/Jan/2024:11:30:00 +0100"], {"format": "%d/%b/%Y:%H:%M:%S %z"}),
        (["2023-12-31 10:00:05 +0100", "2024-01-01 11:30:00 +0100"], {"unit": "iso"}),
        (["31.12.23 10:00", "01.01.24 11:30"], {"format": "%d.%m.%y %H:%M"}),
        (["12/31/23 10:00", "01/01/24 11:30"], {"format": "%m/%d/%y %H:%M"}),
        (["Dec 31, 2023 1:00:05 PM", "Jan 1, 2024 11:30:00 AM"], {"format": "%b %d, %Y %I:%M:%S %p"}),
        (["Sun Dec 31 10:00:05 +0000 2023", "Mon Jan 01 11:30:00 +0000 2024"], {"format": "%a %b %d %H:%M:%S %z %Y"}),
        (["12/31/2023 01:00:00 PM", "01/01/2024 11:30:00 AM"], {"format": "%m/%d/%Y %I:%M:%S %p"}),
        (["17", "18"], None),
        (["1704067200", "1704067200"], None),
        (["a", "b"], None),
        (["1995", "1996"], None),
    ],
)
def test_times(values: list[object], time: dict[str, str] | None) -> None:
    assert _facts(values).time == time


def test_typed_times_need_no_unit() -> None:
    assert _facts(pd.to_datetime(["2024-01-01", "2024-01-02"]).tolist()).time == {}


@pytest.mark.parametrize(
    ("values", "separator"),
    [
        (["a|b", "b", "a", "b|a"] * 30, "|"),
        (["a, b", "b", "a"] * 30, ","),
        (["[1, 2]", "[3]"] * 30, ","),
        (["12;3", "3"] * 30, ";"),
        ([f"Film {n}, the one with number {n}" for n in range(90)], None),
        (["1.5", "2.5"] * 30, None),
        (["plain"] * 30, None),
    ],
)
def test_cells_with_several_values(values: list[object], separator: str | None) -> None:
    assert _facts(values).list_separator == separator


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("user,item,n\n1,2,3\n4,5,6\n", ["user", "item", "n"]),
        ("1,2,3\n4,5,6\n", ["column_1", "column_2", "column_3"]),
        ("u1,i1,x\nu2,i2,x\nu1,i3,y\n", ["column_1", "column_2", "column_3"]),
        ("name,kind\nann,a\nben,b\n", ["name", "kind"]),
        (",user\n0,7\n1,8\n", ["unnamed_0", "user"]),
        ("surface,n\nhome,1\nsurface,2\n", ["surface", "n"]),
        ("user,at\nann,2024-01-01\nben,2024-01-02\n", ["user", "at"]),
        ("ann,2024-01-01\nben,2024-01-02\n", ["column_1", "column_2"]),
    ],
)
def test_headers(text: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert read_unknown(tmp_path / "t.csv", most=10).rows.column_names == names


@pytest.mark.parametrize(("encoding", "found"), [("utf-8", "utf-8"), ("latin-1", "latin-1"), ("utf-16", "utf-16"), ("utf-8-sig", "utf-8")])
def test_encodings(encoding: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name,n\nAmélie,1\nÉtienne,2\n".encode(encoding))
    file = read_unknown(tmp_path / "t.csv", most=10)
    assert file.written.encoding == found
    assert file.rows["name"].to_pylist() == ["Amélie", "Étienne"]


@given(st.lists(st.integers(1, 1_000), min_size=2, max_size=60))
@_no_clock
def test_a_split_parts_the_days_in_order(rows: list[int]) -> None:
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=len(rows))]
    counts = dict(zip(days, rows, strict=True))
    split = day_split(counts, "log")

    def of(part: str) -> int:
        first, last = split[part]
        return sum(counts[day] for day in days if first <= day <= last)

    assert split["test"][1] == days[-1]
    assert split["train"][0] <= split["train"][1] < split["test"][0]
    assert ("validation" in split) == (len(days) > 2)
    if "validation" in split:
        assert split["train"][1] < split["validation"][0] <= split["validation"][1] < split["test"][0]
    assert of("test") >= 0.1 * sum(rows) or split["test"][0] == days[min(2, len(days) - 1)]
    if len(days) > 5 and max(rows) < 2 * min(rows):
        assert of("train") > sum(rows) / 3  # of six days three small ones, where the others are twice as large


_plain = st.one_of(st.text(max_size=12), st.integers(-9, 9**9), st.booleans(), st.floats(-9, 9), st.lists(st.text(max_size=9), max_size=30))
_name = st.text("abcdefgh_", min_size=1, max_size=6)


@given(
    st.dictionaries(_name, st.dictionaries(_name, _plain, min_size=1, max_size=5), max_size=4),
    st.lists(st.dictionaries(_name, _plain, min_size=1), max_size=3),
)
@_no_clock
def test_the_text_is_the_toml_of_its_tables(tables: dict, entries: list) -> None:
    raw = {**tables, **({"entry": entries} if entries and "entry" not in tables else {})}
    comments = {(): ["a = 1"], ("entry", 0): ['"""'], **{(name,): ["[x"] for name in tables}}
    assert tomllib.loads(toml_text(raw, comments)) == raw


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        ("user_id item_id timestamp", ("user_id", "item_id")),
        ("uid vid ts", ("uid", "vid")),
        ("visitorid itemid timestamp", ("visitorid", "itemid")),
        ("userId movieId timestamp", ("userId", "movieId")),
        ("timestamp product_code customer_no", ("customer_no", "product_code")),
        ("user_name user_id news_id time", ("user_id", "news_id")),
        ("session_id sku client_id event_time", ("client_id", "sku")),
        ("a b time", ("a", "b")),
    ],
)
def test_users_and_items_by_name(names: str, roles: tuple[str, str]) -> None:
    columns = []
    for place, name in enumerate(names.split()):
        is_time = name in ("timestamp", "ts", "time", "event_time")
        values = [str(1704067200 + n) if is_time else f"{name}{(n * (3, 7, 11, 13)[place]) % 40}" for n in range(400)]
        columns.append(_facts(values, name))
    found = guess_roles(columns, "log")
    assert (found.user.name, found.item.name) == roles


@pytest.mark.parametrize(
    ("counts", "torn"),
    [([90, 100, 110, 95, 20], True), ([90, 100, 110, 95, 60], False), ([10, 100, 110, 95, 40], True), ([90, 100, 20], False),
     ([5, 100, 30, 95, 20], False)],
)  # fmt: skip
def test_a_last_day_that_ends_early_is_told_where_days_are_alike(counts: list[int], torn: bool) -> None:
    rows = {f"2024-01-{day:02d}": count for day, count in enumerate(counts, 1)}
    assert torn_day(rows) == (max(rows) if torn else None)


@pytest.mark.parametrize(
    ("days", "far"),
    [
        ({"2024-01-01": 900, "2024-01-09": 900, "2099-01-01": 1}, ["2099-01-01"]),
        (
            {"1990-01-01": 1, "2024-01-01": 4_000, "2024-01-09": 2_000, "2098-01-01": 1, "2099-01-01": 1},
            ["1990-01-01", "2098-01-01", "2099-01-01"],
        ),
        ({"2024-01-01": 900, "2024-01-09": 900, "2099-01-01": 90}, []),
        ({"2024-01-01": 5_000, "2024-01-21": 1}, []),
        ({"2020-01-01": 5_000, "2024-01-01": 5_000, "2026-01-01": 1}, []),
        ({"2024-01-01": 1}, []),
        ({}, []),
    ],
)
def test_days_of_few_rows_far_from_all_others(days: dict[str, int], far: list[str]) -> None:
    assert far_days(days) == far


@pytest.mark.parametrize(
    ("name", "is_so"),
    [
        ("started", False),
        ("stars", True),
        ("starred", True),
        ("added_to_playlist", True),
        ("add_to_cart", False),
        ("skipped", True),
        ("click", False),
    ],
)
def test_groups_go_by_whole_words(name: str, is_so: bool) -> None:
    assert is_satisfaction(name) == is_so


@pytest.mark.parametrize(
    ("name", "is_so"),
    [("has_thumbnail", False), ("thumbs_up", True), ("from_playlist", False), ("is_played", True), ("is_shareable", False),
     ("shared", True), ("likely_new", False), ("liked", True), ("in_viewport", False), ("viewed", True), ("is_ready", False),
     ("is_read", True)],
)  # fmt: skip
def test_a_word_that_goes_on_as_another_one_says_nothing(name: str, is_so: bool) -> None:
    assert (re.search(TOLD, name) is not None) == is_so


@pytest.mark.parametrize(
    ("cells", "decimal"),
    [
        (["1,5", "2", "0,25", "-3,75"], ","),
        (["1.5", "2", "0.25", "3.75"], "."),
        (["1,5,2", "2", "0,25", "3,7"], "."),
        (["a,5", "2,5", "1,5", "2,7"], "."),
    ],
)
def test_decimal_commas_are_told_by_a_column_of_numbers(tmp_path: Path, cells: list[str], decimal: str) -> None:
    (tmp_path / "log.csv").write_text("user;value\n" + "".join(f"u{n};{cell}\n" for n, cell in enumerate(cells)))
    found = read_unknown(tmp_path / "log.csv", most=100)
    assert found.written.decimal == decimal
    if decimal == ",":
        assert found.rows["value"].to_pylist() == ["1.5", "2", "0.25", "-3.75"]


@pytest.mark.words
def test_a_label_within_another_one_is_said_to_be(tmp_path: Path) -> None:
    rows = 400
    rng = np.random.default_rng(0)
    started = rng.integers(0, 2, rows)
    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, 40, rows),
            "item_id": rng.integers(1000, 1060, rows),
            "time": pd.date_range("2024-01-01", periods=rows, freq="30min").strftime("%Y-%m-%d %H:%M:%S"),
            "started": started,
            "liked": started * rng.integers(0, 2, rows),
            "shared": rng.integers(0, 2, rows),
        }
    )
    log.to_csv(tmp_path / "log.csv", index=False)
    text = propose([tmp_path / "log.csv"], tmp_path).text
    objectives = text.split("[[objective]]")
    assert [entry.split('"')[1] for entry in objectives[1:]] == ["started", "liked", "shared"]
    said = '# It is 1 only where started is 1: given = "started" would learn it so.'
    assert [said in before for before in objectives[:3]] == [False, True, False]


@pytest.mark.parametrize(
    ("name", "is_lower_better"),
    [("skipped", True), ("not_skipped", False), ("did_not_return", False), ("clicked", False), ("not_clicked", True), ("no_click", True),
     ("not_interested", True), ("like", False), ("unlike", True), ("notified_click", False), ("nonclk_hide", True)],
)  # fmt: skip
def test_what_a_name_denies_is_better_the_other_way(name: str, is_lower_better: bool) -> None:
    assert is_regretted(name) == is_lower_better


@pytest.mark.parametrize("name", ["dwell_s", "watched_s", "page_view_s", "read_s"])
def test_seconds_by_a_single_letter_are_a_watch_time(name: str, tmp_path: Path) -> None:
    feed = small_feed()
    rng = np.random.default_rng(3)
    tables, _ = proposed(tmp_path, feed.assign(**{name: np.where(feed["click"] == 1, rng.exponential(30, len(feed)).round(1), 0)}))
    (watched,) = [entry for entry in tables["objective"] if entry.get("kind") == "watch_time"]
    assert name in watched["label"]
