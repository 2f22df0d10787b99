"""Encoded days whose vocabulary grows, for a training in time order.

Scales, quantiles and codes come from the warm days and are then kept. The vocabulary grows: a day is encoded with the values of all days
up to it. It leaves the rows that it has added (ADDED_FILE) and the counts of values that are still too rare (COUNTS_FILE). Rows are
appended, and none moves. So a day's bytes depend on the days up to it and on no later one. Whoever has learned fewer days takes the later
rows for unknown (`EncodedDays.known_to`).
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from recsys import artifacts
from recsys.encoding.encode_days import COUNTS_FILE, ToEncode, tables_of
from recsys.encoding.encoder import Encoder
from recsys.encoding.fitting import count_categories
from recsys.encoding.roles import Roles, check_types
from recsys.encoding.vocabulary import VocabularyFitter
from recsys.lineage import ADDED_FILE
from recsys.workspace import ENCODER, day_folder


def growing(examples: Path, folder: Path, days: Sequence[str], stale: Collection[str], min_count: int) -> Iterator[ToEncode]:
    """Yield what is needed to encode each day of `stale`, in order. The other days of `days` stand in `folder` already.

    `days` are all days after the warm ones, in order. Raises ArtifactError where a day that stands is damaged.
    """
    encoder, counts, before = Encoder.load(folder / ENCODER), None, folder / ENCODER
    standing: list[str] = []  # days since the last stale one, which stand
    for day in days:
        if day in stale:
            encoder, standing = _with_added(encoder, folder, standing), []
            counts = artifacts.read_table(before / COUNTS_FILE) if counts is None else counts
            known = encoder.layout.num_rows
            encoder, counts = _grown(encoder, counts, day_folder(examples, day), min_count)
            yield ToEncode(day, encoder, {ADDED_FILE: encoder.vocabulary.since(known), COUNTS_FILE: counts}, is_in_time=True)
        else:
            standing.append(day)
            counts = None
        before = day_folder(folder, day)


def encoder_after(folder: Path, days: Sequence[str]) -> Encoder:
    """Return the encoder with the vocabulary as it is after these days, the first ones after the warm days.

    Without days it is that of the warm days. Raises ArtifactError where a file is absent or cannot be read.
    """
    return _with_added(Encoder.load(folder / ENCODER), folder, days)


def _with_added(encoder: Encoder, folder: Path, days: Sequence[str]) -> Encoder:
    """Return the encoder with the rows that these days have added to its vocabulary."""
    added = [artifacts.read_table(day_folder(folder, day) / ADDED_FILE) for day in days]
    if not any(len(table) for table in added):
        return encoder
    return encoder.with_vocabulary(encoder.vocabulary.with_rows(pa.concat_tables(added)))


def _grown(encoder: Encoder, counts: pa.Table, examples: Path, min_count: int) -> tuple[Encoder, pa.Table]:
    """Return the encoder with the values that this day has made frequent enough, and the counts of the others."""
    fitter = VocabularyFitter.going_on(encoder.vocabulary, counts, min_count)
    slots = encoder.layout.slots
    read = Roles((), tuple(slot.feature for slot in slots), (), ())
    for table in tables_of(examples, read.categories):
        check_types(table.schema, read, str(examples))
        count_categories(fitter, slots, table)
    fitter.end_day()
    return encoder.with_vocabulary(fitter.vocabulary()), fitter.counts()
