"""[source] of a proposed pipeline: its files, their form, and the names of the log's columns."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys import schema
from recsys.errors import short
from recsys.proposal.column_facts import ColumnFacts, plain_text
from recsys.proposal.draft import Proposal, unique
from recsys.proposal.guessed_roles import Roles
from recsys.proposal.guessed_time import time_keys
from recsys.proposal.outcome_words import nothing_done
from recsys.proposal.role_names import is_view
from recsys.proposal.side_tables import SideTable
from recsys.sources import UnknownFile
from recsys.workspace import USERS

_LOG = "log"  # the key of [source] and of [source.format]


def describe_files(proposal: Proposal, log: UnknownFile, roles: Roles, sides: Sequence[SideTable], folder: Path) -> None:
    source = proposal.tables["source"]
    keys = {roles.user.name: schema.USER_ID, roles.item.name: schema.ITEM_ID, roles.time.name: schema.TIMESTAMP}
    renamed = {name: key for name, key in keys.items() if not log.written.header and name not in log.head.folders}
    key_of: dict[str, str] = {}
    names = {_LOG: [renamed.get(name, name) for name in log.head.fields] if not log.written.header else []}
    files = {_LOG: log}
    for side in sides:
        key, of_log = (schema.USER_ID, roles.user) if side.role == USERS else (schema.ITEM_ID, roles.item)
        source[side.role] = relative(side.file.path, folder)
        files[side.role] = side.file
        if side.file.written.header:
            names[side.role] = []
            if side.key.name not in (of_log.name, key):
                key_of[side.role] = side.key.name
            continue
        new_names = zip(side.file.head.names, side.names, strict=True)  # those in the names of folders are no names of fields
        names[side.role] = [key if old == side.key.name else new for old, new in new_names if old not in side.file.head.folders]
    if roles.action is not None:
        _describe_actions(proposal, roles)
    columns: dict[str, ColumnFacts | None] = {schema.USER_ID: roles.user, schema.ITEM_ID: roles.item, schema.TIMESTAMP: roles.time}
    columns |= {schema.REQUEST_ID: roles.request, schema.POSITION: roles.position, "action": roles.action}
    columns |= {} if roles.action is not None else {schema.PROPENSITY: roles.propensity}
    named = {ours: column.name for ours, column in columns.items() if column is not None}
    source["columns"] = {ours: renamed.get(name, name) for ours, name in named.items()}
    for role, why in roles.unsure.items():
        if role in source["columns"]:
            proposal.note(("source", "columns", role), f"unsure: {why}")
    source["time"] = {**time_keys(roles.time), "zone": "UTC"}
    for key in ("format", "since"):
        if key in roles.unsure:
            proposal.note(("source", "time", key), f"unsure: {roles.unsure[key]}")
    proposal.note(("source", "time", "zone"), "The zone in which days begin and end. Change it where yours do not begin at midnight UTC.")
    for role, file in files.items():
        if file.written.encoding == "latin-1":
            proposal.note(
                ("source", "format", role, "encoding"), "unsure: the text is not UTF-8, and latin-1 reads any bytes: look at the names"
            )
        if file.written.leave_out:
            proposal.note(("source", "format", role, "leave_out"), "Columns of types that cannot be read, such as structs and durations.")
        if file.written.decimal != ".":
            proposal.note(("source", "format", role, "decimal"), "Numbers with a comma before their decimals were found.")
        if not file.written.header:
            proposal.note(("source", "format", role, "names"), *_examples(file, names[role]))
    if formats := {role: form for role, file in files.items() if (form := _form(file, names[role], key_of.get(role)))}:
        source["format"] = formats


def _form(file: UnknownFile, names: Sequence[str], key: str | None) -> dict[str, Any]:
    """Return the options of a table's format. `names`: of a file without a header. `key`: where the log calls it otherwise."""
    form: dict[str, Any] = {"key": key} if key is not None else {}
    form |= {"leave_out": list(file.written.leave_out)} if file.written.leave_out else {}
    if file.head.file.format == "parquet":
        return form
    if file.found_separator is not None:
        form["separator"] = file.found_separator
    if file.written.encoding != "utf-8":
        form["encoding"] = file.written.encoding
    if file.written.decimal != ".":
        form["decimal"] = file.written.decimal
    if not file.written.header:
        form["header"] = False
    if names:
        form["names"] = list(names)
    return form


def _examples(file: UnknownFile, names: Sequence[str]) -> list[str]:
    """Return a line per column of a file without a header: its name, and its first different values."""
    lines = ["No header was found. The first values of each column:"]
    for name, column in zip(names, file.rows.select(file.head.fields).columns, strict=True):
        values = dict.fromkeys(short(str(value), 30) for value in column.slice(0, 200).to_pylist() if value is not None)
        lines.append(f"  {name}: {', '.join(list(values)[:4])}")
    return lines


def _describe_actions(proposal: Proposal, roles: Roles) -> None:
    """Say which actions of an event log are views, and give the others a name. Numbers say nothing: the most frequent is a view."""
    assert roles.action is not None
    source = proposal.tables["source"]
    counts = Counter(map(plain_text, roles.action.values))
    words = [word for word, _ in counts.most_common()]
    views = nothing_done(roles.action)
    source["kind"] = "events"
    source["views"] = views
    if not is_view(views[0]):
        proposal.note(("source", "views"), "unsure: the most frequent action is taken for the view")
    shown = ", ".join(f"{word} {count:,}" for word, count in counts.most_common())
    proposal.note(("source",), f"Each row is one action. {roles.action.name} has the values {shown}.")
    source["feedback"] = []
    for word in words:
        if word not in views:
            source["feedback"].append(_feedback(word, [entry["name"] for entry in source["feedback"]]))


def _feedback(word: str, taken: Sequence[str]) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9]+", "_", word).strip("_").lower()
    name = unique(name if re.match(r"[a-z]", name) else f"action_{name}".rstrip("_"), taken)
    return {"name": name} if name == word else {"name": name, "actions": [word]}


def relative(path: Path, folder: Path) -> str:
    """Return a path as it is written in a TOML that lies in `folder`."""
    return os.path.relpath(path.resolve(), folder.resolve())
