"""The log that most jobs of these tests read."""

from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.conftest import write_small


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("log"), np.arange(1200) % 100)
