"""A text file of any encoding and separator, read as UTF-8 with a separator of one byte: all that the readers know."""

import codecs
import io
from pathlib import Path
from typing import BinaryIO

from recsys.errors import data_error

STAND_IN = "\x1f"  # ASCII's unit separator: it stands for a separator of several bytes
_BLOCK = 1 << 20  # bytes read at once


def needs_decoding(separator: str) -> bool:
    """Return whether a separator is longer than the one byte that the readers take."""
    return len(separator.encode()) > 1


class Utf8Bytes(io.RawIOBase):
    """The bytes of a text as UTF-8. A separator that is given is replaced by STAND_IN.

    Bytes that are no text in `encoding` come out as bytes that are not UTF-8, so that the readers find them. Raises DataError where the
    text holds STAND_IN itself beside such a separator, or where its encoding breaks off.
    """

    def __init__(self, raw: BinaryIO, path: Path, encoding: str, separator: str | None) -> None:
        self._raw, self._path, self._encoding, self._separator = raw, path, encoding, separator
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="surrogateescape")
        self._held, self._ready = "", memoryview(b"")  # text that may end within a separator; bytes that are not asked for yet

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # io's own type takes any buffer
        while not self._ready:
            data = self._raw.read(_BLOCK)
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
        except UnicodeError as error:
            raise data_error(
                str(self._path), found=f"bytes that do not fit ({error})", expected=f"text in {self._encoding}", fix="name its encoding"
            ) from error
        if self._separator is not None:
            text = self._separated(self._separator, text, is_last=not data)
        return text.encode("utf-8", errors="surrogateescape")

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
