"""The facts about a run: what it learned from, with what confidence, on which rows and days."""

import pyarrow as pa
import pytest

from recsys.config import Train
from recsys.report import frame, read_inside
from recsys.report.pages import tradeoffs, what_was_run
from recsys.stages import STAGES
from tests.report.conftest import PIPELINE, RUN


def test_what_was_run_names_the_runs_that_this_one_learned_from() -> None:
    def facts(**train):
        pipeline = STAGES["report"].receives(PIPELINE.model_copy(update={"train": Train(**train)}))
        return what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)

    assert not {"Started from", "Taught by"} & facts().keys()
    others = facts(init_from="data/x/runs/first", freeze=["experts"], distil_from="data/x/runs/second")
    assert others["Started from"] == "the weights of the run first, experts frozen"
    assert others["Taught by"] == "the run second, whose predictions are learned beside the labels"


@pytest.mark.parametrize(("confidence", "said"), [(0.95, "95%, "), (0.999, "99.9%, "), (0.975, "97.5%, ")])
def test_what_was_run_says_the_confidence_with_its_digits(confidence, said) -> None:
    """Rounded to whole percents, the intervals of .999 were called 100%."""
    evaluate = PIPELINE.evaluate.model_copy(update={"confidence": confidence})
    pipeline = STAGES["report"].receives(PIPELINE.model_copy(update={"evaluate": evaluate}))
    assert what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)["Intervals"].startswith(said)


@pytest.mark.parametrize(("order", "said"), [("shuffled", "9,000 rows in all, "), ("time", "over each day, 9,000 rows on the warm days, ")])
def test_the_rows_of_the_pace_are_in_time_order_those_of_the_warm_days(run, order, said) -> None:
    """A night that had learned eight days called the rows of three of them all."""
    pipeline = PIPELINE.model_copy(update={"train": PIPELINE.train.model_copy(update={"order": order})})
    model = read_inside(run / "model" / "inside.json")
    assert said in what_was_run.facts(pipeline, pa.table({"split": ["test"]}), model, None)["Training"]


@pytest.mark.parametrize(("days", "said"), [(1, "learned the last day of training"), (30, "learned the last 30 days of training")])
def test_the_days_of_a_window_are_counted(days, said) -> None:
    pipeline = PIPELINE.model_copy(update={"evaluate": PIPELINE.evaluate.model_copy(update={"baseline_window_days": days})})
    assert what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)["Baselines"] == said


def test_without_validation_days_nothing_is_said_to_be_learned_from_them_or_found_on_them(predictions, metrics) -> None:
    without = PIPELINE.model_copy(update={"split": PIPELINE.split.model_copy(update={"validation": None})})
    for pipeline, told in ((PIPELINE, True), (without, False)):
        trained = what_was_run.facts(pipeline, pa.table({"split": ["test"]}), None, None)["Training"]
        assert ("validation days learned" in trained, "no refit" in trained) == (told, not told)
        (section, *_) = tradeoffs.sections(RUN, predictions[RUN], frame(metrics), pipeline, tradeoffs.Beside([], None))
        assert ("recsys fuse RUN" in section.widget.markup) is told
