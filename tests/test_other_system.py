"""Another system's scores on the impressions of a run, joined by keys, against pandas' own merge."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys.config import Evaluate, TimeOptions, load
from recsys.errors import ConfigError, DataError
from recsys.judge import metrics_against_file
from recsys.objectives import Objective
from recsys.other_system import Joined, join, parsed_key
from recsys.progress import Console

CLICK = Objective(name="click", label="clicked = 1")
LIKE = Objective(name="like", label="liked = 1", given="click")
STARS = Objective(name="stars", kind="ordinal", label="stars", levels=(1, 2, 3))
OBJECTIVES = (CLICK, LIKE, STARS)
KEY = {"user_id": "uid", "item_id": "vid", "timestamp": "ts"}
TINY = Path(__file__).resolve().parents[1] / "pipelines" / "tiny.toml"
START = 1_704_103_200_000


def _ours(rows: int = 60) -> pa.Table:
    rng = np.random.default_rng(0)
    click = rng.random(rows)
    return pa.table({
        "event_id": np.arange(rows) * 7, "user_id": np.arange(rows) % 9, "item_id": [f"v{n % 11}" for n in range(rows)],
        "timestamp": START + 1_000 * np.arange(rows), "split": ["test"] * rows, "position": 1 + np.arange(rows) % 5,
        "label.click": (rng.random(rows) < 0.5).astype(float), "label.like": (rng.random(rows) < 0.2).astype(float),
        "label.stars": pa.array([None if n % 3 else 2.0 for n in range(rows)]),
        "pred.click": click, "rank.click": click / 2, "pred.stars%": click, "rank.stars%": click,
        "pred.like": click / 3, "pred.like|click": [1 / 3] * rows, "pred.stars": [2.0] * rows,
        "pred.stars=1": [0.2] * rows, "pred.stars=2": [0.6] * rows, "pred.stars=3": [0.2] * rows, "raw.pred.click": click, "score": click,
    })  # fmt: skip


def _theirs(ours: pa.Table, **scores: object) -> pd.DataFrame:
    frame = ours.select(["user_id", "item_id", "timestamp"]).to_pandas()
    theirs = frame.rename(columns={"user_id": "uid", "item_id": "vid"})
    theirs["ts"] = theirs.pop("timestamp") // 1_000
    return theirs.assign(**scores)


def _join(tmp_path: Path, theirs: pd.DataFrame, ours: pa.Table, name: str = "theirs.csv", **key: str) -> Joined:
    path = tmp_path / name
    theirs.to_parquet(path) if name.endswith("parquet") else theirs.to_csv(path, index=False, sep="\t" if name.endswith("tsv") else ",")
    return join(ours, path, key or KEY, OBJECTIVES, TimeOptions(unit="s"))


@pytest.mark.parametrize("name", ["theirs.csv", "theirs.tsv", "theirs.parquet"])
def test_rows_meet_by_their_key_whatever_their_order(tmp_path: Path, name: str) -> None:
    ours = _ours()
    theirs = _theirs(ours, **{"pred.click": np.linspace(0, 1, len(ours))})
    shown = pd.concat([theirs.sample(frac=0.8, random_state=1), theirs.head(2).assign(uid=99)])
    found = _join(tmp_path, shown, ours, name)
    expected = ours.to_pandas().assign(ts=ours["timestamp"].to_numpy() // 1_000).merge(
        shown, left_on=["user_id", "item_id", "ts"], right_on=["uid", "vid", "ts"], suffixes=("", ".theirs")
    )  # fmt: skip
    assert found.ours["event_id"].to_pylist() == expected["event_id"].tolist()
    assert found.theirs["pred.click"].to_pylist() == pytest.approx(expected["pred.click.theirs"].tolist())
    assert found.theirs["event_id"].equals(found.ours["event_id"])
    assert (dict(found.of_split), found.unknown) == ({"test": (48, 60)}, 2)
    assert (found.predicted, found.has_order) == (("click",), False)
    lacking = ours.filter(pa.array(~np.isin(np.arange(60), expected["event_id"] // 7))).slice(0, 1).to_pylist()[0]
    assert found.missing == f"user_id = {lacking['user_id']}, item_id = {lacking['item_id']}, timestamp = {lacking['timestamp'] // 1_000}"
    assert any(found.missing in line and line.startswith("warning: ") for line in found.said(Path("theirs.csv")))


def test_rows_of_other_parts_are_none_of_other_impressions(tmp_path: Path) -> None:
    """A row that is an impression of both parts, as far as the key tells, is one that is judged."""
    rows = _ours().append_column("request_id", pa.array([f"r{n % 40}" for n in range(60)]))
    rows = rows.set_column(4, "split", pa.array(["validation"] * 25 + ["test"] * 35))
    theirs = rows.select(["request_id"]).to_pandas().drop_duplicates().assign(score=1.0)
    theirs = pd.concat([theirs, pd.DataFrame({"request_id": ["r77", "r78"], "score": 1.0})])
    theirs.to_csv(tmp_path / "theirs.csv", index=False)
    key = {"request_id": "request_id"}
    found = join(rows.slice(25), tmp_path / "theirs.csv", key, OBJECTIVES, None, rows.slice(0, 25))
    assert (dict(found.of_split), dict(found.of_others), found.unknown) == ({"test": (35, 35)}, {"validation": 5}, 2)
    assert [line.partition(": ")[2] for line in found.said(Path("theirs.csv"))[1:]] == [
        "5 further rows of the run's validation impressions, which are not judged here", "2 further rows of other impressions"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (TimeOptions(unit="ms"), "1704103200000"),
        (TimeOptions(unit="s"), "1704103200"),
        (TimeOptions(unit="us"), "1704103200000000"),
        (TimeOptions(unit="s", since=datetime(2024, 1, 1, tzinfo=UTC)), "36000"),
        (TimeOptions(unit="iso", zone="Asia/Shanghai"), "2024-01-01T18:00:00+08:00"),
        (TimeOptions(format="%d.%m.%Y %H:%M:%S"), "2024-01-01T10:00:00+00:00"),
    ],
)
def test_times_are_shown_as_the_log_writes_them(tmp_path: Path, time: TimeOptions, shown: str) -> None:
    form = time.format or ("%Y-%m-%dT%H:%M:%S%z" if time.unit == "iso" else None)
    ours = _ours(3).append_column("x", pa.array([0] * 3))
    stamps = pd.to_datetime(ours["timestamp"].to_pandas(), unit="ms", utc=True)
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "iso": 1}[time.unit]
    numbers = [round(each.timestamp() - time.since_micros / 1e6) * per_second for each in stamps]
    theirs = pd.DataFrame({"timestamp": numbers if form is None else stamps.dt.strftime(form), "score": 1.0})
    key = {"timestamp": "timestamp"}

    def refused(name: str, scores: pd.DataFrame) -> str:
        scores.to_csv(tmp_path / name, index=False)
        with pytest.raises(DataError) as refusal:
            join(ours.slice(0, 1), tmp_path / name, key, OBJECTIVES, time)
        return str(refusal.value)

    assert f"expected keys such as timestamp = {shown}." in refused("others.csv", theirs.iloc[1:])
    assert f"the key timestamp = {shown} more than once" in refused("twice.csv", theirs.iloc[[0, 0]])
    theirs.iloc[1:].to_csv(tmp_path / "theirs.csv", index=False)
    assert join(ours, tmp_path / "theirs.csv", key, OBJECTIVES, time).missing == f"timestamp = {shown}"


def test_times_of_parquet_files_are_shown_as_times(tmp_path: Path) -> None:
    ours = _ours(3)
    stamps = pd.to_datetime(ours["timestamp"].to_pandas(), unit="ms", utc=True)
    pd.DataFrame({"timestamp": stamps.iloc[1:], "score": 1.0}).to_parquet(tmp_path / "theirs.parquet")
    found = join(ours, tmp_path / "theirs.parquet", {"timestamp": "timestamp"}, OBJECTIVES, TimeOptions())
    assert found.missing == "timestamp = 2024-01-01T10:00:00+00:00"


def test_nothing_of_ours_is_left_to_judge_theirs_by(tmp_path: Path) -> None:
    """Ranks, percentiles, conditional forms, levels and uncalibrated values are derived from the predictions that are replaced."""
    ours = _ours()
    found = _join(tmp_path, _theirs(ours, **{"pred.click": 0.5, "pred.stars": 2.5, "score": 1.0}), ours)
    assert set(ours.column_names) - set(found.theirs.column_names) == {
        *("rank.click", "pred.like|click", "pred.stars=1", "pred.stars=2", "pred.stars=3", "raw.pred.click"),
        *("pred.stars%", "rank.stars%"),
    }
    assert found.theirs["score"].to_pylist() == [1.0] * 60
    assert found.theirs["pred.like"].equals(ours["pred.like"])  # and nobody judges by it
    assert (found.predicted, found.has_order) == (("click", "stars"), True)


def test_predictions_without_a_score_give_no_order(tmp_path: Path) -> None:
    """Our fusion weights would be ours, not the other system's."""
    ours = _ours()
    scores = {"pred.click": 0.5, "pred.like": 0.2, "pred.stars": 2.0}
    assert not _join(tmp_path, _theirs(ours, **scores), ours).has_order


