"""Columns that are missing, and the names that were perhaps meant."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from recsys.errors import DataError, Place, data_error


def nearest(word: str, names: Iterable[str]) -> str:
    """`; did you mean "…" or "…"?`, or nothing where no name is near."""
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), list(by_lower), n=2, cutoff=0.5)
    meant = " or ".join('"' + by_lower[name] + '"' for name in near)
    return f"; did you mean {meant}?" if near else ""


def missing_column(file: Path, column: str, names: Iterable[str], where: str) -> DataError:
    """`where` is the key of the TOML that names the column."""
    found = list(names)
    shown = ", ".join(found[:40]) + (", …" if len(found) > 40 else "")
    fix = f"name the right column in {where}{nearest(column, found)}"
    return data_error(Place(file, column=column), found=f"no such column among {shown}", expected="a column of that name", fix=fix)
