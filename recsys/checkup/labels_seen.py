"""The labels in the rows that were read: how many, how often, and what nobody can learn from."""

import numpy as np
from numpy.typing import NDArray

from recsys import schema
from recsys.checkup.findings import Findings
from recsys.checkup.split_seen import Seen
from recsys.days import ordinals
from recsys.errors import many
from recsys.evaluation import MIN_USERS, effective_number
from recsys.objectives import Objective, twins
from recsys.progress import aligned

_FEW_KNOWN = 0.5  # share of the training labels that are known in time, below which a warning is due
_BOUND = 1e308  # a label beyond float32 is refused elsewhere
# Legend: N impressions.


def label_findings(seen: Seen, found: Findings) -> None:
    """Say per objective and part how many labels there are, and warn of those that cannot be learned or judged."""
    objectives = seen.preview.plan.objectives
    labels = {objective.name: seen.label(objective.name) for objective in objectives}
    rows = [("objective", *(f"{part}: labels, positives or mean" for part in seen.parts))]
    for objective in objectives:
        label_N = labels[objective.name]
        rows.append((objective.name, *(_counted(objective, label_N[in_part]) for in_part in seen.parts.values())))
    if objectives:
        found.facts += aligned(rows)
    for objective in objectives:
        _one_label(seen, objective, labels[objective.name], found)
        _few_users(seen, objective, labels[objective.name], found)
    _beside_given(seen, found)
    _late(seen, labels, found)
    _same_labels(labels, objectives, found)


def _counted(objective: Objective, label_N: NDArray[np.float64]) -> str:
    known = label_N[~np.isnan(label_N)]
    if not len(label_N):
        return "no rows"
    share = f"{len(known):,} of {len(label_N):,}" if len(known) < len(label_N) else f"{len(known):,}"
    if not len(known):
        return share
    if objective.is_probability:
        return f"{share}, {np.count_nonzero(known > 0):,} ({np.mean(known > 0):.2%})"
    return f"{share}, {bounded_mean(known):.4g}"


def bounded_mean(values: NDArray[np.float64]) -> float:
    """Return the mean of one value or more. Values beyond those that a label may have count as the bound, so that no sum overflows."""
    return float((np.clip(values, -_BOUND, _BOUND) / len(values)).sum())


def _one_label(seen: Seen, objective: Objective, label_N: NDArray[np.float64], found: Findings) -> None:
    """Report the parts of the split in which no label is known, and those in which all labels are equal."""
    read = "" if seen.is_whole else " that were read"
    parts_of: dict[float | None, list[str]] = {}  # the one label, None where there is none → the parts in which that is so
    for part, in_part in seen.parts.items():
        known = label_N[in_part & ~np.isnan(label_N)]
        if in_part.any() and (not len(known) or known.min() == known.max()):
            parts_of.setdefault(float(known[0]) if len(known) else None, []).append(part)
    for label, parts in parts_of.items():
        where = f"objective.{objective.name}.label: found {{}} rows of {', '.join(f'split.{part}' for part in parts)}{read}"
        if label is None:
            is_refused = schema.TRAIN in parts and seen.is_whole
            problem = f"{where.format('no label in the')}, expected some. Fix: mend label or observed, or choose more days"
            (found.data if is_refused else found.warnings).append(problem)
        else:
            cannot = "nothing can be learned" if schema.TRAIN in parts else "no order can be judged"
            fix = "mend the label, or choose more days"
            found.warnings.append(f"{where.format(f'{label:g} in all')}, expected different labels: {cannot}. Fix: {fix}")


def _few_users(seen: Seen, objective: Objective, label_N: NDArray[np.float64], found: Findings) -> None:
    """Warn of an answer of yes or no whose rarer one too few users give on the test days for an interval of its order."""
    if not (objective.is_probability and seen.is_whole and schema.TEST in seen.parts):
        return
    in_test = seen.parts[schema.TEST] & ~np.isnan(label_N)
    is_yes_N, user_N = label_N[in_test] > 0, seen.user_N[in_test]
    is_rarer_N = is_yes_N if 2 * np.count_nonzero(is_yes_N) <= len(is_yes_N) else ~is_yes_N
    if not is_rarer_N.any() or _users(user_N) < MIN_USERS:
        return  # it has one answer, or too few users give any: both are said elsewhere
    if (users := _users(user_N[is_rarer_N])) < MIN_USERS:
        rows = many(int(np.count_nonzero(is_rarer_N)), "row")
        found.warnings.append(
            f"objective.{objective.name}: found {rows} with the rarer answer on the test days, by as many users as {users:.3g} equally"
            f" active ones, expected {MIN_USERS} or more: its order will have no interval and no verdict. Fix: choose more days"
        )


def _users(user_N: NDArray[np.int64]) -> float:
    return effective_number(np.bincount(user_N))


def _late(seen: Seen, labels: dict[str, NDArray[np.float64]], found: Findings) -> None:
    """Report training labels that are known only after the training days are over."""
    border, plan = seen.pipeline.border_after(schema.TRAIN), seen.preview.plan
    if border is None:
        return
    drops = seen.pipeline.train.order == "time" and seen.pipeline.train.late == "drop"
    until = 'the next day begins, as train.late = "drop" wants' if drops else "the next part of the split begins"
    late: dict[tuple[int, float], list[str]] = {}  # delay, share known → objectives
    for objective, delay in zip(plan.objectives, plan.label_delays, strict=True):
        labelled = seen.parts[schema.TRAIN] & ~np.isnan(labels[objective.name])
        known_at = seen.moment_N[labelled] + delay
        in_time = ordinals(known_at, seen.pipeline.zone) == seen.day_ordinals[labelled] if drops else known_at < border
        if labelled.any() and (known := float(in_time.mean())) < _FEW_KNOWN:
            late.setdefault((delay, known), []).append(objective.name)
    for (delay, known), names in late.items():
        when = f"known before {until} ({delay / 3_600_000:g} h after the impression)"
        place, fix = f"objective.{', '.join(names)}", "a shorter features.label_delay or within of the feedback, or more training days"
        if known == 0 and seen.is_whole:
            found.data.append(f"{place}: found no training label that is {when}, expected at least one. Fix: {fix}")
        else:
            expected = f"expected {_FEW_KNOWN:.0%} or more: the others are not learned"
            found.warnings.append(f"{place}: found {known:.0%} of the training labels {when}, {expected}. Fix: {fix}")


def _beside_given(seen: Seen, found: Findings) -> None:
    """Warn of labels of 1 where the objective named by `given` is 0: a run counts them as 0."""
    given = {objective.name: objective.given for objective in seen.preview.plan.objectives}
    for name, (lost, all_) in seen.preview.beside_given.items():
        if lost:
            found.warnings.append(
                f"objective.{name}.given: found {lost:,} of {all_:,} labels of 1 where {given[name]} is 0, expected none: they count as 0."
                " Fix: leave given out, or mend one of the two labels"
            )


def _same_labels(labels: dict[str, NDArray[np.float64]], objectives: tuple[Objective, ...], found: Findings) -> None:
    """Warn of two objectives that have the same label, or of which one is 1 exactly where the other is 0."""
    for twin in twins(objectives, labels):
        of, then = ("complement", ": what one gains the other loses") if twin.is_opposite else ("label", "")
        found.warnings.append(
            f"objective.{twin.second}.label: found the {of} of {twin.first} in all {twin.rows:,} rows that have both{then}."
            " Fix: leave one of the two out"
        )
