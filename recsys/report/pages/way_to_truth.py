"""How far a run has come from popularity to the truth of a simulated feed, in words."""

from recsys import schema
from recsys.report.pages.next_steps import POPULARITY, TRUTH
from recsys.report.tables.cells import Grid, Line
from recsys.report.tables.frame import ALL_IMPRESSIONS


def way_to_truth(main: Grid) -> list[str]:
    """Return a sentence with the share of the way per objective, by its metric over all impressions. Nothing without both baselines.

    With v the run's number, the share is (v − popularity) / (truth − popularity). An objective is left out where the truth's number is no
    better than popularity's: with few positives that happens by chance. The interval is that of v − popularity; the way counts as known.
    """
    popularity, truth = main.place_of(POPULARITY), main.place_of(TRUTH)
    if popularity is None or truth is None:
        return []
    shares = [_share(line, popularity, truth) for line in main.lines if line.scope == ALL_IMPRESSIONS]
    said = ", ".join(share for share in shares if share is not None)
    return [f"Of the way from popularity to the truth this run has gone, over all impressions: {said}."] if said else []


def _share(line: Line, popularity: int, truth: int) -> str | None:
    gained, missing = line.differences[popularity], line.differences[truth]
    if gained.value is None or missing.value is None:
        return None
    way = gained.value - missing.value
    if way == 0 or (way > 0) != (line.better == schema.HIGHER):
        return None
    ends = sorted(end / way for end in (gained.low, gained.high) if end is not None)
    interval = f" [{', '.join(f'{end:.0%}' for end in ends)}]" if ends else ""
    return f"{line.objective} {gained.value / way:.0%}{interval}"
