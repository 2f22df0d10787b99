"""The lists in the rows that were read: whether there is anything to rank in them."""

import pyarrow.compute as pc

from recsys import schema
from recsys.checkup.findings import Findings
from recsys.features import Preview

_NEARLY_ALL = 0.99  # share of lists
_FEWEST = 20  # lists, below which it may be chance


def list_findings(preview: Preview, found: Findings) -> None:
    """Warn where the item is the same in all rows of nearly every list of two rows or more: no order of it can be better than chance."""
    if schema.REQUEST_ID not in preview.labels.column_names:
        return
    rows = preview.labels.filter(pc.is_valid(preview.labels[schema.REQUEST_ID]))
    lists = rows.group_by(schema.REQUEST_ID).aggregate([([], "count_all"), (schema.ITEM_ID, "count_distinct")])
    several = lists.filter(pc.greater(lists["count_all"], 1))
    same = several.filter(pc.equal(several[f"{schema.ITEM_ID}_count_distinct"], 1))
    if len(several) >= _FEWEST and len(same) >= _NEARLY_ALL * len(several):
        found.warnings.append(
            f"source.columns: found one item_id in all rows of {len(same):,} of the {len(several):,} requests with two rows or more,"
            " expected different ones: there is nothing to rank in a list. Fix: name as item_id what was ranked, or another request_id"
        )
