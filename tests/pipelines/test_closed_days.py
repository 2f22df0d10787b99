"""`recsys run --through DAY` waits for a day that has not come as a whole."""

from pathlib import Path

import numpy as np
import pytest

from recsys import config
from recsys.cli import run_command
from recsys.stages import run_name

from .conftest import write_small

LAST = "2024-03-02"  # its last impression is 19 minutes after midnight


def night(tmp_path: Path, *more: str, until: str = "features") -> int:
    words = ["run", str(tmp_path / "small.toml"), "--workspace", str(tmp_path / "data"), "--until", until, "--quiet"]
    return run_command([*words, *more])


@pytest.fixture(autouse=True)
def small(tmp_path: Path) -> None:
    write_small(tmp_path, np.arange(1200) % 100)


def with_source(tmp_path: Path, line: str) -> None:
    text = (tmp_path / "small.toml").read_text(encoding="utf-8").replace('kind = "table"', f'kind = "table"\n{line}')
    (tmp_path / "small.toml").write_text(text, encoding="utf-8")


def test_a_file_says_that_a_day_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_source(tmp_path, 'closed = "day={day}/_SUCCESS"')
    assert night(tmp_path, "--through", LAST) == 7
    marker = tmp_path / f"day={LAST}" / "_SUCCESS"
    assert f"{marker}: found no such file, expected it once {LAST} is whole (source.closed). Fix: wait" in capsys.readouterr().err
    assert not (tmp_path / "data" / "small" / "events").exists()
    assert night(tmp_path, until="ingest") == 0, "a split that the TOML gives is one that somebody has chosen"
    marker.parent.mkdir()
    marker.touch()
    assert night(tmp_path, "--through", LAST) == 0


@pytest.mark.words
def test_the_log_goes_on_after_a_day_that_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_source(tmp_path, 'grace = "2h"')
    assert night(tmp_path, "--through", LAST) == 7
    said = capsys.readouterr().err
    assert (
        f"{LAST}: found the last impression of the log at 2024-03-02T00:19:59+00:00, expected one from 2024-03-03T02:00:00+00:00 on" in said
    )
    assert not (tmp_path / "data" / "small" / "examples").exists()
    for moment, code in ((7_199_999, 7), (7_200_000, 0)):
        with (tmp_path / "log.csv").open("a", encoding="utf-8") as log:
            log.write(f"1,1,{1_709_424_000_000 + moment},0\n")
        assert night(tmp_path, "--through", LAST) == code
    with_source(tmp_path, "# the grace is no part of what is made of the log")
    before = (tmp_path / "data" / "small" / "events" / "_manifest.json").stat().st_mtime_ns
    (tmp_path / "small.toml").write_text((tmp_path / "small.toml").read_text(encoding="utf-8").replace('"2h"', '"1h"'), encoding="utf-8")
    assert night(tmp_path, "--through", LAST) == 0
    assert (tmp_path / "data" / "small" / "events" / "_manifest.json").stat().st_mtime_ns == before


def test_a_stage_alone_waits_too_and_the_run_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = run_name(config.load(tmp_path / "small.toml", []))
    with_source(tmp_path, 'grace = "2h"')
    assert run_name(config.load(tmp_path / "small.toml", [])) == name
    words = [str(tmp_path / "small.toml"), "--workspace", str(tmp_path / "data"), "--quiet", "--through", LAST]
    assert run_command(["ingest", *words]) == 0
    assert run_command(["features", *words]) == 7


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('closed = "_SUCCESS"', "source.closed: found"),
        ('closed = "{day}"\ngrace = "1h"', "grace: found it beside closed, which says the same in another way"),
        ('grace = "soon"', "source.grace"),
    ],
)
def test_what_closes_a_day_must_be_clear(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    with_source(tmp_path, line)
    assert night(tmp_path, "--through", LAST) == 2
    assert message in capsys.readouterr().err
