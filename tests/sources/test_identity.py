"""The id of an event stands for its content, and for nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.sources import events
from tests.sources.logs import make_log


def test_equal_rows_are_one_event_however_they_are_written(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "log.csv").write_text(
        "uid,vid,ts,watch\n1,a,1704103200000,1.50\n1,a,1704103200000,1.5\n1,a,1704103200000,\n1,a,1704103200000,NaN\n"
    )
    account = ingest().account
    assert (account.read, account.kept, account.duplicate) == (4, 2, 2)


def test_shifted_texts_are_other_events(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "log.csv").write_text(
        "uid,vid,ts,a,b\n1,x,1704103200000,ab,c\n1,x,1704103200000,a,bc\n1,x,1704103200000,abc,\n1,x,1704103200000,,abc\n"
    )
    assert ingest().account.kept == 4


def test_times_that_differ_below_a_millisecond_are_other_events(tmp_path: Path, ingest: Callable) -> None:
    (tmp_path / "log.csv").write_text("uid,vid,ts\n1,x,1704103200000001\n1,x,1704103200000002\n")
    events = ingest(time={"unit": "us"}).events()
    assert events["timestamp"].tolist() == [1704103200000] * 2
    assert events["event_id"].nunique() == 2


def test_rows_keep_their_ids_when_others_come(tmp_path: Path, ingest: Callable) -> None:
    """Even where the others turn a column of whole numbers into one of fractions."""
    log = make_log(60).drop(columns="watch").assign(length=range(60))
    log.to_csv(tmp_path / "log.csv", index=False)
    before = set(ingest(to="before").events()["event_id"])
    more = make_log(90).drop(columns="watch").iloc[60:].assign(length=0.5)
    more.to_csv(tmp_path / "log.csv", index=False, mode="a", header=False)
    assert before < set(ingest(to="after").events()["event_id"])


def test_two_contents_with_one_id_are_an_error(tmp_path: Path, ingest: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_EVENT_ID_BITS", 4)
    make_log().to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(DataError, match=r"log\.csv:\d+: found the event_id \d+, which .*log\.csv:\d+ has with another content"):
        ingest()
    assert not (tmp_path / "out" / "events").exists()
