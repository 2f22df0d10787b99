"""What an error of the engine becomes."""

import os
import signal
import threading
from pathlib import Path

import pytest

from recsys.sources.database import engine


def _many_queries(folder: Path) -> None:
    """Short ones: a long query is stopped only where the engine looks."""
    with engine(folder, "1GB") as con:
        for _ in range(10_000):
            con.execute("SELECT max(md5(CAST(range AS VARCHAR))) FROM range(200000)").fetchall()


def test_ctrl_c_in_a_query_is_an_interruption_and_leaves_nothing(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            _many_queries(tmp_path)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_engine_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), engine(tmp_path, "1GB"):
        raise RuntimeError("mine")
