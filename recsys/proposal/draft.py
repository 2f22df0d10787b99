"""A pipeline that is being proposed: the tables of its TOML, and the comments above them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

from recsys.config.forms import NAME
from recsys.errors import ConfigError, one_line
from recsys.proposal.toml_text import toml_text


@dataclass
class Proposal:
    """Tables of a TOML, and comments by the path of the table or key that they stand above."""

    name: str  # of the log; that of the pipeline is the file's
    tables: dict[str, Any]
    comments: dict[tuple[str | int, ...], list[str]] = field(default_factory=dict)

    def note(self, path: tuple[str | int, ...], *lines: str) -> None:
        self.comments.setdefault(path, []).extend(map(one_line, lines))  # a line break in the data would end the comment

    @property
    def text(self) -> str:
        return toml_text(self.tables, self.comments)

    @property
    def said(self) -> list[str]:
        """The guessed roles, the objectives, and the files that have no part, in lines."""
        source = self.tables["source"]
        columns = ", ".join(f"{ours} = {theirs}" for ours, theirs in source["columns"].items())
        objectives = ", ".join(entry["name"] for entry in self.tables["objective"])
        days = ", ".join(f"{part} {first} to {last}" for part, (first, last) in self.tables["split"].items())
        sides = [f"{role}: {source[role]}" for role in ("users", "items") if role in source]
        unsure = sum(line.startswith("unsure") for lines in self.comments.values() for line in lines)
        return [
            f"{source['kind']} {source['log']}: {columns}",
            *sides,
            *(line for line in self.comments.get(("source",), ()) if line.startswith("Not used")),
            f"objectives: {objectives}",
            f"split: {days}",
            *([f"unsure of: {unsure} (in comments)"] if unsure else []),
        ]


def unique(name: str, taken: Sequence[str]) -> str:
    """Return a name, with a number where it is taken."""
    return next(each for each in (name, *(f"{name}_{place}" for place in range(2, len(taken) + 3))) if each not in taken)


def pipeline_name(path: Path) -> str:
    """Return the name of a file without its suffixes, with dashes for what no name of a pipeline holds."""
    stem = re.sub(r"(\.(csv|tsv|gz|parquet|dat|data|txt|toml))+$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", stem).strip("-._+")[:100] or "log"


def write_new(proposal: Proposal, path: Path) -> Path:
    """Write the TOML to a file that is not there yet. Where the file's name can be no pipeline's, the TOML gets a `name`.

    Raises ConfigError where the file is there, or its folder is not.
    """
    named = {} if re.fullmatch(NAME, path.stem) else {"name": pipeline_name(path)}
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(replace(proposal, tables={**named, **proposal.tables}).text)
    except FileExistsError as error:
        raise ConfigError(f"{path}: found a file, expected none: init overwrites nothing. Fix: --out another name") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}, expected a folder that can be written to") from error
    return path


def next_steps(path: Path) -> str:
    """Return what to do with a TOML that was written. Its name is quoted for a shell."""
    quoted = quote(str(path))
    return f"wrote {path}. Next: read its comments, then recsys check {quoted}, then recsys run {quoted}"
