"""Facts about a source before it is read: what its output depends on, its columns, and every problem found in it."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recsys.config import KuaiRandSource, OpenBanditSource, Pipeline, TableSource, WorldSource
from recsys.errors import RecsysError
from recsys.sources import kuairand, open_bandit, simulated, table
from recsys.sources.description import ITEMS, LOG, USERS, Description, feedback_columns, feedback_files
from recsys.sources.entities import key_column
from recsys.sources.events import own_columns
from recsys.sources.input_files import resolve, short_names
from recsys.sources.naming import missing_column
from recsys.sources.readers import Header, first_rows
from recsys.sources.staging import TableFiles

KNOWN, FEEDBACK = "known", "feedback"


def raw_states(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the raw rows come from: each file's name, size and time of change, or the seed of a simulated source.

    Paths are relative to the folder that all files of a table lie in. Raises DataError where a file is missing.
    """
    match pipeline.source:
        case WorldSource():
            return {"seed": pipeline.seed}
        case TableSource() as source:
            description = table.describe(source)
        case KuaiRandSource() as source:
            description = kuairand.describe(source)
        case OpenBanditSource() as source:
            description = open_bandit.describe(source)
    return {each.role: _states(each) for each in description.tables()}


def _states(table: TableFiles) -> list[list[Any]]:
    files = resolve(table.patterns)
    states = [file.path.stat() for file in files]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in zip(short_names(files), states, strict=True)]


def columns(pipeline: Pipeline) -> Mapping[str, list[str]]:
    """Return the names that a pipeline may use, by table.

    The log's names are those that take the prefix `log.`. The names of users and items are all their columns except the key. "feedback"
    holds the name of each feedback. "known" holds our own names of columns that the log has (position, device, …). Raises DataError where
    a file cannot be read.
    """
    with _peeked(pipeline) as description:
        found = {
            LOG: own_columns(description, _first(description.log).names),
            KNOWN: list(description.columns.named()),
            FEEDBACK: [feedback.name for feedback in description.feedback],
        }
        for role, files in ((USERS, description.users), (ITEMS, description.items)):
            found[role] = []
            if files is not None:
                head = _first(files)
                key = key_column(description, role, head.names, head.file.path)
                found[role] = [name for name in head.names if name != key]
        return found


def check(pipeline: Pipeline) -> list[str]:
    """Read the first rows of every file and return every problem found in them. Write nothing.

    Raises ConfigError where the parts of the source do not fit each other.
    """
    with _peeked(pipeline) as description:
        return [problem for files in description.tables() for problem in _problems(files, description)]


def _problems(files: TableFiles, description: Description) -> Iterator[str]:
    try:
        heads = files.headers()
        for head in heads:
            first_rows(head)
    except RecsysError as error:
        yield str(error)
        return
    head = heads[0]
    for where, theirs in _needed(files, description).items():
        if theirs not in head.names:
            yield str(missing_column(head.file.path, theirs, head.names, where))
    if files.role in (USERS, ITEMS):
        try:
            key_column(description, files.role, head.names, head.file.path)
        except RecsysError as error:
            yield str(error)


def _needed(files: TableFiles, description: Description) -> dict[str, str]:
    """Return the columns that the files of a table must have, as TOML key → column."""
    if files.role == LOG:
        return {f"source.columns.{ours}": theirs for ours, theirs in description.columns.named().items()}
    for feedback in description.feedback:
        if files.role == feedback_files(feedback).role:
            return feedback_columns(feedback, description.columns)
    return {}


def _first(files: TableFiles) -> Header:
    return files.headers()[0]


@contextlib.contextmanager
def _peeked(pipeline: Pipeline) -> Iterator[Description]:
    """Yield the description of a source, so that its columns can be looked at.

    The description of a simulated source is that of a small world, in a folder that is removed afterwards.
    """
    match pipeline.source:
        case TableSource() as source:
            yield table.describe(source)
        case KuaiRandSource() as source:
            yield kuairand.describe(source)
        case OpenBanditSource() as source:
            yield open_bandit.describe(source)
        case WorldSource():
            with simulated.scratch() as folder:
                yield simulated.describe_small(pipeline.seed, Path(folder))