def test_ranks_are_read_where_they_are(tmp_path: Path) -> None:
    ours = _ours()
    assert _join(tmp_path, _theirs(ours, **{"pred.click": 0.5}), ours).without_rank == ["rank.click"]
    found = _join(tmp_path, _theirs(ours, **{"pred.click": 0.5, "rank.click": 0.25}), ours)
    assert found.without_rank == []
    assert found.theirs["rank.click"].to_pylist() == [0.25] * 60
    found = _join(tmp_path, _theirs(ours, **{"pred.stars": 2.0, "pred.stars%": 0.75}), ours)
    assert found.theirs["pred.stars%"].to_pylist() == [0.75] * 60
    assert "rank.stars%" not in found.theirs.column_names


@pytest.mark.parametrize("name", ["theirs.csv", "theirs.parquet"])
def test_a_null_in_a_key_meets_nothing(tmp_path: Path, name: str) -> None:
    ours = _ours().append_column("request_id", pa.array([None if n % 4 == 0 else f"r{n}" for n in range(60)]))
    theirs = ours.select(["request_id", "position"]).to_pandas().assign(score=range(60))
    found = _join(tmp_path, theirs, ours, name, request_id="request_id", position="position")
    assert (len(found.ours), found.unknown) == (45, 15)
    assert found.theirs["score"].to_pylist() == [n for n in range(60) if n % 4]


