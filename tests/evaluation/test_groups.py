"""Lists: sessions by a ten-minute pause, requests where they are known."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation import evaluate, sessions
from recsys.evaluation.inputs.groups import ascending, codes, shown_lists
from recsys.objectives import Objective

MINUTE = 60_000


def test_a_pause_of_ten_minutes_ends_a_session():
    timestamp = np.array([0, 10 * MINUTE - 1, 20 * MINUTE - 1, 0])
    assert sessions(np.array([0, 0, 0, 1]), timestamp).tolist() == [0, 0, 1, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 90)), max_size=30), st.randoms())
def test_sessions_agree_with_a_loop_in_any_order_of_rows(rows, random):
    expected, last, session = {}, {}, -1
    for user, minute in sorted(rows):
        if user not in last or minute - last[user] >= 10:
            session += 1
        last[user], expected[user, minute] = minute, session
    random.shuffle(rows)
    user, minute = (np.array(column, np.int64) for column in (zip(*rows, strict=True) if rows else ([], [])))
    assert sessions(user, minute * MINUTE).tolist() == [expected[row] for row in rows]


def test_users_and_times_too_far_apart_for_one_sort_key_fall_into_the_same_sessions():
    user, timestamp = np.array([1, 0, 1, 0, 1]), np.array([1 << 62, MINUTE, MINUTE, 0, (1 << 62) - 1])
    assert sessions(user, timestamp).tolist() == [2, 0, 1, 0, 2]


def test_a_request_is_a_list_of_its_user_and_rows_without_one_fall_into_sessions():
    user = np.array([0, 0, 0, 1, 0, 0])
    timestamp = np.array([0, 1, 2, 3, 4, 30 * MINUTE])
    lists = shown_lists(user, timestamp, pa.array(["a", "b", "a", "a", None, None]))
    assert lists[0] == lists[2]
    assert sorted(set(lists.tolist())) == [0, 1, 2, 3, 4]  # 0a, 0b, 1a and two sessions


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.sampled_from([0, 1, 2, 3, None])), max_size=25), st.randoms())
def test_positions_that_fall_part_a_session_in_any_order_of_rows(rows, random):
    expected, lists, last, session = [], -1, None, None
    rows = sorted(set(rows), key=lambda row: (row[0], row[1], np.inf if row[2] is None else row[2]))
    for here, _, position in rows:
        falls = None not in (position, last) and position <= last
        if here != session or falls:
            lists, last = lists + 1, None
        session, last = here, last if position is None else position
        expected.append(lists)
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    session_N, moment_N = (np.array([rows[n][column] for n in shuffled], np.int64) for column in (0, 1))
    position_N = np.array([np.nan if rows[n][2] is None else rows[n][2] for n in shuffled], np.float64)
    assert ascending(session_N, moment_N, position_N).tolist() == [expected[n] for n in shuffled]


def test_lists_without_a_request_begin_where_positions_fall():
    user, timestamp = np.zeros(6, np.int64), np.arange(6) * 1000
    lists = shown_lists(user, timestamp, pa.array([None, None, None, None, "a", "a"]), np.array([1.0, 2, 1, 2, 1, 1]))
    assert lists.tolist() == [lists[0], lists[0], lists[2], lists[2], lists[4], lists[4]]
    assert len(set(lists.tolist())) == 3


@pytest.mark.parametrize("values", [[30, None, 10, 30], ["b", None, "a", "b"], [None, None], []])
def test_codes_follow_the_order_of_values(values):
    code_N, names = codes(pa.array(values, pa.int64() if 30 in values else pa.string()))
    names = names.to_pylist()
    assert names == sorted({value for value in values if value is not None})
    assert [names[code] if code >= 0 else None for code in code_N] == values


def test_metrics_within_lists_take_the_lists_that_positions_show() -> None:
    """The same as with requests that name these lists; as one list per session it is another number."""
    rng = np.random.default_rng(0)
    rows, size = 400, 5
    shown = pd.DataFrame({"event_id": range(rows), "user_id": np.arange(rows) // 20, "timestamp": np.arange(rows) * 1000})
    scored = shown.assign(**{"label.click": (rng.random(rows) < 0.4).astype(float), "pred.click": rng.random(rows)})

    def gauc_list(table: pd.DataFrame) -> float:
        found = evaluate(table, [Objective(name="click")], run="x", bootstrap=0, slices=()).to_pandas().set_index("metric")
        return float(found.loc["gauc_list", "value"])

    by_position = gauc_list(scored.assign(position=np.arange(rows) % size + 1))
    assert by_position == pytest.approx(gauc_list(scored.assign(request_id=np.arange(rows) // size)))
    assert by_position != pytest.approx(gauc_list(scored))
