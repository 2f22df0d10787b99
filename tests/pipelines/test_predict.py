"""`recsys predict`: a trained run is asked for candidates, from their file to predictions or ranked lists."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recsys
from recsys import artifacts
from recsys.cli import run_command
from recsys.errors import ArtifactError, ConfigError, DataError
from tests.pipelines.conftest import write_small
from tests.staged import sign

DAY = "2024-01-05"  # the test day of tiny.toml
NOON = "2024-01-06T12:00"  # after its log
COLUMNS = ["user_id", "item_id", "query_item_id", "device"]
OBJECTIVES = ["click", "watch_time", "like"]


@pytest.fixture(scope="module")
def events(tiny: Path) -> pd.DataFrame:
    """The impressions of the test day as candidates, in another order."""
    table = artifacts.read_table(tiny / "events" / f"day={DAY}" / "part-0.parquet").to_pandas()
    return table[["event_id", "request_id", "timestamp", *COLUMNS]].sample(frac=1, random_state=3, ignore_index=True)


@pytest.fixture
def predict(tiny: Path, tmp_path: Path) -> Callable[..., int]:
    """`recsys predict first FILE`; the file is written from a frame."""

    def ask(frame: pd.DataFrame, *options: str, file: str = "candidates.parquet") -> int:
        if file.endswith(".csv"):
            frame.to_csv(tmp_path / file, index=False)
        else:
            frame.to_parquet(tmp_path / file, index=False)
        return run_command(["predict", str(tiny / "runs" / "first"), str(tmp_path / file), *options])

    return ask


def close(left: pd.Series, right: pd.Series) -> None:
    """Equal to 1e-6: of itself for values, of 1 for probabilities and scores."""
    np.testing.assert_allclose(left.to_numpy(), right.to_numpy(), rtol=1e-6, atol=1e-6)


def test_an_impression_that_is_asked_for_gets_the_prediction_of_its_row(
    tiny: Path, events: pd.DataFrame, predict: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(events) == 0
    said = capsys.readouterr().out
    assert f"{len(events):,} candidates on {DAY}; the log has impressions through {DAY}" in said
    assert re.search(r"predict: \d+ of 2,990 have a user whom the log does not know before that day: predicted as in training", said)
    assert "warning" not in said
    found = pd.read_parquet(tmp_path / "candidates.predicted.parquet")
    pd.testing.assert_series_equal(found["event_id"], events["event_id"])
    assert list(found.columns) == [
        *("event_id", "user_id", "item_id", "timestamp", "day", "request_id"),
        *(f"pred.{name}" for name in OBJECTIVES),
        "pred.watch_time%",
        "score",
    ]
    predictions = artifacts.read_table(tiny / "runs" / "first" / "predictions.parquet").to_pandas()
    expected = predictions[predictions["day"] == DAY].set_index("event_id").loc[found["event_id"]]
    for name in OBJECTIVES:
        close(found[f"pred.{name}"], expected[f"rank.{name}"])
    close(found["pred.watch_time%"], expected["rank.watch_time%"])
    close(found["score"], expected["score"])


def test_lists_hold_the_best_of_each_request(events: pd.DataFrame, predict: Callable[..., int], tmp_path: Path) -> None:
    assert predict(events, "--out", str(tmp_path / "all.csv"), "--quiet") == 0
    assert predict(events, "--out", str(tmp_path / "lists.csv"), "--top", "3", "--quiet") == 0
    everything, lists = pd.read_csv(tmp_path / "all.csv"), pd.read_csv(tmp_path / "lists.csv")
    ranked = everything.sort_values(["score", "item_id"], ascending=[False, True], kind="stable")
    ranked["place"] = ranked.groupby("request_id").cumcount() + 1
    expected = ranked[ranked["place"] <= 3].set_index("event_id")["place"].sort_index()
    pd.testing.assert_series_equal(lists.set_index("event_id")["place"].sort_index(), expected)
    assert (lists.groupby("request_id", sort=False)["place"].diff().dropna() == 1).all()  # each list in one piece, best first
    first_given = everything.drop_duplicates("request_id")["request_id"].tolist()
    assert lists.drop_duplicates("request_id")["request_id"].tolist() == first_given


@pytest.mark.words
def test_requests_that_are_texts_beside_numbers_of_the_log_come_back(
    events: pd.DataFrame, predict: Callable[..., int], tmp_path: Path
) -> None:
    asked = events.head(40).assign(request_id=[f"today-{number % 4}" for number in range(40)], event_id=[f"e{n}" for n in range(40)])
    assert predict(asked, "--out", str(tmp_path / "all.parquet"), "--quiet") == 0
    assert predict(asked.drop(columns="request_id"), "--out", str(tmp_path / "without.parquet"), "--quiet") == 0
    found, without = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("all", "without"))
    assert found[["event_id", "request_id"]].equals(asked[["event_id", "request_id"]])
    assert found["score"].equals(without["score"]), "the log knows no such request"
    assert predict(asked, "--out", str(tmp_path / "lists.parquet"), "--top", "1", "--quiet") == 0
    lists = pd.read_parquet(tmp_path / "lists.parquet")
    assert len(lists) == len(asked.drop_duplicates(["user_id", "request_id"]))


@pytest.mark.words
def test_without_requests_a_list_is_of_a_user_at_a_moment(
    tiny: Path, events: pd.DataFrame, predict: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates = pd.DataFrame(
        {"user_id": np.repeat([100_001, 999_999], 30), "item_id": np.tile(events["item_id"].unique()[:30], 2)}
        | {"query_item_id": events["query_item_id"][0], "device": None}
    )
    assert predict(candidates, "--at", NOON, "--top", "10") == 0
    said = capsys.readouterr().out
    assert "60 candidates on 2024-01-06; the log has impressions through 2024-01-05" in said
    assert "60 of 60 have no device: predicted as in training" in said
    assert re.search(r"(30|60) of 60 have a user whom the log does not know", said)
    lists = pd.read_parquet(tmp_path / "candidates.predicted.parquet")
    assert lists["place"].tolist() == [*range(1, 11)] * 2
    assert lists["user_id"].tolist() == [100_001] * 10 + [999_999] * 10
    assert (lists["timestamp"] == 1_704_542_400_000).all()
    assert lists["event_id"].between(0, 59).all()  # the place in the file, where no id is given
    for _, one in lists.groupby("user_id"):
        assert one["score"].is_monotonic_decreasing


@pytest.mark.words
def test_values_that_the_model_has_not_learned_are_named(
    events: pd.DataFrame, predict: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    some = events.head(60).copy()
    assert predict(some) == 0
    assert "not learned" not in capsys.readouterr().out
    some["device"] = [*["Phone"] * 7, *["fridge\n"] * 2, None, *some["device"][10:]]
    assert predict(some) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 60 have no device" in said
    expected = "9 values of device that the model has not learned, such as Phone (7), fridge (2): predicted as unknown in training"
    assert f"predict: {expected}" in said.replace("\\n", "")


@pytest.mark.words
@pytest.mark.parametrize("form", ["text", "iso"])
def test_the_form_of_the_file_changes_nothing(events: pd.DataFrame, predict: Callable[..., int], tmp_path: Path, form: str) -> None:
    some = events.head(50)
    assert predict(some, "--out", str(tmp_path / "parquet.csv")) == 0
    if form == "iso":
        some = some.assign(timestamp=pd.to_datetime(some["timestamp"], unit="ms").map(lambda moment: moment.isoformat() + "Z"))
    assert predict(some, "--out", str(tmp_path / "text.csv"), file="other.csv") == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "text.csv"), pd.read_csv(tmp_path / "parquet.csv"))


@pytest.mark.parametrize("file", ["some.parquet", "some.csv"])
def test_items_that_stand_twice_in_a_list_are_counted(
    events: pd.DataFrame, predict: Callable[..., int], capsys: pytest.CaptureFixture[str], file: str
) -> None:
    """By the request, and where it is not there by the moment. An item in two lists is not twice in one."""
    one = events.head(1).drop(columns="event_id")
    other = one.assign(timestamp=one["timestamp"] + 1)
    for rows, requests, repeated in (
        ([one, one, other], [5, 5, 5], 2),
        ([one, one, other], [5, 6, 7], 0),
        ([one, one, other], [None] * 3, 1),
        ([one, one, other], [5, None, None], 0),
    ):
        asked = pd.concat(rows, ignore_index=True).assign(request_id=pd.array(requests, dtype="Int64"))
        capsys.readouterr()
        assert predict(asked, "--top", "2", file=file) == 0
        counts = re.findall(r"predict: (\d+) of 3 candidates name an item that their list has already", capsys.readouterr().out)
        assert counts == [str(repeated)] * bool(repeated), requests
    assert predict(pd.concat([one, one]).drop(columns="request_id"), "--top", "1", file=file) == 0
    assert "predict: 1 of 2 candidates name an item" in capsys.readouterr().out
    assert predict(pd.concat([one, one]), file=file) == 0
    assert "already" not in capsys.readouterr().out


@pytest.mark.words
def test_from_python(tiny: Path, events: pd.DataFrame) -> None:
    run = recsys.open_run(tiny / "runs" / "first")
    everything = run.predict(events.head(200))
    some = run.predict(events.head(200).iloc[::-7])
    pd.testing.assert_frame_equal(some, everything.iloc[::-7].reset_index(drop=True), rtol=1e-6)
    pd.testing.assert_frame_equal(run.predict(pa.Table.from_pandas(events.head(200))), everything, rtol=1e-6)
    lists = run.predict(events[COLUMNS].head(200), at=1_704_542_400_000, top=1)
    assert (lists["place"] == 1).all()
    assert set(lists["user_id"]) == set(events["user_id"].head(200))


@pytest.mark.words
def test_days_that_were_learned_are_warned_of(tiny: Path, predict: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    learned = artifacts.read_table(tiny / "events" / "day=2024-01-04" / "part-0.parquet").to_pandas().head(5)
    assert predict(learned[["timestamp", *COLUMNS]]) == 0
    assert "warning: found 5 of 5 on days that the model has learned from (through 2024-01-04)" in capsys.readouterr().out


def cell(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: (
        frame.astype({column: object}).assign(**{column: [frame[column][0], value, *frame[column][2:]]}).astype({column: str})
    )


MISTAKES = {
    "missing columns": (
        lambda frame: frame.rename(columns={"item_id": "item", "device": "Device"}),
        (),
        3,
        r'found no column item_id; did you mean "item"\?, device; did you mean "Device"\? among timestamp, user_id, item, .*, expected u',
    ),
    "no moment": (lambda frame: frame.drop(columns="timestamp"), (), 3, r"found no column timestamp among .*, or --at for all"),
    "two moments": (lambda frame: frame, ("--at", NOON), 3, r"column timestamp: found a moment of each candidate, and --at"),
    "no time": (lambda frame: frame[COLUMNS], ("--at", "noon"), 2, r'--at: found "noon", expected an ISO date and time'),
    "a bad id": (
        cell("item_id", "x"),
        (),
        3,
        r'candidates.csv:3 column item_id: found "x", expected a whole number, as in the log; 1 of 4',
    ),
    "no id": (cell("user_id", ""), (), 3, r"candidates.csv:3 column user_id: found nothing, expected a whole number"),
    "seconds": (
        lambda frame: frame.assign(timestamp=frame["timestamp"] // 1000),
        (),
        3,
        r"candidates.csv:2 column timestamp: found \"17\d+\", expected a moment between 1971 and 2100: .*; 4 of 4 rows",
    ),
    "a moment before the log": (
        lambda frame: frame.assign(timestamp=[1_700_000_000_000, *frame["timestamp"][1:]]),
        (),
        3,
        r'candidates.csv:2 column timestamp: found "1700000000000", expected a moment from 2024-01-01 on, .*; 1 of 4 rows',
    ),
    "before the log": (
        lambda frame: frame[COLUMNS],
        ("--at", "2023-12-31"),
        3,
        r"--at: found a moment on 2023-12-31, expected a moment from 2024",
    ),
    "no rows": (lambda frame: frame.head(0), (), 3, r"candidates.csv: found no rows, expected one per candidate"),
    "itself": (lambda frame: frame, ("--out", "candidates.csv"), 2, r"--out: found candidates.csv, which is one of the candidates"),
    "a long list": (lambda frame: frame, ("--top", "9" * 20), 2, r"--top: found 9+, expected a whole number from 1 to"),
    "another form": (
        lambda frame: frame,
        ("--out", "lists.json"),
        2,
        r"--out: found \"lists.json\", expected a file that ends in .parquet or",
    ),
    "a list of none": (lambda frame: frame, ("--top", "0"), 2, r"--top.: found '0', expected a number from 1 on"),
}


@pytest.mark.parametrize(
    "mistake",
    [
        "missing columns",
        "a bad id",
        *(pytest.param(name, marks=pytest.mark.words) for name in MISTAKES if name not in ("missing columns", "a bad id")),
    ],
)
def test_mistakes(
    events: pd.DataFrame,
    predict: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mistake: str,
) -> None:
    """Each is one error, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    change, options, code, words = MISTAKES[mistake]
    frame = change(events[["timestamp", *COLUMNS]].head(4))
    assert predict(frame, *options, file="candidates.csv") == code
    assert re.search(words, " ".join(capsys.readouterr().err.split()))
    assert [path.name for path in tmp_path.iterdir()] == ["candidates.csv"]


