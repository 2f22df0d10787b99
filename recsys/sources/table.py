"""Any log by column mapping (`source.kind = "table"`)."""

from dataclasses import replace

from recsys.config import TableSource
from recsys.sources.description import Description, mapped
from recsys.sources.raw_source import GivenFiles


class Table(GivenFiles[TableSource]):
    def files(self) -> Description:
        return replace(mapped(self.options), feedback=self.options.feedback)
