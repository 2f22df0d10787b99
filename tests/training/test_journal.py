"""A member's journal: lines in order, none twice after a resume."""

import json
from pathlib import Path

import pytest

from recsys.training.journal import Journal, kept_of


def _lines(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_resumed_journal_is_cut_back_to_its_place(tmp_path: Path) -> None:
    path = tmp_path / "run" / "training.jsonl"
    with Journal(path) as journal:
        journal.write({"n": 1})
        facts = journal.facts()
        journal.write({"n": 2})
    kept = kept_of(path, facts)
    assert kept == b'{"n": 1}\n'
    with Journal(path, keep=len(kept)) as journal:
        assert journal.facts() == facts
        journal.write({"n": 3})
    assert _lines(path) == [{"n": 1}, {"n": 3}]


def test_a_fresh_journal_forgets_the_last_run(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    for n in (1, 2):
        with Journal(path) as journal:
            journal.write({"n": n})
    assert _lines(path) == [{"n": 2}]


def test_lines_are_there_while_it_is_open(tmp_path: Path) -> None:
    with Journal(tmp_path / "training.jsonl") as journal:
        journal.write({"n": 1})
        assert _lines(tmp_path / "training.jsonl") == [{"n": 1}]


def test_nan_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "training.jsonl") as journal, pytest.raises(ValueError, match="Out of range"):
        journal.write({"loss": float("nan")})
    assert _lines(tmp_path / "training.jsonl") == []


def test_a_journal_with_other_bytes_than_a_checkpoint_says_is_not_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "journal-0.jsonl"
    with Journal(path) as journal:
        journal.write({"n": 1})
        facts = journal.facts()
        journal.write({"n": 2})
    whole = path.read_bytes()
    assert len(kept_of(path, facts) or b"") == facts["journal"] < len(whole)
    for other in (whole[:3], whole.replace(b"1", b"7")):
        path.write_bytes(other)
        assert kept_of(path, facts) is None
    path.unlink()
    assert kept_of(path, facts) is None


def test_the_lines_of_a_day_are_the_last_ones_that_tell_how_it_was_predicted_and_learned(tmp_path: Path) -> None:
    said = [("1", "progressive"), ("1", "train"), ("2", "validation"), ("2", "progressive"), ("2", "train"), ("2", "train")]
    with Journal(tmp_path / "journal-0.jsonl") as journal:
        for day, part in said:
            journal.write({"day": day, "part": part})
        assert [line["part"] for line in journal.of_day("2")] == ["progressive", "train", "train"]
        assert journal.of_day("1") == []


def test_lines_of_a_day_that_was_begun_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "journal-0.jsonl"
    with Journal(path) as journal:
        journal.write({"day": "1", "part": "train"})
        journal.write({"day": "2", "part": "validation"})
        facts = journal.facts()
        journal.write({"day": "2", "part": "progressive"})
        journal.write({"day": "2", "part": "train"})
        journal.forget_after("1")
        assert journal.facts() == facts
        journal.write({"day": "2", "part": "progressive"})
    assert [line["part"] for line in _lines(path)] == ["train", "validation", "progressive"]
