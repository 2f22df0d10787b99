"""The two questions that several runs are judged by: who will, and which item of a list. Each has a front of its own where it has numbers.

One front of all numbers would hold nearly every point: with two numbers per objective, each point is best at something.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from recsys import schema
from recsys.evaluation.measured import Measured
from recsys.evaluation.metrics import IN_GROUPS
from recsys.evaluation.paired import Judged, Paired, one_within


def by_question(found: Paired) -> dict[str, Paired]:
    """Return question → its numbers, of numbers as `two_questions` names them. Numbers within lists that lack an interval are left out.

    So one objective that is too rare within lists does not leave all others without a verdict. A question without numbers is absent.
    """
    kept = one_within(found)
    places: dict[str, list[int]] = {schema.WHO: [], schema.WHICH: []}
    for k, judged in enumerate(kept.judged):
        if judged.metric.name not in IN_GROUPS:
            places[schema.WHO].append(k)
        elif all(numbers[k].has_enough_users for numbers in kept.measured):
            places[schema.WHICH].append(k)
    return {question: kept.only(at) for question, at in places.items() if at}


def left_out_rows(found: Paired, *, split: str, confidence: float) -> pa.Table:
    """Return the numbers within lists or users that `by_question` leaves out, with the reason, in the form of schema.SWEEP."""
    return pa.Table.from_pylist(list(_left_out(one_within(found), split, confidence)), schema=schema.SWEEP)


def only_valued(found: Paired, judged: Sequence[Judged]) -> Paired:
    """Return those of these numbers that have a value with replicates in every run."""
    wanted = {(each.objective, each.metric.name) for each in judged}
    return found.only(
        [
            k
            for k, each in enumerate(found.judged)
            if (each.objective, each.metric.name) in wanted and all(_is_resampled(numbers[k]) for numbers in found.measured)
        ]
    )


def _is_resampled(measured: Measured) -> bool:
    return measured.value is not None and measured.replicates_R is not None


def _left_out(found: Paired, split: str, confidence: float) -> Iterator[dict[str, Any]]:
    for k, judged in enumerate(found.judged):
        silent = [numbers[k] for numbers in found.measured if not numbers[k].has_enough_users]
        if silent and judged.metric.name in IN_GROUPS:
            number = {"objective": judged.objective, "metric": judged.metric.name, "users": found.users[k]}
            reason = silent[0].interval(confidence=confidence, centred=judged.metric.centred).reason
            yield (
                dict.fromkeys(schema.SWEEP.names)
                | {"question": schema.WHICH, "what": "left_out", "split": split}
                | number
                | {"reason": reason}
            )
