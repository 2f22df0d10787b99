"""Columns of which `recsys init --column` says what they are."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys.checkup import look
from recsys.cli import run_command
from recsys.proposal import propose


def _searches(tmp_path: Path) -> Path:
    rng, rows = np.random.default_rng(0), 2_000
    seconds = 1_704_067_200 + np.sort(rng.integers(0, 10 * 86_400, rows))
    log = pd.DataFrame({"search_id": rng.integers(0, 300, rows), "item": rng.integers(0, 40, rows), "clicked": rng.integers(0, 2, rows)})
    log.assign(shown=seconds, loaded=seconds + 1).to_csv(tmp_path / "log.csv", index=False)
    return tmp_path / "log.csv"


@pytest.mark.words
def test_a_column_that_is_told_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = _searches(tmp_path)
    assert run_command(["init", str(log), "--out", str(tmp_path / "own.toml")]) == 3
    assert "found no column that tells the user among" in (said := capsys.readouterr().err)
    assert "Fix: say which it is: --column user_id=NAME" in said
    told = ["--column", "user_id=search_id", "--column", "timestamp=loaded"]
    assert run_command(["init", str(log), *told, "--out", str(tmp_path / "own.toml")]) == 0
    raw = tomllib.loads((tmp_path / "own.toml").read_text(encoding="utf-8"))
    assert raw["source"]["columns"] == {"user_id": "search_id", "item_id": "item", "timestamp": "loaded"}
    assert "unsure: guessed from the values of search_id" not in (tmp_path / "own.toml").read_text(encoding="utf-8")
    assert look(tmp_path / "own.toml").error is None


def test_the_file_with_the_told_columns_is_the_log(tmp_path: Path) -> None:
    log = _searches(tmp_path)
    other = pd.read_csv(log).rename(columns={"search_id": "user_id"})
    pd.concat([other, other]).to_csv(tmp_path / "other.csv", index=False)
    proposal = propose([tmp_path / "other.csv", log], tmp_path, {"user_id": "search_id"})
    assert proposal.tables["source"]["log"] == "log.csv"


def test_of_several_files_a_told_name_that_none_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pages.csv").write_text("item,kind\n" + "".join(f"{n},k{n % 3}\n" for n in range(40)))
    files = [str(_searches(tmp_path)), str(tmp_path / "pages.csv")]
    assert run_command(["init", *files, "--column", "user_id=serch_id", "--out", str(tmp_path / "own.toml")]) == 3
    assert 'pages.csv: found no column serch_id; did you mean "search_id"?' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        (["user=search_id"], 2, 'found "user=search_id", expected OURS=THEIRS, such as user_id=visitor, with one of user_id, item_id, '),
        (["user_id="], 2, 'found "user_id=", expected OURS=THEIRS'),
        (["user_id=item", "item_id=item"], 2, "found a column twice, expected each once"),
        (["user_id=serch_id"], 3, 'found no column serch_id; did you mean "search_id"?, expected the one that --column '),
        (["user_id=search_id", "timestamp=clicked"], 3, "log.csv column clicked: found no times ("),
    ],
)
def test_what_is_told_wrongly_is_said(told: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [part for text in told for part in ("--column", text)]
    assert run_command(["init", str(_searches(tmp_path)), *options, "--out", str(tmp_path / "own.toml")]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "own.toml").exists()
