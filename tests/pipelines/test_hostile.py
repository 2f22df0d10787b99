"""Folders from elsewhere: a model cannot run code or reach outside its folder, and a workspace may not lead out of itself."""

import hashlib
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys import artifacts
from recsys.artifacts import MANIFEST
from recsys.artifacts.manifests import beside
from recsys.cli import run_command
from recsys.errors import ArtifactError
from recsys.scoring.model_folder import read_model

from .conftest import PIPELINES

TINY = str(PIPELINES / "tiny.toml")


class Payload:
    """An object that writes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny / "runs/first/model", tmp_path / "theirs/model"))


def _sign(manifest: Path, name: str, content: bytes) -> None:
    """Make a manifest, checksum included, name these bytes, whatever they are."""
    raw = json.loads(manifest.read_text())
    raw["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    raw["checksum"] = artifacts.fingerprint({key: value for key, value in raw.items() if key != "checksum"})
    manifest.write_text(json.dumps(raw))


def _replace(model: Path, name: str, content: bytes) -> None:
    (model / name).write_bytes(content)
    _sign(model / MANIFEST, name, content)


def _header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


FILES = ["model.safetensors", "config.json", "train_means.json", "inside.json", "encoder/layout.json", "encoder/vocabulary.parquet"]
HOSTILE = {
    "empty": b"",
    "deep": b"[" * 200_000,
    "deep object": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "a list": b"[1]",
    "long header": struct.pack("<Q", 2**62) + b"{}",
    "tensor beyond the end": _header(b'{"member.0.x":{"dtype":"F32","shape":[4],"data_offsets":[0,99999]}}'),
    "shape of another size": _header(b'{"x":{"dtype":"F32","shape":[9999999999,9999999999],"data_offsets":[0,4]}}') + bytes(4),
    "no tensors": _header(b"{}"),
    "python": b"__import__('os').mkdir('x')",
}


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_model_is_never_opened(model: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    _replace(model, name, pickle.dumps(Payload(mark)))
    if name == "inside.json":
        read_model(model)  # shown on the page, and not read by a model
    else:
        with pytest.raises(ArtifactError):
            read_model(model)
    assert not mark.exists()


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", [name for name in FILES if name != "inside.json"])
def test_hostile_content_is_refused(model: Path, name: str, content: bytes) -> None:
    _replace(model, name, content)
    with pytest.raises(ArtifactError) as caught:
        read_model(model)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "encoder/../../secret"])
def test_a_manifest_names_nothing_outside_its_folder(model: Path, name: str) -> None:
    (model.parent / "secret").write_text("secret")
    _sign(model / MANIFEST, name, (model.parent / "secret").read_bytes())
    with pytest.raises(ArtifactError, match="names of files outside its folder"):
        read_model(model)


def test_a_deep_manifest_is_a_damaged_one(model: Path) -> None:
    (model / MANIFEST).write_bytes(b'{"a":' * 200_000)
    with pytest.raises(ArtifactError, match="damaged manifest"):
        read_model(model)


@pytest.mark.parametrize("name", ["config.json", "metrics.parquet", "training.jsonl", "predictions.parquet"])
@pytest.mark.parametrize("content", [b"[" * 200_000, b"[1]", b"PAR1", b""])
def test_a_hostile_run_is_refused_by_what_reads_runs(
    tiny: Path, tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture
) -> None:
    run = Path(shutil.copytree(tiny / "runs/first", tmp_path / "runs/theirs"))
    (run / name).write_bytes(content)
    _sign(beside(run / name), name, content)
    workspace = ["--workspace", str(tmp_path / "none")]
    codes = {run_command([*verb, str(run), *workspace]) for verb in (["show"], ["fuse"], ["compare", str(tiny / "runs/first")])}
    assert codes <= {0, 2, 3, 4}
    assert "a bug" not in capsys.readouterr().err


@pytest.mark.parametrize("place", ["", "events", "runs", "runs/first", "runs/first/model", ".locks", "users/part-0.parquet"])
def test_a_link_that_leads_out_of_the_workspace_is_refused(tiny: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture) -> None:
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    mine = Path(shutil.copytree(tiny, workspace / "tiny"))
    shutil.move(mine / place, elsewhere)
    (mine / place if place else mine).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    for verb in (["run"], ["train", "--set", "seed=3"], ["verify", "--repair"], ["unlock"], ["status"]):
        assert run_command([verb[0], TINY, *verb[1:], "--workspace", str(workspace)]) == 4
        assert f"{mine / place if place else mine}: found a link to {elsewhere}" in capsys.readouterr().err
    assert sorted(elsewhere.rglob("*")) == before


def test_a_workspace_may_be_a_link_and_hold_links(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "workspace").symlink_to(tmp_path / "disk")
    mine = Path(shutil.copytree(tiny, tmp_path / "workspace/tiny"))
    shutil.move(mine / "examples", mine.parent / "large")
    (mine / "examples").symlink_to("../large")
    assert run_command(["status", TINY, "--run", "first", "--workspace", str(tmp_path / "workspace")]) == 0
