"""Rows of the log that say different things of one impression: equal user, item and moment, and another label."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import schema
from recsys.checkup.findings import Findings
from recsys.errors import one_line, short
from recsys.features import Preview

_WITH_NULLS = pc.CountOptions(mode="all")
_LONGEST = 40  # letters of an id in a message


def contradictions(preview: Preview, found: Findings) -> None:
    """Warn of impressions that have the user, item and moment of another one (and its request and position, where known), but other labels.

    Rows that are equal as a whole are duplicates: the account of the rows counts them.
    """
    labels = [schema.label_column(objective.name) for objective in preview.plan.objectives]
    keys = [name for name in preview.labels.column_names if name not in labels]
    if not labels:
        return
    groups = preview.labels.group_by(keys).aggregate([([], "count_all"), *((label, "count_distinct", _WITH_NULLS) for label in labels)])
    differs = {label: pc.greater(groups[f"{label}_count_distinct"], 1) for label in labels}
    any_differs = np.logical_or.reduce([column.to_numpy() for column in differs.values()])
    odd = groups.filter(pa.array(any_differs)).sort_by([(schema.TIMESTAMP, "ascending"), (schema.USER_ID, "ascending")])
    if not len(odd):
        return
    first = odd.slice(0, 1).to_pylist()[0]
    which = ", ".join(
        objective.name for objective in preview.plan.objectives if first[f"{schema.label_column(objective.name)}_count_distinct"] > 1
    )
    moment = np.datetime64(first[schema.TIMESTAMP], "ms")
    user, item = (one_line(short(str(first[name]), _LONGEST)) for name in (schema.USER_ID, schema.ITEM_ID))
    example = f"user {user}, item {item} at {moment} UTC has {first['count_all']} with different {which}"
    found.warnings.append(
        f"log: found {pc.sum(odd['count_all']).as_py():,} rows that contradict another one of the same user, item and moment ({example}),"
        " expected one row per impression: all are kept. Fix: keep the right ones, or name in source.columns what tells them apart"
        " (request_id, position)"
    )
