"""Folders that init is given: those of public datasets, and those of one's own files."""

import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recsys.checkup import look
from recsys.errors import DataError
from recsys.proposal import propose
from tests.proposal.small_feed import small_feed


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("kuairand", ["data/log_standard_4_08_to_4_21_pure.csv", "data/video_features_basic_pure.csv"]),
        ("kuairec", ["big_matrix.csv", "item_categories.csv", "user_features.csv"]),
        ("movielens", ["ratings.dat", "movies.dat", "users.dat"]),
        ("movielens", ["ratings.csv", "movies.csv"]),
        ("movielens", ["u.data", "u.item", "u.user"]),
        ("open_bandit", ["random/all/all.csv", "random/all/item_context.csv"]),
    ],
)
def test_a_folder_that_a_kind_of_source_reads_is_named(kind: str, files: list[str], tmp_path: Path) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("user_id,item_id,time,click\n1,2,2024-01-01,1\n")
    with pytest.raises(DataError, match=f'found the files of {kind} as they are published.* kind = "{kind}" and path = '):
        propose([tmp_path], tmp_path)


def test_a_folder_of_ones_own_files_is_read_whatever_lies_below_it(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    (folder / "data").mkdir(parents=True)
    small_feed().to_csv(folder / "log.csv", index=False)
    for name in ("ratings.csv", "movies.csv"):
        small_feed().to_csv(folder / "data" / name, index=False)
    assert propose([folder], tmp_path).tables["source"]["columns"]["user_id"] == "user_id"


@pytest.mark.words
@pytest.mark.parametrize("suffix", [".jsonl", ".json.gz"])
def test_a_folder_of_json_is_told_how_to_convert_it(suffix: str, tmp_path: Path) -> None:
    """The command makes a file that init reads."""
    feed = small_feed()
    (tmp_path / "own").mkdir()
    for part in range(2):
        feed[part::2].to_json(tmp_path / "own" / f"{part}.0{suffix}", orient="records", lines=True, date_format="iso")
    with pytest.raises(DataError, match="own: found a folder without such files") as caught:
        propose([tmp_path / "own"], tmp_path)
    command = str(caught.value).split("convert the JSON: python ")[1].removesuffix(" and name that file")
    subprocess.run([sys.executable, *shlex.split(command)], check=True)
    assert len(pd.read_parquet(tmp_path / "own.parquet")) == len(feed)
    assert propose([tmp_path / "own.parquet"], tmp_path).tables["objective"][0]["label"] == "click = 1"


@pytest.mark.words
def test_files_that_a_folder_does_not_stand_for_are_named_by_init_and_by_check(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    small_feed().to_csv(tmp_path / "own" / "log.csv", index=False)
    (tmp_path / "own" / "more.jsonl").write_text("{}")
    proposal = propose([tmp_path / "own"], tmp_path)
    left_out = f"1 file in {tmp_path / 'own'} whose name does not end in "
    assert any(line.startswith(f"Not used: {left_out}") for line in proposal.said)
    (tmp_path / "own.toml").write_text(proposal.text, encoding="utf-8")
    assert f"; left out {left_out}" in look(tmp_path / "own.toml").facts[0]


def test_a_toml_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('name = "own"', encoding="utf-8")
    with pytest.raises(DataError, match=r"own\.toml: found a TOML, as init writes it, expected a log\. Fix: name the log; recsys check "):
        propose([tmp_path / "own.toml"], tmp_path)
