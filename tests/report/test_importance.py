"""The importance of features on the page: the rows of importance.parquet, sorted, in words and in a figure."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import schema
from recsys.progress import Console
from recsys.report import write_report
from recsys.report.pages import importance_section
from tests.report.conftest import SHORT
from tests.staged import ORIGIN, sign

FALLS = {
    ("click", "agg.user_id+topic"): (0.031, 0.02, 0.04),
    ("click", "today"): (-0.002, -0.004, 0.001),
    ("click", "bias.position"): (0.08, 0.07, 0.09),
    ("click", "item"): (0.001, 0.0005, 0.0015),
    ("watch", "agg.user_id+topic"): (0.01, -0.02, 0.04),
    ("watch", "bias.position"): (0.0, 0.0, 0.0),
}


def rows(falls: dict = FALLS, *, permutations: int = 3, reasons: dict | None = None, without: str | None = None) -> pa.Table:
    """`reasons`: objective → why it has no value. `without`: why a fall has no interval where it has none."""
    shared = {"run": "r", "split": "test", "method": "bootstrap", "n": 1234, "permutations": permutations, "seed": 7}
    made = [
        shared
        | {"objective": objective, "feature_group": group, "metric": "xauc" if objective == "watch" else "auc"}
        | dict(zip(("value", "low", "high"), fall, strict=True))
        | {"reason": without if fall[1] is None else None}
        for (objective, group), fall in falls.items()
    ]
    made += [
        shared | {"objective": name, "feature_group": "item", "metric": "auc", "reason": reason} for name, reason in (reasons or {}).items()
    ]
    return pa.Table.from_pylist(made, schema=schema.IMPORTANCE)


def test_groups_are_sorted_by_the_fall_and_named_in_words(pipeline) -> None:
    section = importance_section.section(rows(), pipeline)
    click, watch = section.figures
    drawn = click.spec["layer"][1]["data"]["values"]
    assert [row["group"] for row in drawn] == ["position", "past of user_id × topic", "item columns", "today's counters"]
    assert [(row["value"], row["low"], row["high"]) for row in drawn] == sorted(
        (fall for (objective, _), fall in FALLS.items() if objective == "click"), reverse=True
    )
    assert click.title == "click: AUC falls most by position (.080), then past of user_id × topic (.031)"
    assert watch.title == "watch: no fall of XAUC has an interval above 0"
    assert "today's counters -.0020 [-.0040, .0010]" in click.text
    assert "1,234 test impressions, drawn with seed 7, the mean of 3 permutations" in section.about
    assert "By chance alone, about 0.25 of 5 intervals would exclude 0" in section.about  # one cannot be seen at all


def test_what_has_no_value_is_said_and_not_drawn(pipeline) -> None:
    section = importance_section.section(rows(permutations=1, reasons={"like": "one class: no positive label"}), pipeline)
    assert [figure.title.split(":")[0] for figure in section.figures] == ["click", "watch"]
    assert "No value for like: one class: no positive label." in section.about
    assert "permutations" not in section.about


def test_without_an_interval_the_value_is_drawn_alone(pipeline) -> None:
    section = importance_section.section(rows({("click", "item"): (0.1, None, None)}, without="too few users (2)"), pipeline)
    assert "No interval for click: too few users (2)." in section.about
    (figure,) = section.figures
    assert figure.spec["layer"][1]["data"]["values"][0]["low"] is None
    assert "item columns .1000" in figure.text
    assert figure.title == "click: falls of AUC without intervals, too few users (2)"  # not that intervals include 0


def test_a_name_of_the_users_stays_text(pipeline) -> None:
    evil = "agg.</script><script>alert(1)</script>"
    section = importance_section.section(rows({("click", evil): (0.1, 0.05, 0.15)}), pipeline)
    assert section.figures[0].spec["layer"][1]["data"]["values"][0]["group"] == f"past of {evil[4:]}"


def test_a_run_without_its_file_says_so_and_one_that_asks_for_none_shows_none(pipeline) -> None:
    section = importance_section.section(None, pipeline)
    assert "no importance.parquet" in section.nothing
    without = pipeline.model_copy(update={"evaluate": pipeline.evaluate.model_copy(update={"importance": False})})
    assert importance_section.section(rows(), without).nothing.startswith("The pipeline asks for none")


@pytest.mark.parametrize("group", ["user", "item", "query", "context", "history", "ids", "today", "bias.position", "bias.device"])
def test_every_group_has_words(group: str) -> None:
    assert importance_section.group_words(group)


def test_it_is_a_section_of_the_page(short_run) -> None:
    pq.write_table(rows(), short_run / "importance.parquet")
    sign(short_run / "importance.parquet")
    write_report(short_run, SHORT, account=None, origin=ORIGIN, console=Console(quiet=True))
    html = (short_run / "report.html").read_text(encoding="utf-8")
    assert 'id="importance"' in html
    assert "click: AUC falls most by position" in html
    assert "Importance of features" in html
