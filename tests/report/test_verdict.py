from recsys.report.tables.cells import Cell, Grid, Line
from recsys.report.tables.frame import scope_of
from recsys.report.tables.verdict import comparisons


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
    assert list(map(str, comparisons(Grid(("popularity-1a", "gbdt-2b"), lines)))) == [
        "Against popularity. Finding who will: better on click (auc), like (auc). Ordering a user's list: worse on click (gauc_list)."
        " Ordering a user's impressions: inconclusive on like (gauc). Predicting the value: worse on watch (rmse).",
        "Against gbdt. Finding who will: worse on click (auc); inconclusive on like (auc)."
        " Ordering a user's list: worse on click (gauc_list). Ordering a user's impressions: better on like (gauc)."
        " Predicting the value: no verdict on watch (rmse).",
    ]


def test_the_fused_order_is_a_question_of_its_own() -> None:
    (comparison,) = comparisons(Grid(("gbdt-2b",), (line("click", "captured@10%", "better"),)))
    assert str(comparison) == "Against gbdt. By the fused order: better on click (captured@10%)."


def test_without_another_run_nothing_is_said() -> None:
    assert comparisons(Grid((), (line("click", "auc"),))) == []
