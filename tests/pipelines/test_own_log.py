"""The log of docs/bring-your-own-log.md, and everything that can be wrong with a file."""

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.cli import run_command

from .conftest import write_small

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "bring-your-own-log.md"
SMALL = ["--set", "model.d_shared=16", "--set", "model.mmoe.hidden=[8]", "--set", "evaluate.bootstrap=50", "--set", "evaluate.baselines=[]"]


def toml_of_the_how_to() -> str:
    found = re.search(r"```toml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """The how-to's files, 1,500 impressions of 40 viewers over seven days, and its TOML."""
    rng = np.random.default_rng(3)
    n = 1_500
    start = pd.Timestamp("2024-06-01", tz="Europe/Berlin").timestamp()
    opened = rng.random(n) < 0.4
    plays = pd.DataFrame(
        {
            "viewer": [f"v-{k:03}" for k in rng.integers(0, 40, n)],
            "clip": [f"c-{k:04}" for k in rng.integers(0, 30, n)],
            "shown_at": (start + rng.integers(0, 7 * 86_400, n)).astype(int),
            "surface": rng.choice(["home", "search"], n),
            "opened": opened.astype(int),
            "seconds_watched": np.where(opened, rng.gamma(2.0, 20.0, n).round(1), 0.0),
            "hearted": (opened & (rng.random(n) < 0.2)).astype(int),
        }
    )
    plays.to_csv(tmp_path / "plays.tsv", sep="\t", index=False)
    clips = pd.DataFrame(
        {"clip": [f"c-{k:04}" for k in range(30)], "genre": ["a", "b", "c"] * 10, "length_s": range(30, 60), "published": "2024-05-01"}
    )
    clips.to_csv(tmp_path / "clips.csv", index=False)
    answers = (
        plays[opened].sample(200, random_state=1)[["viewer", "clip", "shown_at"]].assign(stars=lambda frame: rng.integers(1, 6, len(frame)))
    )
    answers.assign(shown_at=answers.shown_at + 600).to_csv(tmp_path / "answers.csv", index=False)
    (tmp_path / "plays.toml").write_text(toml_of_the_how_to(), encoding="utf-8")
    return tmp_path


def run(feed: Path, *more: str, verb: str = "run") -> int:
    place = [] if verb == "check" else ["--workspace", str(feed / "data")]
    return run_command([verb, str(feed / "plays.toml"), *place, *(SMALL if verb in ("run", "status") else []), *more])


@pytest.mark.words
def test_the_how_tos_log_runs_through(feed: Path):
    assert run(feed, verb="check") == 0
    assert run(feed) == 0
    (report,) = (feed / "data" / "plays" / "runs").glob("*/report.html")
    predictions = pq.read_table(report.parent / "predictions.parquet")
    assert predictions.schema.field("user_id").type == pa.string()
    assert not [name for name in predictions.column_names if name.startswith("rank.")]
    assert predictions["label.stars"].null_count > 0
    assert predictions["label.heart"].null_count == 0  # 0 where nobody opened
    assert {"pred.heart|open", *(f"pred.stars={level}" for level in range(1, 6))} <= set(predictions.column_names)


def edited(file: str, old: str, new: str):
    def edit(feed: Path) -> None:
        text = (feed / file).read_text(encoding="utf-8")
        assert old in text
        (feed / file).write_text(text.replace(old, new), encoding="utf-8")

    return edit


def every_tenth_is_text(feed: Path) -> None:
    plays = pd.read_csv(feed / "plays.tsv", sep="\t", dtype=str)
    plays.loc[plays.index % 20 == 3, "seconds_watched"] = "long"
    plays.to_csv(feed / "plays.tsv", sep="\t", index=False)


def empty(feed: Path) -> None:
    (feed / "plays.tsv").write_bytes(b"")


def header_only(feed: Path) -> None:
    (feed / "plays.tsv").write_text((feed / "plays.tsv").read_text().splitlines()[0] + "\n")


def as_parquet(feed: Path) -> bytes:
    edited("plays.toml", "plays.tsv", "plays.parquet")(feed)
    pd.read_csv(feed / "plays.tsv", sep="\t").to_parquet(feed / "plays.parquet")
    return (feed / "plays.parquet").read_bytes()


def truncated_parquet(feed: Path) -> None:
    whole = as_parquet(feed)
    (feed / "plays.parquet").write_bytes(whole[: len(whole) // 2])


def parquet_called_tsv(feed: Path) -> None:
    (feed / "plays.tsv").write_bytes(as_parquet(feed))
    edited("plays.toml", "plays.parquet", "plays.tsv")(feed)


def tsv_called_parquet(feed: Path) -> None:
    as_parquet(feed)
    (feed / "plays.parquet").write_bytes((feed / "plays.tsv").read_bytes())


def tsv_called_gz(feed: Path) -> None:
    edited("plays.toml", "plays.tsv", "plays.tsv.gz")(feed)
    (feed / "plays.tsv.gz").write_bytes((feed / "plays.tsv").read_bytes())


def truncated_gz(feed: Path) -> None:
    edited("plays.toml", "plays.tsv", "plays.tsv.gz")(feed)
    (feed / "plays.tsv.gz").write_bytes(gzip.compress((feed / "plays.tsv").read_bytes())[:2_000])


@pytest.mark.words
def test_check_and_run_agree_on_the_kind_of_mistake(feed: Path, capsys):
    edited("plays.toml", 'label = "opened = 1"', 'label = "(select max(opened) from log)"')(feed)
    assert run(feed, verb="check") == 2
    edited("plays.toml", 'label = "(select max(opened) from log)"', 'label = "opend = 1"')(feed)
    assert run(feed, verb="check") == 3
    assert capsys.readouterr().err.count("error: ") == 2


def a_huge_signal(feed: Path) -> None:
    plays = pd.read_csv(feed / "plays.tsv", sep="\t")
    plays.loc[7, "seconds_watched"] = 1e18
    plays.to_csv(feed / "plays.tsv", sep="\t", index=False)


MISTAKES = [
    pytest.param(a_huge_signal, 3, ["seconds_watched", "1e+18", "of "], id="a signal beyond 64 bits"),
    pytest.param(edited("plays.tsv", "shown_at", "when"), 3, ["plays.tsv", "shown_at"], id="a missing column"),
    pytest.param(edited("plays.toml", "[features]", "[feature]"), 2, ["feature: unknown key", '"features"'], id="a misspelt key"),
    pytest.param(
        edited("plays.toml", '["2024-06-06", "2024-06-06"]', '["2024-06-05", "2024-06-06"]'),
        2,
        ["split", "2024-06-05"],
        id="overlapping days",
    ),
    pytest.param(every_tenth_is_text, 3, ["plays.tsv:", "seconds_watched", "long", "of 1,500 rows"], id="text in a number column"),
    pytest.param(empty, 3, ["plays.tsv", "empty"], id="an empty file"),
    pytest.param(header_only, 3, ["plays.tsv", "rows"], id="a header without rows"),
    pytest.param(truncated_parquet, 3, ["plays.parquet"], id="a truncated parquet file"),
    pytest.param(parquet_called_tsv, 3, ["plays.tsv", "parquet"], id="a parquet file called tsv"),
    pytest.param(tsv_called_parquet, 3, ["plays.parquet"], id="a tsv file called parquet"),
    pytest.param(tsv_called_gz, 3, ["plays.tsv.gz", "gzip"], id="a tsv file called gz"),
    pytest.param(truncated_gz, 3, ["plays.tsv.gz"], id="a truncated gzip file"),
    pytest.param(
        edited("plays.toml", 'label = "opened = 1"', 'label = "(select max(opened) from log)"'),
        2,
        ["objective.open.label"],
        id="a label that is a query",
    ),
    pytest.param(
        edited("plays.toml", 'context = ["surface"]', 'context = ["surface", "shown_at"]'),
        3,
        ["features.context: found the name shown_at, which is the timestamp in source.columns", "Fix: write timestamp"],
        id="a feature by the log's name of its times",
    ),
    pytest.param(
        edited("plays.toml", '"hearted = 1"', '"harted = 1"'), 3, ["heart", "harted", "hearted"], id="a label of an unknown column"
    ),
    pytest.param(
        edited("plays.toml", '["2024-06-07", "2024-06-07"]', '["2024-07-07", "2024-07-07"]'),
        3,
        ["test", "2024-07-07"],
        id="days without rows",
    ),
    pytest.param(edited("plays.toml", '"plays.tsv"', '"play.tsv"'), 3, ["play.tsv"], id="a missing file"),
]


@pytest.mark.parametrize(("spoil", "code", "expected"), MISTAKES)
def test_a_mistake_gives_one_message_and_its_exit_code_and_nothing_half_written(feed: Path, capsys, spoil, code: int, expected: list[str]):
    spoil(feed)
    assert run(feed) == code
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1, said
    for text in expected:
        assert text in said
    left = [path for path in (feed / "data").rglob("*") if path.name.endswith((".draft", ".old")) or path.name == "report.html"]
    assert not left


@pytest.mark.words
def test_two_runs_with_one_binary_objective_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """By what that objective has, although others would have more."""
    toml = write_small(tmp_path, np.arange(1200) % 100)
    workspace = ["--workspace", str(tmp_path / "data")]
    for name, seed in (("one", 1), ("two", 2)):
        assert run_command(["run", str(toml), "--run", name, "--set", f"seed={seed}", "--until", "score", "--quiet", *workspace]) == 0
    capsys.readouterr()
    assert run_command(["compare", "one", "two", *workspace]) == 0
    said = capsys.readouterr().out
    assert "click (auc)" in said
    assert "rmse" not in said
    assert "two against one. Finding who will: " in said


@pytest.mark.words
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_age_of_a_moment_is_that_of_the_clock_it_was_written_by(feed: Path, kind: str) -> None:
    """However the moment was written, a clip of noon is as old as noon is long ago; a date begins on the clock of the log."""
    noon = pd.Timestamp("2024-05-01 12:00", tz="Europe/Berlin")
    written = {"here": noon.tz_localize(None), "in_utc": noon.tz_convert("UTC"), "day": noon.date()}
    clips = pd.DataFrame({"clip": [f"c-{k:04}" for k in range(30)], "genre": "a", "length_s": 30}).assign(**written)
    clips.to_csv(feed / "clips.csv", index=False) if kind == "csv" else clips.to_parquet(feed / "clips.parquet")
    more = ["--set", f'source.items="{feed / f"clips.{kind}"}"', "--set", 'features.item=["here", "in_utc", "day"]']
    assert run(feed, "--until", "features", "--quiet", *more) == 0
    examples = pd.concat(map(pd.read_parquet, (feed / "data").rglob("examples/*/day=*/part-0.parquet")))
    days = (examples["timestamp"] - noon.timestamp() * 1000) / 86_400_000
    for name, earlier in (("here", 0), ("in_utc", 0), ("day", 0.5)):
        np.testing.assert_allclose(examples[f"item.{name}"], days + earlier, rtol=1e-6)


@pytest.mark.words
def test_a_feed_in_another_folder_has_the_same_run(feed: Path, tmp_path_factory, capsys: pytest.CaptureFixture) -> None:
    """Where files lie is no part of a run, those of feedback neither: a folder that was moved is not trained again."""
    assert run(feed, "--until", "score", "--quiet") == 0
    moved = tmp_path_factory.mktemp("elsewhere") / "feed"
    shutil.copytree(feed, moved)
    capsys.readouterr()
    assert run(moved, verb="status") == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith(("ingest", "train", "score"))] == [
        "ingest: fresh",
        "train: fresh",
        "score: fresh",
    ]
