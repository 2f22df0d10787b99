"""Checkpoint files: whole or not at all, and only for the run they were written by."""

from pathlib import Path

import pytest
import torch

from recsys.errors import ArtifactError
from recsys.training.checkpoint import Checkpoints


def test_what_was_written_is_read(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 2), "b": torch.tensor(7.0), "rng": torch.arange(5, dtype=torch.uint8), "t": torch.randn(2, 4).T}
    Checkpoints(tmp_path / "c", "f1").write("state", tensors, {"place": {"step": 3}, "loss": 0.1 + 0.2})
    saved = Checkpoints(tmp_path / "c", "f1").read("state")
    assert saved is not None
    assert saved.facts["place"] == {"step": 3}
    assert saved.facts["loss"] == 0.1 + 0.2
    assert saved.tensors.keys() == tensors.keys()
    assert all(torch.equal(saved.tensors[name], tensor) for name, tensor in tensors.items())


def test_a_checkpoint_of_another_fingerprint_is_absent(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "f1").write("state-0", {"a": torch.zeros(1)}, {"n": 1})
    assert (Checkpoints(tmp_path, "f1").facts() or {})["n"] == 1
    other = Checkpoints(tmp_path, "f2")
    assert other.read("state-0") is None
    assert other.facts() is None
    assert not other.is_empty
    assert Checkpoints(tmp_path / "nothing", "f1").is_empty
    assert Checkpoints(tmp_path / "nothing", "f1").facts() is None


def test_a_crash_while_writing_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, "f")
    checkpoints.write("state", {"a": torch.zeros(2)}, {"n": 1})

    def crash(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(OSError, match="no space"):
        checkpoints.write("state", {"a": torch.ones(2)}, {"n": 2})
    saved = checkpoints.read("state")
    assert saved is not None
    assert saved.facts["n"] == 1


@pytest.mark.parametrize("keep", [0, 5, 60])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    checkpoints = Checkpoints(tmp_path, "f")
    checkpoints.write("state", {"a": torch.zeros(100)}, {})
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"state\.safetensors: found a checkpoint that cannot be read"):
        checkpoints.read("state")


def test_remove_leaves_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "f")
    checkpoints.write("state", {"a": torch.zeros(1)}, {})
    checkpoints.remove()
    checkpoints.remove()
    assert not (tmp_path / "c").exists()


def test_one_changed_byte_is_found(tmp_path):
    """Wherever it is: safetensors itself does not notice one inside a tensor."""
    checkpoints = Checkpoints(tmp_path / "checkpoint", "mine")
    checkpoints.write("state", {"a": torch.arange(6.0), "b": torch.tensor(1.0)}, {"step": 3})
    path = tmp_path / "checkpoint" / "state.safetensors"
    whole = path.read_bytes()
    for position in range(8, len(whole)):  # the first eight are the length of the header
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            saved = checkpoints.read("state")
        except ArtifactError:
            continue
        assert saved is None or (saved.facts["step"] == 3 and saved.tensors["a"].tolist() == [0, 1, 2, 3, 4, 5]), position