@pytest.mark.words
def test_answers_never_take_the_place_of_the_log_or_of_what_a_stage_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = write_small(tmp_path, np.arange(60) % 20)
    log = (tmp_path / "log.csv").read_bytes()
    (tmp_path / "asked.csv").write_text("user_id,item_id\n1,2\n")
    place = ["--workspace", str(tmp_path / "data")]
    assert run_command(["run", str(pipeline), *place, "--run", "one", "--until", "train", "--quiet"]) == 0
    ask = ["predict", "one", str(tmp_path / "asked.csv"), "--at", "2024-03-03", *place, "--out", str(tmp_path / "log.csv")]
    assert run_command(ask) == 2
    assert "log.csv, which the pipeline's source reads, expected a file elsewhere" in capsys.readouterr().err
    assert (tmp_path / "log.csv").read_bytes() == log
    events = next((tmp_path / "data").rglob("events/*/*.parquet"))
    assert run_command([*ask[:-1], str(events)]) == 2
    assert f"{events}, which lies in {events.parent.parent}, made by a stage" in capsys.readouterr().err
    monkeypatch.chdir(events.parent)
    assert run_command([*ask[:-1], events.name]) == 2
    (tmp_path / "link").symlink_to(events.parent)
    assert run_command([*ask[:-1], str(tmp_path / "link" / events.name)]) == 2
    artifacts.read_table(events)


