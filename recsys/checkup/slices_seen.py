"""The slices in the rows that were read: whether each has few enough values to be read one by one."""

from recsys.checkup.findings import Findings
from recsys.evaluation import MOST_VALUES
from recsys.features import Preview


def slice_findings(preview: Preview, found: Findings) -> None:
    """Warn of slices with more values than get numbers of their own."""
    found.warnings += [
        f"features.slices: found {values:,} values of {name}, expected at most {MOST_VALUES}: the most frequent ones get numbers"
        " of their own, all others get numbers together. Fix: name a column of fewer values, such as a column of wider bins"
        for name, values in preview.slices.items()
        if values > MOST_VALUES
    ]
