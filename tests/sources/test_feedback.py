"""Actions joined to impressions, against a loop over every pair."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.errors import ConfigError, DataError
from recsys.progress import Console
from tests.sources.logs import COLUMNS, START, make_log

WITHIN_MS = 3_600_000


def _impressions(rng: np.random.Generator, rows: int = 250) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "uid": rng.integers(1, 6, rows),
            "vid": rng.integers(1, 5, rows),
            "ts": START + rng.integers(0, 40, rows) * 600_000,
            "req": [f"r{n}" for n in rng.integers(0, 60, rows)],
            "n": range(rows),
        }
    )


def _brute_force(log: pd.DataFrame, actions: pd.DataFrame, on: list[str], ids: pd.Series) -> dict[int, float]:
    """event_id → value: the last impression at or before, of equal moments the largest id; the last action counts."""
    best: dict[int, tuple[int, float]] = {}
    for _, action in actions.iterrows():
        before = [
            (row.ts, ids[index]) for index, row in log.iterrows() if all(row[key] == action[key] for key in on) and row.ts <= action.ts
        ]
        if not before or action.ts - max(before)[0] > WITHIN_MS:
            continue
        event = max(before)[1]
        best[event] = max(best.get(event, (0, 0.0)), (int(action.ts), float(action.stars)))
    return {event: value for event, (_, value) in best.items()}


@pytest.mark.parametrize("on", [["user_id", "item_id"], ["request_id", "item_id"]])
def test_the_join_against_brute_force(tmp_path: Path, ingest: Callable, rng: np.random.Generator, on: list[str]) -> None:
    log = _impressions(rng)
    actions = _impressions(rng, 100).drop(columns="n").assign(stars=rng.integers(1, 6, 100))
    log.to_csv(tmp_path / "log.csv", index=False)
    pd.concat([actions, actions.head(20)]).to_csv(tmp_path / "survey.csv", index=False)  # duplicates are harmless
    feedback = [{"name": "survey", "file": tmp_path / "survey.csv", "on": on, "value": "stars", "within": "1h"}]
    events = ingest(columns={**COLUMNS, "request_id": "req"}, feedback=feedback).events()
    ids = events.set_index("log.n")["event_id"]
    theirs = {"user_id": "uid", "item_id": "vid", "request_id": "req"}
    expected = _brute_force(log, actions, [theirs[ours] for ours in on], ids)
    found = events.dropna(subset="feedback.survey").set_index("event_id")["feedback.survey"].to_dict()
    assert len(expected) > 20
    assert found == expected


def test_no_value_column_means_one_and_no_action_means_null(tmp_path: Path, ingest: Callable) -> None:
    make_log(3).to_csv(tmp_path / "log.csv", index=False)
    make_log(3).iloc[[1]][["uid", "vid", "ts"]].to_csv(tmp_path / "saved.csv", index=False)
    events = ingest(feedback=[{"name": "saved", "file": tmp_path / "saved.csv"}]).table("events")
    assert events["feedback.saved"].to_pylist() == [None, 1.0, None]


def test_within_is_inclusive_and_before_is_never(tmp_path: Path, ingest: Callable) -> None:
    make_log(1).to_csv(tmp_path / "log.csv", index=False)
    for delay, value in ((-1, None), (0, 1.0), (60_000, 1.0), (60_001, None)):
        make_log(1)[["uid", "vid", "ts"]].assign(ts=START + delay).to_csv(tmp_path / "saved.csv", index=False)
        events = ingest(feedback=[{"name": "saved", "file": tmp_path / "saved.csv", "within": "1m"}]).table("events")
        assert events["feedback.saved"].to_pylist() == [value]


@pytest.mark.parametrize(("stars", "delays", "counts"), [((5, 2), (9, 9), 5), ((2, 5), (9, 9), 5), ((5, 2), (9, 10), 2)])
def test_the_last_answer_counts_and_of_one_moment_the_largest(
    tmp_path: Path, ingest: Callable, stars: tuple[int, int], delays: tuple[int, int], counts: int
) -> None:
    make_log(1).to_csv(tmp_path / "log.csv", index=False)
    answers = pd.concat([make_log(1)] * 2)[["uid", "vid"]].assign(ts=[START + delay for delay in delays], stars=stars)
    answers.to_csv(tmp_path / "survey.csv", index=False)
    events = ingest(feedback=[{"name": "survey", "file": tmp_path / "survey.csv", "value": "stars"}]).table("events")
    assert events["feedback.survey"].to_pylist() == [counts]


def test_unmatched_actions_are_counted_and_said(tmp_path: Path, ingest: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    make_log(3).to_csv(tmp_path / "log.csv", index=False)
    make_log(3)[["uid", "vid", "ts"]].assign(vid=["v000", "no", "no"]).to_csv(tmp_path / "saved.csv", index=False)
    ingest(feedback=[{"name": "saved", "file": tmp_path / "saved.csv"}], console=Console())
    assert "feedback saved: read 3; of 3 different actions 2 match no impression within 24h" in capsys.readouterr().out


def test_an_event_keeps_its_id_whatever_feedback_comes(tmp_path: Path, ingest: Callable) -> None:
    make_log(30).to_csv(tmp_path / "log.csv", index=False)
    make_log(30)[["uid", "vid", "ts"]].to_csv(tmp_path / "saved.csv", index=False)
    plain = ingest(to="plain").events()
    joined = ingest(to="joined", feedback=[{"name": "saved", "file": tmp_path / "saved.csv"}]).events()
    pd.testing.assert_frame_equal(plain, joined.drop(columns="feedback.saved"))


def test_a_missing_value_column_is_named(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    make_log().to_csv(tmp_path / "survey.csv", index=False)
    with pytest.raises(DataError, match=r"survey\.csv column watched: .*source\.feedback\.survey\.value; did you mean \"watch\"\?"):
        ingest(feedback=[{"name": "survey", "file": tmp_path / "survey.csv", "value": "watched"}])


def test_a_join_on_what_the_log_lacks_is_a_mistake_of_the_config(tmp_path: Path, ingest: Callable) -> None:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(ConfigError, match=r"source\.feedback\.saved\.on: found request_id"):
        ingest(feedback=[{"name": "saved", "file": tmp_path / "log.csv", "on": ["request_id"]}])
