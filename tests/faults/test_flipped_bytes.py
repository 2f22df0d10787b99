"""One byte flipped in every file of a finished run, then the commands that read it: named with exit 4, or the output is as it was."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recsys.cli import run_command

TINY = str(Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml")
FAST = ["--set", "evaluate.bootstrap=20", "--set", "evaluate.importance_rows=300", "--set", "evaluate.importance=true"]
DAYS = [f"day=2024-01-0{number}" for number in range(1, 6)]


@dataclass(frozen=True)
class Reader:
    """A command that reads files, once these are gone: what it then makes lies under `makes`."""

    arguments: Sequence[str]
    makes: Sequence[str]
    gone: Sequence[str] = ()


def run(*more: str, name: str = "first") -> list[str]:
    return ["run", TINY, "--run", name, *FAST, *more]


READERS = {
    "ingest": Reader(run("--until", "ingest"), ["events", "users", "items", "quarantine"], ["events"]),
    "features": Reader(run("--until", "features", "--set", "features.history=3", name="other"), ["examples", "state"]),
    **{day: Reader(run("--until", "features"), ["examples", "state"], [f"examples/*/{day}", f"state/*/{day}"]) for day in DAYS},
    "encode": Reader(run("--until", "encode", "--set", "features.min_count=3", name="other"), ["encoded"]),
    "train": Reader(run("--until", "score", "--set", "train.learning_rate=0.003", name="other"), ["runs/other"]),
    "a state": Reader(run("--until", "train", "--set", "train.refit=false", name="earlier"), ["runs/earlier"]),
    "progressive": Reader(
        run("--until", "progressive"), ["runs/first/progressive.parquet"], ["learned/*/judged", "runs/first/progressive.parquet"]
    ),
    "days together": Reader(run("--until", "progressive"), ["runs/first/progressive.parquet"], ["runs/first/progressive.parquet"]),
    "score": Reader(run("--until", "score"), ["runs/first"], ["runs/first/predictions.parquet"]),
    "baselines": Reader(run("--until", "baselines"), ["runs"], ["runs/*-*/predictions.parquet"]),
    "evaluate": Reader(run("--until", "evaluate"), ["runs"], ["runs/*/metrics.parquet"]),
    "report": Reader(run(), ["runs/first"], ["runs/first/report.html"]),
    "fresh": Reader(run(), ["runs"]),
    "show": Reader(["show", "first"], []),
    "show popularity": Reader(["show", "POPULARITY"], []),
    "show gbdt": Reader(["show", "GBDT"], []),
}
OF = {  # start of a file's place → who reads it
    "raw/": ["ingest"],
    "events/": ["features", DAYS[-1]],
    "users/": ["features"],
    "items/": ["features"],
    **{f"state/FINGERPRINT/{day}": [following] for day, following in pairwise(DAYS)},
    "state/": [DAYS[-1]],
    "examples/": ["encode", "train", "baselines"],
    "encoded/": ["train", "baselines"],
    "learned/FINGERPRINT/day=": ["a state"],
    "learned/FINGERPRINT/journals/": ["a state"],
    "learned/FINGERPRINT/predicted/": ["progressive"],
    "learned/FINGERPRINT/judged/": ["days together"],
    "runs/first/model/": ["score", "report"],
    "runs/first/predictions": ["evaluate", "report"],
    "runs/first/_manifest.predictions": ["evaluate", "fresh"],
    "runs/first/": ["report", "show", "fresh"],
    "runs/popularity-": ["evaluate", "fresh", "show popularity"],
    "runs/gbdt-": ["evaluate", "fresh", "show gbdt"],
    "quarantine/": [],  # for people
}


# For people, for studies, and for the day that comes next.
UNREAD = (
    *("quarantine/", "raw/truth.parquet", "runs/first/report.html", f"state/FINGERPRINT/{DAYS[-1]}"),
    *(f"learned/FINGERPRINT/{place}{DAYS[-2]}" for place in ("", "journals/")),
    *(f"encoded/FINGERPRINT/{DAYS[-1]}/{name}" for name in ("added.parquet", "counts.parquet", "own.json")),
)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)


def made(folder: Path, reader: Reader) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder) if name.startswith(tuple(reader.makes))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("finished")
    assert run_command([*run(), "--workspace", str(workspace), "--quiet"]) == 0
    return workspace / "tiny"


def called(reader: Reader, finished: Path, workspace: Path, flipped: tuple[str, int] | None = None) -> int:
    """Flip the byte in a copy of what is finished, remove what the reader shall make again, and call it."""
    folder = workspace / "tiny"
    shutil.copytree(finished, folder)
    if flipped is not None:
        content = bytearray((folder / flipped[0]).read_bytes())
        content[flipped[1]] ^= 1
        (folder / flipped[0]).write_bytes(content)
    for pattern in reader.gone:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    names = {path.name.partition("-")[0].upper(): path.name for path in (finished / "runs").iterdir()}
    return run_command([*(names.get(word, word) for word in reader.arguments), "--workspace", str(workspace)])


@pytest.fixture(scope="module")
def right(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What each reader makes of whole files."""
    found = {}
    for name, reader in READERS.items():
        workspace = tmp_path_factory.mktemp("right")
        assert called(reader, finished, workspace) == 0, name
        found[name] = made(workspace / "tiny", reader)
    return found


