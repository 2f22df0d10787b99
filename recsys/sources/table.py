"""Any log by column mapping (`source.kind = "table"`)."""

from recsys.config import TableSource
from recsys.sources.description import ITEMS, LOG, USERS, Description
from recsys.sources.raw_source import GivenFiles
from recsys.sources.staging import TableFiles


class Table(GivenFiles[TableSource]):
    def files(self) -> Description:
        users, items = self.options.users, self.options.items
        return Description(
            log=TableFiles(LOG, (self.options.log,)),
            users=TableFiles(USERS, (users,)) if users else None,
            items=TableFiles(ITEMS, (items,)) if items else None,
            columns=self.options.columns,
            time=self.options.time,
            feedback=self.options.feedback,
        )
