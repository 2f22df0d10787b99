"""The share of the way from popularity to the truth."""

from recsys.report.pages.way_to_truth import way_to_truth
from recsys.report.tables.cells import NOT_COMPARED, Cell, Grid, Line
from recsys.report.tables.frame import scope_of

BOTH = ("gbdt-aaaaaa", "truth-bbbbbb", "popularity-cccccc")


def line(objective: str, metric: str, value: float, to_truth: Cell, to_popularity: Cell) -> Line:
    cells = (Cell(0.5, None, None), to_truth, to_popularity)
    better = "lower" if metric == "rmse" else "higher"
    return Line(objective, "engagement", metric, True, "all", None, Cell(value, None, None), 10, 3, 1.0, better, cells, scope_of(metric))


def said(*lines: Line, others: tuple[str, ...] = BOTH) -> list[str]:
    return way_to_truth(Grid(others, lines))


def test_it_is_said_of_each_objective_by_auc_or_squared_error() -> None:
    """The squared errors are 36 of popularity, 25 of the run and 16 of the truth; by the ends of the interval 30.25 and 20.25.

    Of likes there are too few users for an interval: what is gained may be noise.
    """
    found = said(
        line("click", "auc", 0.7, Cell(-0.05, None, None), Cell(0.15, 0.1, 0.2)),
        line("click", "gauc_list", 0.7, Cell(-0.1, None, None), Cell(0.1, 0.0, 0.2)),
        line("watch", "rmse", 5.0, Cell(1.0, None, None), Cell(-1.0, -1.5, -0.5)),
        line("watch", "xauc", 0.7, Cell(-0.03, None, None), Cell(0.01, 0.0, 0.02)),
        line("like", "auc", 0.7, Cell(-0.06, None, None), Cell(0.02, None, None)),
        line("share", "auc", 0.7, Cell(-0.06, None, None), Cell(-0.02, -0.03, -0.01)),
    )
    assert found == [
        "Of the way from popularity to the truth this run has gone, by AUC or squared error: click 75% [50%, 100%],"
        " watch 55% [29%, 79%], share -50% [-75%, -25%]."
    ]


def test_without_a_way_there_is_no_share() -> None:
    """The truth is no better than popularity, or the two are equal, or the way may be noise, or there is no number."""
    nothing = Cell(None, None, None, NOT_COMPARED)
    for to_truth, to_popularity in (
        (Cell(0.05, None, None), Cell(0.02, 0.01, 0.03)),
        (Cell(0.02, None, None), Cell(0.02, 0.01, 0.03)),
        (Cell(0.01, None, None), Cell(0.05, 0.0, 0.1)),
        (nothing, Cell(0.02, 0.01, 0.03)),
        (Cell(-0.02, None, None), nothing),
    ):
        assert said(line("click", "auc", 0.7, to_truth, to_popularity)) == []
    assert said(line("watch", "rmse", 5.0, Cell(-1.0, None, None), Cell(-0.5, -0.6, -0.4))) == []


def test_names_that_only_begin_like_a_baseline_are_others() -> None:
    one = line("click", "auc", 0.7, Cell(-0.05, None, None), Cell(0.15, 0.1, 0.2))
    assert said(one) != []
    for others in (("gbdt-aaaaaa", "truth-bbbbbb", "other-cccccc"), ("gbdt-aaaaaa", "truth-mine", "popularity-cccccc")):
        assert said(one, others=others) == []
