"""Any event log by column mapping (`source.kind = "events"`): a row per action. `actions.py` parts its rows."""

from dataclasses import replace

from recsys.config import EventsSource
from recsys.sources.description import Description, mapped
from recsys.sources.raw_source import GivenFiles


class EventLog(GivenFiles[EventsSource]):
    def files(self) -> Description:
        return replace(mapped(self.options), events=self.options)
