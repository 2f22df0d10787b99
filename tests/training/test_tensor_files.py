"""Files of tensors: the library's bytes, written piece by piece and read as parts of the mapped file."""

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from recsys.nn import spread_lookup
from recsys.process_group import ProcessGroup
from recsys.scoring import tensor_files
from recsys.scoring.tensor_files import mapped_tensors, read_metadata, write_tensors
from recsys.spread import Spread, own_rows

TENSORS = {
    "b.w": torch.randn(3, 5),
    "a": torch.arange(5, dtype=torch.uint8),
    "c": torch.randn(2, dtype=torch.float64),
    "scalar": torch.tensor(3.0),
    "i": torch.arange(7),
    "none": torch.zeros(0, 4),
    "is": torch.tensor([True, False, True]),
    "half": torch.randn(3).half(),
    "bf": torch.randn(5).bfloat16(),
    "j": torch.arange(3, dtype=torch.int32),
    'ü"x': torch.randn(2, 2).T,
}


@pytest.mark.parametrize("metadata", [None, {"facts": '{"q": "ü"}'}])
def test_the_bytes_are_those_of_the_library(tmp_path: Path, metadata: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "_PIECE_NUMBERS", 4)
    save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, tmp_path / "library", metadata)
    write_tensors(tmp_path / "ours", TENSORS, metadata)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "library").read_bytes()
    assert read_metadata(tmp_path / "ours") == (metadata or {})


def test_what_is_mapped_is_what_the_library_reads(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", TENSORS)
    found, expected = mapped_tensors(tmp_path / "file"), load_file(tmp_path / "file")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_a_file_of_empty_tensors_is_read(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {"none": torch.zeros(0, 4)})
    assert mapped_tensors(tmp_path / "file")["none"].shape == (0, 4)


@pytest.mark.parametrize("bytes_left", [5, 60, 300])
def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path, bytes_left: int) -> None:
    write_tensors(tmp_path / "file", TENSORS)
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:bytes_left])
    with pytest.raises(SafetensorError):
        mapped_tensors(tmp_path / "file")


def test_rows_of_several_processes_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process's pieces, put together as `brought_to_first` does, are the whole tables; the last piece is short."""
    whole = torch.arange(2.0 * 11 * 3).view(22, 3)
    monkeypatch.setattr("recsys.spread._PIECE_BYTES", 24)  # two rows
    given: list[list[torch.Tensor]] = []
    for rank in range(3):
        group = ProcessGroup(rank, 3)
        parts: list[torch.Tensor] = []
        monkeypatch.setattr(ProcessGroup, "brought_to_first", lambda group, own, parts=parts: (parts.append(own), own)[1])
        list(Spread(own_rows(whole, 2, group), 2, group, 11).pieces())
        given.append(parts)
    together = iter([torch.stack(parts, dim=1).flatten(0, 1) for parts in zip(*given, strict=True)])
    monkeypatch.setattr(ProcessGroup, "brought_to_first", lambda group, own: next(together))
    found = list(Spread(own_rows(whole, 2, ProcessGroup(0, 3)), 2, ProcessGroup(0, 3), 11).pieces())
    torch.testing.assert_close(torch.cat(found), whole)


def test_each_looked_up_row_is_asked_for_once() -> None:
    rows = torch.tensor([7, 0, 3, 7, 7, 0, 100_000, 3])
    different, places = spread_lookup._different(rows)
    assert different.tolist() == [3, 7, 100_000]
    assert torch.cat([torch.tensor([0]), different])[places].equal(rows)
    assert [part.tolist() for part in spread_lookup._different(rows[:0])] == [[], []]