def readers_of(name: str) -> list[str]:
    return next(readers for start, readers in OF.items() if plain(name).startswith(start))


def plain(name: str) -> str:
    """The place without the fingerprint of the features' options."""
    return re.sub(r"^(state|encoded|learned)/\w+/", r"\1/FINGERPRINT/", name)


@pytest.mark.faults
@pytest.mark.parametrize("part", range(8))
def test_every_file(finished: Path, right: dict[str, dict[str, bytes]], tmp_path: Path, capsys: pytest.CaptureFixture, part: int) -> None:
    """Every eighth file, so that workers share them. The byte is drawn by the file's number."""
    wrong = []
    for number, name in list(enumerate(files(finished)))[part::8]:
        reached = False
        position = int(np.random.default_rng(number).integers((finished / name).stat().st_size))
        for reader in readers_of(name):
            workspace = tmp_path / f"{number}-{reader}".replace(" ", "-")
            capsys.readouterr()
            code = called(READERS[reader], finished, workspace, (name, position))
            said = capsys.readouterr().err
            named = code == 4 and _is_named(name, said)
            equal = code == 0 and made(workspace / "tiny", READERS[reader]) == right[reader] | _left_as_it_is(reader, name, workspace)
            reached |= named
            if not (named or equal):
                wrong.append(f"{name}, byte {position}, {reader}: exit {code}, {said.strip()[:200]}")
            shutil.rmtree(workspace)
        workspace = tmp_path / f"{number}-verify"
        code = called(Reader(["verify", TINY, "--run", "first", *FAST], []), finished, workspace, (name, position))
        said = capsys.readouterr().err
        if not (code == 4 and _is_named(name, said)):
            wrong.append(f"{name}, byte {position}, verify: exit {code}, {said.strip()[:200]}")
        if not reached and not plain(name).startswith(UNREAD) and "_manifest" not in name:
            wrong.append(f"{name}: no reader looked at it")
        shutil.rmtree(workspace)
    assert not wrong, "\n".join(wrong)


def _is_named(name: str, said: str) -> bool:
    """Whether a message names the file; of a manifest that lost its checksum, the artifact, which then counts as absent."""
    return name in said or ("_manifest" in name and str(Path(name).parent) in said)


def _left_as_it_is(reader: str, name: str, workspace: Path) -> dict[str, bytes]:
    """The flipped file itself, where the command neither reads nor makes it: it is still there as it was."""
    path = workspace / "tiny" / name
    return {name: path.read_bytes()} if path.exists() and name.startswith(tuple(READERS[reader].makes)) else {}
