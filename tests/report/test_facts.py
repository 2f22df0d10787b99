"""What the summary says of the rows that everything below it rests on."""

import pyarrow as pa

from recsys.evaluation import read_scores
from recsys.report import frame
from recsys.report.pages.summary import summary


def test_a_user_who_holds_too_much_is_a_warning(pipeline, predictions, metrics) -> None:
    table = next(iter(predictions.values()))
    fair = table.set_column(table.column_names.index("user_id"), "user_id", pa.array(range(len(table))))
    scores = read_scores(fair, pipeline.objective, "x", labels=True)
    assert summary("x", frame(metrics), pipeline, fair, scores, None).warnings == []
    mostly = pa.array([-7 if n % 8 == 0 else n for n in range(len(table))])
    robot = table.set_column(table.column_names.index("user_id"), "user_id", mostly)
    said = " ".join(summary("x", frame(metrics), pipeline, robot, scores, None).warnings)
    assert "test: user -7 holds 12.5% of 800 rows; numbers and their intervals depend much on this one user" in said
    assert "validation" not in said  # the numbers of the box are of test days
