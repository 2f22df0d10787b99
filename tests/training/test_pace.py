"""The pace of a training: what the options say, else what the rows ask for; and what makes a training doubtful."""

import pytest
from pydantic import ValidationError

from recsys.config import Model, Train
from recsys.training.pace import FEW_STEPS, Pace, doubts, pace_of


@pytest.mark.parametrize("rows", [1, 511, 512, 900, 4_000, 8_191, 8_192, 137_000, 30_000_000])
def test_batches_are_as_large_as_leaves_a_pass_eight_steps(rows: int) -> None:
    size = pace_of(Train(), rows).batch_size
    assert size in (64, 128, 256, 512, 1024)
    assert rows / size >= 8 or size == 64
    assert rows / (2 * size) < 8 or size == 1024


def test_what_the_options_say_counts() -> None:
    written = Train(batch_size=77, passes=3, day_passes=5, learning_rate=0.5)
    assert pace_of(written, 1_000_000) == Pace(1_000_000, 77, 3, 5, 0.5)
    assert pace_of(Train(batch_size=77), 10).passes == pace_of(Train(), 10).passes


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("batch_size", 0, 'found 0, expected a whole number above 0, or "auto"'),
        ("batch_size", 12.5, 'found 12.5, expected a whole number above 0, or "auto"'),
        ("passes", "many", 'found "many", expected a whole number above 0, or "auto"'),
        ("day_passes", True, "found True, expected a whole number"),
        ("learning_rate", float("nan"), 'found nan, expected a number above 0, or "auto"'),
        ("learning_rate", -1, "found -1, expected a number above 0"),
    ],
)
def test_other_values_are_refused(option: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Train(**{option: value})


def test_few_steps_few_labels_and_one_answer_are_doubts() -> None:
    pace = Pace(rows=3_000, batch_size=128, passes=4, day_passes=1, learning_rate=1e-3)
    few, scarce = doubts(pace, 3_000, "shuffled", {"click": 5_000, "share": 99, "survey": 12})
    assert "found 96 training steps (4 over 3,000 rows in batches of 128), expected 100 or more" in few
    assert "found few labels to learn from, share 99, survey 12 (" in scarce
    assert not list(doubts(Pace(12_800, 128, 1, 1, 1e-3), 12_800, "shuffled", {"click": 100}))
    (alike,) = doubts(Pace(12_800, 128, 1, 1, 1e-3), 12_800, "shuffled", {"click": 100, "share": 0, "survey": 0})
    assert "found one answer in all labels of share, survey, expected yes and no" in alike
    assert alike.endswith("until there are both, objective.share.fusion_weight=0, objective.survey.fusion_weight=0")
    assert not list(doubts(Pace(12_800, 128, 1, 1, 1e-3), 12_800, "time", {"share": 0})), "the warm days say it"
    assert FEW_STEPS == 12_800 / 128
    assert "24 training steps (1 over" in next(doubts(pace, 3_000, "time", {}))


def test_a_log_of_the_demos_size_is_not_doubted() -> None:
    assert not list(doubts(pace_of(Train(), 80_000), 80_000, "shuffled", {"click": 18_000, "share": 700}))


@pytest.mark.parametrize(("members", "rows", "settled"), [("auto", 1_000_000, 4), ("auto", 1_000_001, 1), (2, 10, 2), (9, 10**7, 9)])
def test_members_go_by_the_rows_unless_they_are_said(members: int | str, rows: int, settled: int) -> None:
    model = Model.model_validate({"members": members, "d_tower": 5})
    assert model.settled(rows) == model.model_copy(update={"members": settled})
    assert model.most_members == (4 if members == "auto" else members)


def test_members_that_see_a_share_of_the_columns_are_several_however_many_rows() -> None:
    """One alone would never see the other columns."""
    assert Model(input_share=0.7).settled(1_000_001).members == 4
