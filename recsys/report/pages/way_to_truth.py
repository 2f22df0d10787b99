"""Say how far a run has come from popularity to the truth of a simulated feed."""

from collections.abc import Callable

from recsys import schema
from recsys.report.tables.cells import Grid, Line

# Metrics by which no ranker can be expected to beat the truth, and the scale on which their way is a straight line. XAUC is none of them:
# an expected value is not the best order of pairs where many labels are 0 (docs/world.md).
_SCALES: dict[str, Callable[[float], float]] = {"auc": lambda value: value, "rmse": lambda value: value * value}


def way_to_truth(main: Grid) -> list[str]:
    """Return a sentence with the share of the way per objective, by AUC or by the squared error. Nothing without both baselines.

    With v the run's number, the share is (v − popularity) / (truth − popularity). An objective is left out where the way is shorter than
    half of the interval of v − popularity, or where this has no interval: it may be noise. The interval is that of v − popularity; the way
    counts as known.
    """
    popularity, truth = main.place_of(schema.POPULARITY), main.place_of(schema.TRUTH)
    if popularity is None or truth is None:
        return []
    shares = [_share(line, _SCALES[line.metric], popularity, truth) for line in main.lines if line.metric in _SCALES]
    said = ", ".join(share for share in shares if share is not None)
    return [f"Of the way from popularity to the truth this run has gone, by AUC or squared error: {said}."] if said else []


def _share(line: Line, scale: Callable[[float], float], popularity: int, truth: int) -> str | None:
    value, gained, missing = line.value.value, line.differences[popularity], line.differences[truth]
    if value is None or gained.value is None or gained.low is None or gained.high is None or missing.value is None:
        return None
    start, end = value - gained.value, value - missing.value
    way = scale(end) - scale(start)
    steps = [scale(start + step) - scale(start) for step in (gained.value, gained.low, gained.high)]
    forward = (end - start) * (1 if line.better == schema.HIGHER else -1) > 0
    if not forward or abs(way) < abs(steps[2] - steps[1]) / 2:
        return None
    share, *ends = (step / way for step in steps)
    return f"{line.objective} {share:z.0%} [{', '.join(f'{each:z.0%}' for each in sorted(ends))}]"
