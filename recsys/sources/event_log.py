"""Any event log by column mapping (`source.kind = "events"`): a row per action. `actions.py` parts its rows."""

from recsys.config import EventsSource
from recsys.sources.description import ITEMS, LOG, USERS, Description, table_files
from recsys.sources.raw_source import GivenFiles


class EventLog(GivenFiles[EventsSource]):
    def files(self) -> Description:
        options = self.options
        return Description(
            log=table_files(LOG, options.log, options.format.log),
            users=table_files(USERS, options.users, options.format.users) if options.users else None,
            items=table_files(ITEMS, options.items, options.format.items) if options.items else None,
            columns=options.columns,
            time=options.time,
            events=options,
        )
