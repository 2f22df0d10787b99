"""Facts about a column from its first rows: numbers, times, labels, lists, ids, and how many values differ."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import permutations

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys.sources import is_iso_time

_MOSTLY = 0.99  # share of values that decide
_BY_CHANCE = 0.1  # most keys of several values, as a share of those that chance would make
_EARLIEST, _LATEST = 631_152_000, 2_082_758_400  # 1990-01-01 and 2036-01-01 in seconds: other numbers are rather ids
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_LOGGED_DAYS = (2, 2_000)  # least and most days that a log spans; the units are a thousand apart, so one of them fits
_START = "2000-01-01"  # stands for the day on which a log begins that does not tell it
_FORMATS = (
    *("%Y-%m-%d %H", "%Y-%m-%dT%H", "%Y%m%d", "%Y%m%d%H", "%y%m%d%H", "%Y%m%d%H%M%S", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M"),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y"),
    *("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M"),
    *("%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y", "%m-%d-%Y %H:%M:%S", "%m-%d-%Y %H:%M", "%m-%d-%Y", "%d/%b/%Y:%H:%M:%S %z"),
    *("%d.%m.%y %H:%M:%S", "%d.%m.%y %H:%M", "%d.%m.%y", "%d/%m/%y %H:%M", "%d/%m/%y", "%m/%d/%y %H:%M", "%m/%d/%y"),
    *("%b %d, %Y %I:%M:%S %p", "%b %d, %Y", "%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z"),
    *("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y", "%d-%b-%Y %H:%M:%S", "%d-%b-%Y", "%d %b %Y %H:%M:%S", "%d %b %Y"),
)
_SAMPLE = 500  # different values that are tried as times
_YES_AND_NO = (
    *(("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("1", "0"), ("1.0", "0.0")),
    *(("wahr", "falsch"), ("ja", "nein"), ("j", "n"), ("vrai", "faux"), ("oui", "non"), ("verdadero", "falso"), ("sí", "no"), ("si", "no")),
)  # with the words of spreadsheets in other languages
_DENIALS = (("clicked", "skipped"), ("click", "skip"), ("positive", "negative"), ("success", "failure"), ("accepted", "rejected"))
_OBJECTS = r"(?s)\{.*\}|\[\s*(\{.*\})?\s*\]"
_LISTS = ("|", ";", ",")  # separators of several values in a cell
_LONGEST_VALUE = 40  # letters of one of several values; texts have longer parts


@dataclass(frozen=True, eq=False)  # a column is itself: values of two would be compared cell by cell
class ColumnFacts:
    """One column. `values` are its cells without nulls, texts or typed; their index is the row.

    They are those of the first rows. `largest` is the largest number of all rows, where somebody has looked for it. `is_text`: a parquet
    file holds texts, which stay texts where they are numbers; those of a text file get a type from all values.
    """

    name: str
    values: pd.Series
    rows: int
    largest: float | None = None
    is_text: bool = False

    @classmethod
    def of(cls, name: str, column: pa.ChunkedArray, *, is_typed: bool = False) -> "ColumnFacts":
        return cls(name, column.to_pandas().dropna(), len(column), is_text=is_typed and pa.types.is_string(column.type))

    @cached_property
    def words(self) -> str:
        """The name in lower case, its parts joined by underscores: userId → user_id."""
        return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()).strip("_")

    @cached_property
    def distinct(self) -> int:
        return int(self.values.nunique())

    @cached_property
    def numbers(self) -> pd.Series | None:
        """The values as numbers; None where they are none."""
        if pd.api.types.is_numeric_dtype(self.values):  # of true and false, too
            return self.values.astype(float)
        if not len(self.values) or not (pd.api.types.is_object_dtype(self.values) or pd.api.types.is_string_dtype(self.values)):
            return None
        found = pd.to_numeric(self.values, errors="coerce")
        return found.dropna() if found.notna().mean() >= _MOSTLY and not self._is_code else None

    @property
    def _is_code(self) -> bool:
        """Return whether a value has zeros in front: a code, not a number."""
        return bool(self.values.astype(str).str.fullmatch(r"[+-]?0\d+").any())

    @cached_property
    def is_whole(self) -> bool:
        return self.numbers is not None and bool((self.numbers % 1 == 0).all())

    @cached_property
    def is_binary(self) -> bool:
        """Return whether the values are 0 and 1, or true and false."""
        return self.numbers is not None and set(self.numbers.unique()) == {0.0, 1.0}

    @cached_property
    def is_one_or_two(self) -> bool:
        """Return whether the values are 1 and 2: codes of no and yes, or of yes and no."""
        return self.numbers is not None and set(self.numbers.unique()) == {1.0, 2.0}

    @cached_property
    def is_mark(self) -> bool:
        """Return whether each cell says yes or is empty."""
        said = {str(value).strip().lower() for value in self.values.unique()} if self.distinct == 1 else set[str]()
        return len(self.values) < self.rows and bool(said & {yes for yes, _ in _YES_AND_NO})

    @cached_property
    def truth(self) -> str | None:
        """The SQL condition under which the column says yes: of 0 or −1 and 1, true and false, yes and no or nothing; None of others."""
        if self.is_mark:
            return "is not null"
        if pd.api.types.is_bool_dtype(self.values):
            return "is true" if self.distinct == 2 else None
        if self.numbers is not None and not self.is_text and set(self.numbers.unique()) in ({0.0, 1.0}, {-1.0, 1.0}):
            return "= 1"
        if self.is_one_or_two and not self.is_text:
            return "= 2"
        words = {str(value): str(value).strip().lower() for value in self.values.unique()} if self.distinct == 2 else {}
        for yes, no in _YES_AND_NO:
            if set(words.values()) == {yes, no}:
                word = next(word for word, small in words.items() if small == yes)
                return "is true" if yes == "true" and not self.is_text else f"= '{word}'"
        return next(("= '" + yes.replace("'", "''") + "'" for yes, no in permutations(words, 2) if is_denied(yes, no)), None)

    @cached_property
    def time(self) -> dict[str, str] | None:
        """The keys of [source.time] that read the column; None where it holds no times. A time of a parquet file needs none."""
        if pd.api.types.is_datetime64_any_dtype(self.values):
            return {}
        if self.distinct < 2:
            return None
        if self.time_forms:
            return {"format": self.time_forms[0]}
        if self.numbers is not None:
            return next(({"unit": unit} for unit, factor in _UNITS.items() if self._is_between(factor)), None)
        return {"unit": "iso"} if all(map(is_iso_time, self._some_texts)) else None

    @cached_property
    def time_from_start(self) -> dict[str, str] | None:
        """The keys of [source.time] that read numbers as times since the log's own start; None where they cannot be such."""
        if self.numbers is None or self.distinct < 2 or not self.numbers.min() >= 0:
            return None
        largest = self.numbers.max() if self.largest is None else self.largest
        least, most = (days * 86_400 for days in _LOGGED_DAYS)
        return next(({"unit": unit, "since": _START} for unit, factor in _UNITS.items() if least <= largest / factor < most), None)

    @cached_property
    def time_forms(self) -> list[str]:
        """The forms that read the times of a text, that with the shortest span of days first: 01/02/2024 may be of two months."""
        spans = {form: span for form in _FORMATS if (span := _span(self._some_texts, form)) is not None}
        return sorted(spans, key=lambda form: (form.startswith("%y"), spans[form]))  # 20101112 is rather a day

    @cached_property
    def _some_texts(self) -> list[str]:
        """Different values as texts, spread over the rows."""
        different = self.values.unique()
        return [str(different[place]) for place in np.unique(np.linspace(0, len(different) - 1, _SAMPLE).astype(int))]

    def _is_between(self, factor: int) -> bool:
        assert self.numbers is not None
        return bool(self.numbers.between(_EARLIEST * factor, _LATEST * factor).mean() >= _MOSTLY)

    @cached_property
    def holds_objects(self) -> bool:
        """Return whether the cells are JSON objects or lists of them, whose commas part no values."""
        if self.numbers is not None or not len(self.values):
            return False
        texts = self.values.astype(str).str.strip()
        return bool(texts.str.contains("{", regex=False).any() and texts.str.fullmatch(_OBJECTS).all())

    @cached_property
    def list_separator(self) -> str | None:
        """The separator, where many cells hold several short values that come again and again."""
        if self.numbers is not None or not len(self.values) or self.time is not None or self.holds_objects:
            return None
        texts = self.values.astype(str)
        if (texts.str.startswith("[") & texts.str.endswith("]")).all():
            return ","
        for separator in _LISTS:
            several = texts[texts.str.contains(separator, regex=False)]
            if len(several) < 0.05 * len(texts):
                continue
            parts = several.str.split(separator).explode().str.strip()
            if parts.str.len().max() <= _LONGEST_VALUE and parts.nunique() <= 0.2 * len(parts) + 20:
                return separator
        return None

    def is_constant_within(self, key: "ColumnFacts", *, most_differing: float = 1 - _MOSTLY) -> bool:
        """Return whether each value of `key` nearly always has one value of this column, as a property of it has, and not by chance.

        `most_differing` is the largest share of the values of `key` that come again and have several.

        Of a rare answer, most items of a few rows have one value, too: as many as if the values had been dealt out at random.
        """
        values = self.values.reindex(range(self.rows), fill_value="") if self.is_mark else self.values
        both = pd.DataFrame({"key": key.values, "value": values}).dropna()
        of_key = both.groupby("key")["value"].agg(["size", "nunique"])
        often = of_key[of_key["size"] > 1]
        differing = (often["nunique"] > 1).sum()
        if len(often) < 5 or differing > most_differing * len(often):
            return False
        shares = both["value"].value_counts(normalize=True).to_numpy()
        sizes, keys = np.unique(often["size"].to_numpy(), return_counts=True)
        expected = sum(float(count * (1 - (shares**size).sum())) for size, count in zip(sizes.tolist(), keys.tolist(), strict=True))
        return bool(differing <= _BY_CHANCE * expected)


