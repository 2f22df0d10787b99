"""A text file of any encoding and separator, read as UTF-8 with a separator of one byte: all that the readers know."""

import codecs
import io
import zlib
from pathlib import Path
from typing import BinaryIO

from recsys.errors import DataError, data_error

STAND_IN = "\x1f"  # ASCII's unit separator: it stands for a separator of several bytes
_BLOCK = 1 << 20  # bytes read at once


def needs_decoding(separator: str) -> bool:
    """Return whether a separator is longer than the one byte that the readers take."""
    return len(separator.encode()) > 1


def damaged_gzip(path: Path, error: Exception) -> DataError:
    return data_error(str(path), found=f"a damaged gzip file ({error})", expected="a whole one", fix="copy or export it again")


class Utf8Bytes(io.RawIOBase):
    """The bytes of a text as UTF-8. A separator that is given is replaced by STAND_IN.

    Single bytes that are no text in `encoding` come out as they are, so that the readers find those that are not UTF-8. Raises DataError
    where the text holds STAND_IN itself beside such a separator, where its encoding breaks off, or where it is compressed and damaged.
    """

    def __init__(self, raw: BinaryIO, path: Path, encoding: str, separator: str | None) -> None:
        self._raw, self._path, self._encoding, self._separator = raw, path, encoding, separator
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="surrogateescape")
        self._held, self._ready = "", memoryview(b"")  # text that may end within a separator; bytes that are not asked for yet

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # io's own type takes any buffer
        while not self._ready:
            try:
                data = self._raw.read(_BLOCK)
            except (OSError, EOFError, zlib.error) as error:
                raise damaged_gzip(self._path, error) from error
            self._ready = memoryview(self._converted(data))
            if not data and not self._ready:
                return 0
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _converted(self, data: bytes) -> bytes:
        """Return the next bytes. No data is the end of the file."""
        try:
            text = self._decoder.decode(data, final=not data)
            if self._separator is not None:
                text = self._separated(self._separator, text, is_last=not data)
            return text.encode("utf-8", errors="surrogateescape")
        except UnicodeError as error:
            raise data_error(
                str(self._path), found=f"bytes that do not fit ({error})", expected=f"text in {self._encoding}", fix="name its encoding"
            ) from error

    def _separated(self, separator: str, text: str, *, is_last: bool) -> str:
        if STAND_IN in text:
            raise data_error(
                str(self._path),
                found=f"the byte 0x{ord(STAND_IN):02X} in a text whose fields are separated by {separator!r}",
                expected="text without it, because the reader puts it in the separator's place",
                fix="take that byte out of the file",
            )
        *fields, rest = (self._held + text).split(separator)
        most = 0 if is_last else len(separator) - 1  # characters that may begin a separator
        self._held = rest[len(rest) - most :] if most else ""
        return STAND_IN.join([*fields, rest[: len(rest) - len(self._held)]])
