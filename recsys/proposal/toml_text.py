"""A pipeline's tables as a TOML text with comments."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Comments = Mapping[tuple[str | int, ...], Sequence[str]]  # path of a table or key → lines above it
_WIDTH = 120


def toml_text(tables: Mapping[str, Any], comments: Comments) -> str:
    """Return the text. A value that is a dict is a table of its own, a list of dicts a list of tables."""
    lines = [f"# {line}".rstrip() for line in comments.get((), ())]
    for name, value in tables.items():
        if not isinstance(value, dict | list):
            lines += [*_above(comments, (name,)), f"{name} = {_value(value)}"]
    for name, value in tables.items():
        if isinstance(value, dict | list):
            lines += _table((name,), value, comments)
    return "\n".join(lines).strip() + "\n"


def _table(path: tuple[str | int, ...], value: Any, comments: Comments) -> list[str]:
    if isinstance(value, list):
        return [line for place, entry in enumerate(value) for line in _entry((*path, place), entry, comments)]
    name = ".".join(str(part) for part in path if isinstance(part, str))
    own = {key: each for key, each in value.items() if not _is_table(each)}
    lines = ["", *_above(comments, path), f"[{name}]"] if own or not value else _above(comments, path)
    for key, each in own.items():
        lines += [*_above(comments, (*path, key)), f"{_key(key)} = {_value(each)}"]
    for key, each in value.items():
        if _is_table(each):
            lines += _table((*path, key), each, comments)
    return lines


def _entry(path: tuple[str | int, ...], entry: Mapping[str, Any], comments: Comments) -> list[str]:
    name = ".".join(str(part) for part in path if isinstance(part, str))
    lines = ["", *_above(comments, path), f"[[{name}]]"]
    for key, value in entry.items():
        lines += [*_above(comments, (*path, key)), f"{key} = {_value(value)}"]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and len(value) > 0 and isinstance(value[0], dict))


def _above(comments: Comments, path: tuple[str | int, ...]) -> list[str]:
    return [f"# {line}".rstrip() for line in comments.get(path, ())]


def _text(text: str) -> str:
    """Return a basic string. TOML escapes what JSON does, and the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _wrapped(cells: Sequence[str]) -> list[str]:
    """Return cells with commas in lines of a bearable width."""
    lines = [" " * 3]
    for cell in cells:
        if lines[-1].strip() and len(lines[-1]) + len(cell) + 2 > _WIDTH:
            lines.append(" " * 3)
        lines[-1] += f" {cell},"
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, list):
        cells = [_value(each) for each in value]
        line = f"[{', '.join(cells)}]"
        return line if len(line) <= _WIDTH else "\n".join(["[", *_wrapped(cells), "]"])
    return _text(value) if isinstance(value, str) else json.dumps(value)
