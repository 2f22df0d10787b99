"""Fixtures for all tests: seeds, and where the real data lies."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("RECSYS_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(autouse=True)
def torch_seed() -> None:
    """A test that draws without a seed draws the same numbers whichever tests its process ran before. Imports torch for no test."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What a test writes need not outlive the machine: a third of the time of a small training was spent waiting for its files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def open_bandit() -> Path:
    """The folder of the real Open Bandit files; the test is skipped where they are absent."""
    folder = SHARED_DATA / "open-bandit"
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}")
    return folder


@pytest.fixture(scope="session")
def kuairand_pure() -> Path:
    """The folder of the real KuaiRand-Pure files; the test is skipped where they are absent."""
    folder = SHARED_DATA / "kuairand-pure"
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}")
    return folder
