"""Candidates: the features of an impression that is asked for, and of a user and an item that the log has never brought together."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts, config, features
from recsys.errors import ArtifactError
from recsys.stages import STAGES, Job, examples_of
from tests.conftest import ROOT
from tests.features.asking import QUIET, ask, comparable
from tests.staged import build

EVERYTHING = {
    "factors": {"item_id": ["is_click", "survey"]},
    "d_factors": 2,
    "recent": [["item_id"], ["tag", "tab"]],
    "hours": [2, 30],
}


def as_candidate(event: dict[str, Any]) -> dict[str, Any]:
    """An impression as a candidate: without its place, and without what the user did. What belongs to the log is called as there."""
    names = {"log.tab": "tab"}
    given = ("event_id", "request_id", "user_id", "item_id", "timestamp", "log.tab")
    return {names.get(name, name): value for name, value in event.items() if name in given}


@pytest.mark.parametrize(
    "lists", ["positions", pytest.param("requests", marks=pytest.mark.words), pytest.param("moments", marks=pytest.mark.words)]
)
def test_an_impression_that_is_asked_for_has_the_features_of_its_example(feed: Any, tmp_path: Path, lists: str) -> None:
    """Of every day, in another order, to the byte; also where its list began before it."""
    rows, more = feed.tasteful_events(21), []
    if lists == "requests":
        more = [pa.field("request_id", pa.int64())]
        rows = [row | {"request_id": None if row["event_id"] % 7 == 0 else row["timestamp"] // 1_800_000} for row in rows]
    pipeline = feed.pipeline(features=EVERYTHING | ({"bias": []} if lists == "moments" else {}))
    folder = feed.write("log", rows, more, without=["position"] if lists == "moments" else [])
    built = build(pipeline, folder, console=QUIET)
    asked = [as_candidate(rows[place]) for place in np.random.default_rng(0).permutation(len(rows))]
    found = ask(pipeline, folder, asked, tmp_path / "scratch")
    examples = pa.concat_tables(feed.examples(built.folder).values())
    places = {event: place for place, event in enumerate(examples["event_id"].to_pylist())}
    expected = comparable(examples.take([places[row["event_id"]] for row in asked]))
    assert np.abs(expected["agg.user_id+item_id.is_click.factors"].to_numpy()).max() > 0.05
    for name in expected.column_names:
        assert found[name].equals(expected[name]), name


MOMENTS = (  # the day, hours into it, user and item: known and new ones
    ("2022-03-04", 11.3, 1, "v2"),
    ("2022-03-03", 5.0, 2, "v3"),  # a day without events
    ("2022-03-05", 0.0, 99, "v4"),
    ("2022-03-07", 23.9, 3, "v99"),  # after the log, and after a day without events
    ("2022-03-01", 0.001, 4, "v1"),  # in the first minute of the log
    ("2022-03-06", 10.2, 0, "v0"),
)


@pytest.mark.words
@pytest.mark.parametrize("place", [0, *(pytest.param(place, marks=pytest.mark.words) for place in range(1, len(MOMENTS)))])
def test_a_candidate_has_the_features_that_an_impression_at_its_moment_would_have(feed: Any, tmp_path: Path, place: int) -> None:
    """The truth: the log with one impression more, built anew. All candidates are asked for at once, which changes none."""
    rows = feed.tasteful_events(22)
    asked = [
        {"user_id": user, "item_id": item, "timestamp": feed.midnight(day) + int(hours * 3_600_000), "tab": place % 2}
        for place, (day, hours, user, item) in enumerate(MOMENTS)
    ]
    pipeline = feed.pipeline(features=EVERYTHING)
    found = ask(pipeline, feed.write("log", rows), asked, tmp_path / "scratch").slice(place, 1)

    one = asked[place]
    unseen = {"position": None, "log.is_click": None, "log.watch": None, "feedback.survey": None}
    impression = {"event_id": 10**7, "log.tab": one["tab"]} | unseen | {name: one[name] for name in ("user_id", "item_id", "timestamp")}
    day = MOMENTS[place][0]
    days = sorted({feed.day_of(row) for row in rows} | {day})
    split = {"train": [days[0], days[0]], "test": [day if day > days[0] else days[1], days[-1]]}
    split |= {"validation": [days[1], days[1]]} if day > days[1] else {}
    of_one = feed.pipeline(features=EVERYTHING, split=split)
    examples = feed.examples(build(of_one, feed.write("more", [*rows, impression]), console=QUIET).folder)[day]
    expected = comparable(examples.filter(pa.compute.equal(examples["event_id"], 10**7)))
    for name in expected.column_names:
        assert found[name].to_pylist() == expected[name].to_pylist(), name


@pytest.mark.words
def test_a_candidate_depends_on_no_other_one(feed: Any, tmp_path: Path) -> None:
    """Some of them, in another order, some twice: the same features to the byte."""
    rng = np.random.default_rng(5)
    rows = feed.tasteful_events(23)
    pipeline = feed.pipeline(features=EVERYTHING)
    folder = feed.write("log", rows)
    asked = [
        {
            "user_id": int(rng.integers(7)),
            "item_id": f"v{rng.integers(9)}",
            "timestamp": rows[int(rng.integers(len(rows)))]["timestamp"] + int(rng.integers(-2, 3)) * 300_000,
            "tab": int(rng.integers(2)),
        }
        for _ in range(150)
    ]
    everything = ask(pipeline, folder, asked, tmp_path / "all")
    some = rng.integers(len(asked), size=40).tolist()
    assert ask(pipeline, folder, [asked[place] for place in some], tmp_path / "some").equals(everything.take(some))


@pytest.mark.words
def test_what_the_log_does_not_know_is_counted(feed: Any, tmp_path: Path) -> None:
    rows = [row for row in feed.events(24) if row["user_id"] < 3]
    pipeline = feed.pipeline()
    folder = feed.write("log", rows)
    moment = feed.midnight("2022-03-05")
    asked = [
        {"user_id": 1, "item_id": "v1", "timestamp": moment, "tab": None},
        {"user_id": 4, "item_id": "v1", "timestamp": moment, "tab": 1},
        {"user_id": 1, "item_id": "new", "timestamp": moment, "tab": 1},
        {"user_id": 50, "item_id": "new", "timestamp": moment, "tab": None},
    ]
    counted: list[Any] = []
    keep = features.Candidates.examples

    def remembered(self: features.Candidates, *arguments: Any) -> Any:
        counted.append(self.unknown)
        return keep(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.Candidates, "examples", remembered)
        ask(pipeline, folder, asked, tmp_path / "scratch")
    assert dict(counted[0]) == {"rows": 4, "user_id": 2, "item_id": 2, "context.tab": 2}


@pytest.mark.words
def test_states_are_brought_forward_without_examples(feed: Any, tmp_path: Path) -> None:
    """Days that the split does not reach have no state until they are needed, and no examples then either."""
    rows = feed.tasteful_events(25)
    split = {"train": ["2022-03-01", "2022-03-01"], "test": ["2022-03-02", "2022-03-02"]}
    pipeline = feed.pipeline(split=split)
    folder = feed.write("log", rows)
    built = build(pipeline, folder, console=QUIET)
    asked = [{"user_id": 1, "item_id": "v1", "timestamp": feed.midnight("2022-03-08"), "tab": 1}]
    states = folder / "state" / built.folder.name
    assert sorted(path.name for path in states.iterdir()) == ["day=2022-03-01", "day=2022-03-02"]
    found = ask(pipeline, folder, asked, tmp_path / "scratch")
    manifests = [artifacts.manifest(states / f"day={day}") for day in ("2022-03-01", "2022-03-02", "2022-03-04", "2022-03-05")]
    assert all(manifests)
    assert sorted(path.name for path in built.folder.iterdir()) == ["day=2022-03-01", "day=2022-03-02"]
    later = feed.pipeline(split={"train": ["2022-03-01", "2022-03-02"], "test": ["2022-03-04", "2022-03-05"]})
    build(later, folder, console=QUIET)
    assert ask(later, folder, asked, tmp_path / "again").equals(found)


@pytest.mark.words
def test_a_text_that_is_written_otherwise_names_no_list_of_the_log(feed: Any, tmp_path: Path) -> None:
    """Its event_id 7 tells the list of a candidate "7", and neither that of "007" nor that of "7.2"."""
    rows = feed.tasteful_events(27)
    seen = min((row for row in rows if feed.day_of(row) == "2022-03-04" and row["user_id"] == 1), key=lambda row: row["timestamp"])
    later = {"user_id": 1, "item_id": "v1", "timestamp": feed.midnight("2022-03-05") - 60_000, "tab": 1}
    ids = [f"{seen['event_id']}{end}" for end in ("", ".2")] + [f"00{seen['event_id']}", "new"]
    found = ask(
        feed.pipeline(features=EVERYTHING), feed.write("log", rows), [later | {"event_id": each} for each in ids], tmp_path / "scratch"
    )
    of_list, *others = (found.slice(place, 1).to_pylist() for place in range(len(ids)))
    assert of_list != others[-1]
    assert others == [others[-1]] * 3


@pytest.mark.words
def test_a_list_that_begins_later_is_no_list_of_a_candidate(feed: Any, tmp_path: Path) -> None:
    """A candidate that bears the id of a later impression knows nothing of what happened before that one."""
    rows = feed.tasteful_events(26)
    folder, pipeline = feed.write("log", rows), feed.pipeline()
    early = {"user_id": 1, "item_id": "v1", "timestamp": feed.midnight("2022-03-04") + 60_000, "tab": 1}
    later = max((row for row in rows if feed.day_of(row) == "2022-03-04" and row["user_id"] == 1), key=lambda row: row["timestamp"])
    found = ask(pipeline, folder, [early | {"event_id": later["event_id"]}, early | {"event_id": None}], tmp_path / "scratch")
    assert found.slice(0, 1).equals(found.slice(1, 1))


@pytest.mark.words
def test_a_log_that_changes_while_states_are_made(feed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states count as absent: none may stand with the name of one log and the numbers of another."""
    rows, pipeline = (
        feed.tasteful_events(27),
        feed.pipeline(split={"train": ["2022-03-01", "2022-03-01"], "test": ["2022-03-02", "2022-03-02"]}),
    )
    folder = feed.write("log", rows)
    built = build(pipeline, folder, console=QUIET)
    asked = [{"user_id": 1, "item_id": "v1", "timestamp": feed.midnight("2022-03-08"), "tab": 1}]
    make = features.build

    def meanwhile(*arguments: Any, **options: Any) -> None:
        make(*arguments, **options)
        feed.write("log", [row | {"log.is_click": 1} for row in rows])

    with monkeypatch.context() as patch:
        patch.setattr(features, "build", meanwhile)
        with pytest.raises(ArtifactError, match="features: what 2022-03-04, 2022-03-05 is made from changed meanwhile"):
            ask(pipeline, folder, asked, tmp_path / "scratch")
    states = folder / "state" / built.folder.name
    assert artifacts.manifest(states / "day=2022-03-05") is None
    truth = feed.write("truth", [row | {"log.is_click": 1} for row in rows])
    assert ask(pipeline, folder, asked, tmp_path / "again").equals(ask(pipeline, truth, asked, tmp_path / "truth_"))


