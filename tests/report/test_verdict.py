from recsys.report.tables.cells import NOT_COMPARED, Cell, Grid, Line
from recsys.report.tables.frame import scope_of
from recsys.report.tables.verdict import brief_comparisons, comparisons


def line(objective: str, metric: str, *verdicts: str | None) -> Line:
    cells = tuple(Cell(0.1, None, None, verdict=verdict) for verdict in verdicts)
    return Line(objective, "engagement", metric, True, "all", None, Cell(0.7, None, None), 10, 3, 1.0, "higher", cells, scope_of(metric))


def test_every_line_is_said_once_for_each_run_under_its_verdict() -> None:
    lines = (
        line("click", "auc", "better", "worse"),
        line("click", "gauc_list", "worse", "worse"),
        line("like", "auc", "better", "unclear"),
        line("like", "gauc", "unclear", "better"),
        line("watch", "rmse", "worse", None),
    )
    assert list(map(str, comparisons(Grid(("popularity-1a1a1a", "gbdt-2b2b2b"), lines)))) == [
        "Against popularity. Finding who will: better on click (auc), like (auc). Ordering a user's list: worse on click (gauc_list)."
        " Ordering a user's impressions: inconclusive on like (gauc). Predicting the value: worse on watch (rmse).",
        "Against gbdt. Finding who will: worse on click (auc); inconclusive on like (auc)."
        " Ordering a user's list: worse on click (gauc_list). Ordering a user's impressions: better on like (gauc)."
        " Predicting the value: no verdict on watch (rmse).",
    ]


def test_the_fused_order_is_a_question_of_its_own() -> None:
    (comparison,) = comparisons(Grid(("gbdt-2b2b2b",), (line("click", "captured@10%", "better"),)))
    assert str(comparison) == "Against gbdt. By the fused order: better on click (captured@10%)."


def test_without_another_run_nothing_is_said() -> None:
    assert comparisons(Grid((), (line("click", "auc"),))) == []


def test_what_another_run_does_not_have_is_not_said_of_it() -> None:
    absent = Cell(None, None, None, NOT_COMPARED)
    like = Line("like", "engagement", "auc", True, "all", None, Cell(0.7, None, None), 10, 3, 1.0, "higher", (absent,), scope_of("auc"))
    (comparison,) = comparisons(Grid(("today.csv",), (line("click", "auc", "better"), like)))
    assert str(comparison) == "Against today.csv. Finding who will: better on click (auc)."


def difference(objective: str, metric: str, value: float, half: float, verdict: str | None) -> Line:
    cell = Cell(value, value - half, value + half, verdict=verdict, signed=True)
    return Line(objective, "engagement", metric, True, "all", None, Cell(0.7, None, None), 10, 3, 1.0, "higher", (cell,), scope_of(metric))


def test_in_few_words_the_clearest_number_stands_for_the_others() -> None:
    lines = (
        difference("click", "auc", 0.05, 0.04, "better"),
        difference("like", "auc", 0.02, 0.001, "better"),  # smaller, and clearer
        difference("share", "auc", 0.01, 0.02, "unclear"),
        difference("click", "gauc_list", 0.01, 0.02, "unclear"),
        difference("like", "gauc_list", 0.01, 0.02, "unclear"),
        line("share", "gauc", None),
    )
    (comparison,) = brief_comparisons(Grid(("gbdt-2b2b2b",), lines))
    assert str(comparison) == (
        "Against gbdt. Finding who will: better on like (auc +.0200 [+.0190, +.0210]) and 1 more; inconclusive on 1 of 3."
        " Ordering a user's list: inconclusive on all 2."
    )
    (silent,) = brief_comparisons(Grid(("gbdt-2b2b2b",), (line("share", "gauc", None),)))
    assert str(silent) == "Against gbdt. Ordering a user's impressions: no verdict on 1 of 1."
