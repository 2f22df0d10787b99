"""Read a stream of Python by Arrow's CSV reader, whose own thread reads ahead, and leave nothing of Python with that thread."""

import codecs
import collections
import contextlib
import threading
import traceback
import weakref
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.csv

T = TypeVar("T")
_PATIENCE = 10.0  # seconds in which Arrow gives back what it holds
_OF_ROWS = (pa.ArrowInvalid, UnicodeError, OSError, EOFError, zlib.error)  # what the bytes of a file can raise


class Utf8Stream:
    """A stream of bytes that raises UnicodeError at the first that are no text: Arrow looks at the cells of usable rows only."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._decoder = raw, codecs.getincrementaldecoder("utf-8")()
        self._reading = threading.Lock()
        self.has_ended = False

    def read(self, size: int = -1) -> bytes:
        with self._reading:
            if self.has_ended:
                return b""
            data = self._raw.read(size)
            self._decoder.decode(data, final=not data)
            if b"\0" in data:
                raise UnicodeError("a zero byte")
            return data

    def end(self) -> None:
        """Give no more bytes from now on, and wait for a read that is under way."""
        self.has_ended = True
        with self._reading:
            pass

    @property
    def closed(self) -> bool:
        return self._raw.closed

    def close(self) -> None:
        self._raw.close()


@contextlib.contextmanager
def read_out(opened: Callable[["_Lent"], pa.csv.CSVStreamingReader], stream: Utf8Stream) -> Iterator[list[pa.csv.CSVStreamingReader]]:
    """Yield a reader of the stream, in a list that is empty after the block. Then Arrow has given back all that it held of Python.

    A thread of Arrow reads ahead. Where Python ends while that thread still holds something of it, Python aborts or waits forever. So what
    is read ahead is thrown away, and the thread is waited for.
    """
    readers, held = list[pa.csv.CSVStreamingReader](), _Held()
    lent = held.added(_Lent(stream, held))
    try:
        readers.append(opened(lent))
        yield readers
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # a read that has failed still holds what was lent, and so would not give it back
        raise
    finally:
        del lent
        stream.end()
        with contextlib.suppress(*_OF_ROWS):  # that nobody asks for
            collections.deque(*readers, maxlen=0)
        readers.clear()
        held.wait()


class _Held:
    """Counts the objects that Arrow alone holds."""

    def __init__(self) -> None:
        self._number = 0
        self._changed = threading.Condition()

    def added(self, thing: T) -> T:
        with self._changed:
            self._number += 1
        weakref.finalize(thing, self._given_back).atexit = False
        return thing

    def wait(self) -> None:
        """Wait until Arrow has given back all of them, but not for ever: a process that may abort as it ends has done its work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._number, _PATIENCE)

    def _given_back(self) -> None:
        with self._changed:
            self._number -= 1
            self._changed.notify_all()


class _Lent:
    """A stream as it is lent to Arrow."""

    def __init__(self, stream: Utf8Stream, held: _Held) -> None:
        self._stream, self._held = stream, held

    def read(self, size: int = -1) -> memoryview:
        return self._held.added(memoryview(self._stream.read(size)))  # bytes cannot be followed

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def close(self) -> None:
        self._stream.close()
