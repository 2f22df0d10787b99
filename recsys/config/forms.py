"""The forms of texts in a pipeline's TOML: the pattern that pydantic checks, and its meaning in words."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

MEMORY = r"^[1-9]\d{0,5}(MB|GB)$"
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
CHANGE = r"^[+-]?\d+(\.\d+)?%$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$"  # of a folder: a disk or another machine may write ü with one letter or two, or want %C3%BC
FORMS = {  # pattern → its meaning in words
    MEMORY: "an amount of memory such as 4GB or 500MB",
    DEVICE: "auto, cpu, cuda or one of several such as cuda:1",
    CHANGE: "a relative change such as -1%",
    NAME: "letters a to z, digits and . _ + - behind a letter or digit, at most 100",
}


ALIKE = "expected names that differ by more than case: the engine takes them for one"


def alike(names: Sequence[str]) -> list[str]:
    """Return the names that differ from another one by case alone, each once, sorted."""
    return sorted(name for name in set(names) if any(other.lower() == name.lower() and other != name for other in names))


def number_or_auto(value: Any, *, whole: bool = True) -> Any:
    """Return a number above 0, or "auto", as it is. Raise ValueError for anything else.

    An option is checked by this before pydantic does it, because for a union pydantic reports the errors of each of its parts.
    """
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if value == "auto" or (is_number and isfinite(value) and value > 0):
        return value
    found = f'"{value}"' if isinstance(value, str) else value
    raise ValueError(f'found {found}, expected a {"whole " if whole else ""}number above 0, or "auto"')
