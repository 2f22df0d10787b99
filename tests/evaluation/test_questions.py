"""The two questions of several runs: which numbers each one gets, which are left out with a reason, and what has a value on later days."""

import numpy as np

from recsys import schema
from recsys.evaluation import Paired, by_question, left_out_rows, only_valued, two_questions
from recsys.evaluation.measured import Measured
from recsys.objectives import Objective

LIKE, WATCH = Objective(name="like"), Objective(name="watch", kind="watch_time")
JUDGED = two_questions([LIKE, WATCH])
NAMES = [(judged.objective, judged.metric.name) for judged in JUDGED]


def measured(users: float | None) -> Measured:
    """A value that rests on so many effective users; None: undefined."""
    if users is None:
        return Measured(None, reason="no list has both classes")
    return Measured(0.6, 1.0, "bootstrap", np.linspace(0.5, 0.7, 50), effective_users=users)


def paired(*runs: dict[tuple[str, str], float | None]) -> Paired:
    """Runs with so many effective users behind a number; 100 where nothing is said."""
    numbers = tuple(tuple(measured(users.get(name, 100)) for name in NAMES) for users in runs)
    return Paired(tuple(f"run {place}" for place in range(len(runs))), JUDGED, numbers, (500,) * len(NAMES), (900,) * len(NAMES))


def names(found: Paired) -> list[tuple[str, str]]:
    return [(judged.objective, judged.metric.name) for judged in found.judged]


def test_each_objective_has_a_pooled_number_and_one_within_lists() -> None:
    found = by_question(paired({}, {}))
    assert {question: names(of) for question, of in found.items()} == {
        schema.WHO: [("like", "auc"), ("watch", "xauc")],
        schema.WHICH: [("like", "gauc_list"), ("watch", "xgauc_list")],
    }


def test_users_stand_in_for_lists_that_cannot_tell() -> None:
    found = by_question(paired({("like", "gauc_list"): 5}))
    assert names(found[schema.WHICH]) == [("like", "gauc"), ("watch", "xgauc_list")]


def test_what_cannot_be_told_in_one_run_is_left_out_with_the_reason() -> None:
    """Neither lists nor users tell likes; the watch time within lists is undefined in the second run alone."""
    both = paired({("like", "gauc_list"): None, ("like", "gauc"): 3}, {("like", "gauc"): 3, ("watch", "xgauc_list"): None})
    assert {question: names(of) for question, of in by_question(both).items()} == {schema.WHO: [("like", "auc"), ("watch", "xauc")]}
    rows = left_out_rows(both, split="test", confidence=0.95).to_pylist()
    assert [(row["objective"], row["metric"], row["reason"]) for row in rows] == [
        ("like", "gauc", "too few users (3)"),
        ("watch", "xgauc_list", "no list has both classes"),
    ]


def test_later_days_keep_the_numbers_that_were_decided_by_as_far_as_they_have_values() -> None:
    decided = by_question(paired({}, {}))[schema.WHICH].judged
    later = paired({}, {("like", "gauc_list"): None})
    assert names(only_valued(later, decided)) == [("watch", "xgauc_list")]
