"""[source]: the place of a log and its format."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from recsys.config.forms import ALIKE, alike
from recsys.config.log_options import (
    ActionOptions,
    Columns,
    Duration,
    EventColumns,
    FeedbackOptions,
    Formats,
    LogColumns,
    SideFormat,
    TimeOptions,
    Word,
)
from recsys.options import Options

DAY = "{day}"  # in a path: the place of an ISO day


def _with_day(path: Path | None) -> Path | None:
    """Return the path. Raise ValueError where the place of the day in it cannot be told."""
    if path is None:
        return None
    before, *more = str(path).split(DAY)
    if len(more) > 1:
        raise ValueError(f"found {path}, expected {DAY} once")
    if more and ("**" in path.parts or set("*?[") & set(before.rpartition("/")[2])):
        raise ValueError(f"found {path}, expected no ** beside {DAY}, and none of * ? [ before it in the same name")
    return path


def _without_day(path: Path) -> Path:
    if DAY in str(path):
        raise ValueError(f"found {path}, expected no {DAY}: each row of a log has its own moment. Fix: * in its place")
    return path


class Source(Options):
    """The options that all kinds of source have."""

    max_bad: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of rows in quarantine beyond which a run stops, of a table, or of a day of the log with over ten such rows.",
    )
    closed: Path | None = Field(
        default=None,
        description="File that says that a day is whole, with {day} in its name; until it is there, `run --through` ends with exit code 7.",
    )
    grace: Duration | None = Field(
        default=None,
        description="Time after the end of a day, until which the log must go on; until it does, `run --through` ends with exit code 7.",
    )

    @field_validator("closed")
    @classmethod
    def _of_a_day(cls, path: Path | None) -> Path | None:
        if path is not None and str(path).count(DAY) != 1:
            raise ValueError(f"found {path}, expected {DAY} once")
        return path

    @model_validator(mode="after")
    def _closed_in_one_way(self) -> "Source":
        if self.closed is not None and self.grace is not None:
            raise ValueError("grace: found it beside closed, which says the same in another way. Fix: leave one of them out")
        return self


def _require_used(formats: Formats, users: Path | None, items: Path | None, columns: LogColumns) -> None:
    """Raise ValueError for the form of a table that there is none of, and where it leaves out a column of the log that has a name here."""
    for name, table in (("users", users), ("items", items)):
        if table is None and getattr(formats, name) != SideFormat():
            raise ValueError(f"format.{name}: found it without source.{name}, expected a table that it describes")
    for ours, theirs in columns.named().items():
        if theirs in formats.log.leave_out:
            raise ValueError(f"format.log.leave_out: found {theirs}, expected no column that source.columns reads ({ours})")


class TableSource(Source):
    """Any log, read by column mapping."""

    kind: Literal["table"] = Field(description="Kind of source that this table describes.")
    log: Path = Field(description="File, glob or folder with the impressions: text, also gzipped, or parquet.")
    users: Path | None = Field(
        default=None,
        description="File, glob or folder with a row per user; {day} in its name: a file per day. Without it, users have no features.",
    )
    items: Path | None = Field(
        default=None,
        description="File, glob or folder with a row per item; {day} in its name: a file per day. Without it, items have no features.",
    )
    columns: Columns = Columns()
    time: TimeOptions = TimeOptions()
    format: Formats = Formats()
    feedback: tuple[FeedbackOptions, ...] = Field(default=(), description="Actions that stand in files of their own; empty: none.")

    _no_day = field_validator("log")(_without_day)
    _one_day = field_validator("users", "items")(_with_day)

    @model_validator(mode="after")
    def _uses_its_formats(self) -> "TableSource":
        _require_used(self.format, self.users, self.items, self.columns)
        return self

    @property
    def zone(self) -> str:
        return self.time.zone


class EventsSource(Source):
    """An event log, read by column mapping: each row is one action of a user on an item, a view or another one."""

    kind: Literal["events"] = Field(description="Kind of source that this table describes.")
    log: Path = Field(description="File, glob or folder with the events: text, also gzipped, or parquet.")
    users: Path | None = Field(
        default=None,
        description="File, glob or folder with a row per user; {day} in its name: a file per day. Without it, users have no features.",
    )
    items: Path | None = Field(
        default=None,
        description="File, glob or folder with a row per item; {day} in its name: a file per day. Without it, items have no features.",
    )
    views: tuple[Word, ...] = Field(
        min_length=1, description="Values of the column `source.columns.action` that show an item: the first per session is an impression."
    )
    ignore: tuple[Word, ...] = Field(default=(), description="Values of that column whose rows are left out.")
    session_gap: Duration = Field(
        default="10m", description="Pause of a user that ends a session, which is a list; a log with a `request_id` needs none."
    )
    orphan: Literal["quarantine", "keep"] = Field(
        default="quarantine",
        description="What becomes of an action that follows no view: quarantine (beside `max_bad`), or an impression of its own.",
    )
    columns: EventColumns = EventColumns()
    time: TimeOptions = TimeOptions()
    format: Formats = Formats()
    feedback: tuple[ActionOptions, ...] = Field(default=(), description="The other actions, each kind with a name; empty: none.")

    _no_day = field_validator("log")(_without_day)
    _one_day = field_validator("users", "items")(_with_day)

    @property
    def zone(self) -> str:
        return self.time.zone

    @model_validator(mode="after")
    def _each_action_once(self) -> "EventsSource":
        _require_used(self.format, self.users, self.items, self.columns)
        names = [feedback.name for feedback in self.feedback]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"feedback: found the name {', '.join(twice)} more than once, expected a name of its own for each")
        if same := alike(names):
            raise ValueError(f"feedback: found {', '.join(same)}, {ALIKE}")
        words = [*self.views, *self.ignore, *(word for feedback in self.feedback for word in feedback.words)]
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"views: found {', '.join(twice)} more than once among views, ignore and feedback, expected each once")
        if self.columns.request_id is not None and "session_gap" in self.model_fields_set:
            raise ValueError("session_gap: found it beside columns.request_id, which parts the sessions. Fix: leave one of them out")
        return self


class KuaiRandSource(Source):
    """The official folder of KuaiRand (Gao et al., CIKM 2022): Pure, 1K or 27K, whichever files are there."""

    kind: Literal["kuairand"] = Field(description="Kind of source that this table describes.")
    path: Path = Field(description="Folder of the data set; its files lie in it or in its subfolder `data`.")
    random: bool = Field(default=False, description="Whether the randomly exposed log (log_random_…) is read beside the standard one.")

    @property
    def zone(self) -> str:
        return "Asia/Shanghai"  # `date` is the UTC+8 date of time_ms


class KuaiRecSource(Source):
    """The official folder of KuaiRec 2.0 (Gao et al., CIKM 2022): one of its two matrices."""

    kind: Literal["kuairec"] = Field(description="Kind of source that this table describes.")
    path: Path = Field(description="Folder of the data set; its files lie in it or in its subfolder `data`.")
    matrix: Literal["big", "small"] = Field(
        default="big", description="Matrix whose log is read: the sparse one of the feed, or the small one that is nearly full."
    )

    @property
    def zone(self) -> str:
        return "Asia/Shanghai"


class MovieLensSource(Source):
    """The folder of a MovieLens release as it is unpacked (Harper and Konstan, TiiS 2015): 100K, 1M, 10M, 20M, 25M, 32M or latest."""

    kind: Literal["movielens"] = Field(description="Kind of source that this table describes.")
    path: Path = Field(description="Folder of the release, such as `ml-100k`; its files show which release it is.")

    @property
    def zone(self) -> str:
        return "UTC"


class OpenBanditSource(Source):
    """The official folder of Open Bandit (Saito et al., 2021): the log of one campaign under one policy. It has no users."""

    kind: Literal["open_bandit"] = Field(description="Kind of source that this table describes.")
    path: Path = Field(description="Folder of the data set, which holds one folder per policy.")
    policy: Literal["random", "bts"] = Field(
        default="random", description="Policy whose log is read: uniform, or Bernoulli Thompson sampling."
    )
    campaign: Literal["all", "men", "women"] = Field(default="all", description="Campaign whose log is read.")

    @property
    def zone(self) -> str:
        return "UTC"


class WorldOptions(Options):
    """The simulated watch-next feed. Equal seeds give equal feeds."""

    users: int = Field(default=2_000, gt=0, le=50_000_000, description="Number of users in the feed.")
    days: int = Field(default=8, gt=0, le=3_650, description="Number of days that are logged.")
    videos: PositiveInt = Field(
        default=1_000, description="Number of videos uploaded before the first day; more than `slots`, because a page shows no video twice."
    )
    new_videos: int = Field(default=50, ge=0, description="Number of videos uploaded on each day; 0: none.")
    requests: PositiveFloat = Field(default=1.0, description="Mean number of requests per user and day.")
    slots: PositiveInt = Field(default=10, description="Number of positions that a request shows.")
    start: date = Field(default=date(2024, 1, 1), ge=date(2000, 1, 1), lt=date(2100, 1, 1), description="First day that is logged.")
    sharpness: NonNegativeFloat = Field(
        default=1.0, description="Sharpness of the logging policy; 0 shows at random, a large value shows its own best guess in order."
    )
    survey_rate: float = Field(default=0.02, gt=0, le=1, description="Share of watches that get a survey.")

    @model_validator(mode="after")
    def _fills_a_page(self) -> "WorldOptions":
        if self.videos <= self.slots:
            raise ValueError(f"videos: found {self.videos}, expected more than slots = {self.slots}: a page shows no video twice")
        return self


class WorldSource(WorldOptions, Source):
    """The simulated watch-next feed, written to the workspace before it is read."""

    kind: Literal["world"] = Field(description="Kind of source that this table describes.")

    @property
    def zone(self) -> str:
        return "UTC"


class SourceKind(NamedTuple):
    """A kind of source. `reader` is the class that reads it, MODULE:CLASS: text, because options import no engine."""

    options: type[Source]
    reader: str


# The kinds of source. Both name them: pydantic and mypy need a union, everyone else needs a table.
AnySource = Annotated[
    TableSource | EventsSource | KuaiRandSource | KuaiRecSource | MovieLensSource | OpenBanditSource | WorldSource,
    Field(discriminator="kind"),
]
SOURCES = {
    "table": SourceKind(TableSource, "recsys.sources.table:Table"),
    "events": SourceKind(EventsSource, "recsys.sources.event_log:EventLog"),
    "kuairand": SourceKind(KuaiRandSource, "recsys.sources.kuairand:KuaiRand"),
    "kuairec": SourceKind(KuaiRecSource, "recsys.sources.kuairec:KuaiRec"),
    "movielens": SourceKind(MovieLensSource, "recsys.sources.movielens:MovieLens"),
    "open_bandit": SourceKind(OpenBanditSource, "recsys.sources.open_bandit:OpenBandit"),
    "world": SourceKind(WorldSource, "recsys.sources.simulated:Simulated"),
}