@pytest.mark.parametrize("name", ["theirs.csv", "theirs.parquet"])
@pytest.mark.parametrize("exact", [2**53, 2**60], ids=["as 9007199254740992.0", "as 1.152921504606847e+18"])
def test_ids_beyond_doubles_are_refused_as_doubles(tmp_path: Path, name: str, exact: int) -> None:
    """Some of them meet the right rows. So a share of matches does not tell."""
    ours = _ours()
    ours = ours.set_column(0, "event_id", pa.array([exact + 1_024 * n + n % 2 for n in range(60)]))
    theirs = pd.DataFrame({"event_id": ours["event_id"].to_numpy().astype(float), "score": 1.0})
    with pytest.raises(DataError, match=rf"{name} column event_id: found a float that has lost digits \(.*; 60 of 60 rows\. Fix: "):
        _join(tmp_path, theirs, ours, name, event_id="event_id")


@pytest.mark.parametrize("exact", [np.float32, np.float16])
def test_ids_are_refused_in_floats_that_do_not_hold_them(tmp_path: Path, exact: type[np.floating]) -> None:
    """Each of these is the key of an impression, and of another one than the system has scored."""
    first = 2 ** (np.finfo(exact).nmant + 1)
    ours = _ours().set_column(0, "event_id", pa.array(first + np.arange(60)))
    theirs = pd.DataFrame({"event_id": (first + 1 + 4 * np.arange(15)).astype(exact), "score": 1.0})
    with pytest.raises(DataError, match=r"column event_id: found a float that has lost digits \(.*; 15 of 15 rows\. Fix: "):
        _join(tmp_path, theirs, ours, "theirs.parquet", event_id="event_id")
    below = ours.set_column(0, "event_id", pa.array(first - 60 + np.arange(60)))
    theirs = pd.DataFrame({"event_id": (first - 60 + np.arange(60)).astype(exact), "score": 1.0})
    assert _join(tmp_path, theirs, below, "theirs.parquet", event_id="event_id").of_split == {"test": (60, 60)}


