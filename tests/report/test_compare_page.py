"""Runs against the first: verdicts in words with the number of users, in one table, in the terminal and on a page."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from recsys import artifacts, schema
from recsys.evaluation import comparison, headline, one_within, paired
from recsys.report import comparison_matrix, comparison_words, write_comparison
from recsys.report.figures.figure import legend_of
from recsys.report.figures.front_figures import VERDICTS
from recsys.report.pages.compare_page import verdict_words
from recsys.report.tables.cells import cell_of, rounded_percent
from tests.report.conftest import OBJECTIVES, POPULARITY, RUN, TREES


@pytest.fixture
def rows(predictions: dict[str, pa.Table]) -> pa.Table:
    """The popularity first, and once more last."""
    runs = [(POPULARITY, predictions[POPULARITY]), (RUN, predictions[RUN]), (TREES, predictions[TREES]), ("again", predictions[POPULARITY])]
    found = paired(runs, OBJECTIVES, headline(OBJECTIVES), split="test", bootstrap=30, seed=0)
    return comparison(one_within(found), split="test", confidence=0.95)


def test_one_table_of_all_runs_with_differences_as_in_the_metrics(rows, metrics) -> None:
    assert rows.schema.equals(schema.COMPARISON)
    table = rows.to_pandas()
    old = metrics.to_pandas()
    old = old[old["day"].isna() & (old["slice"] == "all") & (old["split"] == "test") & (old["against"] == POPULARITY)]
    old = old.set_index(["objective", "metric"])
    new = table[table["run"] == RUN].set_index(["objective", "metric"])
    assert "like|click" in table["objective"].to_list()
    assert new["difference"].to_dict() == pytest.approx(old.loc[new.index, "value"].to_dict())
    assert new["difference_low"].to_dict() == pytest.approx(old.loc[new.index, "low"].to_dict())
    assert table.loc[table["run"] == POPULARITY, "difference"].isna().all()


def test_verdicts_are_in_words_with_the_number_of_users(rows, predictions) -> None:
    lines = comparison_matrix(rows).rows
    assert [name for name, _ in lines[:9]] == ["click (auc)", "", "", "", "click (gauc_list)", "", "", "", "dismissal (auc)"]
    assert [cells[0] for _, cells in lines[:4]] == [POPULARITY, RUN, TREES, "again"]
    assert [cells[3] for _, cells in lines[:4]] == ["compared with", "better", "better", "inconclusive at 40 users"]
    rmse = next(place for place, (name, _) in enumerate(lines) if name == "watch (rmse)")
    below = lines[rmse + 1][1][2]
    assert (below.value < 0, lines[rmse + 1][1][3]) == (True, "better")  # lower is better
    test = predictions[RUN].to_pandas().query("split == 'test'")
    unclear = 0
    for row, (_, (_, _, below, words, _)) in zip(rows.to_pylist(), lines, strict=True):
        users = test.loc[test[f"label.{row['objective'].partition('|')[0]}"].notna(), "user_id"].nunique()
        if below is not None and below.low <= 0 <= below.high and "|" not in row["objective"]:
            assert words == f"inconclusive at {users} users"
            unclear += 1
    assert unclear > 0


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0%"), (0.004, "<1%"), (0.01, "1%"), (0.5, "50%"), (0.99, "99%"), (0.997, ">99%"), (1.0, "100%")]
)
def test_a_share_of_which_something_is_missing_is_not_the_whole(share, shown) -> None:
    assert rounded_percent(share) == shown


def test_a_number_without_an_interval_has_the_digits_of_the_page_of_its_run(rows) -> None:
    """Few, and beside them why: the table of a run said .82 where this one said .8246."""
    first, second = rows.slice(0, 2).to_pylist()
    silent = {"low": None, "high": None, "difference_low": None, "difference_high": None, "reason": "too few users (18)"}
    told = [first | silent | {"value": 0.8246}, second | silent | {"value": 0.8293, "difference": 0.0047}]
    (_, top), (_, below) = comparison_matrix(pa.Table.from_pylist(told, schema=schema.COMPARISON)).rows
    assert top[1] == cell_of(0.8246, None, None, "too few users (18)")
    assert (str(top[1]), str(below[1]), str(below[2])) == (".82", ".83", "+.0047")


@pytest.mark.parametrize(("runs", "columns"), [(["night", "mmoe-wide"], 2), (["next-video-wide-2024-01-05", "night"], 1)])
def test_a_legend_cuts_no_name_short(runs, columns) -> None:
    """By default names are cut at 160 pixels: two that differ at their ends looked alike, and a verdict of a sweep was cut."""
    assert legend_of(runs).to_dict() == {"orient": "top", "columns": columns, "labelLimit": 300}
    assert {len(verdict) > 25: legend_of([verdict]).columns for verdict in VERDICTS} == {True: 1, False: 2}


@pytest.mark.parametrize(
    ("verdict", "users", "reason", "words"),
    [
        ("better", 9, None, "better"),
        ("unclear", 12_345, None, "inconclusive at 12,345 users"),
        (None, 1, "too few users (1)", "no verdict: too few users (1)"),
        (None, 9, None, "no verdict: the metric has no better direction"),
    ],
)
def test_every_verdict_has_words(verdict, users, reason, words) -> None:
    assert verdict_words(verdict, users, reason) == words


@pytest.mark.words
def test_the_page_has_the_table_and_a_figure_a_metric(rows, tmp_path: Path) -> None:
    page = tmp_path / "of" / "compare.html"
    write_comparison(page, rows, "shown", {"Runs": "three"}, confidence=0.95, fingerprint="f")
    assert artifacts.verify(page).stage == "compare"
    html = page.read_text(encoding="utf-8")
    assert html.count(">compared with</td>") == len({(r["objective"], r["metric"]) for r in rows.to_pylist()})
    for title in ("Difference in auc; right", "Difference in xauc; right", "Difference in rmse of watch; left"):
        assert title in html
    words, about = comparison_words(rows, 0.95)
    click = next(row for row in rows.to_pylist() if (row["run"], row["metric"]) == (RUN, "auc"))
    assert (click["objective"], click["difference_low"] > 0) == ("click", True)
    number = r"\+\.\d+ \[\+\.\d+, \+\.\d+\]"
    assert re.match(rf"{RUN} against {POPULARITY}\. Finding who will: better on click \(auc\) {number}, ", words), words
    assert (
        f" better on click (auc) {cell_of(click['difference'], click['difference_low'], click['difference_high'], signed=True)}," in words
    )
    assert re.search(r"Ordering a user's list: better on click \(gauc_list\)", words), words
    assert f"again against {POPULARITY}. Finding who will: inconclusive on all " in words
    assert html.count('<tr class="first">') == html.count(">compared with</td>")
    assert "Inconclusive does not mean equal" in about
    judged = sum(row["difference_low"] is not None for row in rows.to_pylist())
    assert f"By chance alone, about {0.05 * judged:.0f} of {judged} intervals would exclude 0." in about


def test_a_number_that_rests_on_part_of_the_rows_says_on_how_many(rows) -> None:
    matrix = comparison_matrix(rows)
    assert matrix.columns[-1] == "coverage"
    shown = [cells[-1] for _, cells in matrix.rows]
    assert shown == ["" if row["coverage"] is None else rounded_percent(row["coverage"]) for row in rows.to_pylist()]
    assert any(text not in ("", "100%") for text in shown)
    whole = comparison_matrix(rows.filter(pa.compute.equal(rows["metric"], "auc")))
    assert "coverage" not in whole.columns
