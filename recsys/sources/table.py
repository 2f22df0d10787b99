"""Any log by column mapping (`source.kind = "table"`)."""

from recsys.config import TableSource
from recsys.sources.description import ITEMS, LOG, USERS, Description
from recsys.sources.staging import TableFiles


def describe(source: TableSource) -> Description:
    return Description(
        log=TableFiles(LOG, (source.log,)),
        users=TableFiles(USERS, (source.users,)) if source.users else None,
        items=TableFiles(ITEMS, (source.items,)) if source.items else None,
        columns=source.columns,
        time=source.time,
        feedback=source.feedback,
    )
