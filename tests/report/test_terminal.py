import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys.progress import Console
from recsys.report import terminal_matrix, terminal_table
from recsys.report.tables.cells import Cell, Matrix
from recsys.report.tables.frame import UNCLEAR


def printed(rows: pa.Table, columns: int | None, monkeypatch, capsys) -> str:
    monkeypatch.setenv("COLUMNS", "" if columns is None else str(columns))
    terminal_table(rows, Console())
    return capsys.readouterr().out


def many_objectives(metrics: pa.Table) -> pa.Table:
    """Eighteen lines of objectives with long names and counts."""
    copies = [
        metrics.set_column(
            metrics.column_names.index("objective"), "objective", pc.binary_join_element_wise(metrics["objective"], str(n), "_profile")
        )
        for n in range(3)
    ]
    return pa.concat_tables(copies)


def test_fits_a_pipe_with_all_columns(metrics, monkeypatch, capsys) -> None:
    out = printed(many_objectives(metrics), None, monkeypatch, capsys)
    assert max(map(len, out.splitlines())) <= 140
    for column in ("objective", "group", "metric", "value", "n", "positives", "vs popularity", "vs gbdt"):
        assert column in out
    table = out.partition("vs: the difference")[0]
    assert table.count("rmse") == table.count("xauc") == 6


def test_splits_of_other_names_are_shown_where_there_is_no_test(metrics, monkeypatch, capsys) -> None:
    """As in a file of another system, whose `split` may be any text."""
    named = pc.if_else(pc.equal(metrics["split"], "test"), "holdout", "dev")
    found = printed(metrics.set_column(metrics.column_names.index("split"), "split", named), 200, monkeypatch, capsys)
    assert [line for line in found.splitlines() if line.endswith(": dev")]
    assert "click" in found


@pytest.mark.parametrize("columns", [100, 80, 50])
def test_a_narrow_terminal_gets_fewer_columns_but_every_value(metrics, columns, monkeypatch, capsys) -> None:
    out = printed(metrics, columns, monkeypatch, capsys)
    assert max(map(len, out.splitlines())) <= columns
    assert "vs gbdt" in out
    assert "positives" not in out
    pooled = 6  # click, dismissal, like, like|click, and xauc of watch and survey; each once more within lists or users
    assert out.partition("vs: the difference")[0].count("auc") == 2 * pooled
    assert "Against gbdt. Finding who will: better on click (auc), watch" in " ".join(out.split())


@pytest.mark.parametrize("columns", [60, 48, 20])
def test_words_are_broken_only_where_they_do_not_fit(columns, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    cell = Cell(-0.0123, -0.0345, 0.0101, verdict=UNCLEAR, signed=True)
    row = ("watch_time (xgauc_list)", ("a", cell, "inconclusive at 126 users", "77%"))
    terminal_matrix("p", Matrix("objective", ("run", "minus ple", "verdict", "coverage"), (row,)), Console())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    words = ("(xgauc_list)", "minus", "inconclusive", "coverage")
    assert all(any(word in line for line in lines) for word in words) is (columns > 20)
    assert any("-.012 ·" in line for line in lines) is (columns == 60)


def test_numbers_and_marks_are_those_of_the_rows(metrics, monkeypatch, capsys) -> None:
    out = printed(metrics, 200, monkeypatch, capsys)
    line = next(line for line in out.splitlines() if line.startswith("click"))
    chosen = metrics.filter(
        (pc.field("objective") == "click")
        & (pc.field("metric") == "auc")
        & (pc.field("split") == "test")
        & (pc.field("slice") == "all")
        & pc.field("day").is_null()
    ).to_pylist()
    value, popularity, trees = (
        next(row for row in chosen if row["against"] == name) for name in (None, "popularity-aaaaaaaaaaaa", "gbdt-bbbbbbbbbbbb")
    )
    assert f"{value['value']:.3f}".lstrip("0") in line
    assert popularity["low"] > 0
    assert line.count("▲") == 1 + (trees["low"] > 0)


def test_a_conditional_form_is_a_line_of_its_own_that_is_said_in_words(metrics, monkeypatch, capsys) -> None:
    out = printed(metrics, 200, monkeypatch, capsys)
    starts = [line.split()[0] for line in out.partition("vs: the difference")[0].splitlines() if " auc " in line]
    assert starts == ["click", "dismissal", "like", "like|click"]
    assert "like|click: like, given click." in out
    assert "like: " not in out


def test_prefers_the_test_and_falls_back_to_validation(metrics, monkeypatch, capsys) -> None:
    assert "mmoe-0123456789ab: test" in printed(metrics, 200, monkeypatch, capsys)
    validation = metrics.filter(pc.equal(metrics["split"], "validation"))
    assert "mmoe-0123456789ab: validation" in printed(validation, 200, monkeypatch, capsys)


def test_an_undefined_value_is_a_dash_with_its_reason(metrics, monkeypatch, capsys) -> None:
    undefined = [
        row | ({"value": None, "low": None, "high": None, "reason": "[bold]one class[/bold]"} if row["objective"] == "click" else {})
        for row in metrics.to_pylist()
    ]
    out = printed(pa.Table.from_pylist(undefined, schema=metrics.schema), 200, monkeypatch, capsys)
    assert "click auc: no value: [bold]one class[/bold]" in out
    assert "nan" not in out.lower()


def test_what_the_fused_order_captures_is_a_table_of_its_own(metrics, monkeypatch, capsys) -> None:
    """Of the first percentage there is, in the order of the rows; the direction is the objective's."""
    out = printed(metrics, 200, monkeypatch, capsys)
    main, title, table = out.partition("mmoe-0123456789ab: test, what the fused order captures of each objective")
    assert title
    assert "captured@" not in main
    lines = [line.split() for line in table.splitlines() if "captured@10%" in line and not line.startswith("Against")]
    assert [line[0] for line in lines] == ["click", "dismissal", "watch", "like", "survey"]
    chosen = metrics.filter(
        (pc.field("metric") == "captured@10%")
        & (pc.field("split") == "test")
        & (pc.field("slice") == "all")
        & pc.field("day").is_null()
        & pc.field("against").is_null()
    ).to_pylist()
    for line, row in zip(lines, chosen, strict=True):
        assert line[0] == row["objective"]
        number = next(float(word) for word in line[2:] if word.startswith("."))
        assert abs(number - row["value"]) < 0.01
    assert "dismissal: better where less is captured." in table


def test_without_a_fused_score_there_is_no_such_table(metrics, monkeypatch, capsys) -> None:
    without = metrics.filter(pc.invert(pc.match_substring(metrics["metric"], "@")))
    assert "fused order" not in printed(without, 200, monkeypatch, capsys)
