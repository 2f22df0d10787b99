"""Commands that write a log anew where it lacks what a run needs: rows that were not chosen, or times."""

import shlex
from json import dumps
from pathlib import Path

from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.guessed_roles import Roles
from recsys.proposal.guessed_time import time_keys
from recsys.proposal.passed_over import quoted
from recsys.sources import UnknownFile

_DRAWN = 4  # items per row that are drawn beside the chosen one
_BEFORE = 10_000  # rows before it that they are drawn from
_DAYS = 10  # folders that a log without times is parted into


def how_to_draw_items(log: UnknownFile, roles: Roles) -> str:
    """Return what to do about a log each of whose rows was chosen: what is missing, and how to draw items that were not chosen.

    Items are drawn among those that were chosen before, by anybody: in them nothing of the future shows.
    """
    rows = (
        f"{quoted(roles.user.name)} AS user_id, {quoted(roles.item.name)} AS item_id, {quoted(roles.time.name)} AS timestamp,"
        f" row_number() OVER (ORDER BY {_in_order(roles.time, is_text=log.head.file.format != 'parquet')}, 1, 2) AS request_id"
    )
    drawn = (
        "SELECT user_id, item_id, timestamp, request_id, 1 AS chosen FROM log UNION ALL"
        " SELECT DISTINCT a.user_id, b.item_id, a.timestamp, a.request_id, 0 FROM"
        f" (SELECT *, unnest(range({_DRAWN})) AS k FROM log WHERE request_id > 1) a JOIN log b"
        f" ON b.request_id = a.request_id - 1 - hash(a.request_id, k) % least({_BEFORE}, a.request_id - 1)"
        " WHERE b.item_id <> a.item_id ORDER BY request_id, chosen DESC, item_id"
    )
    written = f"{_stem(log)}-drawn.csv"
    code = f"import duckdb; log = {_read(log)}.project({dumps(rows)}); duckdb.sql({dumps(drawn)}).write_csv({dumps(written)})"
    return (
        "write such a column, or the TOML by hand. Where each row is something that the user did, the log lacks what was shown"
        " and not chosen: join it, a row per impression. Where nobody kept it, draw items among those that were chosen before:"
        f" python -c {shlex.quote(code)} and give init that file (docs/bring-your-own-log.md, section 8)"
    )


def how_to_make_days(log: UnknownFile, user: ColumnFacts) -> str:
    """Return how to part a log without times into folders of days: by the place of a row among those of its user, or in the file."""
    of_user = f"PARTITION BY {quoted(user.name)} " if _lies_by_user(user) else ""
    day = f"floor({_DAYS}.0 * (row_number() OVER ({of_user}ORDER BY place) - 1) / count(*) OVER ({of_user.strip()}))"
    dated = f"* EXCLUDE (place), DATE '2024-01-01' + CAST({day} AS INTEGER) AS date"
    folder = f"{_stem(log)}-days"
    written = f"write_csv({dumps(folder)}, partition_by=['date'])"
    code = f"import duckdb; {_read(log)}.project('*, row_number() OVER () AS place').project({dumps(dated)}).{written}"
    order = f"Where the rows of each {user.name}" if of_user else "Where its rows"
    return (
        "say which it is, --column timestamp=NAME, or write its form into source.time.format by hand."
        f" {order} lie in the order of time, write folders of days: python -c {shlex.quote(code)} and give init {folder}"
        " (docs/bring-your-own-log.md, section 7)"
    )


def _lies_by_user(user: ColumnFacts) -> bool:
    """Return whether the rows of each user lie together."""
    begun = int((user.values != user.values.shift()).sum())
    return user.distinct < len(user.values) and begun <= 1.01 * user.distinct


def _in_order(time: ColumnFacts, *, is_text: bool) -> str:
    keys, name = time_keys(time), quoted(time.name)
    if "format" in keys:
        return f"strptime(CAST({name} AS VARCHAR), '{keys['format']}')"
    return f"CAST({name} AS DOUBLE)" if is_text and keys.get("unit", "iso") != "iso" else name


def _read(log: UnknownFile) -> str:
    """Return the Python that reads the files of a log, texts as they are written."""
    first = log.head.file.path
    path = dumps(str(log.path / "**" / f"*{first.suffix}" if log.path.is_dir() else log.path))
    if log.head.file.format == "parquet":
        return f"duckdb.read_parquet({path})"
    names = f"header=False, names={list(log.head.fields)!r}" if not log.written.header else "header=True"
    return f"duckdb.read_csv({path}, sep={log.head.file.separator!r}, {names}, all_varchar=True)"


def _stem(log: UnknownFile) -> str:
    return str((log.path if log.path.is_dir() else Path(log.head.file.path)).with_suffix(""))
