"""Growth day by day against a count in plain Python, look-ups, and the initial table."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.encoding import embedding_init
from recsys.encoding.roles import categories, space_of
from recsys.encoding.vocabulary import Vocabulary, VocabularyFitter

Day = list[list[str | None]]  # rows of values
VALUES = st.sampled_from(["a", "b", "c", "d", "é", "", None])
DAYS = st.lists(st.lists(st.lists(VALUES, max_size=3), max_size=12), min_size=1, max_size=4)


def fit(days: list[Day], min_count: int, space: str = "s", *, spaces: tuple[str, ...] = ("s",)) -> Vocabulary:
    fitter = VocabularyFitter(spaces, min_count)
    for rows in days:
        fitter.add(space, [categories(pa.array(rows, pa.list_(pa.string())), 3)])
        fitter.end_day()
    return fitter.vocabulary()


def reference(days: list[Day], min_count: int) -> list[str | None]:
    counts: Counter[str | None] = Counter()
    order: list[str | None] = []
    for rows in days:
        for row in rows:
            counts.update(set(row))
        reached = [value for value, count in counts.items() if count >= min_count and value not in order]
        order += sorted(reached, key=lambda value: (value is None, (value or "").encode()))
    return order


@settings(max_examples=80, deadline=None)
@given(DAYS, st.integers(1, 4))
def test_rows_are_those_of_a_plain_count(days: list[Day], min_count: int) -> None:
    table = fit(days, min_count).table()
    assert table["value"].to_pylist() == reference(days, min_count)
    assert table["row"].to_pylist() == list(range(2, 2 + len(table)))


@settings(max_examples=40, deadline=None)
@given(DAYS, DAYS, st.integers(1, 4))
def test_more_days_leave_earlier_rows_as_they_are(days: list[Day], more: list[Day], min_count: int) -> None:
    few, many = fit(days, min_count).table(), fit(days + more, min_count).table()
    assert many.slice(0, len(few)).equals(few)


def test_a_value_gets_its_row_on_the_day_that_makes_it_frequent() -> None:
    vocabulary = fit([[["z"], ["z"], ["b"]], [["b"], ["a"], ["a"]]], 2)
    assert vocabulary.table()["value"].to_pylist() == ["z", "a", "b"]


def test_a_row_that_holds_a_value_twice_counts_once() -> None:
    fitter = VocabularyFitter(["s"], 2)
    candidate, query = pa.array(["a", "b", "c"]), pa.array(["a", "c", "d"])
    fitter.add("s", [categories(candidate, 1), categories(query, 1)])
    fitter.end_day()
    assert fitter.vocabulary().values["s"].to_pylist() == ["c"]


def test_lookup_gives_the_unknown_row_of_the_space() -> None:
    vocabulary = fit([[["a"], ["a"], [None], [None], ["rare"]]], 2, "t", spaces=("u", "t", "s"))
    assert vocabulary.unknown_rows == {"s": 1, "t": 2, "u": 3}
    assert vocabulary.lookup("t", pa.array(["a", "rare", None, "new"])).tolist() == [4, 2, 5, 2]
    assert vocabulary.lookup("s", pa.array(["a", None])).tolist() == [1, 1]
    assert vocabulary.lookup("s", pa.array([], pa.string())).dtype == np.int32
    assert vocabulary.num_rows == 6


def test_a_null_below_the_count_is_unknown() -> None:
    assert fit([[["a"], ["a"], [None]]], 2).lookup("s", pa.array([None], pa.string())).tolist() == [1]


def test_the_table_form_gives_the_same_vocabulary() -> None:
    vocabulary = fit([[["a"], ["a"], [None], [None]], [["b"], ["b"]]], 2, "t", spaces=("s", "t"))
    again = Vocabulary.from_table(vocabulary.table(), vocabulary.unknown_rows)
    asked = pa.array(["b", None, "a", "?"])
    assert again.lookup("t", asked).tolist() == vocabulary.lookup("t", asked).tolist()
    assert again.num_rows == vocabulary.num_rows


def test_a_null_list_holds_a_null_and_an_empty_one_nothing() -> None:
    cells = categories(pa.array([["a", "b", "c"], None, [], ["d"]], pa.list_(pa.string())), 2)
    assert sorted(zip(cells.row.tolist(), cells.place.tolist(), cells.values.to_pylist(), strict=True)) == [
        (0, 0, "a"),
        (0, 1, "b"),
        (1, 0, None),
        (3, 0, "d"),
    ]


def test_a_slice_of_lists_is_read_as_a_slice() -> None:
    lists = pa.array([["x", "y"], ["a", "b", "c"], None, ["d"]], pa.list_(pa.string())).slice(1, 3)
    cells = categories(lists, 2)
    assert cells.values.to_pylist() == ["a", "b", "d", None]
    assert cells.row.tolist() == [0, 0, 2, 1]


@pytest.mark.parametrize(
    ("column", "space"),
    [
        ("item.tag", "item.tag"),
        ("query.tag", "item.tag"),
        ("history.item.tag", "item.tag"),
        ("context.tab", "context.tab"),
        ("history.context.tab", "context.tab"),
        ("user.degree", "user.degree"),
        ("id.author_id", "author_id"),
        ("id.item_id", "item_id"),
        ("query.item_id", "item_id"),
        ("history.item_id", "item_id"),
    ],
)
def test_columns_that_mean_the_same_share_a_space(column: str, space: str) -> None:
    assert space_of(column) == space


# --- The initial table --------------------------------------------------------------------------------------------
def test_a_longer_table_starts_with_the_shorter_one() -> None:
    short, long = (np.concatenate(list(embedding_init(rows, 7, 3))) for rows in (50, 100_000))
    np.testing.assert_array_equal(long[:50], short)
    assert (short.dtype, long.shape) == (np.float32, (100_000, 7))


def test_initial_values_are_standard_normal_and_padding_is_zero() -> None:
    table = np.concatenate(list(embedding_init(20_000, 8, 3)))
    assert not table[0].any()
    assert abs(table.mean()) < 0.01
    assert abs(table.std() - 1) < 0.01
    assert not np.array_equal(table, np.concatenate(list(embedding_init(20_000, 8, 4))))
