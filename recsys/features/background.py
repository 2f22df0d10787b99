"""A second thread consumes what the first one produces: it assembles and writes examples while the engine computes the next ones."""

import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import TracebackType
from typing import Any, Generic, TypeVar

from recsys.signals import deferred_interrupt
from recsys.threads import most_threads

Item = TypeVar("Item")
_PAUSE = 0.1  # seconds between two looks at whether the other thread has ended


class Abandoned(Exception):  # noqa: N818 (what happened to the stream, no error of its own)
    """The stream ends early, because its producer has failed."""


class Background(Generic[Item]):
    """One thread that consumes streams of items, one stream after the other. A context manager: leaving it waits for the last one.

    At most one item waits between the two threads. With one that is produced and one that is consumed, three exist at once. Where this
    process may compute with one thread alone (`threads.most_threads`), there is no second one: the caller's consumes.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._running: list[Future[None]] = []
        self._over: list[Event] = []

    def __enter__(self) -> "Background[Item]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._thread.shutdown()
        except BaseException:  # Ctrl-C while the last items are consumed: nobody may write once this is left
            for is_over in self._over:
                is_over.set()
            self._thread.shutdown()
            raise
        if error is None:
            self._raise_failures()

    def stream(self, items: Iterable[Item], consume: Callable[[Iterator[Item]], None]) -> None:
        """Produce the items here, and have `consume` take them there. Return when the last one is produced, maybe before it is consumed.

        What `consume` raised is raised here, by the next call, or on leaving the context. Where producing an item raises, `consume` gets
        Abandoned in place of its next item.
        """
        if most_threads() == 1:
            consume(iter(items))
            return
        handed: queue.Queue[Any] = queue.Queue(1)
        is_whole, is_over = Event(), Event()
        self._over.append(is_over)
        try:
            with deferred_interrupt():
                consumer = self._thread.submit(consume, _handed(handed, is_whole, is_over))
                self._running.append(consumer)
            for item in items:
                _hand(handed, item, consumer)
                self._raise_failures()
            is_whole.set()
        except BaseException:
            is_over.set()
            raise

    def _raise_failures(self) -> None:
        done = [consumer for consumer in self._running if consumer.done()]
        self._running = [consumer for consumer in self._running if consumer not in done]
        for consumer in done:
            consumer.result()


def _handed(handed: "queue.Queue[Any]", is_whole: Event, is_over: Event) -> Iterator[Any]:
    """Yield what is handed over, until the stream is whole. Raise Abandoned once it is over before that."""
    while not is_over.is_set():
        was_whole = is_whole.is_set()  # asked before the queue: what was handed over before that is in it
        try:
            yield handed.get(timeout=0 if was_whole else _PAUSE)
        except queue.Empty:
            if was_whole:
                return
    raise Abandoned


def _hand(handed: "queue.Queue[Any]", item: object, consumer: "Future[None]") -> None:
    """Wait until there is room for the item. Nothing is handed to a consumer that is done: it failed, or wants no more."""
    while not consumer.done():
        try:
            handed.put(item, timeout=_PAUSE)
        except queue.Full:
            continue
        return
