"""The separator of a table's text files, found in their first rows."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, islice

from recsys.errors import data_error
from recsys.sources.decoding import STAND_IN, needs_decoding
from recsys.sources.input_files import InputFile, sniff

_COMMENT = "#"
_CANDIDATES = (",", "\t", ";", "::", "|", "\x01")  # of two that fit equally well, the first; \x01 is Hive's
_HEAD = 65_536  # bytes looked at of a file
_ROWS = 100  # rows looked at of a file
_FILES = 20  # files looked at, spread over all of them
_ENOUGH = 0.9  # share of rows of the right width: the others count as torn


def with_separators(files: Sequence[InputFile]) -> list[InputFile]:
    """Return the files, the text files with the separator that they are written with: the one in the TOML, else the one that fits.

    Files of one suffix have one separator, so that it does not depend on how rows are parted into files. A separator fits by the share of
    rows that have the right number of fields, two or more: as many as the TOML has names, else as many as the file's header. Of several
    that fit equally well, the one that the suffix promises is taken, else the one that gives the most fields. Files of one column have
    none: they keep the promised one. Raises DataError where a file is not what its name says.
    """
    found: dict[str | None, str] = {}
    text = sorted((file for file in files if file.format == "text"), key=lambda file: file.promised or "")
    for promised, group in groupby(text, key=lambda file: file.promised):
        of_suffix = list(group)
        found[promised] = of_suffix[0].written.separator or _found(of_suffix, promised or _CANDIDATES[0])
    return [dataclasses.replace(file, separator=found[file.promised]) if file.format == "text" else file for file in files]


def said(files: Sequence[InputFile], role: str, *, fields: int) -> list[str]:
    """Return a message for each separator that the first rows showed and no suffix promises. A table of one field has none."""
    shown = [file for file in files if file.format == "text" and file.separator not in (file.promised, file.written.separator)]
    messages = []
    for separator in dict.fromkeys(file.separator for file in shown) if fields > 1 else ():
        names = [file.path.name for file in shown if file.separator == separator]
        others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        key = f"; set {shown[0].key}.separator to read another" if shown[0].key else ""
        messages.append(f"{role}: the fields of {names[0]}{others} are separated by {separator!r}, as the first rows show{key}")
    return messages


def first_rows(file: InputFile) -> list[list[str]]:
    """Return the first rows of a file whose separator is known."""
    return _rows(file, _head(file))


def comments(rows: Sequence[Sequence[str]]) -> int:
    """Return how many of the first rows are comments above the header: they begin with #, and no row behind them has as many fields.

    The row behind them is like most others, so that a torn row behind a header such as #user_id makes it no comment.
    """
    above = next((place for place, row in enumerate(rows) if not row[0].startswith(_COMMENT)), 0)
    widths = Counter(map(len, rows[above:]))
    is_comment = len(rows) > above + 1 and len(rows[0]) not in widths and widths.most_common(1)[0][0] == len(rows[above])
    return above if is_comment else 0


def _found(files: Sequence[InputFile], promised: str) -> str:
    looked_at = files[:: -(-len(files) // _FILES)]
    for file in looked_at:
        sniff(file)
    heads = [(file, _head(file)) for file in looked_at]
    candidates = [promised, *(each for each in _CANDIDATES if each != promised)]
    fits = {each: _fit([(dataclasses.replace(file, separator=each), head) for file, head in heads]) for each in candidates}
    best = max(candidates, key=lambda each: (fits[each][0], each == files[0].promised, fits[each][1]))
    if fits[best][0] == 0:
        return promised
    written = files[0].written
    if needs_decoding(best) and written.quote and "quote" in written.model_fields_set:
        raise data_error(
            str(files[0].path),
            found=f"fields separated by {best!r}, and quote = {written.quote!r}",
            expected="no quotes, which no such file has",
            fix=f"leave {files[0].key}.quote out, or set the separator",
        )
    return best


def _head(file: InputFile) -> str:
    """Return the first rows as text, fields not yet separated, without the last row where it is cut."""
    with dataclasses.replace(file, separator=None).open() as stream:
        data = stream.read(_HEAD)
    end = max(data.rfind(b"\n"), data.rfind(b"\r"))
    whole = data[: end + 1] if len(data) == _HEAD and end >= 0 else data
    return whole.decode("utf-8-sig", errors="replace")


def _rows(file: InputFile, head: str) -> list[list[str]]:
    assert file.separator is not None
    text = head.replace(file.separator, STAND_IN) if needs_decoding(file.separator) else head
    rows = islice(csv.reader(io.StringIO(text, newline=""), **file.csv_options), _ROWS)
    return [row for row in rows if row]


def _fit(heads: Sequence[tuple[InputFile, str]]) -> tuple[float, int]:
    """Return the share of the first rows of some files that have the right number of fields, and that number; (0, 1) where it is 1."""
    right, rows, fields = 0, 0, 1
    for file, head in heads:
        try:
            of_file = _rows(file, head)
            of_file = of_file[comments(of_file) :]  # refused later, under the separator of the rows below them
        except csv.Error:
            return 0.0, 1
        names, header = file.written.names, int(file.written.header)
        wanted = len(names) or (len(of_file[0]) if of_file else 1)
        counted = of_file[header:] if names else of_file
        right += sum(len(row) == wanted for row in counted) if wanted > 1 else 0
        rows += len(counted)
        fields = max(fields, wanted)
    share = right / rows if rows else 0.0
    return (min(share, _ENOUGH), fields) if share else (0.0, 1)
