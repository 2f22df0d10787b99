"""Tensors written to safetensors files: JSON and numbers, so that reading one can run no code."""

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors to a file. Raise OSError with the file's name where the disk is full; the library has an error of its own."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, None if metadata is None else dict(metadata))
    except SafetensorError as error:
        found = re.search(r"(?:os error|code:) (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from error
