"""A split by whole days, from the number of rows of each day."""

from collections.abc import Mapping, Sequence
from datetime import date

from recsys.errors import data_error

_SHARE = 0.1  # of the rows, that validation and test have at least
_FEW = 0.001  # of the rows, that days far from the others have at most
_MONTH = 31  # days
_WARM_UP = 0.1  # of the rows, that the days before training have at most: they only feed the features


def far_days(rows: Mapping[str, int]) -> list[str]:
    """Return the days that few rows have, far from all others, as those of a clock that was set wrongly.

    Far is farther than the others lie apart, and than a month.
    """
    days = sorted(rows)
    last = _near(days, [date.fromisoformat(day).toordinal() for day in days], rows)
    back = last[::-1]
    near = _near(back, [-date.fromisoformat(day).toordinal() for day in back], rows)
    return [day for day in days if day not in near]


def _near(days: Sequence[str], numbers: Sequence[int], rows: Mapping[str, int]) -> Sequence[str]:
    """Return the days without the last ones, where these are far. `numbers` tell how far, ascending."""
    most = _FEW * sum(rows.values())
    for place in range(1, len(days)):
        is_far = numbers[place] - numbers[place - 1] > max(numbers[place - 1] - numbers[0], _MONTH)
        if is_far and sum(rows[day] for day in days[place:]) <= most:
            return days[:place]
    return days


def torn_day(rows: Mapping[str, int]) -> str | None:
    """Return the last day where it seems to end early: it has less than half of the rows of each other day but the first.

    None where there are fewer than five days.
    """
    days = sorted(rows)
    return days[-1] if len(days) >= 5 and 2 * rows[days[-1]] < min(rows[day] for day in days[1:-1]) else None


def day_split(rows: Mapping[str, int], file: str) -> dict[str, list[str]]:
    """Return part → [first day, last day]: the last days with a tenth of the rows are the test, those before them validation.

    With two days there is no validation. Of four training days or more, the first feed the features alone: at least one day, and as many as
    have a tenth of the rows. Raises DataError where all rows are of one day.
    """
    days = sorted(rows)
    if len(days) < 2:
        raise data_error(
            file,
            found=f"rows of one day ({', '.join(days) or 'none'})",
            expected="two days or more: a model is tested on later days than it has learned",
            fix="add the rows of other days",
        )
    total = sum(rows.values())
    test = _last(days, rows, _SHARE * total, leave=2 if len(days) > 2 else 1)
    rest = days[: len(days) - len(test)]
    validation = _last(rest, rows, _SHARE * total, leave=1) if len(rest) > 1 else []
    train = rest[: len(rest) - len(validation)]
    warm_up = int(len(train) > 3)
    while 0 < warm_up < len(train) - 3 and sum(rows[day] for day in train[: warm_up + 1]) <= _WARM_UP * total:
        warm_up += 1
    train = train[warm_up:]
    parts = {"train": train, "validation": validation, "test": test}
    return {part: [of_part[0], of_part[-1]] for part, of_part in parts.items() if of_part}


def _last(days: list[str], rows: Mapping[str, int], wanted: float, *, leave: int) -> list[str]:
    """Return the fewest last days that have `wanted` rows together, and leave so many days before them."""
    count = 1
    while count < len(days) - leave and sum(rows[day] for day in days[-count:]) < wanted:
        count += 1
    return days[-count:]
