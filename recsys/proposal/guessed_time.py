"""The guessed time of an impression among the columns of a log, and how it is written."""

import re
import shlex
from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path

import pandas as pd

from recsys.errors import data_error
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.draft import unique
from recsys.proposal.passed_over import quoted
from recsys.proposal.role_names import TOLD

_TIME = r".*(time|stamp|date|_at|_ts|when)(_(ms|us|s|utc|local|iso))?|date_.*|ts|t"
_CLOCK = r"(.*_)?(timestamp|ts)|((event|log|impression|request|action|interaction)_)?time|t"  # says when, and not how long
_DAY = r"\d{4}([-/.]?)\d\d?\1\d\d?([T ]00:00(:00(\.0+)?)?)?"  # without a time of day
_ACTED = r".*(click|buy|bought|purchase|order|pay|publish|upload|creat|release|birth|join|regist|update|end|finish|close).*"
_WHEN = r"_?(time_?stamp|datetime|time|date|at|ts|when)(_(ms|us|s|utc|local|iso))?$"
_NUMBERED = r"(.*_)?(id|key|no|hash|code)"


def time_columns(columns: Sequence[ColumnFacts]) -> list[ColumnFacts]:
    """Return the columns that hold times. Where none does, those whose numbers may count from the log's own start."""
    times = [column for column in columns if column.time is not None]
    times = [column for column in times if not re.fullmatch(_NUMBERED, column.words)] or times  # ids of ten digits look like times
    return times or [column for column in columns if is_called_clock(column) and column.time_from_start is not None]


def is_called_clock(column: ColumnFacts) -> bool:
    """Return whether a column holds numbers, and is called as one that says when something was."""
    return re.fullmatch(_CLOCK, column.words) is not None and column.numbers is not None


def time_keys(column: ColumnFacts) -> dict[str, str]:
    """Return the keys of [source.time] that read one of `time_columns`."""
    keys = column.time if column.time is not None else column.time_from_start
    assert keys is not None, f"{column.name}: found no times"
    return keys


def time_of_impression(
    times: Sequence[ColumnFacts],
    user: ColumnFacts,
    item: ColumnFacts,
    known: ColumnFacts | None,
    names: Sequence[str],
    file: str,
    without_times: Callable[[ColumnFacts], str],
) -> tuple[ColumnFacts, list[ColumnFacts]]:
    """Return the column of the moment of the impression, and the other columns of times. `names` are those of all columns.

    `known` is the column that need not be guessed. A time that is a property of the item or of the user is none of an impression, and one
    of an action comes after it, and is mostly empty. Of the others the finest is taken, among equally fine ones that with such a name.
    Raise DataError where there is no time: `without_times` says what to do about a log of such a user.
    """
    found = [column for column in times if column not in (user, item)]
    if known is not None:
        if known.time is None and known.time_from_start is None:
            raise data_error(
                f"{file} column {known.name}",
                found=f"no times ({', '.join(map(str, known.values.unique()[:3]))}, …)",
                expected="the moment of each impression",
                fix="another column, or write its form into source.time.format by hand (docs/bring-your-own-log.md)",
            )
        return known, [column for column in found if column is not known]
    if not found:
        raise data_error(
            file,
            found=f"no column of times among {', '.join(names)}",
            expected="one with the moment of each impression",
            fix=_from_parts(names, file) or without_times(user),
        )

    def fits(column: ColumnFacts) -> tuple[bool, bool, bool, int, bool]:
        is_property = column.is_constant_within(item) or column.is_constant_within(user)
        is_filled = 2 * len(column.values) >= column.rows
        return (
            is_filled,
            not is_property,
            re.fullmatch(_ACTED, column.words) is None,
            column.distinct,
            re.fullmatch(_TIME, column.words) is not None,
        )

    best = max(found, key=fits)
    return best, [column for column in found if column is not best]


def _from_parts(names: Sequence[str], file: str) -> str | None:
    """Return how to write one time where year, month and day lie in columns of their own; None where they do not."""
    named = {name.lower(): quoted(name) for name in names}
    if not {"year", "month", "day"} <= set(named):
        return None
    parts = [f"CAST({named[part]} AS BIGINT)" if part in named else "0" for part in ("year", "month", "day", "hour", "minute")]
    path = Path(file)
    source, target = (path / "**" / "*.parquet", path) if path.is_dir() else (path, path.with_suffix(""))
    read = "read_parquet" if source.suffix == ".parquet" else "read_csv"
    time = unique("shown_at", [name.lower() for name in names])
    rows = dumps(f"*, make_timestamp({', '.join(parts)}, 0) AS {time}")
    written = dumps(f"{target}-timed.parquet")
    code = f"import duckdb; duckdb.{read}({dumps(str(source))}).project({rows}).write_parquet({written})"
    return f"write year, month and day into one: python -c {shlex.quote(code)} and give init that file"


def times_of_actions(
    others: Sequence[ColumnFacts], timed: Sequence[ColumnFacts], user: ColumnFacts, item: ColumnFacts, labels: Sequence[ColumnFacts]
) -> list[ColumnFacts]:
    """Return of the other times of a log those that stand only where the user acted: by their names, and by gaps.

    `timed` are those in which a number stands for a gap. One that says the same as one of the labels is none.
    """
    named = [column for column in others if re.search(TOLD, column.words) and 0 < len(column.values) < column.rows]
    own = [column for column in named if not any(map(column.is_constant_within, (item, user)))] + list(timed)
    ones = [set(label.numbers.index[label.numbers == 1]) for label in labels if label.numbers is not None]
    return [column for column in own if set(_acted_rows(column, timed)) not in ones]


def _acted_rows(column: ColumnFacts, timed: Sequence[ColumnFacts]) -> pd.Index:
    return column.values.index[column.numbers > 0] if column in timed and column.numbers is not None else column.values.index


def action_of(column: ColumnFacts) -> str:
    """Return the action whose time a column holds, by its name without that of a time: like_timestamp → like."""
    return re.sub(_WHEN, "", column.words) or column.words


def unsure_of(time: ColumnFacts) -> dict[str, str]:
    """Return what a person should look at: role or key of [source.time] → why."""
    found = {}
    if re.fullmatch(_TIME, time.words) is None:
        found["timestamp"] = f"guessed from the values of {time.name}, not from its name"
    elif time_keys(time).get("unit", "iso") == "iso" and all(re.fullmatch(_DAY, str(value)) for value in time.values.unique()):
        found["timestamp"] = (
            f"{time.name} holds days alone: features know nothing of the same day. Where another column holds the hour, write both into one"
        )
    if len(time.time_forms) > 1:
        found["format"] = f"{' and '.join(time.time_forms)} both read the times; the one that spans fewer days is taken"
    if "since" in time_keys(time):
        found["since"] = (
            f"the numbers of {time.name} lie in 1970, so they may count from the log's own start, whose day is not known."
            " Put it here, or leave any day"
        )
    return found
