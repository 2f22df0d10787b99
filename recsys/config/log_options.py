"""The tables inside [source] that say how a log is written: its times, its columns, its text files, its feedback."""

import codecs
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, field_validator, model_validator

from recsys import schema
from recsys.days import clock
from recsys.errors import near
from recsys.options import Options

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST_MS = 3_650 * _UNITS_MS["d"]


def duration_ms(text: str) -> int:
    """Convert a whole number with a unit (s, m, h, d) to milliseconds: "10m" → 600,000. Raises ValueError for other texts."""
    number, unit = text[:-1], text[-1:]
    if not (number.isdecimal() and unit in _UNITS_MS):
        raise ValueError(f'found "{text}", expected a whole number and a unit (s, m, h, d) such as "10m"')
    if int(number) * _UNITS_MS[unit] > _LONGEST_MS:
        raise ValueError(f'found "{text}", expected at most 3650d')
    return int(number) * _UNITS_MS[unit]


def _is_duration(text: str) -> str:
    duration_ms(text)
    return text


def _is_zone(zone: str) -> str:
    if zone not in available_timezones() or zone == "localtime":  # "localtime" is the machine's own zone, not one of the data
        places = (name for name in available_timezones() if "/" in name)  # EST beside CEST is hours off
        meant, *_ = (*near(zone, places), "Europe/Berlin")
        raise ValueError(f'found "{zone}", expected an IANA time zone such as "{meant}"')
    return zone


Duration = Annotated[str, AfterValidator(_is_duration)]
Zone = Annotated[str, AfterValidator(_is_zone)]
ColumnName = Annotated[str, Field(min_length=1)]
Word = Annotated[str, Field(min_length=1)]  # a value of a column: an empty cell is no value


class TimeOptions(Options):
    """The format of timestamps. `zone` is the zone in which days begin and end, and the zone of timestamps in text without an offset."""

    unit: Literal["s", "ms", "us", "ns", "iso"] = Field(
        default="ms",
        description="Unit of timestamps since 1970-01-01 UTC: seconds, milliseconds, microseconds, nanoseconds; `iso`: text."
        " Parquet times need none.",
    )
    since: datetime | None = Field(
        default=None,
        description="Day or moment from which numbers count, where it is not 1970-01-01 UTC. For a log that hides its own, any day will do."
        " A moment without an offset is one of the zone.",
    )
    format: str | None = Field(
        default=None,
        description="Form of other timestamps in the letters of strptime, such as `%Y-%m-%d %H`; without it: `unit` says how to read them.",
    )
    zone: Zone = Field(default="UTC", description="Zone in which days begin and end, and the zone of timestamps in text without an offset.")

    @field_validator("since", mode="before")
    @classmethod
    def _is_no_number(cls, since: Any) -> Any:
        """Refuse a number, and a text of digits: pydantic would take them for seconds since 1970."""
        if isinstance(since, int | float) or (isinstance(since, str) and re.fullmatch(r"[+-]?[\d.]*", since)):
            raise ValueError(f"found {since}, expected a day such as 2020-01-01")
        return since

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
        if self.since is not None and (self.format is not None or self.unit == "iso"):
            raise ValueError("since: found it beside times in text, expected it only beside numbers. Fix: leave since out")
        if self.since is not None and not 1971 <= self.since.year <= 2099:
            raise ValueError(f"since: found {self.since.isoformat()}, expected a moment between 1971 and 2100")
        literal = re.sub("%.", "", self.format or "").upper()
        if self.zone != "UTC" and re.search(r"UTC|GMT|Z|[+-]\d", literal):
            raise ValueError(
                f'format: found "{self.format}" in the zone {self.zone}, expected UTC, or %z for the offset. Fix: unit = "iso"'
            )
        return self

    @property
    def since_micros(self) -> int:
        """The moment from which numbers count, in microseconds since 1970 UTC."""
        if self.since is None:
            return 0
        since = self.since if self.since.tzinfo is not None else self.since.replace(tzinfo=clock(self.zone))
        return round(since.timestamp() * 1_000_000)


