"""Folders from elsewhere: a model cannot run code or reach outside its folder, and a workspace may not lead out of itself."""

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import artifacts
from recsys.artifacts import MANIFEST
from recsys.artifacts.manifests import beside
from recsys.cli import run_command
from recsys.errors import ArtifactError
from recsys.scoring.model_folder import read_model
from recsys.workspace import require_inside

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
    """Replace a file of a model, and what every manifest above it says of it."""
    (model / name).write_bytes(content)
    for folder in (folder for folder in (model / name).parents if (folder / MANIFEST).is_file()):
        inside = (model / name).relative_to(folder).as_posix()
        _sign(folder / MANIFEST, inside, content)
        if folder != model:
            _sign(model / MANIFEST, f"{folder.relative_to(model)}/{MANIFEST}", (folder / MANIFEST).read_bytes())


def _parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _damaged(parquet: bytes) -> bytes:
    return parquet[:4] + bytes(60) + parquet[64:]


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
    "an empty object": b"{}",
    "other columns": _parquet(a=[1]),
    "damaged pages": _damaged(_parquet(space=["x"] * 99, value=["y"] * 99, row=[1] * 99)),
}
REFUSED = r"cannot be read|made by an earlier version|damaged manifest"


@pytest.mark.words
@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_model_is_never_opened(model: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    _replace(model, name, pickle.dumps(Payload(mark)))
    if name == "inside.json":
        read_model(model)  # shown on the page, and not read by a model
    else:
        with pytest.raises(ArtifactError, match=REFUSED):
            read_model(model)
    assert not mark.exists()


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", [name for name in FILES if name != "inside.json"])
def test_hostile_content_is_refused(model: Path, name: str, content: bytes) -> None:
    _replace(model, name, content)
    if (name, content) == ("train_means.json", b"{}"):
        assert read_model(model).train_means == {}  # a model of no means
        return
    with pytest.raises(ArtifactError, match=REFUSED) as caught:
        read_model(model)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "encoder/../../secret"])
def test_a_manifest_names_nothing_outside_its_folder(model: Path, name: str) -> None:
    (model.parent / "secret").write_text("secret")
    _sign(model / MANIFEST, name, (model.parent / "secret").read_bytes())
    with pytest.raises(ArtifactError, match="which is outside its folder"):
        read_model(model)


def test_a_deep_manifest_is_a_damaged_one(model: Path) -> None:
    (model / MANIFEST).write_bytes(b'{"a":' * 200_000)
    with pytest.raises(ArtifactError, match="damaged manifest"):
        read_model(model)


@pytest.mark.parametrize(
    "files",
    [5, ["x"], {"x": 5}, {"x": {}}, {"x": {"bytes": "1", "sha256": "a"}}, {"x": {"bytes": 1, "sha256": 7}}, {"x" * 100_000: {"bytes": 1}}],
)
def test_a_manifest_of_another_form_is_a_damaged_one(model: Path, files: object) -> None:
    raw = json.loads((model / MANIFEST).read_text()) | {"files": files}
    raw["checksum"] = artifacts.fingerprint({key: value for key, value in raw.items() if key != "checksum"})
    (model / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(ArtifactError, match="damaged manifest") as caught:
        read_model(model)
    assert len(str(caught.value)) < 1_000


READ_BY = {"config.json": ("show", "fuse", "compare"), "metrics.parquet": ("show",), "predictions.parquet": ("fuse", "compare")}


@pytest.mark.parametrize("name", READ_BY)
@pytest.mark.parametrize("content", [b"[" * 200_000, b"[1]", b"{}", b"PAR1", b"", _parquet(a=[1]), _damaged(_parquet(a=[1] * 99))])
def test_what_reads_a_run_names_a_file_that_is_none(
    tiny: Path, tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture
) -> None:
    run = Path(shutil.copytree(tiny / "runs/first", tmp_path / "runs/theirs"))
    (run / name).write_bytes(content)
    _sign(beside(run / name), name, content)
    for verb in READ_BY[name]:
        runs = [str(tiny / "runs/first"), str(run)] if verb == "compare" else [str(run)]
        more = ["--maximise", "click"] if verb == "fuse" else []
        code = run_command([verb, *runs, *more, "--workspace", str(tmp_path / "none")])
        said = capsys.readouterr().err
        if (name, content) == ("predictions.parquet", _parquet(a=[1])):
            assert code in (2, 3), said  # a table, and its columns are those of another system
        else:
            assert (code, name in said) == (4, True), said


@pytest.mark.parametrize("place", ["", "events", "runs", "runs/first", "runs/first/model", ".locks", "users/part-0.parquet"])
def test_a_link_that_leads_out_of_the_workspace_is_refused(tiny: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture) -> None:
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    mine = Path(shutil.copytree(tiny, workspace / "tiny"))
    shutil.move(mine / place, elsewhere)
    (mine / place if place else mine).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    for verb in (["run"], ["train", "--set", "seed=3"], ["verify", "--repair"], ["unlock"], ["status"], ["prune", "--yes"]):
        assert run_command([verb[0], TINY, *verb[1:], "--workspace", str(workspace)]) == 4
        assert f"{mine / place if place else mine}: found a link to {elsewhere}" in capsys.readouterr().err
    assert run_command(["fuse", "first", "--maximise", "click", "--workspace", str(workspace)]) == 4
    assert sorted(elsewhere.rglob("*")) == before


def test_a_workspace_may_be_a_link_and_hold_links(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "workspace").symlink_to(tmp_path / "disk")
    mine = Path(shutil.copytree(tiny, tmp_path / "workspace/tiny"))
    shutil.move(mine / "examples", mine.parent / "large")
    (mine / "examples").symlink_to("../large")
    assert run_command(["status", TINY, "--run", "first", "--workspace", str(tmp_path / "workspace")]) == 0


def test_a_link_that_leads_to_a_link_that_leads_out_is_refused(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mine = Path(shutil.copytree(tiny, tmp_path / "workspace/tiny"))
    (place,) = (mine / "examples").iterdir()
    shutil.move(place, tmp_path / "elsewhere")
    shutil.move(mine / "examples", mine.parent / "large")
    (mine / "examples").symlink_to("../large")
    (mine.parent / "large" / place.name).symlink_to(tmp_path / "elsewhere")
    assert run_command(["run", TINY, "--run", "first", "--workspace", str(mine.parent)]) == 4
    assert f"large/{place.name}: found a link to {tmp_path / 'elsewhere'}" in capsys.readouterr().err


def test_links_that_lead_nowhere_end_with_their_name(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mine = Path(shutil.copytree(tiny, tmp_path / "workspace/tiny"))
    shutil.rmtree(mine / "encoded")
    (mine / "encoded").symlink_to("round")
    (mine / "round").symlink_to("encoded")
    assert run_command(["run", TINY, "--run", "first", "--workspace", str(mine.parent)]) == 4
    assert f"{mine / 'encoded'}" in capsys.readouterr().err


def test_folders_that_come_and_go_are_no_error(tmp_path: Path) -> None:
    """As the drafts of another job do."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            (tmp_path / "a/draft").mkdir(parents=True)
            shutil.rmtree(tmp_path / "a")

    other = threading.Thread(target=churn)
    other.start()
    try:
        for _ in range(3_000):
            require_inside(tmp_path, tmp_path)
    finally:
        stop.set()
        other.join()
