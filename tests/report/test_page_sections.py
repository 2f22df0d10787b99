"""Sections of the page alone: the days that are judged, days before they were learned, what is not there."""

import pyarrow.compute as pc
import pytest

from recsys.evaluation import read_scores
from recsys.report import frame
from recsys.report.pages import calibration_section, sections
from recsys.report.tables.frame import by_day
from tests.report.conftest import PIPELINE, POPULARITY, RUN


def test_a_validation_day_beside_a_test_day_is_not_called_one_day(short_metrics) -> None:
    """Both are scored, and neither part has rows by day: the whole part is its day."""
    assert sections.days(frame(short_metrics)).nothing.startswith("Each part of the split that was scored is one day")


def test_one_day_before_it_was_learned_is_a_table_and_more_are_figures(metrics) -> None:
    days = by_day(frame(metrics))
    one = sections.progressive(days[days["day"] == days["day"].iloc[0]])
    assert (one.figures, list(one.matrices), one.gist) == ([], ["Each day before it was learned"], "1 day")
    several = sections.progressive(days)
    assert several.figures
    assert list(several.folded_matrices) == ["Each day before it was learned"]


def test_a_day_with_too_few_users_for_an_interval_keeps_its_number_and_says_why(metrics) -> None:
    """The number was left out without a word: of a rare objective most days were empty, and its figure had a point or two."""
    days = by_day(frame(metrics))
    days = days[(days["objective"] == "click") & (days["metric"] == "auc")].drop_duplicates("day")
    few = days["day"] == days["day"].iloc[0]
    days = days.assign(low=days["low"].mask(few), high=days["high"].mask(few), reason=days["reason"].mask(few, "too few users (18)"))
    found = sections.progressive(days)
    ((_, (first,)), (_, (second,)), *_) = found.folded_matrices["Each day before it was learned"].rows
    assert (first.interval, first.reason, second.reason) == ("", "too few users (18)", None)
    assert found.figures[0].text.count("2024-") == len(days)


@pytest.mark.words
def test_what_is_not_there_is_not_explained(short_run, predictions, metrics) -> None:
    own = metrics.filter(pc.field("against").is_null())
    assert "paired difference" in sections.metrics(frame(metrics), PIPELINE)[0].about
    assert "paired difference" not in sections.metrics(frame(own), PIPELINE)[0].about
    assert "single_task" not in sections.metrics(frame(metrics), PIPELINE)[0].about
    place = metrics.column_names.index("against")
    named = metrics.set_column(place, "against", pc.replace_substring(metrics["against"], POPULARITY, "truth-0a0a0a"))
    assert "The truth of the simulated feed is what no ranker" in sections.metrics(frame(named), PIPELINE)[0].about
    values = own.filter(pc.field("metric") != "ece")
    of_values, of_all = (
        calibration_section.section(
            short_run, predictions[RUN], read_scores(predictions[RUN], PIPELINE.objective, RUN, labels=True), frame(table), PIPELINE, None
        )
        for table in (values, own)
    )
    heads = [next(iter(each.folded_matrices.values())).columns for each in (of_values, of_all)]
    assert heads == [("Σp/Σy",), ("Σp/Σy", "ECE")]