class LogColumns(Options):
    """The columns that any log may have: our names, each with the log's name for it."""

    user_id: ColumnName = Field(default=schema.USER_ID, description="Column of the user's id, text or whole numbers.")
    item_id: ColumnName = Field(default=schema.ITEM_ID, description="Column of the item's id, text or whole numbers.")
    timestamp: ColumnName = Field(
        default=schema.TIMESTAMP, description="Column of the moment that the row is about, written as `[source.time]` says."
    )
    request_id: ColumnName | None = Field(
        default=None,
        description="Column of the request that a row belongs to; without it, lists are sessions of a user's impressions.",
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

    @model_validator(mode="after")
    def _each_its_own(self) -> "LogColumns":
        theirs = list(self.named().values())
        twice = sorted({name for name in theirs if theirs.count(name) > 1})
        if twice:
            raise ValueError(f"found {', '.join(twice)} named more than once, expected a column of its own for each of ours")
        return self

    def named(self) -> dict[str, str]:
        """Return our name → the log's name, for the columns that are there."""
        return {ours: theirs for ours, theirs in self.model_dump().items() if theirs is not None}


class Columns(LogColumns):
    """The columns of a log, by our names. The first three default to our own names; the others are absent unless named."""

    propensity: ColumnName | None = Field(
        default=None,
        description="Column of the probability with which the logging policy chose the item; without it: no off-policy metrics.",
    )
    target_propensity: ColumnName | None = Field(
        default=None,
        description="Column of the probability with which the off-policy target would choose the item; without it: no such target.",
    )


class EventColumns(LogColumns):
    """The columns of an event log, by our names. The first three and `action` have defaults; the others are absent unless named."""

    action: ColumnName = Field(default="action", description="Column of what the user did: a view, or one of the other actions.")


class FileFormat(Options):
    """The form of a table's files. Parquet files have a form of their own: of these options they take `leave_out`."""

    separator: str | None = Field(
        default=None, min_length=1, description="Text between two fields, such as `\\t` or `::`; without it, the first rows tell."
    )
    quote: Literal['"', "'", ""] = Field(
        default='"',
        description="Mark around a field that holds the separator or a line end; empty: none, as with a separator of several bytes.",
    )
    header: bool = Field(default=True, description="Whether the first row of each file names the columns.")
    names: tuple[ColumnName, ...] = Field(
        default=(), description="Names of all columns, in the order of the file, in place of the header's; empty: the header's."
    )
    encoding: str = Field(default="utf-8", description="Encoding of the text, by Python's name for it, such as `latin-1` or `utf-16`.")
    decimal: Literal[".", ","] = Field(
        default=".",
        description="Mark before the decimals of a number; with a comma, a cell that is one such number is read as with a point,"
        " but for columns in `features.multi`.",
    )
    leave_out: tuple[ColumnName, ...] = Field(
        default=(),
        description="Columns that are not read; some of the files may lack them, and rows that differ in them alone are duplicates.",
    )

    @field_validator("separator")
    @classmethod
    def _parts_fields(cls, separator: str | None) -> str | None:
        if separator is not None and set(separator) & set("\n\r\0\"'"):
            raise ValueError(f"found {separator!r}, expected no line end, quote or zero byte in it")
        return separator

    @field_validator("names", "leave_out")
    @classmethod
    def _differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"found {', '.join(twice)} more than once, expected a name of its own for each column")
        return names

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, encoding: str) -> str:
        try:
            codecs.getincrementaldecoder(encoding)(errors="surrogateescape").decode("ab".encode(encoding))
        except (LookupError, ValueError, TypeError) as error:
            raise ValueError(f'found "{encoding}", expected an encoding that Python knows, such as utf-8, latin-1 or utf-16') from error
        return encoding

    @model_validator(mode="after")
    def _fits_together(self) -> "FileFormat":
        if self.decimal == "," and self.separator == ",":
            raise ValueError('decimal: found "," beside the separator ",", expected a point: nothing tells the two apart')
        if not self.header and not self.names:
            raise ValueError("header: found false without names, expected the names of all columns. Fix: names = [...]")
        if self.separator is not None and len(self.separator.encode()) > 1 and self.quote and "quote" in self.model_fields_set:
            raise ValueError(f'quote: found {self.quote} beside the separator {self.separator!r}, expected "": no such file quotes a field')
        return self

    @property
    def is_of_text(self) -> bool:
        """Return whether an option is set that only text files have."""
        return any(getattr(self, name) != option.default for name, option in FileFormat.model_fields.items() if name != "leave_out")


class SideFormat(FileFormat):
    """The form of the files of users or items."""

    key: ColumnName | None = Field(
        default=None, description="Column that holds the user or the item, where it is called otherwise than in the log."
    )


class Formats(Options):
    """The form of the files of each table."""

    log: FileFormat = FileFormat()
    users: SideFormat = SideFormat()
    items: SideFormat = SideFormat()


class Feedback(Options):
    """Actions that become a value of the impression that they follow."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Name by which labels and signals read the feedback.")
    value: ColumnName | None = Field(
        default=None, description="Column of an action's value, a number; without it, each action has the value 1."
    )
    within: Duration = Field(
        default="24h",
        description="Longest time from an impression to its action; labels and signals that read it are known later by as much.",
    )


class FeedbackOptions(Feedback):
    """Actions in a file of their own. Each joins the last matching impression at or before it, at most `within` earlier."""

    file: Path = Field(description="File, glob or folder with the actions.")
    on: tuple[Literal["user_id", "item_id", "request_id"], ...] = Field(
        default=("user_id", "item_id"), description="Columns that an action and its impression have in common, by our names; at least one."
    )
    timestamp: str | None = Field(
        default=None, description="Column of the moment of an action; without it: the column named in `source.columns.timestamp`."
    )
    format: FileFormat = FileFormat()


class ActionOptions(Feedback):
    """Actions of an event log. Each joins the last impression of its user and item at or before it, at most `within` earlier."""

    actions: tuple[Word, ...] = Field(
        default=(), description="Values of the column `source.columns.action` that are such actions; empty: the name alone."
    )

    @property
    def words(self) -> tuple[str, ...]:
        return self.actions or (self.name,)
