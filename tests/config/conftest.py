"""The smallest pipeline, and how a test writes one and asks what is wrong with it."""

from pathlib import Path

import pytest

from recsys import config
from recsys.errors import ConfigError

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
SMALLEST = """
[source]
kind = "table"
log = "log.csv"
[split]
train = ["2022-04-25", "2022-05-02"]
[[objective]]
name = "click"
label = "is_click = 1"
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "feed.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def problems(path: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config.load(path, overrides)
    assert caught.value.exit_code == 2
    return caught.value.problems