@pytest.mark.parametrize("ids", [["1e5", "12e3"], ["12345678e123", "12345678ab12"], ["12345678901234567.0", "v.0"]])
def test_texts_that_look_like_numbers_stay_texts(tmp_path: Path, ids: list[str]) -> None:
    ours = _ours(2).set_column(0, "event_id", pa.array(ids))
    theirs = pd.DataFrame({"event_id": ids, "score": 1.0})
    assert _join(tmp_path, theirs, ours, event_id="event_id").of_split == {"test": (2, 2)}


def test_times_in_another_form_are_named(tmp_path: Path) -> None:
    ours = _ours()
    theirs = _theirs(ours, score=1.0)
    theirs["ts"] = theirs["ts"] * 1_000
    with pytest.raises(
        DataError, match=r'column ts: found \d+, expected times written as the log\'s are, unit = "s" in \[source\.time\]; 60 of 60'
    ):
        _join(tmp_path, theirs, ours)


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    ours = _ours()
    theirs = _theirs(ours, score=1.0)
    (tmp_path / "parts").mkdir()
    for part in range(3):
        theirs.iloc[part::3].to_parquet(tmp_path / "parts" / f"{part}.parquet")
    (tmp_path / "parts" / "3.jsonl").write_text("{}")
    found = join(ours, tmp_path / "parts", KEY, OBJECTIVES, TimeOptions(unit="s"))
    assert found.of_split == {"test": (60, 60)}
    assert any("left out 1 file" in line and line.count("3.jsonl") == 1 for line in found.said(tmp_path / "parts"))


@pytest.mark.parametrize("key", ["event_id", "position,user_id,item_id,timestamp"])
def test_other_keys(tmp_path: Path, key: str) -> None:
    ours = _ours()
    theirs = ours.select([*key.split(",")]).to_pandas().assign(score=range(60))
    if "timestamp" in theirs:
        theirs["timestamp"] //= 1_000
    found = _join(tmp_path, theirs.sample(frac=1, random_state=2), ours, **parsed_key(key))
    assert found.theirs["score"].to_pylist() == list(range(60))