@pytest.mark.words
def test_impressions_of_kuairand_that_are_asked_for_have_the_features_of_their_examples(kuairand_pure: Path, tmp_path: Path) -> None:
    """All columns of a day but labels, slices and the id, to the byte."""
    days = [
        'split.train=["2022-04-25","2022-04-25"]',
        'split.validation=["2022-04-26","2022-04-26"]',
        'split.test=["2022-04-27","2022-04-27"]',
    ]
    pipeline = config.load(ROOT / "pipelines" / "kuairand_pure.toml", [*days, f"source.path={kuairand_pure}"])
    folder = tmp_path / pipeline.name
    STAGES["ingest"].run(Job(pipeline, folder, folder / "runs" / "test", examples_of(pipeline, folder), folder / "encoded", QUIET))
    built = build(pipeline, folder, console=QUIET)
    events = artifacts.read_table(folder / "events" / "day=2022-04-27" / "part-0.parquet").to_pylist()
    asked = [{name: events[place][name] for name in ("user_id", "item_id", "timestamp", "log.tab", "log.duration_ms")} for place in
             np.random.default_rng(0).permutation(len(events))]  # fmt: skip
    order = [events[place]["event_id"] for place in np.random.default_rng(0).permutation(len(events))]
    examples = artifacts.read_table(built.folder / "day=2022-04-27" / "part-0.parquet")
    places = {event: place for place, event in enumerate(examples["event_id"].to_pylist())}
    expected = comparable(examples.take([places[event] for event in order]))
    assert expected.num_columns == 280
    found = ask(pipeline, folder, asked, tmp_path / "scratch")
    assert [name for name in expected.column_names if not found[name].equals(expected[name])] == []
