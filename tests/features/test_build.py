"""What a build writes, what it leaves alone, and what it says of bad input."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import artifacts
from recsys.errors import ArtifactError, ConfigError, DataError
from recsys.features.program import Program
from recsys.progress import Console
from recsys.stages import STAGES
from recsys.workspace import days_in
from tests.staged import build

DELAY, SURVEY_DELAY = 600_000, 600_000 + 20 * 3_600_000
QUIET = Console(quiet=True)
LIGHT = {
    "entities": [["user_id"], ["tag", "tab"]],
    "recent": [["item_id"]],
    "hours": [2],
    "windows": [2],
    "signals": ["is_click", "watch", "survey"],
    "factors": {"item_id": ["is_click"]},
    "d_factors": 2,
}  # quick, and with every kind of state


def two_days(feed: Any) -> Any:
    """A pipeline of which no more is built: quicker still."""
    first, second, *_ = feed.days
    return feed.pipeline(features=LIGHT, split=split(train=(first, first), test=(second, second)))


def split(*, train: tuple[str, str], test: tuple[str, str]) -> dict[str, Any]:
    return {"train": list(train), "test": list(test)}


@pytest.mark.words
def test_order_of_rows_in_the_files_changes_no_byte_and_inputs_stay_as_they_were(feed: Any) -> None:
    rows = feed.tasteful_events(3)
    workspace = feed.write("one", rows)
    inputs = {name: feed.bytes(workspace / name) for name in ("events", "users", "items")}
    pipeline = two_days(feed)
    one = build(pipeline, workspace, console=QUIET)
    two = feed.build("two", [rows[n] for n in np.random.default_rng(0).permutation(len(rows))], pipeline)
    # The fingerprint of a day names the bytes of its events, so only the data files are compared.
    assert feed.bytes(one.folder) == feed.bytes(two.folder)
    assert feed.bytes(workspace / "state") == feed.bytes(two.folder.parents[1] / "state")
    assert {name: feed.bytes(workspace / name) for name in inputs} == inputs


# With .9, the third day has the factors of the second.
@pytest.mark.words
@pytest.mark.parametrize("renewed", [0.02, 0.9])
def test_days_added_one_at_a_time_give_the_bytes_of_all_at_once(feed: Any, monkeypatch: pytest.MonkeyPatch, renewed: float) -> None:
    monkeypatch.setattr("recsys.features.factors.RENEWED", renewed)
    rows = feed.tasteful_events(4)
    whole = feed.build("whole", rows, feed.pipeline(features=LIGHT))
    loaded = []
    load = Program.load
    monkeypatch.setattr(Program, "load", lambda self, inputs: (loaded.append(inputs.day.iso), load(self, inputs))[1])
    for last in range(2, len(feed.days) + 1):
        days = feed.days[:last]
        pipeline = feed.pipeline(features=LIGHT, split=split(train=(days[0], days[-2]), test=(days[-1], days[-1])))
        grown = feed.build("grown", [row for row in rows if feed.day_of(row) in days], pipeline)
    assert loaded == list(feed.days), "a day that was there is built again"
    assert grown.fresh == len(feed.days) - 1
    assert grown.folder.name == whole.folder.name
    assert feed.bytes(grown.folder) == feed.bytes(whole.folder)


@pytest.mark.words
def test_what_is_fresh_stays_and_what_was_lost_comes_back(feed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = feed.pipeline(features=LIGHT)
    first = feed.build("log", feed.events(5, n=60), pipeline)
    before = feed.bytes(first.folder.parents[1])
    shutil.rmtree(first.folder / f"day={feed.days[1]}")
    (first.folder.parents[1] / "state" / first.folder.name / f"day={feed.days[2]}" / "kept.parquet").unlink()
    again = build(pipeline, first.folder.parents[1], console=Console())
    assert again.fresh == 2
    assert "2 of 4 days are fresh" in capsys.readouterr().out
    assert feed.bytes(first.folder.parents[1]) == before


@pytest.mark.words
@pytest.mark.parametrize(
    ("features", "slowest", "reach"),
    [
        ({"recent": []}, SURVEY_DELAY, 0),
        ({}, SURVEY_DELAY, 2 * 3_600_000),
        pytest.param({"recent": [], "signals": ["is_click"]}, DELAY, 0, marks=pytest.mark.words),
    ],
)
def test_the_kept_past_is_each_users_history_and_what_is_not_known_yet(
    feed: Any, features: dict[str, Any], slowest: int, reach: int
) -> None:
    """And what the windows of hours `reach` back to, in ms."""
    rows = sorted(feed.events(9), key=lambda row: (row["timestamp"], row["event_id"]))
    built = feed.build("log", rows, feed.pipeline(features=LIGHT | features))
    end = feed.midnight("2022-03-06")
    expected = [row["event_id"] for row in rows if row["timestamp"] + slowest >= end - reach]
    for user in range(5):
        ripe = [row["event_id"] for row in rows if row["user_id"] == user and row["timestamp"] + DELAY < end]
        expected += ripe[-3:]
    state = built.folder.parents[1] / "state" / built.folder.name / f"day={feed.days[-1]}"
    kept = artifacts.read_table(state / "kept.parquet")["event_id"].to_pylist()
    assert kept == [row["event_id"] for row in rows if row["event_id"] in set(expected)]
    assert len(kept) < len(rows) / 2


@pytest.mark.words
def test_days_before_the_split_only_feed_the_state(feed: Any) -> None:
    days = feed.days
    built = feed.build(
        "log", feed.events(6, n=60), feed.pipeline(features=LIGHT, split=split(train=(days[1], days[1]), test=(days[2], days[2])))
    )
    assert built.days == days[1:3]
    assert days_in(built.folder) == list(days[1:3])
    assert days_in(built.folder.parents[1] / "state" / built.folder.name) == list(days[:3])
    artifacts.verify(built.folder / f"day={days[1]}")


@pytest.mark.words
@pytest.mark.parametrize(
    "chunk", [pytest.param(11, id="many pieces, half as large", marks=pytest.mark.words), pytest.param(40, id="few pieces")]
)
def test_a_day_that_is_built_in_pieces_is_the_same(feed: Any, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    rows, pipeline = feed.tasteful_events(7), two_days(feed)
    whole = feed.examples(feed.build("whole", rows, pipeline).folder)
    assert np.abs(whole[feed.days[1]]["agg.user_id+item_id.is_click.factors"].to_numpy()).max() > 0.05
    monkeypatch.setattr("recsys.features.program.CHUNK", chunk)
    assert feed.examples(feed.build("pieces", rows, pipeline).folder) == whole


@pytest.mark.words
def test_days_of_one_piece_and_of_several_follow_each_other(feed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large day between two small ones: what is named for one kind of day is not in the way of the other."""
    large = [feed.midnight(day) for day in feed.days[2:4]]
    rows = [row for n, row in enumerate(feed.events(9)) if n % 3 == 0 or large[0] <= row["timestamp"] < large[1]]
    pipeline = feed.pipeline(features=LIGHT, split=split(train=(feed.days[1], feed.days[2]), test=(feed.days[3], feed.days[3])))
    whole = feed.examples(feed.build("whole", rows, pipeline).folder)
    first, second, third = (len(whole[day]) for day in feed.days[1:4])
    assert max(first, third) < second
    monkeypatch.setattr("recsys.features.program.CHUNK", max(first, third))
    monkeypatch.setattr("recsys.features.program.LARGE_DAY", 1)
    assert feed.examples(feed.build("pieces", rows, pipeline).folder) == whole


