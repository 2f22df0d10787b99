"""The share of the way from popularity to the truth."""

from recsys.report.pages.way_to_truth import way_to_truth
from recsys.report.tables.cells import NOT_COMPARED, Cell, Grid, Line
from recsys.report.tables.frame import scope_of

BOTH = ("gbdt-1a", "truth-2b", "popularity-3c")


def line(objective: str, metric: str, to_truth: Cell, to_popularity: Cell, better: str = "higher") -> Line:
    cells = (Cell(0.5, None, None), to_truth, to_popularity)
    return Line(objective, "engagement", metric, True, "all", None, Cell(0.7, None, None), 10, 3, 1.0, better, cells, scope_of(metric))


def test_it_is_said_of_each_objective_over_all_impressions() -> None:
    """Of a number that shall be low the way leads down."""
    lines = (
        line("click", "auc", Cell(-0.05, None, None), Cell(0.15, 0.1, 0.2)),
        line("click", "gauc_list", Cell(-0.1, None, None), Cell(0.1, 0.0, 0.2)),
        line("watch", "rmse", Cell(3.0, 2.0, 4.0), Cell(-1.0, -1.2, -0.8), "lower"),
        line("watch", "xauc", Cell(-0.03, None, None), Cell(-0.01, -0.02, 0.0)),
        line("like", "auc", Cell(-0.06, None, None), Cell(0.02, None, None)),
    )
    assert way_to_truth(Grid(BOTH, lines)) == [
        "Of the way from popularity to the truth this run has gone, over all impressions: click 75% [50%, 100%],"
        " watch -50% [-100%, 0%], like 25%."
    ]


def test_without_a_way_there_is_no_share() -> None:
    """The truth is no better than popularity, or the two are equal, or there is no number."""
    nothing = Cell(None, None, None, NOT_COMPARED)
    lines = (
        line("click", "auc", Cell(0.05, None, None), Cell(0.02, None, None)),
        line("like", "auc", Cell(0.02, None, None), Cell(0.02, None, None)),
        line("share", "auc", nothing, Cell(0.02, None, None)),
        line("survey", "auc", Cell(0.02, None, None), nothing),
    )
    assert way_to_truth(Grid(BOTH, lines)) == []
    one = line("click", "auc", Cell(-0.05, None, None), Cell(0.15, None, None))
    for others in (("gbdt-1a", "truth-2b", "other-3c"), ("gbdt-1a", "mine", "popularity-3c")):
        assert way_to_truth(Grid(others, (one,))) == []
