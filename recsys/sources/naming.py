"""Columns that are missing, and the names that were perhaps meant."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from recsys.errors import DataError, Place, data_error, nearest


def missing_column(file: Path, column: str, names: Iterable[str], where: str) -> DataError:
    """Return the error for a missing column, with similar names. `where` is the key of the TOML that names the column."""
    found = list(names)
    shown = ", ".join(found[:40]) + (", …" if len(found) > 40 else "")
    fix = headless(found) or f"name the right column in {where}{nearest(column, found, most=2)}"
    return data_error(Place(file, column=column), found=f"no such column among {shown}", expected="a column of that name", fix=fix)


def headless(names: Sequence[str]) -> str | None:
    """Return what to do where most names of a header are numbers, so that the first row is probably no header, else None."""
    numbers = sum(name.replace(".", "", 1).lstrip("-").isdecimal() for name in names)
    fix = "the first row looks like data; where a file has no header, set header = false and names = [...] in its source.format"
    return fix if numbers * 2 > len(names) else None
