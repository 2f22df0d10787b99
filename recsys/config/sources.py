"""[source]: the place of a log and its format."""

import difflib
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from recsys import schema
from recsys.options import Options

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """Convert a whole number with a unit (s, m, h, d) to milliseconds: "10m" → 600,000. Raises ValueError for other texts."""
    number, unit = text[:-1], text[-1:]
    if not (number.isdecimal() and unit in _UNITS_MS):
        raise ValueError(f'found "{text}", expected a whole number and a unit (s, m, h, d) such as "10m"')
    return int(number) * _UNITS_MS[unit]


def _is_duration(text: str) -> str:
    duration_ms(text)
    return text


def _is_zone(zone: str) -> str:
    if zone not in available_timezones() or zone == "localtime":  # "localtime" is the machine's own zone, not one of the data
        near = difflib.get_close_matches(zone, available_timezones(), n=1)
        raise ValueError(f'found "{zone}", expected an IANA time zone' + (f' such as "{near[0]}"' if near else ""))
    return zone


Duration = Annotated[str, AfterValidator(_is_duration)]
Zone = Annotated[str, AfterValidator(_is_zone)]
ColumnName = Annotated[str, Field(min_length=1)]


class TimeOptions(Options):
    """The format of timestamps. `zone` is the zone in which days begin and end, and the zone of timestamps in text without an offset."""

    unit: Literal["s", "ms", "us", "iso"] = Field(
        default="ms",
        description="Unit of timestamps since 1970-01-01 UTC: seconds, milliseconds, microseconds; `iso`: text. Parquet times need none.",
    )
    format: str | None = Field(
        default=None,
        description="Form of other timestamps in the letters of strptime, such as `%Y-%m-%d %H`; without it: `unit` says how to read them.",
    )
    zone: Zone = Field(default="UTC", description="Zone in which days begin and end, and the zone of timestamps in text without an offset.")

    @field_validator("format")
    @classmethod
    def _tells_the_day(cls, form: str | None) -> str | None:
        """Refuse a format that strptime does not know, or that leaves the day open."""
        if form is None:
            return form
        letters = set(re.findall("%(.?)", form.replace("%%", ""), re.DOTALL))
        unknown = sorted(letters - set("YymbBdjHIpMSfzaA"))
        if unknown:
            raise ValueError(f"found %{', %'.join(unknown)}, expected the letters of strptime: Y y m b B d j H I p M S f z a A")
        if not (letters & set("Yy") and ("j" in letters or (letters & set("mbB") and "d" in letters))):
            raise ValueError(f'found "{form}", expected a year, a month and a day, such as %Y-%m-%d')
        if "I" in letters and "p" not in letters:
            raise ValueError(f'found "{form}", expected %p beside %I: morning or afternoon')
        return form

    @model_validator(mode="after")
    def _one_way(self) -> "TimeOptions":
        if self.format is not None and "unit" in self.model_fields_set:
            raise ValueError("format: found unit beside it, expected one of them. Fix: leave unit out")
        if self.format is not None and self.format.endswith("Z") and not self.format.endswith("%Z") and self.zone != "UTC":
            raise ValueError(f'format: found "{self.format}" in the zone {self.zone}, expected UTC, which Z stands for. Fix: unit = "iso"')
        return self


