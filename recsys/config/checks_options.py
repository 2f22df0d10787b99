"""[checks]: how far a day of the log may be from the days before it."""

from datetime import date
from typing import Annotated

from pydantic import Field, PositiveInt

from recsys.options import Options

Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=1)]
Above = Annotated[float, Field(gt=0)]


class StopLimits(Options):
    """Limits beyond which `recsys health` ends with exit code 3. Without a limit, nothing stops."""

    gap: PositiveInt | None = Field(default=None, description="Days without impressions before the day, beyond those that are usual.")
    rows: Ratio | None = Field(default=None, description="Ratio of the day's impressions, users and items to the usual ones, up or down.")
    nulls: Share | None = Field(default=None, description="Difference of a column's share of nulls to the usual one.")
    unknown: Share | None = Field(default=None, description="Difference of the share of impressions of new users, or new items.")
    base_rate: Ratio | None = Field(
        default=None, description="Ratio of a label's mean, or of the share of rows with a label, to the usual one, up or down."
    )
    psi: Above | None = Field(default=None, description="Population stability index of a feature, beyond what chance makes.")
    shift: Above | None = Field(
        default=None, description="Standard deviations by which the mean of a counter, or of histories' length, moves."
    )


class WarnLimits(StopLimits):
    """Limits beyond which `recsys health` warns."""

    gap: PositiveInt | None = Field(default=1, description="Days without impressions before the day, beyond those that are usual.")
    rows: Ratio | None = Field(default=3.0, description="Ratio of the day's impressions, users and items to the usual ones, up or down.")
    nulls: Share | None = Field(default=0.1, description="Difference of a column's share of nulls to the usual one.")
    unknown: Share | None = Field(default=0.2, description="Difference of the share of impressions of new users, or new items.")
    base_rate: Ratio | None = Field(
        default=1.5, description="Ratio of a label's mean, or of the share of rows with a label, to the usual one, up or down."
    )
    psi: Above | None = Field(default=0.25, description="Population stability index of a feature, beyond what chance makes.")
    shift: Above | None = Field(
        default=0.5, description="Standard deviations by which the mean of a counter, or of histories' length, moves."
    )


class Checks(Options):
    """The checks of each day against the days before it (`recsys health`)."""

    trailing: int = Field(default=7, ge=3, description="Number of days with impressions before a day that say what is usual.")
    accept: tuple[date, ...] = Field(default=(), description="Days that were looked at and are taken as they are: nothing of them stops.")
    ignore: tuple[str, ...] = Field(
        default=(), description="Columns of the log and features that are not checked, such as `item.upload_date` or `history.length`."
    )
    warn: WarnLimits = WarnLimits()
    stop: StopLimits = StopLimits()
