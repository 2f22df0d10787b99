"""[split]: the days that a model learns, is chosen by and is measured on."""

from collections.abc import Sequence
from datetime import date, timedelta

from pydantic import Field, model_validator

from recsys import schema
from recsys.options import Options

Days = tuple[date, date]


class Split(Options):
    """The parts of the split: whole days, inclusive, in time order. Earlier days only feed features."""

    train: Days = Field(description="First and last of the days that a model learns.")
    validation: Days | None = Field(
        default=None,
        description="First and last of the days that choose passes, fusion weights and calibration maps; without it: there are none.",
    )
    test: Days | None = Field(
        default=None, description="First and last of the days that the final numbers are measured on; without it: there are none."
    )

    def parts(self) -> dict[str, Days]:
        """Return part → (first day, last day), in time order, without the absent parts."""
        named = {schema.TRAIN: self.train, schema.VALIDATION: self.validation, schema.TEST: self.test}
        return {name: days for name, days in named.items() if days is not None}

    def said(self, part: str) -> str:
        """Return in words which days a part has: "test days, 2024-01-04 to 2024-01-05"."""
        first, last = self.parts()[part]
        return f"{part} days, {first}" + (f" to {last}" if first != last else "")

    def days(self, part: str) -> list[str]:
        """List the ISO days of one part, in order; empty where the part is absent."""
        if part not in self.parts():
            return []
        first, last = self.parts()[part]
        return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]

    def warm(self, there: Sequence[str], count: int) -> list[str]:
        """Return those of the training days that are `there`, ISO days in order, that lie among the first `count` days of training.

        A day that the log lacks counts too: else a later training, which has more days, would have other warm ones. Where none of these
        days is there, they are counted from the first one that is.
        """
        first = self.train[0]
        if there and date.fromisoformat(there[0]) >= first + timedelta(days=count):
            first = date.fromisoformat(there[0])
        return [day for day in there if date.fromisoformat(day) < first + timedelta(days=count)]

    def after(self, part: str) -> str | None:
        """Return the ISO day on which the next part begins; None after the last part.

        A model that has learned on this part is first used on that day.
        """
        later = [days for other in schema.SPLITS[schema.SPLITS.index(part) + 1 :] if (days := self.parts().get(other)) is not None]
        return later[0][0].isoformat() if later else None

    def ending(self, day: date, *, test_days: int | None = None) -> "Split":
        """Return the split whose last day is `day`.

        It has as many validation and test days as this one, and as many days between the parts. All earlier days train, from the same day
        on as here. With `test_days`, there are so many, and none between the parts. Raises ValueError where training would have no day.
        """
        parts = self.parts()
        days = {part: (last - first).days + 1 for part, (first, last) in parts.items()}
        days |= {} if test_days is None else {schema.TEST: test_days}
        ends, last = {}, day
        for part in (schema.TEST, schema.VALIDATION):
            if part in days:
                ends[part] = (last - timedelta(days=days[part] - 1), last)
                last = ends[part][0] - timedelta(days=1 + (0 if test_days is not None else self._gap_before(part)))
        if last < self.train[0]:
            kept = sum(days.get(part, 0) for part in (schema.VALIDATION, schema.TEST))
            raise ValueError(
                f"found {day}, before which {self.train[0]} to {day} leaves no day to learn beside {kept} of validation and test."
                " Fix: a later day, or an earlier split.train"
            )
        return self.model_copy(
            update={"train": (self.train[0], last), "validation": ends.get(schema.VALIDATION), "test": ends.get(schema.TEST)}
        )

    def _gap_before(self, part: str) -> int:
        """Return the days between a part and the one before it."""
        parts = list(self.parts().items())
        place = [name for name, _ in parts].index(part)
        return (parts[place][1][0] - parts[place - 1][1][1]).days - 1

    @model_validator(mode="after")
    def _in_time_order(self) -> "Split":
        previous = None
        for name, (first, last) in self.parts().items():
            if first > last:
                raise ValueError(f"{name}: found first day {first} after last day {last}, expected first ≤ last")
            if previous is not None and first <= previous[1]:
                raise ValueError(
                    f"{name}: found first day {first}, expected a day after {previous[1]}, the last day of {previous[0]}:"
                    " the parts of a split are whole days in time order and do not overlap"
                )
            previous = (name, last)
        return self