def test_the_shortest_pipeline_over_a_log_of_its_own_builds(feed: Any) -> None:
    """No users, no items, no signals, no history: source, split and one objective make a working file."""
    workspace = feed.write("log", feed.events(8, n=60))
    for name in ("users", "items"):
        shutil.rmtree(workspace / name)
    bare = dict.fromkeys(("user", "item", "context", "category", "signals", "bias", "slices", "ids"), ())
    features = bare | {"multi": {}, "entities": [["user_id"], ["item_id"]], "history": 0, "today": []}
    built = build(feed.pipeline(features=features), workspace, console=QUIET)
    table = feed.examples(built.folder)[feed.days[3]]
    assert {"agg.item_id.count.3", "agg.item_id.age", "context.session_place", "label.click"} < set(table.column_names)
    assert not [name for name in table.column_names if name.startswith("history.") or name.endswith(".today")]


def test_parts_of_the_split_without_rows_are_all_named_with_the_days_there_are(feed: Any) -> None:
    pipeline = feed.pipeline(split=split(train=("2022-02-01", "2022-02-02"), test=("2022-03-03", "2022-03-03")))
    with pytest.raises(DataError) as caught:
        feed.build("log", feed.events(0, n=60), pipeline)
    assert caught.value.exit_code == 3
    for text in (
        "split.train (2022-02-01 to 2022-02-02)",
        "split.test (2022-03-03 to 2022-03-03)",
        "2022-03-01 to 2022-03-02, 2022-03-04 to 2022-03-05",
    ):
        assert text in str(caught.value)


