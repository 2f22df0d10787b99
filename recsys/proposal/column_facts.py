"""What the first rows of a column tell: whether they are numbers, how many differ, whether they are times, labels, lists or ids."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from recsys.sources import is_iso_time

_MOSTLY = 0.99  # share of values that decide
_EARLIEST, _LATEST = 631_152_000, 2_082_758_400  # 1990-01-01 and 2036-01-01 in seconds: other numbers are rather ids
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}
_FORMATS = (
    *("%Y-%m-%d %H", "%Y-%m-%dT%H", "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M%S", "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%d.%m.%Y %H:%M:%S"),
    *("%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M"),
    *("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y", "%d-%b-%Y %H:%M:%S", "%d-%b-%Y", "%d %b %Y %H:%M:%S", "%d %b %Y"),
)
_SAMPLE = 500  # different values that are tried as times
_LISTS = ("|", ";", ",")  # separators of several values in a cell
_LONGEST_VALUE = 40  # letters of one of several values; texts have longer parts


@dataclass(frozen=True)
class ColumnFacts:
    """One column. `values` are its cells without nulls, texts or typed; their index is the row."""

    name: str
    values: pd.Series
    rows: int

    @classmethod
    def of(cls, name: str, column: pa.ChunkedArray) -> "ColumnFacts":
        return cls(name, column.to_pandas().dropna(), len(column))

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
        if pd.api.types.is_bool_dtype(self.values):
            return self.values.astype(float)
        if pd.api.types.is_numeric_dtype(self.values):
            return self.values.astype(float)
        if not len(self.values) or (not pd.api.types.is_object_dtype(self.values) and not pd.api.types.is_string_dtype(self.values)):
            return None
        found = pd.to_numeric(self.values, errors="coerce")
        return found.dropna() if found.notna().mean() >= _MOSTLY and not self._is_code else None

    @property
    def _is_code(self) -> bool:
        """Whether a value has zeros in front: a code, not a number."""
        return bool(self.values.astype(str).str.fullmatch(r"[+-]?0\d+").any())

    @cached_property
    def is_whole(self) -> bool:
        return self.numbers is not None and bool((self.numbers % 1 == 0).all())

    @cached_property
    def is_binary(self) -> bool:
        """Whether the values are 0 and 1, or true and false."""
        return self.numbers is not None and set(self.numbers.unique()) == {0.0, 1.0}

    @cached_property
    def time(self) -> dict[str, str] | None:
        """The keys of [source.time] that read the column; None where it holds no times. A time of a parquet file needs none."""
        if pd.api.types.is_datetime64_any_dtype(self.values):
            return {}
        if self.distinct < 2:
            return None
        texts = pd.Series(self.values.unique()[:_SAMPLE]).astype(str)
        for form in _FORMATS:
            if _all_parse(texts, form):
                return {"format": form}
        if self.numbers is not None:
            return next(({"unit": unit} for unit, factor in _UNITS.items() if self._is_between(factor)), None)
        return {"unit": "iso"} if all(map(is_iso_time, texts)) else None

    def _is_between(self, factor: int) -> bool:
        assert self.numbers is not None
        return bool(self.numbers.between(_EARLIEST * factor, _LATEST * factor).mean() >= _MOSTLY)

    @cached_property
    def list_separator(self) -> str | None:
        """The separator, where many cells hold several short values that come again and again."""
        if self.numbers is not None or not len(self.values) or self.time is not None:
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

    def is_constant_within(self, key: "ColumnFacts") -> bool:
        """Return whether each value of `key` nearly always has one value of this column, as a property of it has."""
        both = pd.DataFrame({"key": key.values, "value": self.values}).dropna()
        of_key = both.groupby("key")["value"].agg(["size", "nunique"])
        often = of_key[of_key["size"] > 1]
        return len(often) >= 5 and bool((often["nunique"] == 1).mean() >= _MOSTLY)


def _all_parse(texts: pd.Series, form: str) -> bool:
    def parses(text: str) -> bool:
        try:
            return 1990 <= datetime.strptime(text.strip(), form).year <= 2036
        except ValueError:
            return False

    return len(texts) > 0 and bool(np.mean([parses(text) for text in texts[:20]]) == 1) and bool(np.mean([*map(parses, texts)]) >= _MOSTLY)
