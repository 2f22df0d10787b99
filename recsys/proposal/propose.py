"""The proposal: which file is the log, what its columns are, and what a first pipeline on it should look like."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recsys import features, schema, sources
from recsys.checkup import bounded_mean, leaks
from recsys.config import from_tables
from recsys.errors import DataError, data_error, many
from recsys.features import Preview
from recsys.proposal.advised_files import how_to_make_days
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.day_split import day_split, far_days, torn_day
from recsys.proposal.days_seen import allow_rows_without_time, rows_by_day
from recsys.proposal.draft import Proposal, pipeline_name
from recsys.proposal.feature_tables import add_features
from recsys.proposal.guessed_roles import Roles, guess_roles, is_log
from recsys.proposal.guessed_time import is_called_clock
from recsys.proposal.known_layouts import raise_where_known
from recsys.proposal.objective_tables import add_objectives, note_objectives
from recsys.proposal.passed_over import passed_over
from recsys.proposal.row_lists import raise_where_lists_were_shown, raise_where_rows_are_lists
from recsys.proposal.side_tables import SideTable, item_by_file, side_table
from recsys.proposal.source_tables import describe_files, relative
from recsys.proposal.told import NOTHING_TOLD, known_columns
from recsys.sources import UnknownFile

MOST_ROWS = 200_000  # rows that are looked at of each file
_FEWEST = 10  # training rows of each class that an objective needs


def propose(paths: Sequence[Path], folder: Path, told: Mapping[str, str] = NOTHING_TOLD) -> Proposal:
    """Propose a pipeline on these files, whose TOML will lie in `folder`. `told`: see `guess_roles`.

    Reads at most MOST_ROWS rows of each, and all times of the log.

    Raises DataError where a file cannot be read, or where no file is a log of users, items and times over two days or more.
    """
    raise_where_known(paths)
    files = [sources.read_unknown(path, most=MOST_ROWS) for path in paths]
    facts = [_facts(file, told.get(schema.TIMESTAMP)) for file in files]
    try:
        place = _log_of(files, facts, told)
        log, roles = files[place], _roles(files, facts, place, told)
    except DataError as error:
        raise_where_rows_are_lists(files, facts)
        raise DataError("\n".join([str(error), *passed_over(files)])) from error
    if schema.ITEM_ID not in told and len(roles.item.values) < roles.item.rows:  # of rows that name an item, lists are its properties
        raise_where_lists_were_shown(log)
    if not (
        roles.labels
        or roles.acted
        or roles.counts
        or roles.action
        or roles.outcome
        or roles.opinions
        or roles.durations
        or roles.shares
        or roles.rating
    ):
        raise_where_rows_are_lists(files, facts)
    proposal = Proposal(pipeline_name(log.path), {"source": {"kind": "table", "log": relative(log.path, folder)}})
    proposal.note((), "Proposed by recsys init. Lines with # say what it was unsure of. Next: recsys check, then recsys run.")
    all_sides = [
        side
        for number, file in enumerate(files)
        if number != place
        for side in [side_table(file, facts[number], roles, facts[place])]
        if side
    ]
    sides = _one_per_role(all_sides)
    describe_files(proposal, log, roles, sides, folder)
    _note_unused(proposal, files, log, all_sides, sides)
    rows, share_without = rows_by_day(log, roles.time, "UTC")
    allow_rows_without_time(proposal, share_without)
    if far := far_days(rows):
        of_far = many(sum(rows[day] for day in far), "row")
        proposal.note(
            ("split",), f"unsure: left out: {', '.join(far[:5])}{', …' if len(far) > 5 else ''} ({of_far}), far from all other days."
        )
        rows = {day: count for day, count in rows.items() if day not in far}
    if torn := torn_day(rows):
        proposal.note(("split",), f"Left out: {torn}, which has {many(rows[torn], 'row')} and seems to end early.")
    proposal.tables["split"] = day_split({day: count for day, count in rows.items() if day != torn}, str(log.path))
    proposal.note(("split",), "The last days are the test, those before them validation. Earlier days than train only feed the features.")
    add_objectives(proposal, roles, log)
    add_features(proposal, roles, sides, log.head.names)
    _judge(proposal, roles, sides, folder, str(log.path))
    return proposal


def _note_unused(
    proposal: Proposal, files: Sequence[UnknownFile], log: UnknownFile, all_sides: Sequence[SideTable], sides: Sequence[SideTable]
) -> None:
    """Name the files that have no part in the pipeline, each with why."""
    if second := [side.file.path.name for side in all_sides if side not in sides]:
        proposal.note(("source",), f"Not used, because another file describes the same: {', '.join(second)}.")
    unused = [file for file in files if file is not log and file not in [side.file for side in all_sides]]
    if unused:
        why = "no column of it is a key of users or items: a value of its own in each row, and half or more of the log's ids,"
        why += " and no name of another column of the log"
        why += "; for more of the log, give a pattern or a folder"
        if any(file.head.folders for file in unused):
            why += "; where folders are of days, write their path with {day} as users or items"
        proposal.note(("source",), f"Not used: {', '.join(file.path.name for file in unused)} ({why}).")
    for file in files:
        if (left_out := sources.said_left_out(file.path)) is not None:
            proposal.note(("source",), f"Not used: {left_out}.")


def _facts(file: UnknownFile, clock: str | None) -> list[ColumnFacts]:
    """Return the facts about the columns of a file. `clock` is the name of the one that tells the time, where that need not be guessed.

    Where none is a time, numbers that may be one are read to the last row: how far they go tells their unit.
    """
    is_typed = file.head.file.format == "parquet"
    facts = [
        ColumnFacts.of(name, column, is_typed=is_typed) for name, column in zip(file.rows.column_names, file.rows.columns, strict=True)
    ]
    if any(column.time is not None and clock in (None, column.name) for column in facts):
        return facts
    clocks = [column for column in facts if column.numbers is not None and (column.name == clock or is_called_clock(column))]
    return [replace(column, largest=_largest(file, column.name)) if column in clocks else column for column in facts]


def _largest(file: UnknownFile, name: str) -> float:
    """Return the largest number of a column, all rows read; NaN where it has none."""
    return float(pd.Series([pd.to_numeric(batch.to_pandas(), errors="coerce").max() for batch in file.column(name)], dtype=float).max())


def _one_per_role(sides: Sequence[SideTable]) -> list[SideTable]:
    """Return of the files that describe users, and of those that describe items, the one with the most features."""
    best: dict[str, SideTable] = {}
    for side in sides:
        if side.role not in best or len(side.features) > len(best[side.role].features):
            best[side.role] = side
    return list(best.values())


def _log_of(files: Sequence[UnknownFile], facts: Sequence[Sequence[ColumnFacts]], told: Mapping[str, str]) -> int:
    logs = [number for number in range(len(files)) if len(files) == 1 or is_log(facts[number], told)]
    if not logs:
        known_columns([column for of_file in facts for column in of_file], ", ".join(str(file.path) for file in files), told)
        raise data_error(
            ", ".join(str(file.path) for file in files),
            found="no log among them",
            expected="a file with a time, a user and an item in each row",
            fix="give the log, or write the TOML by hand (docs/bring-your-own-log.md)",
        )
    return max(logs, key=lambda number: len(files[number].rows))


def _roles(files: Sequence[UnknownFile], facts: Sequence[Sequence[ColumnFacts]], place: int, told: Mapping[str, str]) -> Roles:
    """Guess the roles of the log's columns. Where a file names the items by another column of the log than the guessed one, that is it."""
    log, name = facts[place], str(files[place].path)
    roles = guess_roles(log, name, told, without_times=partial(how_to_make_days, files[place]))
    others = [facts[number] for number, file in enumerate(files) if number != place and file.written.header]
    if schema.ITEM_ID in told or (item := item_by_file(roles, log, others)) is None:
        return roles
    found = guess_roles(log, name, {**told, schema.ITEM_ID: item.name})
    found.unsure[schema.ITEM_ID] = f"{item.name} rather than {roles.item.name}, because a file describes items by it"
    return found