def test_ids_that_were_written_as_doubles_are_the_same_ids(tmp_path: Path) -> None:
    ours = _ours()
    theirs = _theirs(ours, score=1.0).astype({"uid": float})
    assert _join(tmp_path, theirs, ours, "theirs.parquet").of_split == {"test": (60, 60)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda theirs: pd.concat([theirs, theirs.head(3)]), r"found the key user_id = 0, .* more than once in the file, .*; 6 of 63 rows"),
        (
            lambda theirs: theirs.assign(uid=theirs["uid"] + 100),
            r"found no key of the run's test impressions \(its first is user_id = 100,",
        ),
        (lambda theirs: theirs.drop(columns="vid"), r"found no column vid among uid, .*, expected the columns of the key, uid, vid, ts"),
        (lambda theirs: theirs.drop(columns=["pred.click", "score"]), r"found no scores among uid, vid, ts, expected some of pred\.click"),
        (lambda theirs: theirs.assign(**{"pred.click": 1.5}), r"column pred\.click: found 1\.5, expected a probability; 60 of 60 rows"),
        (lambda theirs: theirs.assign(**{"pred.click": "high"}), r"column pred\.click: found values that are no numbers"),
        (lambda theirs: theirs.assign(**{"pred.click": None}), r"column pred\.click: found null, expected a probability"),
        (lambda theirs: theirs.assign(score=None), r"column score: found null, NaN or infinite, expected a finite number; 60 of 60 rows"),
    ],
)
def test_what_cannot_be_joined_is_said(tmp_path: Path, change, words: str) -> None:
    ours = _ours()
    with pytest.raises(DataError, match=words):
        _join(tmp_path, change(_theirs(ours, **{"pred.click": 0.5, "score": 1.0})), ours)


def test_a_key_that_repeats_among_the_impressions_is_refused(tmp_path: Path) -> None:
    ours = _ours()
    with pytest.raises(
        DataError, match=r"more than once in the run's impressions, expected one row per key; 60 of 60 rows\. Fix: add a column to"
    ):
        _join(tmp_path, _theirs(ours, score=1.0), ours, user_id="uid")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user", r'found "user", expected one of event_id, user_id.*did you mean "user_id"'),
        ("user_id,user_id=uid", "found a column twice"),
        ("", 'found ""'),
    ],
)
def test_keys_that_are_none(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parsed_key(text)


def test_a_key_that_the_run_lacks(tmp_path: Path) -> None:
    ours = _ours()
    with pytest.raises(ConfigError, match="--key: found request_id, which the run's predictions lack, expected some of event_id, user_id"):
        _join(tmp_path, _theirs(ours, score=1.0), ours, request_id="uid")


@pytest.mark.parametrize(
    ("kept", "temperature", "is_valued"), [("all", 1.0, True), ("whole requests", 1.0, True), ("shown", 1.0, False), ("all", None, False)]
)
def test_a_policy_is_valued_where_a_file_has_all_candidates(tmp_path: Path, kept: str, temperature: float | None, is_valued: bool) -> None:
    """The softmax over those that it has would be another policy, on our side as well; without a temperature both sides have the log's."""
    rng = np.random.default_rng(0)
    chosen, request = np.arange(400) % 4 == 0, np.arange(400) // 4
    ours = pa.table({
        "event_id": np.arange(400), "user_id": request % 30, "timestamp": START + request, "request_id": request, "split": ["test"] * 400,
        "label.click": pa.array(rng.integers(0, 2, 400) * 1.0, mask=~chosen), "pred.click": rng.random(400), "score": rng.random(400),
        "propensity": pa.array([0.25] * 400, mask=~chosen), "target_propensity": [0.25] * 400,
    })  # fmt: skip
    theirs = ours.select(["event_id"]).to_pandas().assign(score=rng.random(400))
    theirs[{"all": request >= 0, "whole requests": request < 70, "shown": chosen}[kept]].to_csv(tmp_path / "theirs.csv", index=False)
    evaluate = Evaluate(bootstrap=20, target_temperature=temperature)
    pipeline = load(TINY).model_copy(update={"evaluate": evaluate, "objective": (CLICK,)})
    rows = metrics_against_file(pipeline, ours, tmp_path / "theirs.csv", run="mine", console=Console(quiet=True)).to_pandas()
    assert set(rows["against"]) == {"theirs.csv"}
    assert "captured@10%" in set(rows["metric"])
    assert ("snips" in set(rows["metric"])) == is_valued
