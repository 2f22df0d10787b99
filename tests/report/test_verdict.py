from recsys.report.tables.cells import Cell, Grid, Line
from recsys.report.tables.verdict import comparisons


def line(objective: str, metric: str, *verdicts: str | None) -> Line:
    cells = tuple(Cell(0.1, None, None, verdict=verdict) for verdict in verdicts)
    return Line(objective, "engagement", metric, True, "all", None, Cell(0.7, None, None), 10, 3, 1.0, "higher", cells)


def test_every_line_is_said_once_for_each_run_under_its_verdict() -> None:
    lines = (line("click", "auc", "better", "worse"), line("like", "auc", "better", "unclear"), line("watch", "rmse", "worse", None))
    assert list(map(str, comparisons(Grid(("popularity-1a", "gbdt-2b"), lines)))) == [
        "Against popularity: better on click (auc), like (auc); worse on watch (rmse).",
        "Against gbdt: worse on click (auc); inconclusive on like (auc); cannot be compared on watch (rmse).",
    ]


def test_without_another_run_nothing_is_said() -> None:
    assert comparisons(Grid((), (line("click", "auc"),))) == []
