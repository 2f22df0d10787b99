"""A split that is moved forward: `recsys run --through DAY`, and each day of a backtest."""

from datetime import date
from pathlib import Path

import pytest

from recsys import config
from recsys.cli import run_command
from recsys.config import Split
from recsys.stages import run_name

TINY = Path(__file__).resolve().parent.parent / "pipelines" / "tiny.toml"


def split(**days: tuple[int, int]) -> Split:
    return Split.model_validate({part: (date(2024, 1, first), date(2024, 1, last)) for part, (first, last) in days.items()})


@pytest.mark.parametrize(
    ("before", "day", "after"),
    [
        (split(train=(2, 5), validation=(6, 7), test=(8, 10)), 12, split(train=(2, 7), validation=(8, 9), test=(10, 12))),
        (split(train=(2, 5), validation=(6, 7), test=(8, 10)), 7, split(train=(2, 2), validation=(3, 4), test=(5, 7))),
        (split(train=(2, 5), test=(8, 8)), 9, split(train=(2, 6), test=(9, 9))),  # what lies between the parts stays between them
        (split(train=(2, 5), validation=(7, 7), test=(9, 9)), 9, split(train=(2, 5), validation=(7, 7), test=(9, 9))),
        (split(train=(2, 5), validation=(6, 6)), 9, split(train=(2, 8), validation=(9, 9))),
        (split(train=(2, 5)), 9, split(train=(2, 9))),
    ],
)
def test_parts_keep_their_lengths_and_training_grows(before: Split, day: int, after: Split) -> None:
    assert before.ending(date(2024, 1, day)) == after


def test_a_backtest_leaves_no_day_between_the_parts() -> None:
    moved = split(train=(2, 5), validation=(7, 7), test=(9, 10)).ending(date(2024, 1, 12), test_days=1)
    assert moved == split(train=(2, 10), validation=(11, 11), test=(12, 12))


def test_a_split_with_no_day_to_learn() -> None:
    with pytest.raises(ValueError, match="found 2024-01-06, before which 2024-01-02 to 2024-01-06 leaves no day to learn beside 5"):
        split(train=(2, 5), validation=(6, 7), test=(8, 10)).ending(date(2024, 1, 6))


@pytest.mark.words
def test_through_is_the_same_pipeline_with_other_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = [
        'split.train=["2024-01-02","2024-01-02"]',
        'split.validation=["2024-01-03","2024-01-03"]',
        'split.test=["2024-01-04","2024-01-04"]',
    ]
    name = run_name(config.load(TINY, moved))
    options = ["run", str(TINY), "--through", "2024-01-04", "--until", "train", "--workspace", str(tmp_path), "--quiet"]
    assert run_command(options) == 0
    assert [path.name for path in (tmp_path / "tiny" / "runs").iterdir()] == [name]
    assert run_command(["run", str(TINY), "--through", "2024-01-03", "--workspace", str(tmp_path)]) == 2
    assert "--through: found 2024-01-03, before which" in capsys.readouterr().err
