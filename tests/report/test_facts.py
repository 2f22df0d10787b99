"""What the head of the page says of the rows that everything below it rests on."""

import pyarrow as pa

from recsys.report.pages import sections


def test_a_user_who_holds_too_much_is_a_warning(pipeline, predictions) -> None:
    table = next(iter(predictions.values()))
    fair = table.set_column(table.column_names.index("user_id"), "user_id", pa.array(range(len(table))))
    assert "Warning" not in sections.facts(pipeline, fair, None, None)
    mostly = pa.array([-7 if n % 8 == 0 else n for n in range(len(table))])
    robot = table.set_column(table.column_names.index("user_id"), "user_id", mostly)
    said = sections.facts(pipeline, robot, None, None)["Warning"]
    assert "test: user -7 holds 12.5% of 800 rows; numbers are largely this user's" in said
    assert "validation: user -7 holds 12.5% of 400 rows" in said