class Columns(Options):
    """Our column names, each with the log's name for it. The first three default to our own names; the others are absent unless named."""

    user_id: ColumnName = Field(default=schema.USER_ID, description="Column of the user's id, text or whole numbers.")
    item_id: ColumnName = Field(default=schema.ITEM_ID, description="Column of the id of the item that was shown, text or whole numbers.")
    timestamp: ColumnName = Field(
        default=schema.TIMESTAMP, description="Column of the moment of the impression, written as `[source.time]` says."
    )
    request_id: ColumnName | None = Field(
        default=None,
        description="Column of the request that an impression belongs to; without it, lists are sessions of a user's impressions.",
    )
    query_item_id: ColumnName | None = Field(
        default=None,
        description="Column of the item that the user was watching when the list was shown; without it: no features of such an item.",
    )
    position: ColumnName | None = Field(
        default=None,
        description="Column of the place at which the item was shown, a whole number from 1; without it: no position bias is learned.",
    )
    device: ColumnName | None = Field(
        default=None, description="Column of the device on which the item was shown, read as text; without it: no device bias is learned."
    )
    propensity: ColumnName | None = Field(
        default=None,
        description="Column of the probability with which the logging policy chose the item; without it: no off-policy metrics.",
    )
    target_propensity: ColumnName | None = Field(
        default=None,
        description="Column of the probability with which the off-policy target would choose the item; without it: no such target.",
    )

    @model_validator(mode="after")
    def _each_its_own(self) -> "Columns":
        theirs = list(self.named().values())
        twice = sorted({name for name in theirs if theirs.count(name) > 1})
        if twice:
            raise ValueError(f"found {', '.join(twice)} named more than once, expected a column of its own for each of ours")
        return self

    def named(self) -> dict[str, str]:
        """Return our name → the log's name, for the columns that are there."""
        return {ours: theirs for ours, theirs in self.model_dump().items() if theirs is not None}


class FeedbackOptions(Options):
    """Actions in a file of their own. Each joins the last matching impression at or before it, at most `within` earlier."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Name by which labels and signals read the feedback.")
    file: Path = Field(description="File, glob or folder with the actions.")
    on: tuple[Literal["user_id", "item_id", "request_id"], ...] = Field(
        default=("user_id", "item_id"), description="Columns that an action and its impression have in common, by our names; at least one."
    )
    value: str | None = Field(default=None, description="Column of an action's value, a number; without it, each action has the value 1.")
    timestamp: str | None = Field(
        default=None, description="Column of the moment of an action; without it: the column named in `source.columns.timestamp`."
    )
    within: Duration = Field(
        default="24h",
        description="Longest time from an impression to its action; labels and signals that read it are known later by as much.",
    )


class Source(Options):
    """The options that all kinds of source have."""

    max_bad: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of rows in quarantine beyond which a run stops, of a table, or of a day of the log with over ten such rows.",
    )


class TableSource(Source):
    """Any log, read by column mapping."""

    kind: Literal["table"] = Field(description="Kind of source that this table describes.")
    log: Path = Field(description="File, glob or folder with the impressions: csv or tsv, also with .gz, or parquet.")
    users: Path | None = Field(default=None, description="File, glob or folder with one row per user; without it, users have no features.")
    items: Path | None = Field(default=None, description="File, glob or folder with one row per item; without it, items have no features.")
    columns: Columns = Columns()
    time: TimeOptions = TimeOptions()
    feedback: tuple[FeedbackOptions, ...] = Field(default=(), description="Actions that stand in files of their own; empty: none.")

    @property
    def zone(self) -> str:
        return self.time.zone


class KuaiRandSource(Source):
    """The official folder of KuaiRand (Gao et al., CIKM 2022): Pure, 1K or 27K, whichever files are there."""

    kind: Literal["kuairand"] = Field(description="Kind of source that this table describes.")
    path: Path = Field(description="Folder of the data set; its files lie in it or in its subfolder `data`.")
    random: bool = Field(default=False, description="Whether the randomly exposed log (log_random_…) is read beside the standard one.")

    @property
    def zone(self) -> str:
        return "Asia/Shanghai"  # `date` is the UTC+8 date of time_ms


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
AnySource = Annotated[TableSource | KuaiRandSource | OpenBanditSource | WorldSource, Field(discriminator="kind")]
SOURCES = {
    "table": SourceKind(TableSource, "recsys.sources.table:Table"),
    "kuairand": SourceKind(KuaiRandSource, "recsys.sources.kuairand:KuaiRand"),
    "open_bandit": SourceKind(OpenBanditSource, "recsys.sources.open_bandit:OpenBandit"),
    "world": SourceKind(WorldSource, "recsys.sources.simulated:Simulated"),
}
