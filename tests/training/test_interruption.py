"""Ctrl-C: a flag first, an exception the second time, and never lost."""

import signal
import threading
from collections.abc import Iterator

import pytest

from recsys.signals import deferred_interrupt


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell that runs the tests in the background ignores SIGINT for them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _pressed(times: int, requested: list[bool]) -> None:
    with deferred_interrupt() as interruption:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            requested.append(interruption.requested)


def test_the_first_one_sets_a_flag_and_is_raised_at_the_end() -> None:
    requested: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        _pressed(1, requested)
    assert requested == [True]


def test_the_second_one_acts_at_once() -> None:
    requested: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        _pressed(3, requested)
    assert requested == [True]  # the line behind the second one was never reached


def test_the_handler_of_before_is_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as interruption:
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
    assert not interruption.requested


def test_other_threads_run_without_a_handler() -> None:
    found: list[bool] = []

    def work() -> None:
        with deferred_interrupt() as interruption:
            found.append(interruption.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
