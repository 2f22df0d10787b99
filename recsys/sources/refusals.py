"""Rows that cannot be used. They go to quarantine, with a reason, and not to the table. Too many of them are an error."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb
import pyarrow as pa

from recsys import schema
from recsys.errors import DataError, data_error, many, short
from recsys.sources.batch import SOURCE_ROW
from recsys.sources.input_files import short_names
from recsys.sources.instants import counts_from_elsewhere, is_text, likely_unit
from recsys.sources.output_columns import Column, Refusal
from recsys.sources.staging import SOURCE_FILE, Staged, expected_fields, unbalanced_error
from recsys.sources.tally import Tally, first_refusal

DIGEST = "digest"
WHOLE_BELOW = 10**15  # whole doubles below it are written like integers in the digest
_TOLERATED = 10  # refused rows that no day is stopped for: on a day of few rows they are chance
_BEARABLE = 0.1  # share of refused rows above which the file, and not `max_bad`, is to be mended


@dataclass(frozen=True)
class Typed:
    """A table of the engine: source_file, source_row, a0, a1, … in the order of `columns`, and the digest of a0, a1, …."""

    staged: Staged
    table: str
    columns: tuple[Column, ...]
    quarantined: int

    def column(self, name: str) -> str:
        return f"a{[column.name for column in self.columns].index(name)}"

    def type(self, name: str) -> pa.DataType:
        return next(column.type for column in self.columns if column.name == name)

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)


def typed(
    con: duckdb.DuckDBPyConnection,
    staged: Staged,
    columns: Sequence[Column],
    *,
    max_bad: float,
    day: str | None = None,
    keep: bool = False,
) -> tuple[Typed, pa.Table]:
    """Return the usable rows with their types, and the quarantine of the others (schema.QUARANTINE). The staged rows go, unless `keep`.

    Raises DataError where more than the share `max_bad` of the rows is refused, naming the most common reason, or where no row is usable.
    With `day`, SQL for the day of a row, raises it also where one day has more than that share and more than ten refused rows.
    """
    tally = Tally.of(con, staged, columns)
    if problems := _problems(tally, max_bad, day):
        raise problems[0]
    if tally.total == staged.rows > 0:
        raise data_error(
            str(staged.files[0].path),
            found="no usable row",
            expected="at least one",
            bad_rows=tally.total,
            rows=staged.rows,
            fix="mend the rows",
        )
    quarantine = _quarantine(tally)
    name = staged.table.replace("staged", "typed", 1)
    usable = f"WHERE ({first_refusal(tally.refusals)}) = 0" if tally.counts else ""  # most logs are clean: their rows need no second check
    values = ", ".join(f"{column.sql} AS a{place}" for place, column in enumerate(columns))
    con.execute(
        f"""
        CREATE TABLE {name} AS
        SELECT *, md5_number({_content(columns)}) AS {DIGEST}
        FROM (SELECT {SOURCE_FILE}, {SOURCE_ROW}, {values} FROM {staged.table} {usable})
        """
    )
    if not keep:
        con.execute(f"DROP TABLE {staged.table}")
    return Typed(staged, name, tuple(columns), tally.total), quarantine


def row_problems(
    con: duckdb.DuckDBPyConnection, staged: Staged, columns: Sequence[Column], *, max_bad: float | None, day: str | None = None
) -> tuple[list[DataError], str | None]:
    """Return the errors for which `typed` would not leave rows out, and the unit that most timestamps seem to have, if another.

    With `max_bad` None, no row may be left out, and no option can change that.
    """
    tally = Tally.of(con, staged, columns)
    counts = tally.of_each()
    stamps = [place for place in counts if tally.refusals[place].hint_unit]
    most = stamps and 2 * counts[stamps[0]] > staged.rows
    unit = _likely_unit(tally.refusals[stamps[0]], tally.example(stamps[0])[1]) if most else None
    return _problems(tally, max_bad, day), unit


def _problems(tally: Tally, max_bad: float | None, day: str | None) -> list[DataError]:
    """Return one error per reason that alone refuses too many rows, the most common first; where only all together do, one for that.

    A row with several bad columns counts for each of them.
    """
    most = (max_bad or 0.0) * tally.staged.rows
    if tally.total <= most:
        return [] if day is None or max_bad is None or not tally.counts else _bad_days(tally, day, max_bad)
    counts = tally.of_each()
    places = sorted(counts, key=lambda place: (-counts[place], place))  # of equally common ones, that of the first column
    torn_is_first = tally.torn >= max(counts.values(), default=0)
    errors = [_refused_error(tally, place, counts[place], max_bad) for place in places if counts[place] > most]
    if tally.torn > most:
        errors.insert(0 if torn_is_first else len(errors), _torn_error(tally, max_bad))
    return errors or [_torn_error(tally, max_bad) if torn_is_first else _refused_error(tally, places[0], counts[places[0]], max_bad)]


def _torn_error(tally: Tally, max_bad: float | None) -> DataError:
    staged = tally.staged
    file, width, bad = max(zip(staged.files, staged.widths, staged.unbalanced, strict=True), key=lambda each: len(each[2].rows))
    return unbalanced_error(file, width, bad, tally.torn, staged.rows, may_be_left_out=max_bad is not None)


def _refused_error(tally: Tally, place: int, rows: int, max_bad: float | None) -> DataError:
    refusal = tally.refusals[place]
    where, found = tally.example(place)
    unit = _likely_unit(refusal, found)
    fix = refusal.fix or "mend the rows"
    if max_bad is not None and tally.total <= _BEARABLE * tally.staged.rows:
        fix += f", or raise source.max_bad (now {max_bad:g}; {many(tally.total, 'row')} refused in all)"
    if unit and 2 * rows > tally.staged.rows:
        fix = f"the unit seems to be {unit}: " + (refusal.fix or f'set source.time.unit = "{unit}"')
    elif unit:
        fix = f"these rows seem to be in {unit}: {fix}"
    elif refusal.hint_unit and refusal.fix is None and counts_from_elsewhere(found) and 2 * rows > tally.staged.rows:
        fix = "say in source.time.since from when the numbers count; for a log that hides it, any day will do, such as 2020-01-01"
    elif refusal.hint_unit and refusal.fix is None and is_text(found) and tally.staged.files[0].key is not None:
        fix = 'say in source.time.format how times are written, such as "%d.%m.%Y %H:%M"'
    return data_error(where, found=shown(found), expected=refusal.expected, bad_rows=rows, rows=tally.staged.rows, fix=fix)


def _bad_days(tally: Tally, day: str, max_bad: float) -> list[DataError]:
    """Return the error of the first day with too many refused rows, which a long log would hide. Rows without a day do not count."""
    rows = f"SELECT {day} AS day, {first_refusal(tally.refusals)} AS code FROM {tally.staged.table}"
    counted = tally.con.execute(
        f"SELECT day, code, count(*) FROM ({rows}) WHERE day IS NOT NULL GROUP BY ALL ORDER BY day, code"
    ).fetchall()
    for bad_day, group in groupby(counted, key=lambda row: row[0]):
        of_day = {code: count for _, code, count in group}
        total = sum(of_day.values())
        bad = total - of_day.pop(0, 0)
        if bad <= max(_TOLERATED, max_bad * total):
            continue
        counts = tally.of_each(on_day := f"{day} = DATE '{bad_day}'")
        worst = max(counts, key=lambda place: counts[place])
        place, found = tally.example(worst, on_day)
        fix = f"mend the rows of {bad_day}, or raise source.max_bad (now {max_bad:g}; {many(bad, 'row')} of that day refused in all)"
        expected = tally.refusals[worst].expected
        return [data_error(place, found=shown(found), expected=expected, bad_rows=counts[worst], rows=total, fix=fix)]
    return []


def _content(columns: Sequence[Column]) -> str:
    """Return SQL for a text that two rows share only if all their typed values are equal, compared by column name.

    Null is "-", and a text carries its length. A whole double is written like an integer. So a row keeps its id when another file brings
    fractions.
    """
    parts = []
    for place, column in sorted(enumerate(columns), key=lambda entry: entry[1].name):
        alias = f"a{place}"
        if column.type == pa.string():
            text = f"strlen({alias}) || ':' || {alias}"
        elif column.type == pa.float64():
            is_whole = f"{alias} = trunc({alias}) AND abs({alias}) < {WHOLE_BELOW:.0e}"
            text = f"CASE WHEN {is_whole} THEN CAST(CAST({alias} AS BIGINT) AS VARCHAR) ELSE CAST({alias} AS VARCHAR) END"
        else:
            text = f"CAST({alias} AS VARCHAR)"
        parts.append(f"coalesce({text}, '-')")
    return f"concat_ws(',', {', '.join(parts)})"


def _quarantine(tally: Tally) -> pa.Table:
    """Return the refused rows (schema.QUARANTINE), each with its line in its file."""
    staged = tally.staged
    entries: list[dict[str, Any]] = []
    if tally.counts:
        entries += [_entry(staged, refusals, row) for row, refusals in tally.rows()]
    for place, bad in enumerate(staged.unbalanced):
        for row, fields, text in zip(bad.rows, bad.fields, bad.lines, strict=True):
            reason = f"found {fields} fields, expected {expected_fields(staged.files[place], staged.widths[place])}"
            entries.append({SOURCE_FILE: place, SOURCE_ROW: row, "reason": reason, "raw": json.dumps(text, ensure_ascii=False)})
    return quarantined(staged, entries)


def quarantined(staged: Staged, entries: Sequence[dict[str, Any]]) -> pa.Table:
    """Return refused rows (schema.QUARANTINE) from entries that give the file as its place, and the row by its number."""
    named = short_names((*staged.files, *staged.before))
    located = []
    for file, group in groupby(sorted(entries, key=lambda entry: entry[SOURCE_FILE]), key=lambda entry: entry[SOURCE_FILE]):
        of_file = list(group)
        lines = staged.lines(file, [entry[SOURCE_ROW] for entry in of_file])
        located += [entry | {SOURCE_FILE: named[file], SOURCE_ROW: line} for entry, line in zip(of_file, lines, strict=True)]
    return pa.Table.from_pylist(located, schema=schema.QUARANTINE)


def _entry(staged: Staged, refusals: Sequence[Refusal], row: Mapping[str, Any]) -> dict[str, Any]:
    return entry_of(staged, row, "; ".join(_reason(refusal, row[staged.column(refusal.column)]) for refusal in refusals))


def _reason(refusal: Refusal, found: object) -> str:
    unit = _likely_unit(refusal, found)
    hint = f" (the unit seems to be {unit})" if unit else ""
    return f"column {short(refusal.column)}: found {shown(found)}, expected {refusal.expected}{hint}"


def entry_of(staged: Staged, row: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return the entry of quarantine for a staged row: source_file, source_row, c0, c1, …."""
    values = {name: row[f"c{place}"] for place, name in enumerate(staged.names)}
    raw = json.dumps(values, ensure_ascii=False, default=str)
    return {SOURCE_FILE: row[SOURCE_FILE], SOURCE_ROW: row[SOURCE_ROW], "reason": reason, "raw": raw}


def shown(value: object) -> str:
    """Return a value for a message, as JSON writes it."""
    return "nothing" if value is None else short(json.dumps(value, ensure_ascii=False, default=str))


def _likely_unit(refusal: Refusal, found: object) -> str | None:
    return likely_unit(found, refusal.hint_unit) if refusal.hint_unit and found is not None else None