def is_denied(yes: str, no: str) -> bool:
    """Return whether one word is another one denied: no_click, not clicked, nonclk and dislike, or skipped beside clicked."""
    yes, no = (re.sub(r"[^a-z]+", "", word.lower()) for word in (yes, no))
    return (yes, no) in _DENIALS or (len(yes) > 2 and no in {f"{prefix}{yes}" for prefix in ("no", "not", "non", "un", "dis")})


def by_case_alone(columns: Sequence[ColumnFacts]) -> list[ColumnFacts]:
    """Return the columns whose names differ from another one's by case alone: the engine would take them for one."""
    times = Counter(column.name.lower() for column in columns)
    return [column for column in columns if times[column.name.lower()] > 1]


def plain_text(value: object) -> str:
    """Return a value as text; a whole number that was read as a double without its point."""
    return f"{value:.0f}" if isinstance(value, float) and value % 1 == 0 else str(value)


def _span(texts: Sequence[str], form: str) -> float | None:
    """Return the days from the first to the last time that a form reads; None where it does not read nearly all."""
    read: list[datetime] = []
    for number, text in enumerate(texts, start=1):
        if (moment := _moment(text, form)) is not None:
            read.append(moment)
        elif number - len(read) > (1 - _MOSTLY) * len(texts):
            return None  # most forms read none of the texts, and strptime takes its time to say so
    return (max(read) - min(read)).total_seconds() / 86_400 if read else None


def _moment(text: str, form: str) -> datetime | None:
    try:
        moment = datetime.strptime(text.strip(), form)
    except ValueError:
        return None
    if re.fullmatch(r"(%[A-Za-z])+", form) and moment.strftime(form) != text.strip():
        return None  # without separators, strptime also takes 20220425 for five o'clock on 2 April
    return moment if 1990 <= moment.year <= 2036 else None
