"""The labels in the rows that were read: how many, how often, and what nobody can learn from."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from recsys import schema
from recsys.checkup.findings import Findings, aligned
from recsys.checkup.split_seen import Seen
from recsys.objectives import Objective

_FEW_KNOWN = 0.5  # share of the training labels that are known in time, below which a warning is due
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
    for place, objective in enumerate(objectives):
        _one_label(seen, objective, labels[objective.name], found)
        _late(seen, objective, labels[objective.name], seen.preview.plan.label_delays[place], found)
    _same_labels(labels, objectives, found)


def _counted(objective: Objective, label_N: NDArray[np.float64]) -> str:
    known = label_N[~np.isnan(label_N)]
    if not len(label_N):
        return "no rows"
    share = f"{len(known):,} of {len(label_N):,}" if len(known) < len(label_N) else f"{len(known):,}"
    if not len(known):
        return share
    if objective.is_probability:
        return f"{share}, {int(known.sum()):,} ({known.mean():.2%})"
    return f"{share}, {known.mean():.4g}"


def _one_label(seen: Seen, objective: Objective, label_N: NDArray[np.float64], found: Findings) -> None:
    """Report a part of the split in which no label is known, or all labels are equal."""
    read = "" if seen.is_whole else " that were read"
    for part, in_part in seen.parts.items():
        if not in_part.any():
            continue
        known = label_N[in_part & ~np.isnan(label_N)]
        place = f"objective.{objective.name}.label"
        if not len(known):
            message = f"{place}: found no label in the rows of split.{part}{read}, expected some. Fix: mend label or observed"
            found.warnings.append(message)
        elif known.min() == known.max():
            cannot = "nothing can be learned from it" if part == schema.TRAIN else "no order can be judged by it"
            message = f"{place}: found {known[0]:g} in all {len(known):,} rows of split.{part}{read}, expected different values: {cannot}"
            found.warnings.append(f"{message}. Fix: mend the label, or choose more days")


def _late(seen: Seen, objective: Objective, label_N: NDArray[np.float64], delay: int, found: Findings) -> None:
    """Report training labels that are known only after the training days are over."""
    border = seen.pipeline.border_after(schema.TRAIN)
    labelled = seen.parts[schema.TRAIN] & ~np.isnan(label_N)
    if border is None or not labelled.any():
        return
    known = (seen.moment_N[labelled] + delay < border).mean()
    place, when = f"objective.{objective.name}", f"before the next part of the split begins ({delay / 3_600_000:g} h after the impression)"
    fix = "a shorter features.label_delay or within of its feedback, or more training days"
    if known == 0 and seen.is_whole:
        found.data.append(f"{place}: found no training label that is known {when}, expected at least one. Fix: {fix}")
    elif known < _FEW_KNOWN:
        learned = f"found {known:.0%} of the training labels known {when}, expected {_FEW_KNOWN:.0%} or more"
        found.warnings.append(f"{place}: {learned}: the others are not learned. Fix: {fix}")


def _same_labels(labels: dict[str, NDArray[np.float64]], objectives: tuple[Objective, ...], found: Findings) -> None:
    """Warn of two objectives that have the same label, or of which one is 1 exactly where the other is 0."""
    for first, second in combinations(objectives, 2):
        a, b = labels[first.name], labels[second.name]
        both = ~np.isnan(a) & ~np.isnan(b)
        a, b = a[both], b[both]
        if not len(a) or a.min() == a.max():
            continue
        pair = f"objective.{second.name}.label: found "
        if np.array_equal(a, b):
            found.warnings.append(f"{pair}the label of {first.name} in all {len(a):,} rows that have both. Fix: leave one of the two out")
        elif first.is_probability and second.is_probability and np.array_equal(a, 1 - b):
            found.warnings.append(
                f"{pair}the complement of {first.name} in all {len(a):,} rows that have both: what one gains the other loses."
                " Fix: leave one of the two out"
            )
