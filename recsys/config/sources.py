"""[source]: the place of a log and its format."""

import difflib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

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
    """The format of timestamps. `zone` is the zone in which days begin and end, and the zone of `iso` stamps without an offset."""

    unit: Literal["s", "ms", "us", "iso"] = "ms"
    zone: Zone = "UTC"


class Columns(Options):
    """Our column names, each with the log's name for it. The first three default to our own names; the others are absent unless named."""

    user_id: ColumnName = schema.USER_ID
    item_id: ColumnName = schema.ITEM_ID
    timestamp: ColumnName = schema.TIMESTAMP
    request_id: ColumnName | None = None
    query_item_id: ColumnName | None = None
    position: ColumnName | None = None
    device: ColumnName | None = None
    propensity: ColumnName | None = None
    target_propensity: ColumnName | None = None

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

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    file: Path
    on: tuple[Literal["user_id", "item_id", "request_id"], ...] = ("user_id", "item_id")
    value: str | None = None
    timestamp: str | None = None
    within: Duration = "24h"


class Source(Options):
    max_bad: float = Field(default=0.01, ge=0, le=1)  # share of rows in quarantine beyond which a run stops


class TableSource(Source):
    """Any log, read by column mapping."""

    kind: Literal["table"]
    log: Path
    users: Path | None = None
    items: Path | None = None
    columns: Columns = Columns()
    time: TimeOptions = TimeOptions()
    feedback: tuple[FeedbackOptions, ...] = ()


class KuaiRandSource(Source):
    """The official folder of KuaiRand (Gao et al., CIKM 2022): Pure, 1K or 27K, whichever files are there."""

    kind: Literal["kuairand"]
    path: Path
    random: bool = False  # read the randomly exposed log (log_random_…) beside the standard one


class OpenBanditSource(Source):
    """The official folder of Open Bandit (Saito et al., 2021): the log of one campaign under one policy. It has no users."""

    kind: Literal["open_bandit"]
    path: Path
    policy: Literal["random", "bts"] = "random"  # uniform, or Bernoulli Thompson sampling
    campaign: Literal["all", "men", "women"] = "all"


class WorldOptions(Options):
    """The simulated watch-next feed. Equal seeds give equal feeds."""

    users: int = Field(default=2_000, gt=0, le=50_000_000)
    days: int = Field(default=8, gt=0, le=3_650)
    videos: PositiveInt = 1_000  # uploaded before the first day
    new_videos: int = Field(default=50, ge=0)  # uploaded on each day
    requests: PositiveFloat = 1.0  # mean requests per user and day
    slots: PositiveInt = 10  # positions that a request shows
    start: date = Field(default=date(2024, 1, 1), ge=date(2000, 1, 1), lt=date(2100, 1, 1))
    sharpness: NonNegativeFloat = 1.0  # of the logging policy: 0 shows at random, large shows its own best guess in order
    survey_rate: float = Field(default=0.02, gt=0, le=1)  # share of watches that get a survey

    @model_validator(mode="after")
    def _fills_a_page(self) -> "WorldOptions":
        if self.videos <= self.slots:
            raise ValueError(f"videos: found {self.videos}, expected more than slots = {self.slots}: a page shows no video twice")
        return self


class WorldSource(WorldOptions, Source):
    kind: Literal["world"]


AnySource = Annotated[TableSource | KuaiRandSource | OpenBanditSource | WorldSource, Field(discriminator="kind")]
