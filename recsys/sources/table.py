"""Any log by column mapping (`source.kind = "table"`)."""

from pathlib import Path

from recsys.config import TableSource
from recsys.sources.description import ITEMS, LOG, USERS, Description
from recsys.sources.raw_source import GivenFiles
from recsys.sources.staging import TableFiles


class Table(GivenFiles[TableSource]):
    def files(self) -> Description:
        users, items = self.options.users, self.options.items
        return Description(
            log=self._table(LOG, self.options.log),
            users=self._table(USERS, users) if users else None,
            items=self._table(ITEMS, items) if items else None,
            columns=self.options.columns,
            time=self.options.time,
            feedback=self.options.feedback,
        )

    def _table(self, role: str, path: Path) -> TableFiles:
        return TableFiles(role, (path,), written=getattr(self.options.format, role), key=f"source.format.{role}")
