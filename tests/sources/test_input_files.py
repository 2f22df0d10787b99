"""From a path to the files that it names."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.progress import Console
from recsys.sources.input_files import resolve
from recsys.sources.named_paths import said_left_out
from tests.sources.logs import make_log


def test_hidden_files_and_folders_are_no_part_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.csv", "day=1/b.csv", ".c.csv", "_d.csv", ".ipynb_checkpoints/a-checkpoint.csv", "_temporary/0/e.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")
    assert [file.path.relative_to(tmp_path).as_posix() for file in resolve([tmp_path])] == ["a.csv", "day=1/b.csv"]


def test_brackets_in_the_name_of_a_folder_are_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "logs [2024]"
    folder.mkdir()
    for name in ("a1.csv", "a2.csv", "b[1].csv"):
        (folder / name).write_text("x\n1\n")
    assert [file.path.name for file in resolve([folder / "a[12].csv"])] == ["a1.csv", "a2.csv"]
    assert [file.path.name for file in resolve([folder / "b[1].csv"])] == ["b[1].csv"]


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found File name too long, expected what can be read\. Fix: "):
        resolve([tmp_path / ("x" * 300 + ".csv")])


def test_a_folder_that_cannot_be_read_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "day=1").mkdir()
    scan = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("day=1"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DataError, match=r"day=1: found Permission denied, expected what can be read"):
        resolve([tmp_path])


@pytest.mark.parametrize("name", ["pipe", "pi*"])
def test_a_pipe_is_told_from_a_folder(tmp_path: Path, name: str) -> None:
    """As /dev/stdin is, or <(zcat log.csv.gz)."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: found a pipe or a device, expected a file\. Fix: write what comes through it into a file$"):
        resolve([tmp_path / name])


def test_a_file_whose_name_is_no_text_is_named(tmp_path: Path) -> None:
    """Such names are left by systems of another encoding. `recsys check` found nothing wrong, and `recsys run` ended as a bug."""
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xe4\ng.csv")).write_text("x\n1\n")
    except OSError:
        pytest.skip("this file system has names of UTF-8 alone")
    with pytest.raises(DataError, match=r"/t\\udce4\\ng\.csv: found a path whose bytes are not UTF-8, expected one of UTF-8\. Fix: rename"):
        resolve([tmp_path])


def test_quarantine_tells_files_of_one_name_apart(tmp_path: Path, ingest: Callable) -> None:
    for day in ("day=1", "day=2"):
        (tmp_path / "logs" / day).mkdir(parents=True)
        log = make_log(150).astype(object)
        log["watch"] = day
        log.loc[4, "uid"] = None
        log.to_csv(tmp_path / "logs" / day / "part-0.csv", index=False)
    rows = ingest("logs").table("quarantine").to_pylist()
    assert [row["source_file"] for row in rows] == ["day=1/part-0.csv", "day=2/part-0.csv"]


def test_a_pattern_that_finds_folders_alone_says_how_to_name_their_files(tmp_path: Path) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        (tmp_path / "log" / f"date={day}").mkdir(parents=True)
        make_log(5).to_csv(tmp_path / "log" / f"date={day}" / "part.csv", index=False)
    (tmp_path / "log" / "_SUCCESS").write_text("")
    for pattern in ("*", "date=2024-01-0*", "date={day}"):
        with pytest.raises(DataError, match=r"found folders alone \(date=2024-01-01, …\).*write ") as error:
            resolve([tmp_path / "log" / pattern])
        (mended,) = re.findall(r"write (\S+)$", str(error.value))
        assert len(resolve([tmp_path / "log" / mended])) == 2


def test_a_pattern_skips_what_writers_leave_beside_the_data(tmp_path: Path) -> None:
    """Of a job that failed, Spark leaves rows in _temporary; Delta Lake has parquet files in _delta_log."""
    for folder in ("date=2024-01-01", "_delta_log", "date=2024-01-01/_temporary/0"):
        (tmp_path / "log" / folder).mkdir(parents=True, exist_ok=True)
        make_log(5).to_csv(tmp_path / "log" / folder / "part.csv", index=False)
    (tmp_path / "log" / "_SUCCESS").write_text("")
    (data,) = resolve([tmp_path / "log" / "**" / "*.csv"])
    assert data.path.parent.name == "date=2024-01-01"
    assert resolve([tmp_path / "log" / "**"]) == (data,)
    assert len(resolve([tmp_path / "log" / "_delta_log" / "*.csv"])) == 1
    make_log(5).to_csv(tmp_path / "log" / "_own.csv", index=False)
    assert len(resolve([tmp_path / "log" / "*.csv"])) == 1


def test_links_to_folders_belong_to_a_folder(tmp_path: Path) -> None:
    for name in ("log/a.csv", "archive/day=1/b.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x\n1\n")
    log = tmp_path / "log"
    (log / "old").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "back").symlink_to(log)
    (log / "self").symlink_to(log)
    (log / "_hidden").symlink_to(tmp_path / "archive")
    assert [file.path.relative_to(log).as_posix() for file in resolve([log])] == ["a.csv", "old/day=1/b.csv"]


@pytest.mark.parametrize("link", ["b.csv", "day=2"])
def test_a_link_to_nothing_is_not_left_out(tmp_path: Path, link: str) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / link).symlink_to("gone")
    with pytest.raises(DataError, match=rf"{link}: found a link to gone, which is not there, expected a file or a folder\. Fix: mend or"):
        resolve([tmp_path])
    with pytest.raises(DataError, match="found a link to gone"):
        resolve([tmp_path / "*"])
    assert [file.path.name for file in resolve([tmp_path / "a*.csv"])] == ["a.csv"]


def test_files_of_a_folder_whose_names_tell_no_form_are_said(tmp_path: Path, ingest: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs" / "more"
    folder.mkdir(parents=True)
    make_log(200).to_csv(tmp_path / "logs" / "a.csv", index=False)
    for name in ("more/b.jsonl", "c.dat", ".hidden", "_SUCCESS", "d.csv.zst"):
        (tmp_path / "logs" / name).write_text("x")
    assert ingest("logs", console=Console()).account.read == 200
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert said.startswith(f"log: left out 3 files in {tmp_path / 'logs'} whose names do not end in .csv, .tsv, .csv.gz, ")
    assert ": c.dat, d.csv.zst, more/b.jsonl. Such files are read where a pattern names them" in said
    assert said_left_out(tmp_path / "logs" / "*.csv") is None
