"""Two threads, a stream of items between them: order, bounds, and what happens when either one fails."""

import collections
import threading
import time
from collections.abc import Iterator

import pytest

from recsys.features.behind import Abandoned, Behind


def test_items_arrive_in_order_and_streams_one_after_the_other():
    taken: list[tuple[str, int]] = []
    with Behind[int]() as behind:
        for name in ("first", "second"):
            behind.stream(range(5), lambda items, name=name: taken.extend((name, item) for item in items))
    assert taken == [(name, item) for name in ("first", "second") for item in range(5)]


def test_the_next_stream_is_made_while_the_last_one_is_still_taken():
    is_made = threading.Event()

    def take_late(items: Iterator[int]) -> None:
        list(items)
        assert is_made.wait(10)

    def items() -> Iterator[int]:
        is_made.set()
        yield 1

    with Behind[int]() as behind:
        behind.stream([1], take_late)
        behind.stream(items(), collections.deque(maxlen=0).extend)


def test_a_taker_may_leave_items():
    with Behind[int]() as behind:
        behind.stream(range(100), lambda items: None)
        behind.stream(range(100), lambda items: print(next(items)))


def test_no_more_than_one_item_waits():
    made: list[int] = []
    may_take = threading.Event()

    def items() -> Iterator[int]:
        for item in range(6):
            made.append(item)
            yield item

    def take(items: Iterator[int]) -> None:
        assert may_take.wait(10)
        list(items)

    with Behind[int]() as behind:
        maker = threading.Thread(target=behind.stream, args=(items(), take))
        maker.start()
        time.sleep(0.5)
        assert len(made) == 2  # one waits, and one is in the hand of its maker
        may_take.set()
        maker.join()
    assert len(made) == 6


def test_the_error_of_the_taker_ends_the_making():
    def take(items: Iterator[int]) -> None:
        next(items)
        raise OSError("disk full")

    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            made.append(item)
            yield item

    with pytest.raises(OSError, match="disk full"), Behind[int]() as behind:
        behind.stream(items(), take)
    assert len(made) < 1000


def test_the_error_of_a_taker_of_the_last_items_is_raised_at_the_end():
    def take(items: Iterator[int]) -> None:
        list(items)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Behind[int]() as behind:
        behind.stream([1], take)


@pytest.mark.parametrize("error", [ValueError("bad row"), KeyboardInterrupt()])
def test_the_taker_learns_that_the_making_failed_and_nobody_hangs(error: BaseException):
    seen: list[object] = []

    def take(items: Iterator[int]) -> None:
        try:
            seen.extend(items)
        except Abandoned as abandoned:
            seen.append(abandoned)
            raise

    def items() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(type(error)), Behind[int]() as behind:
        behind.stream(items(), take)
    assert seen[0] == 1
    assert isinstance(seen[1], Abandoned)
