"""A user who holds more than one in twenty rows is named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recsys.errors import DataError
from recsys.evaluation import Dominant, dominant_users
from recsys.objectives import Objective

LIKE = Objective(name="like", label="is_like = 1")
STARS = Objective(name="stars", kind="regression", label="stars")


@pytest.fixture
def fair() -> pd.DataFrame:
    """Two splits of 200 rows, ten of each user: exactly 5 %."""
    rows = np.arange(400)
    columns = {"user_id": np.char.add("u", (rows // 2 % 20).astype(str)), "split": np.where(rows % 2, "test", "validation")}
    return pd.DataFrame(columns | {"label.like": rows % 3 == 0, "label.stars": 1.0})


def test_one_in_twenty_is_not_too_much_and_one_row_more_is(fair):
    assert dominant_users(fair, [LIKE, STARS]) == []
    more = pd.concat([fair, fair[(fair["user_id"] == "u7") & (fair["split"] == "test")].head(1)])
    found = dominant_users(more, [LIKE, STARS])
    assert found == [Dominant("test", None, "u7", 11, 201)]
    assert str(found[0]).startswith("test: user u7 holds 5.5% of 201 rows; numbers and their intervals depend much on this one user")


def test_of_an_objective_the_known_labels_count_and_a_user_is_named_once(fair):
    rare = fair.assign(**{"label.stars": np.where(fair["user_id"].isin(["u1", "u2"]) | (np.arange(400) > 300), 1.0, np.nan)})
    found = dominant_users(rare, [LIKE, STARS])
    expected = rare[rare["label.stars"].notna()].groupby(["split", "user_id"]).size()
    assert [(each.split, each.objective) for each in found] == [("test", "stars"), ("validation", "stars")]
    for each in found:
        assert each.rows == expected[each.split].max() == expected[each.split][each.user]
        assert each.of == expected[each.split].sum()
    assert "rows with a known label of stars" in str(found[0])
    mine = rare.assign(user_id=np.where(rare["label.stars"].notna(), "u1", rare["user_id"]))  # the largest of all rows, too
    assert [each.objective for each in dominant_users(mine, [STARS])] == [None, None]


def test_a_table_without_splits_and_with_numbers_for_names(fair):
    table = pa.table({"user_id": [7] * 3 + list(range(100, 150)), "label.like": [1.0] * 53})
    assert dominant_users(table, [LIKE]) == [Dominant("test", None, "7", 3, 53)]
    assert dominant_users(table, [LIKE], limit=0.06) == []
    nobody_liked = table.set_column(1, "label.like", pa.nulls(53, pa.float64()))
    assert [each.objective for each in dominant_users(nobody_liked, [LIKE])] == [None]
    with pytest.raises(DataError, match=r"expected also label.stars"):
        dominant_users(table, [STARS])


def test_a_name_that_would_be_a_line_of_its_own_stays_in_its_line(fair):
    text = str(dominant_users(fair.assign(user_id="a\nerror: b"), [LIKE])[0])
    assert "\n" not in text
    assert r"a\nerror: b" in text
