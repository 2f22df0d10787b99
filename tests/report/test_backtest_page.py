"""The page and the words of a backtest: which verdict, on how many days, and text from the data stays text."""

from pathlib import Path

import pyarrow as pa
import pytest

from recsys import artifacts, schema
from recsys.report import backtest_matrices, backtest_words, write_backtest
from tests.report.browser import all_drawn, browser_on

EVIL = "</script><script>alert(1)</script>"


def row(run: str, value: float | None, half: float | None = None, **others: object) -> dict[str, object]:
    bounds = {} if half is None else {"low": value - half, "high": value + half}
    about = {"objective": "click", "metric": "auc", "better": "higher", "n": 900, "users": 41, "seeds": 3}
    return dict.fromkeys(schema.BACKTEST.names) | about | {"run": run, "value": value} | bounds | others


def rows(*, days: int = 3) -> pa.Table:
    """A config beside trees: ahead over all days and on two of three, in lists inconclusive, in likes too few users."""
    found = [
        row("net", 0.75, 0.01), row("net", 0.02, 0.01, against=EVIL), row(EVIL, 0.73, 0.01),
        row("net", 0.60, 0.01, metric="gauc_list"), row("net", 0.01, 0.02, against=EVIL, metric="gauc_list"),
        row("net", 0.60, objective="like"), row("net", -0.1, against=EVIL, objective="like", reason="too few users (3)"),
        row("net", 41.0, 0.5, metric="rmse", better="lower"), row("net", 0.9, 0.5, against=EVIL, metric="rmse", better="lower"),
    ]  # fmt: skip
    for place in range(days):
        value = 0.03 if place else -0.01
        found.append(row("net", 0.7, 0.02, day=f"2024-01-0{place + 1}"))
        found.append(row("net", value, 0.02, against=EVIL, day=f"2024-01-0{place + 1}"))
    return pa.Table.from_pylist(found, schema=schema.BACKTEST)


def test_words_give_the_verdicts_and_the_days_with_the_same_sign() -> None:
    first, silent, chance = backtest_words(rows(), 0.95)
    assert first == (
        f"net against {EVIL}. Finding who will: better on click (auc) +.020 [+.010, +.030] (on 2 of 3 days); no verdict on 1 of 2."
        " Ordering a user's list: inconclusive on 1 of 1. Predicting the value: worse on click (rmse) +.90 [+.40, +1.40]."
    )
    assert silent == "No interval and no verdict on like (auc): too few users (3)."
    assert "of 3 intervals would exclude 0" in chance


def test_words_say_why_a_number_has_no_value() -> None:
    reason = "no rows with a known label"
    unknown = [row("net", None, reason=reason), row("net", None, against=EVIL, reason=reason)]
    _, silent = backtest_words(pa.Table.from_pylist(unknown, schema=schema.BACKTEST), 0.95)
    assert silent == f"No interval and no verdict on click (auc): {reason}."


@pytest.mark.parametrize(("whole", "verdict"), [(0.02, "better"), (-0.02, "worse")])
def test_a_day_without_a_difference_has_neither_sign(whole: float, verdict: str) -> None:
    days = [row("net", value, against="trees", day=f"2024-01-0{day}") for day, value in enumerate((2 * whole, whole, 0.0), start=1)]
    table = pa.Table.from_pylist([row("net", 0.7, 0.01), row("net", whole, 0.01, against="trees"), *days], schema=schema.BACKTEST)
    first = backtest_words(table, 0.95)[0]
    assert f"{verdict} on click (auc)" in first
    assert "(on 2 of 3 days)" in first


def test_one_seed_is_said_to_be_one() -> None:
    one = pa.Table.from_pylist([{**each, "seeds": 1} for each in rows().to_pylist()], schema=schema.BACKTEST)
    assert any("One seed" in words for words in backtest_words(one, 0.95))
    assert not any("One seed" in words for words in backtest_words(rows(), 0.95))


def test_a_config_alone_has_values_and_no_verdict() -> None:
    alone = pa.Table.from_pylist([row("net", 0.7, 0.01), row("net", 0.7, 0.02, day="2024-01-01")], schema=schema.BACKTEST)
    (name, matrix), *others = backtest_matrices(alone).items()
    assert (name, others, matrix.columns) == ("net", [], ("value", "n", "users"))
    assert backtest_words(alone, 0.95) == []


def test_each_config_has_a_table_with_a_column_per_other() -> None:
    ((name, matrix),) = backtest_matrices(rows()).items()
    assert (name, matrix.columns) == ("net", ("value", f"vs {EVIL}", "n", "users"))
    cells = dict(matrix.rows)
    assert [str(cell) for cell in cells["click (auc)"][:2]] == [".750 [.740, .760]", "+.020 [+.010, +.030] ▲"]
    assert cells["like (auc)"][1].reason == "too few users (3)"


@pytest.mark.words
@pytest.mark.parametrize("days", [pytest.param(0, marks=pytest.mark.words), 3])
def test_the_page_has_a_line_per_day_and_only_text_from_the_data(tmp_path: Path, days: int) -> None:
    page = tmp_path / "2024-01-01-3-0123ab" / "backtest.html"
    write_backtest(page, rows(days=days), "shown", {"Configs": EVIL}, confidence=0.95, fingerprint="f")
    assert artifacts.verify(page).stage == "backtest"
    html = page.read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert ("by day</caption>" in html) == (days > 0)
    assert ("One day, or nothing to hold a config against." in html) == (days == 0)
    with browser_on(page.as_uri()) as visit:
        shown = visit(390, "dark")
        assert all_drawn(shown) == (1 if days else 0)
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390
