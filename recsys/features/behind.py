"""A second thread takes what the first one makes: while it puts examples together and writes them, the engine computes the next ones."""

import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
_PAUSE = 0.1  # seconds between two looks at whether the taker is done
_END = object()


class Abandoned(Exception):  # noqa: N818 (what happened to the stream, no error of its own)
    """The stream ends early, because what makes its items has failed."""


class Behind(Generic[Item]):
    """One thread that takes streams of items, one stream after the other. A context manager: leaving it waits for the last one.

    One item at most waits between the two threads, so memory stays bounded.
    """

    def __enter__(self) -> "Behind[Item]":
        self._thread = ThreadPoolExecutor(1)
        self._running: list[Future[None]] = []
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown()
        if error is None:
            self._raise_failures()

    def stream(self, items: Iterable[Item], take: Callable[[Iterator[Item]], None]) -> None:
        """Make the items here, and have `take` take them there. Return when the last one is made, maybe before it is taken.

        What `take` raised is raised here, by the next call, or on leaving the context. Where making an item raises, `take` gets Abandoned
        in its place.
        """
        handed: queue.Queue[object] = queue.Queue(1)
        taker = self._thread.submit(take, _taken(handed))
        self._running.append(taker)
        try:
            for item in items:
                _hand(handed, item, taker)
                self._raise_failures()
            _hand(handed, _END, taker)
        except BaseException as error:
            _hand(handed, Abandoned(repr(error)), taker)
            raise

    def _raise_failures(self) -> None:
        done = [taker for taker in self._running if taker.done()]
        self._running = [taker for taker in self._running if taker not in done]
        for taker in done:
            taker.result()


def _taken(handed: "queue.Queue[object]") -> Iterator[Item]:
    while (item := handed.get()) is not _END:
        if isinstance(item, Abandoned):
            raise item
        yield item  # type: ignore[misc]  # the queue holds items and the two marks alone


def _hand(handed: "queue.Queue[object]", item: object, taker: "Future[None]") -> None:
    """Wait until there is room for the item. Nothing is handed to a taker that is done: it failed, or wants no more."""
    while not taker.done():
        try:
            handed.put(item, timeout=_PAUSE)
        except queue.Full:
            continue
        return