# --- Base rates, and what does not do -----------------------------------------------------------------------------
def _judge(proposal: Proposal, roles: Roles, sides: Sequence[SideTable], folder: Path, file: str) -> None:
    """Write base rates above the objectives. Leave out objectives of too few labels, and features that alone tell a label."""
    pipeline = from_tables({"name": proposal.name, **proposal.tables}, folder)
    with tempfile.TemporaryDirectory(prefix="recsys-init-") as scratch:
        sample = sources.sample(pipeline, Path(scratch), most=MOST_ROWS)
        if sample.folder is None:
            raise DataError("\n".join([*sample.problems, *sample.row_problems]))
        preview = features.preview(pipeline, sample.folder, most=MOST_ROWS)
    kept: list[tuple[dict[str, Any], str]] = []
    few: list[tuple[dict[str, Any], str]] = []
    labelled = [objective.name for objective in preview.plan.objectives]
    if lost := [entry["name"] for entry in proposal.tables["objective"] if entry["name"] not in labelled]:
        raise DataError("\n".join([*sample.problems, *sample.row_problems]) or f"{', '.join(lost)}: found no label that can be computed")
    for entry in proposal.tables["objective"]:
        label_N = preview.features[schema.label_column(entry["name"])].cast(pa.float64()).to_numpy()
        label_N = label_N[~np.isnan(label_N)]
        rarest = min(int((label_N > 0).sum()), int((label_N <= 0).sum())) if entry.get("kind", "binary") == "binary" else len(label_N)
        (kept if rarest >= _FEWEST else few).append((entry, _rate(entry, label_N)))
    if not kept:
        raise data_error(
            file,
            found=f"too few labels of {', '.join(entry['name'] for entry, _ in few)} on the training days",
            expected=f"{_FEWEST} or more rows of each class",
            fix="give more of the log",
        )
    proposal.tables["objective"] = [entry for entry, _ in kept]
    if few:
        named = "; ".join(f"{entry['name']}, {rate}" for entry, rate in few)
        proposal.note(("features",), f"Not proposed as objectives, because too few: {named}.")
    _drop_leaks(proposal, preview)
    note_objectives(proposal, roles, sides)
    for place, (_, rate) in enumerate(kept):
        proposal.note(("objective", place), rate)


def _rate(entry: Mapping[str, Any], label_N: NDArray[np.float64]) -> str:
    """Say the base rate of an objective, or its mean."""
    if not len(label_N):
        return "no training label"
    if entry.get("kind", "binary") == "binary":
        return f"1 in {label_N.mean():.2%} of {len(label_N):,} training rows"
    return f"mean {bounded_mean(label_N):.4g} of {len(label_N):,} training rows"


def _drop_leaks(proposal: Proposal, preview: Preview) -> None:
    table = proposal.tables["features"]
    for leak in leaks(preview):
        if leak.name in table.get(leak.key, ()):
            table[leak.key] = [name for name in table[leak.key] if name != leak.name]
            table["entities"] = [names for names in table["entities"] if leak.name not in names]
            proposal.note(
                ("features",), f"Left out: {leak.name} alone tells {leak.objective} (AUC {leak.auc:.3f}), so it is hardly known before."
            )
    proposal.tables["features"] = {key: value for key, value in table.items() if value}
