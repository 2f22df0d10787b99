"""Tensors in safetensors files: JSON and numbers, so that reading one can run no code.

They are written piece by piece and read as parts of the mapped file. So a file may hold tables that no process holds as a whole.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from recsys.errors import naming
from recsys.spread import Spread

Tensors = Mapping[str, Tensor | Spread]  # a whole tensor, or one whose rows several processes hold

_METADATA = "__metadata__"
_ALIGNED = 8  # bytes of a header end at a multiple of these
_PIECE_NUMBERS = 1 << 22
_NAMES = {  # in the library's order: numbers that are wide come first, so that each tensor is aligned
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}


def write_tensors(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> None:
    """Write the tensors to a file. In the first of the processes that spread one; the others call `hand_over` with the same tensors.

    Raise OSError with the file's name where the disk is full.
    """
    with naming(path), path.open("wb") as file:
        file.write(_header(tensors, metadata))
        for name in _in_order(tensors):
            for piece in pieces(tensors[name]):
                file.write(_bytes(piece))


def hand_over(tensors: Tensors) -> None:
    """Give the first process this one's rows of every spread tensor, while it writes them."""
    for name in _in_order(tensors):
        if isinstance(found := tensors[name], Spread):
            for _ in found.pieces():
                pass


def pieces(tensor: Tensor | Spread) -> Iterator[Tensor]:
    """Yield the numbers of a tensor in order, as tensors on the CPU of moderate size."""
    if isinstance(tensor, Spread):
        yield from tensor.pieces()
        return
    for piece in torch.split(tensor.detach().reshape(-1), _PIECE_NUMBERS):
        yield piece.cpu()


def mapped_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file. They are the file's own memory, which is read when a number is, and must not be written to.

    Raise SafetensorError, OSError or ValueError where it cannot be read.
    """
    with path.open("rb") as file, safe_open(path, framework="numpy"):  # which looks whether the parts fit the file
        header, start = _read_header(file)
    if not any(entry["data_offsets"][1] for entry in header.values()):
        return {name: torch.empty(entry["shape"], dtype=_TYPES[entry["dtype"]]) for name, entry in header.items()}
    data = np.memmap(path, np.uint8, "r", start)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        whole = torch.from_numpy(data)
    return {name: _part(whole, entry) for name, entry in header.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts beside the tensors of a file. Raise SafetensorError where it cannot be read."""
    with safe_open(path, framework="numpy") as file:
        return file.metadata() or {}


def _header(tensors: Tensors, metadata: Mapping[str, str] | None) -> bytes:
    header: dict[str, object] = {} if metadata is None else {_METADATA: dict(metadata)}
    end = 0
    for name in _in_order(tensors):
        tensor = tensors[name]
        size = int(np.prod(tensor.shape, dtype=np.int64)) * tensor.dtype.itemsize
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return len(text).to_bytes(8, "little") + text


def _in_order(tensors: Tensors) -> list[str]:
    order = list(_NAMES)
    return sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name))


def _bytes(piece: Tensor) -> memoryview:
    return piece.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return name → dtype, shape and data_offsets, and where the data begin."""
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    header.pop(_METADATA, None)
    return header, 8 + length


def _part(whole: Tensor, entry: Mapping[str, Any]) -> Tensor:
    first, last = entry["data_offsets"]
    return whole[first:last].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
