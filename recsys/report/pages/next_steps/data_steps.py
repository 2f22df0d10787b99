"""Steps that the data ask for: labels with nothing to tell apart, and too few users to tell it."""

from collections.abc import Iterator

from recsys import schema
from recsys.evaluation import least_replicates
from recsys.report.pages.next_steps.seen import Seen, Step, several
from recsys.report.tables.cells import Grid, Line
from recsys.report.tables.frame import BETTER, VALUES, WORSE

_WIDE = 0.02  # half of an interval of a difference in AUC or XAUC: below this, more rows would show little that matters


def one_answer(seen: Seen) -> Iterator[Step]:
    """Find objectives with nothing to tell apart."""
    for name, (answer, rows) in seen.one_answers.items():
        yield Step(f"Leave out {name}", f"Its label is {answer:g} in all {rows:,} rows: there is nothing to tell apart.")


def same_labels(seen: Seen) -> Iterator[Step]:
    """Find objectives that are one: equal labels, or one label 1 exactly where the other is 0."""
    for twin in seen.doubles:
        how = "the complement of" if twin.is_opposite else "equal to"
        yield Step(f"Leave out {twin.second}", f"Its label is {how} that of {twin.first} in all {twin.rows:,} rows with both.")


def too_little_data(seen: Seen) -> Iterator[Step]:
    """Name objectives whose differences in order are all wide and unclear, and objectives whose order has no interval at all."""
    options = seen.pipeline.evaluate
    if options.bootstrap < (least := least_replicates(options.confidence)):
        lines = f"[evaluate]\nbootstrap = {max(least, 1000)}"
        yield Step("Draw more replicates", f"No number has an interval: it takes {least:,} or more.", in_toml=lines)
        return
    silent = {name: reason for name, reason in without_intervals(seen.main).items() if not seen.is_left_out(name)}
    of_given = {name: parts[0] for name in silent if (parts := schema.conditional_parts(name)) is not None}
    of_given = {name: whole for name, whole in of_given.items() if whole not in silent}  # else the objective's own step says it
    named = (
        ([name for name in silent if schema.conditional_parts(name) is None], "Judge it on more days."),
        (list(of_given), f"Go by {several(list(of_given.values()))}, whose order has one, or judge on more days."),
    )
    for names, then in named:
        if names:
            reasons = "; ".join(dict.fromkeys(silent[name] for name in names))
            yield Step(f"Too little data for {several(names)}", f"No number on its order has an interval ({reasons}). {then}")
    if wide := {name: half for name, half in wide_differences(seen.main).items() if not seen.is_left_out(name)}:
        bounds = several([f"±{half:.2f} ({name})".replace("±0.", "±.") for name, half in wide.items()])
        why = f"No difference in order is clear, and intervals are wide: {bounds}. Four times as many users would halve them."
        yield Step("Too little data for some objectives", why)


def _orders(main: Grid) -> dict[str, list[Line]]:
    """Return objective → its numbers on an order."""
    lines: dict[str, list[Line]] = {}
    for line in main.lines:
        if line.scope != VALUES:
            lines.setdefault(line.objective, []).append(line)
    return lines


def wide_differences(main: Grid) -> dict[str, float]:
    """Return objective → half of its narrowest interval of a difference in order, where that is wide and no difference is clear.

    Differences to the truth of a simulated feed do not count: every model is clearly behind it.
    """
    found, truth = {}, main.place_of(schema.TRUTH)
    for name, lines in _orders(main).items():
        cells = [cell for line in lines for place, cell in enumerate(line.differences) if place != truth]
        halves = [(cell.high - cell.low) / 2 for cell in cells if cell.low is not None and cell.high is not None]
        if halves and min(halves) > _WIDE and not any(cell.verdict in (BETTER, WORSE) for cell in cells):
            found[name] = min(halves)
    return found


def without_intervals(main: Grid) -> dict[str, str]:
    """Return objective → the reason why none of its numbers on an order has an interval."""
    found = {}
    for name, lines in _orders(main).items():
        reasons = [line.value.reason for line in lines if line.value.low is None and line.value.reason is not None]
        if len(reasons) == len(lines):
            found[name] = reasons[0]
    return found
