"""Facts about a source before it is read: what its output depends on, its columns, and every problem found in it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from recsys import schema
from recsys.config import Pipeline, TimeOptions
from recsys.errors import DataError, RecsysError
from recsys.sources.description import ITEMS, LOG, USERS, Description, feedback_columns, feedback_files
from recsys.sources.entities import key_column
from recsys.sources.events import log_columns, own_columns
from recsys.sources.named_paths import paths_of, would_name
from recsys.sources.naming import headless, missing_column
from recsys.sources.readers import Header, read_a_block
from recsys.sources.resolve import raw_source
from recsys.sources.staging import TableFiles

KNOWN, FEEDBACK = "known", "feedback"


def raw_states(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the raw rows come from (`RawSource.states`). Raises DataError where a file is missing."""
    return raw_source(pipeline).states()


def is_raw(pipeline: Pipeline, path: Path) -> bool:
    """Return whether the source's options name a file: itself, by a pattern, or as one in a folder. It need not be there yet."""
    options = pipeline.source.model_dump()
    if any(would_name(named, path) for named in _paths(options | {"path": None})):  # in `path`, only files of known names are read
        return True
    return path.is_file() and any(path.resolve() == file.resolve() for named in _paths(options) for file in _there(named))


def _paths(option: Any) -> Iterator[Path]:
    """Yield the paths among options."""
    if isinstance(option, Path):
        yield option
    elif isinstance(option, Mapping | tuple):
        for part in option.values() if isinstance(option, Mapping) else option:
            yield from _paths(part)


def _there(named: Path) -> list[Path]:
    """Return the files that a path names; none where there is none."""
    try:
        return paths_of(named)
    except DataError:
        return []


def expected_bytes(pipeline: Pipeline) -> int:
    """Estimate how many bytes ingestion writes (`RawSource.expected_bytes`). Raises DataError where a file is missing."""
    return raw_source(pipeline).expected_bytes()


def time_options(pipeline: Pipeline) -> TimeOptions:
    """Return how the timestamps of a source are written."""
    given: TimeOptions | None = getattr(pipeline.source, "time", None)
    if given is not None:
        return given
    with raw_source(pipeline).peeked() as description:
        return description.time


def columns(pipeline: Pipeline) -> Mapping[str, list[str]]:
    """Return the names that a pipeline may use, by table (`names`). Raises DataError where a file cannot be read."""
    with raw_source(pipeline).peeked() as description:
        return names(description)


def names(description: Description) -> dict[str, list[str]]:
    """Return the names that a pipeline may use, by table.

    The log's names are those that take the prefix `log.`. The names of users and items are all their columns except the key. "feedback"
    holds the name of each feedback. "known" holds our own names of columns that the log has (position, device, …). Raises DataError where
    a file cannot be read.
    """
    log = own_columns(description, _first(description.log).names)
    return {
        LOG: log,
        KNOWN: _known(description),
        FEEDBACK: description.feedback_names(),
        USERS: _entity_names(description, USERS, description.users),
        ITEMS: _entity_names(description, ITEMS, description.items),
    }


def readable_names(description: Description) -> dict[str, list[str]]:
    """Return the names as `names` does, without the tables whose header cannot be read; none at all where that is the log's."""
    try:
        found = names(replace(description, users=None, items=None))
    except RecsysError:
        return {}
    for role, files in ((USERS, description.users), (ITEMS, description.items)):
        try:
            found[role] = _entity_names(description, role, files)
        except RecsysError:
            del found[role]
    return found


def _entity_names(description: Description, role: str, files: TableFiles | None) -> list[str]:
    if files is None:
        return []
    head = _first(files)
    key = key_column(description, role, head.names, head.file.path)
    return [name for name in head.names if name != key]


def log_header(description: Description) -> Header | None:
    """Return the header of the log's first file, None where it cannot be read."""
    try:
        return _first(description.log)
    except RecsysError:
        return None


def _known(description: Description) -> list[str]:
    """Return our names of the columns that the events will have. Sessions of an event log stand in for requests."""
    known = [name for name in description.columns.named() if name in schema.KNOWN_COLUMNS]
    return known if description.events is None or schema.REQUEST_ID in known else [*known, schema.REQUEST_ID]


def check(pipeline: Pipeline) -> list[str]:
    """Read the first rows of every file and return every problem found in them. Write nothing.

    Raises ConfigError where the parts of the source do not fit each other.
    """
    with raw_source(pipeline).peeked() as description:
        return [problem for problems in problems_by_table(description).values() for problem in problems]


def problems_by_table(description: Description) -> dict[str, list[str]]:
    """Return role of a table → the problems of its headers and first rows."""
    return {files.role: list(_problems(files, description)) for files in description.tables()}


def _problems(files: TableFiles, description: Description) -> Iterator[str]:
    try:
        heads = files.headers()
        for head in heads:
            read_a_block(head)
    except RecsysError as error:
        yield str(error)
        return
    head = heads[0]
    missing = {where: theirs for where, theirs in _needed(files, description).items() if theirs not in head.names}
    for where, theirs in missing.items():
        yield str(missing_column(head.file.path, theirs, head.names, where))
        if headless(head.names):
            return  # all of them are missing for one reason
    if files.role in (USERS, ITEMS):
        try:
            key_column(description, files.role, head.names, head.file.path)
        except RecsysError as error:
            yield str(error)


def _needed(files: TableFiles, description: Description) -> dict[str, str]:
    """Return the columns that the files of a table must have, as TOML key → column."""
    if files.role == LOG:
        return log_columns(description)
    for feedback in description.feedback:
        if files.role == feedback_files(feedback).role:
            return feedback_columns(feedback, description.columns)
    return {}


def _first(files: TableFiles) -> Header:
    return files.headers()[0]
