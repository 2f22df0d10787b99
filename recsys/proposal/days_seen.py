"""The days of a log with their numbers of rows, from all of its times. Rows without a time are set aside."""

import math
from collections import Counter

import numpy as np
import pyarrow.compute as pc

from recsys import sources
from recsys.config import TimeOptions
from recsys.days import ordinals
from recsys.errors import data_error, short
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.draft import Proposal
from recsys.proposal.guessed_time import time_keys
from recsys.sources import UnknownFile

_MOST_BAD = 0.01  # share of rows in quarantine that a run allows by default, and of those whose time is of another form
_MOST_EMPTY = 0.1  # share of rows without a time above which the file is to be mended, as a run says of quarantine


def rows_by_day(log: UnknownFile, time: ColumnFacts, zone: str) -> tuple[dict[str, int], float]:
    """Count the rows of each day, from all rows of the log. Return them, and the share of rows without a time.

    Raises DataError where too many rows have no time, or one of another form.
    """
    total, empty, unread = 0, 0, 0
    example: str | None = None
    options = TimeOptions.model_validate({**time_keys(time), "zone": zone})
    counts: Counter[int] = Counter()
    for batch in log.column(time.name):
        moments = sources.moments_or_null(batch, options)
        is_other = pc.and_(moments.is_null(), batch.is_valid())
        total, empty, unread = total + len(batch), empty + batch.null_count, unread + (pc.sum(is_other).as_py() or 0)
        if example is None and unread:
            example = str(batch.filter(is_other)[0].as_py())
        days, rows = np.unique(ordinals(moments.drop_null().to_numpy(), zone), return_counts=True)
        counts.update(dict(zip(days.tolist(), rows.tolist(), strict=True)))
    where = f"{log.path} column {time.name}"
    if unread > _MOST_BAD * total:
        raise data_error(
            where,
            found=f'"{short(example or "")}"',
            expected=sources.expected_time(log.rows.schema.field(time.name).type, options),
            bad_rows=unread,
            rows=total,
            fix="mend these times: all are of one form" if time_keys(time) else "mend these times",
        )
    if empty > _MOST_EMPTY * total:
        raise data_error(
            where,
            found="no time (an empty cell)",
            expected=f"one in {1 - _MOST_EMPTY:.0%} of the rows or more",
            bad_rows=empty,
            rows=total,
            fix="fill the times in, or leave these rows out of the file",
        )
    return {str(np.datetime64(day, "D")): rows for day, rows in sorted(counts.items())}, empty / total


def allow_rows_without_time(proposal: Proposal, share: float) -> None:
    """Raise source.max_bad where it would stop a run because of rows without a time. Other bad rows get their usual share beside them."""
    if share <= _MOST_BAD:
        return
    proposal.tables["source"]["max_bad"] = round(math.ceil(100 * share) / 100 + _MOST_BAD, 2)
    proposal.note(("source", "max_bad"), f"{share:.1%} of the rows have no time. A run sets them aside, with their lines, in quarantine/.")