def refusal(feed: Any, kind: type[Exception], rows: list[dict[str, Any]] | None = None, **changes: Any) -> str:
    changes = {"features": LIGHT} | changes
    with pytest.raises(kind) as caught:
        feed.build("log", rows or feed.events(0, n=60), feed.pipeline(**changes))
    examples = feed.folder / "log" / "examples"
    assert not list(examples.rglob("*.parquet")), "something half-done was left"
    return str(caught.value)


def test_unknown_columns_are_all_named_with_the_nearest(feed: Any) -> None:
    objectives = [{"name": "click", "label": "is_clik = 1"}, {"name": "rated", "label": "surveyy > 3", "observed": "tabb = 1"}]
    text = refusal(feed, DataError, objective=objectives, features={"item": ["tagg"], "entities": [["user_id", "auther_id"]], "multi": {}})
    for found, meant in (("is_clik", "is_click"), ("surveyy", "survey"), ("tabb", "tab"), ("tagg", "tag"), ("auther_id", "author_id")):
        assert any(found in line and f'did you mean "{meant}"' in line for line in text.splitlines()), text


def test_a_label_that_is_no_scalar_expression_is_a_config_error(feed: Any) -> None:
    assert "objective.click.label: found SUM(is_click)" in refusal(
        feed, ConfigError, objective=[{"name": "click", "label": "sum(is_click)"}]
    )


def test_what_is_known_only_afterwards_is_no_feature(feed: Any) -> None:
    assert "features.context: found is_click" in refusal(feed, ConfigError, features={"context": ["is_click"]})


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({"name": "grade", "label": "survey"}, "0 or 1 for the binary objective grade"),
        ({"name": "near", "label": "is_click * 1.0000001"}, "found 1.0000001, expected 0 or 1"),
        ({"name": "big", "kind": "regression", "label": "exp(watch * 1e6)"}, "a finite number for the regression objective big"),
        ({"name": "less", "kind": "watch_time", "label": "watch - 1e6"}, "0 or more for the watch_time objective less"),
    ],
)
def test_a_value_that_an_objective_cannot_have_is_counted(feed: Any, objective: dict[str, str], expected: str) -> None:
    text = refusal(feed, DataError, objective=[objective])
    assert expected in text
    assert " rows. Fix:" in text
    assert f"label.{objective['name']}" in text


@pytest.mark.words
def test_a_signal_below_zero_is_refused(feed: Any) -> None:
    rows = sorted(feed.events(0, n=60), key=lambda row: row["timestamp"])
    rows[0]["log.watch"] = -2.5
    assert "log.watch: found -2.5, expected a signal from 0" in refusal(feed, DataError, rows)
    rows[0]["log.watch"] = 1e12 + 1
    assert "log.watch: found 1000000000001, expected a signal from 0 to 1e+12" in refusal(feed, DataError, rows)


@pytest.mark.parametrize(("hours", "most"), [({}, "4.61e+12"), ({"recent": [["item_id"]], "hours": [30]}, "3.07e+12")])
def test_a_signal_whose_sums_would_run_over_is_refused(feed: Any, hours: dict[str, Any], most: str) -> None:
    """Fractions are summed in whole millionths. A sum beyond 64 bits was a traceback."""
    rows = [row | {"log.watch": 9e11} for row in feed.events(0, n=60)]
    text = refusal(feed, DataError, rows, features=hours)
    assert "log.watch: found values that add up to" in text
    assert f"expected at most {most} on a day, for sums of 64 bits. Fix: count it in a larger unit" in text
    divided = {"signals": ["is_click", "less"], "expressions": {"less": "watch / 1000"}}
    feed.build("divided", rows, feed.pipeline(features=hours | divided))


