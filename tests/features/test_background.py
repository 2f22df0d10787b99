"""Two threads, a stream of items between them: order, bounds, and what happens when either one fails."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from recsys.features import background as module
from recsys.features.background import Abandoned, Background


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what must come true, however slow the machine is."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("threads", [None, 1])
def test_items_arrive_in_order_and_streams_one_after_the_other(threads: int | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "most_threads", lambda: threads)
    consumed: list[tuple[str, int, int]] = []
    with Background[int]() as background:
        for name in ("first", "second"):
            background.stream(range(5), lambda items, name=name: consumed.extend((name, item, threading.get_ident()) for item in items))
    assert [(name, item) for name, item, _ in consumed] == [(name, item) for name in ("first", "second") for item in range(5)]
    assert {ident == threading.get_ident() for _, _, ident in consumed} == {threads == 1}


def test_the_next_stream_is_produced_while_the_last_one_is_still_consumed():
    is_produced = threading.Event()

    def consume_late(items: Iterator[int]) -> None:
        list(items)
        assert is_produced.wait(60)

    def items() -> Iterator[int]:
        is_produced.set()
        yield 1

    with Background[int]() as background:
        background.stream([1], consume_late)
        background.stream(items(), lambda items: None)


def test_a_consumer_may_leave_items():
    consumed: list[int] = []
    with Background[int]() as background:
        background.stream(range(100), lambda items: None)
        background.stream(range(100), lambda items: consumed.append(next(items)))
    assert consumed == [0]


def test_no_more_than_one_item_waits():
    produced: list[int] = []
    may_consume = threading.Event()

    def items() -> Iterator[int]:
        for item in range(6):
            produced.append(item)
            yield item

    def consume(items: Iterator[int]) -> None:
        assert may_consume.wait(60)
        list(items)

    with Background[int]() as background:
        producer = threading.Thread(target=background.stream, args=(items(), consume))
        producer.start()
        wait_until(lambda: len(produced) == 2)  # one waits, and one is in the hand of its producer
        time.sleep(0.3)
        assert len(produced) == 2
        may_consume.set()
        producer.join()
    assert len(produced) == 6


def test_the_error_of_the_consumer_ends_the_producing():
    def consume(items: Iterator[int]) -> None:
        next(items)
        raise OSError("disk full")

    produced: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            produced.append(item)
            yield item

    with pytest.raises(OSError, match="disk full"), Background[int]() as background:
        background.stream(items(), consume)
    assert len(produced) < 1000


def test_the_error_of_a_consumer_of_the_last_items_is_raised_at_the_end():
    def consume(items: Iterator[int]) -> None:
        list(items)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Background[int]() as background:
        background.stream([1], consume)


@pytest.mark.parametrize("error", [ValueError("bad row"), KeyboardInterrupt()])
def test_the_consumer_learns_that_the_producing_failed_and_nobody_hangs(error: BaseException):
    seen: list[object] = []

    def consume(items: Iterator[int]) -> None:
        try:
            for item in items:
                seen.append(item)
        except Abandoned as abandoned:
            seen.append(abandoned)
            raise

    def items() -> Iterator[int]:
        yield 1
        wait_until(lambda: seen == [1])
        raise error

    with pytest.raises(type(error)), Background[int]() as background:
        background.stream(items(), consume)
    assert seen[0] == 1
    assert isinstance(seen[1], Abandoned)


def test_a_stream_that_was_produced_whole_is_consumed_whole_though_the_next_one_fails():
    consumed: list[int] = []
    may_consume = threading.Event()

    def consume(items: Iterator[int]) -> None:
        assert may_consume.wait(60)
        consumed.extend(items)

    def failing() -> Iterator[int]:
        may_consume.set()
        raise ValueError("bad row")
        yield 1

    def both() -> None:
        with Background[int]() as background:
            background.stream([1], consume)
            background.stream(failing(), lambda items: None)

    with pytest.raises(ValueError, match="bad row"):
        both()
    assert consumed == [1]


def test_a_second_interrupt_while_the_consumer_is_at_work_does_not_hang():
    """The producer must not wait for the consumer before it says that the stream is over."""
    is_consuming, may_go_on = threading.Event(), threading.Event()
    over: list[object] = []

    def consume(items: Iterator[int]) -> None:
        next(items)
        is_consuming.set()
        assert may_go_on.wait(60)
        try:
            list(items)
        except Abandoned as abandoned:
            over.append(abandoned)
            raise

    def items() -> Iterator[int]:
        yield 1
        assert is_consuming.wait(60)
        yield 2  # it fills the place between the threads
        raise KeyboardInterrupt

    background = Background[int]()
    with pytest.raises(KeyboardInterrupt):
        background.stream(items(), consume)  # returns although the consumer is not done and the place is full
    may_go_on.set()
    background.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(over) == 1


def test_nobody_writes_once_an_interrupt_has_ended_the_waiting(monkeypatch: pytest.MonkeyPatch):
    """Ctrl-C while the last items are consumed: the consumer finds its stream abandoned, and is waited for."""
    is_consuming = threading.Event()
    ended: list[object] = []

    def consume(items: Iterator[int]) -> None:
        is_consuming.set()
        try:
            for _ in items:
                wait_until(background._over[0].is_set)
        except Abandoned as abandoned:
            ended.append(abandoned)
            raise

    interrupts: list[bool] = []
    background = Background[int]()
    background.stream([1, 2], consume)
    whole_shutdown = background._thread.shutdown

    def shutdown() -> None:
        if not interrupts:
            assert is_consuming.wait(60)
            interrupts.append(True)
            raise KeyboardInterrupt
        whole_shutdown()

    monkeypatch.setattr(background._thread, "shutdown", shutdown)
    with pytest.raises(KeyboardInterrupt):
        background.__exit__(None, None, None)
    assert len(ended) == 1