def test_a_place_beside_the_candidates_that_cannot_be_written(
    events: pd.DataFrame, predict: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))  # root may write everywhere
    assert predict(events.head(4)) == 2
    assert f"--out: found {tmp_path}, which cannot be written, expected a folder that can" in capsys.readouterr().err


def test_a_run_without_a_model(tiny: Path, predict: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "any.csv").write_text("user_id,item_id\n1,2\n")
    (baseline,) = [path.name for path in (tiny / "runs").iterdir() if path.name.startswith("popularity-")]
    assert run_command(["predict", baseline, str(tmp_path / "any.csv"), "--workspace", str(tiny.parent)]) == 2
    said = capsys.readouterr().err
    assert f"{baseline}: found no model, expected a run that is trained: it is a baseline, or its model was removed" in said


@pytest.mark.words
def test_files_by_a_pattern_need_a_name_for_the_answers(
    tiny: Path, events: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that are not needed may have any name and type: here numbers, and a table in a cell."""
    monkeypatch.chdir(tmp_path)
    for day, rows in (("day=1", slice(0, 30)), ("day=2", slice(30, 50))):
        (tmp_path / day).mkdir()
        part = events[rows].assign(**{"0": 1.0, "1": 2.0, "2": [[{"a": 1}]] * len(events[rows])})
        part.to_parquet(tmp_path / day / "part.parquet", index=False)
    ask = ["predict", str(tiny / "runs" / "first"), "day=*/part.parquet"]
    assert run_command(ask) == 2
    assert "--out: found none beside day=*/part.parquet, which is no single file" in capsys.readouterr().err
    assert run_command([*ask, "--out", "day=1/part.parquet"]) == 2
    (tmp_path / "answers").mkdir()
    assert run_command([*ask, "--out", "answers/both.csv"]) == 0
    assert pd.read_csv("answers/both.csv")["event_id"].tolist() == events["event_id"][:50].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "day=1", "day=2"]


@pytest.mark.words
def test_a_header_of_numbers_is_a_header(events: pd.DataFrame, predict: Callable[..., int]) -> None:
    wide = events[["timestamp", *COLUMNS]].head(20).assign(**{str(place): 0.5 for place in range(9)})
    assert predict(wide, file="wide.csv") == 0


@pytest.mark.words
def test_a_log_that_changes_meanwhile(tiny: Path, events: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is given from two logs."""
    module = sys.modules["recsys.predicting.predict"]
    shutil.copytree(tiny, tmp_path / "tiny")
    run, keep = recsys.open_run(tmp_path / "tiny" / "runs" / "first"), module._scored

    def meanwhile(*arguments: Any) -> Any:
        found = keep(*arguments)
        path = tmp_path / "tiny" / "users" / "part-0.parquet"
        pq.write_table(pq.read_table(path).slice(1), path)
        sign(path)
        return found

    monkeypatch.setattr(module, "_scored", meanwhile)
    with pytest.raises(ArtifactError, match="the log changed meanwhile"):
        run.predict(events.head(5))


@pytest.mark.words
def test_a_column_that_has_come_with_another_type(tiny: Path, events: pd.DataFrame, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "tiny")
    path = tmp_path / "tiny" / "items" / "part-0.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("topic"), "topic", pa.array(range(len(table)))), path)
    sign(path)
    with pytest.raises(ArtifactError, match=r"column item.topic: found type double, expected string, which first has learned"):
        recsys.open_run(tmp_path / "tiny" / "runs" / "first").predict(events.head(5))


@pytest.mark.words
def test_mistakes_in_python(tiny: Path, events: pd.DataFrame) -> None:
    run = recsys.open_run(tiny / "runs" / "first")
    with pytest.raises(DataError, match=r"^candidates: found no rows"):
        run.predict(events.head(0))
    with pytest.raises(DataError, match="candidates: cannot be written as columns"):
        run.predict(pd.concat([events, events[["user_id"]]], axis=1))
    with pytest.raises(DataError, match="candidates: cannot be written as columns"):
        run.predict([1, 2])
    with pytest.raises(DataError, match=r"candidates: cannot be written as columns .* ids to texts"):
        run.predict(events.head(2).assign(user_id=pd.Series([1, 2**63], dtype=object)))
    for top in (True, 2.5, 0):
        with pytest.raises(ConfigError, match="--top: found"):
            run.predict(events.head(3), top=top)


@pytest.mark.words
def test_a_calibrated_run_gives_calibrated_predictions(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.parent, tmp_path / "copy")
    toml = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"
    options = ["--workspace", str(tmp_path / "copy"), "--run", "first", "--quiet", "--set", "evaluate.calibrate=isotonic"]
    assert run_command(["run", str(toml), *options]) == 0
    run = recsys.open_run(tmp_path / "copy" / "tiny" / "runs" / "first")
    expected = run.predictions[run.predictions["day"] == DAY]
    assert not np.allclose(expected["rank.click"], expected["raw.rank.click"])
    day = artifacts.read_table(tmp_path / "copy" / "tiny" / "events" / f"day={DAY}" / "part-0.parquet").to_pandas()
    found = run.predict(day.drop(columns="position")).set_index("event_id").loc[expected["event_id"]]
    for name in OBJECTIVES:
        close(found[f"pred.{name}"], expected[f"rank.{name}"])
    close(found["score"], expected["score"])