@pytest.mark.words
@pytest.mark.parametrize(("value", "said"), [(3e-7, "changes 100%"), (1e-4, None), (1e-6, None), (0.0, None), (None, None)])
def test_a_signal_that_millionths_do_not_hold_is_said(
    feed: Any, value: float | None, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counted as 0 without a word. Once for all days, and not where it is counted in a smaller unit."""
    rows = [row | {"log.watch": value} for row in feed.events(0, n=60)]
    signals = {"signals": ["watch", "many"], "expressions": {"many": "watch * 1e7"}, "factors": {}}
    build(feed.pipeline(features=signals), feed.write("log", rows), console=Console())
    warnings = [line for line in capsys.readouterr().out.splitlines() if "features: warning" in line]
    assert len(warnings) == (0 if said is None else 1)
    if said is not None:
        assert f"log.watch: found values of 3e-07 on average on {feed.days[0]} (zeros left out)" in warnings[0]
        assert f", of which rounding to millionths {said}, expected larger ones" in warnings[0]
        assert warnings[0].endswith("Fix: count it in a smaller unit by features.expressions: multiply by 10,000,000")


@pytest.mark.words
def test_a_fraction_beyond_2_53_millionths_comes_into_histories(feed: Any) -> None:
    """It was a traceback."""
    rows = [row | {"log.watch": 9.1e9 + n / 3} for n, row in enumerate(feed.events(0, n=60))]
    examples = feed.examples(feed.build("log", rows, feed.pipeline(features=LIGHT)).folder)
    watched = [each for table in examples.values() for past in table["history.watch"].to_pylist() for each in past]
    assert watched
    assert watched == pytest.approx([9.1e9] * len(watched), rel=1e-6)


@pytest.mark.words
def test_a_pair_may_gather_more_than_64_bits_in_a_window(feed: Any) -> None:
    """The sums of the pairs of factors were read as whole numbers: what a day may hold was a traceback after some days."""
    rows = [row | {"user_id": n % 5, "item_id": f"v{n % 3}", "log.watch": float(n % 2)} for n, row in enumerate(feed.events(0, n=60))]
    for day in feed.days:
        for row in [row for row in rows if feed.day_of(row) == day][:4]:
            row |= {"user_id": 0, "item_id": "v0", "log.watch": 1e12}
    features = {"signals": ["watch"], "windows": [30], "factors": {"item_id": ["watch"]}}
    examples = feed.examples(feed.build("log", rows, feed.pipeline(features=features)).folder)
    assert all(np.isfinite(table["agg.user_id+item_id.watch.factors"]).all() for table in examples.values())


def test_events_that_were_changed_behind_their_manifest_are_refused(feed: Any) -> None:
    workspace = feed.write("log", feed.events(0, n=60))
    path: Path = workspace / "events" / f"day={feed.days[0]}" / "part-0.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:5] + bytes([whole[5] ^ 1]) + whole[6:])
    with pytest.raises(ArtifactError, match="other bytes than its manifest"):
        build(feed.pipeline(), workspace, console=QUIET)


def test_only_what_matters_to_examples_is_in_their_fingerprint(feed: Any) -> None:
    config = STAGES["features"].counted(feed.pipeline())
    assert config == STAGES["features"].counted(feed.pipeline(features={"min_count": 3, "max_values": 2, "memory_limit": "1GB"}))
    assert config == STAGES["features"].counted(feed.pipeline(seed=8, model={"architecture": "single_task"}))
    assert config != STAGES["features"].counted(feed.pipeline(features={"windows": [1]}))
    assert config != STAGES["features"].counted(feed.pipeline(objective=[{"name": "click", "label": "is_click = 0"}]))


@pytest.mark.words
def test_of_a_dense_log_without_factors_the_console_names_them(feed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 800 impressions on four days half are in a window of two: 80 for each of five users, 57 for each of seven items."""
    rows, words = feed.events(12, n=800), "features: users and items come often (160 rows per user, 114 per item): features.factors may"
    light = {key: value for key, value in LIGHT.items() if key != "factors"} | {"entities": [["user_id", "tag"]]}
    workspace = feed.write("log", rows)
    build(feed.pipeline(features=light), workspace, console=Console())
    assert words in capsys.readouterr().out
    build(feed.pipeline(features=LIGHT), workspace, console=Console())
    assert "users and items come often" not in capsys.readouterr().out
    build(feed.pipeline(features=light | {"factors": {}}), workspace, console=Console())
    assert "users and items come often" not in capsys.readouterr().out, "an empty table is an answer"
    thin = [row | {"user_id": number} for number, row in enumerate(rows)]
    feed_of_strangers = feed.write("strangers", thin)
    build(feed.pipeline(features=light), feed_of_strangers, console=Console())
    assert "users and items come often" not in capsys.readouterr().out
