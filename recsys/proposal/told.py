"""The columns of a log whose role need not be guessed, because the command line tells it."""

from collections.abc import Mapping, Sequence

from recsys import schema
from recsys.errors import ConfigError, data_error, nearest
from recsys.proposal.column_facts import ColumnFacts

TELLABLE = (schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP)
NOTHING_TOLD: Mapping[str, str] = {}


def told_columns(texts: Sequence[str]) -> dict[str, str]:
    """Return our name → the log's, from texts such as user_id=visitor. Raise ConfigError with every problem found."""
    pairs = [text.strip().partition("=") for text in texts]
    problems = [
        f'--column: found "{"".join(pair)}", expected OURS=THEIRS, such as user_id=visitor, with one of {", ".join(TELLABLE)}'
        for pair in pairs
        if pair[0] not in TELLABLE or not pair[2]
    ]
    names = [(ours, theirs) for ours, _, theirs in pairs]
    if any(len({pair[place] for pair in names}) < len(names) for place in (0, 1)):
        problems.append("--column: found a column twice, expected each once")
    if problems:
        raise ConfigError(problems)
    return dict(names)


def known_columns(columns: Sequence[ColumnFacts], file: str, told: Mapping[str, str]) -> dict[str, ColumnFacts]:
    """Return our name → the column that was told. Raise DataError where the file has none of that name."""
    by_name = {column.name: column for column in columns}
    for ours, theirs in told.items():
        if theirs not in by_name:
            raise data_error(
                file,
                found=f"no column {theirs}{nearest(theirs, by_name)}",
                expected=f"the one that --column {ours}={theirs} names, among {', '.join(by_name)}",
                fix="another name",
            )
    return {ours: by_name[theirs] for ours, theirs in told.items()}
