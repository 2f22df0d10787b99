"""[[objective]] of a proposed pipeline."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys.errors import data_error
from recsys.proposal.advised_files import how_to_draw_items
from recsys.proposal.column_facts import ColumnFacts
from recsys.proposal.draft import Proposal, unique
from recsys.proposal.guessed_roles import Roles
from recsys.proposal.item_length import is_called_length
from recsys.proposal.label_sql import acted_label, label_of, learned_shares, number, objective_name, opinion_label, other_outcomes, quoted
from recsys.proposal.odd_numbers import said_of_odd_numbers
from recsys.proposal.outcome_words import opinions
from recsys.proposal.role_names import LIFETIME, is_regretted, is_satisfaction
from recsys.proposal.side_tables import SideTable
from recsys.sources import UnknownFile


def add_objectives(proposal: Proposal, roles: Roles, log: UnknownFile) -> None:
    """Propose [[objective]]. Raise DataError where no column tells what the user did."""
    found: list[dict[str, Any]] = []
    for entry in proposal.tables["source"].get("feedback", ()):
        found.append(_binary(entry["name"], f"{quoted(entry['name'])} is not null"))
    for column in roles.labels:
        found.append(_binary(objective_name(column), label_of(column)))
    for name, label in other_outcomes(roles):
        found.append(_binary(name, label))
    for column in learned_shares(roles):
        found.append({"name": objective_name(column), "kind": "regression", "label": number(column), "loss_weight": 0.5})
    for column in roles.durations:
        found.append({"name": objective_name(column), "kind": "watch_time", "label": number(column), "loss_weight": 0.5})
    if roles.rating is not None:
        liked = _halving(roles.rating)
        name = "well_rated" if any(re.fullmatch("likes?|liked", entry["name"]) for entry in found) else "liked"
        found.append({"name": name, "group": "satisfaction", "label": f"{number(roles.rating)} >= {liked:g}"})
        found.append({"name": "rating", "kind": "regression", "group": "satisfaction", "label": number(roles.rating), "loss_weight": 0.5})
    for column in roles.counts:
        found.append(_binary(objective_name(column), f"{number(column)} > 0"))
    if not found:
        raise data_error(
            str(log.path),
            found=f"no column that tells what the user did{_alike_ones(roles)} among {', '.join(log.head.names)}",
            expected="0 and 1, yes and no, yes and nothing, a count, a watch time, a watched share, a rating, or actions, in a column",
            fix=said_of_odd_numbers(roles.rest) or how_to_draw_items(log, roles),
        )
    for place, entry in enumerate(found):
        entry["name"] = unique(entry["name"], [other["name"] for other in found[:place]])
    proposal.tables["objective"] = found


def note_objectives(proposal: Proposal, roles: Roles, sides: Sequence[SideTable]) -> None:
    """Write what is to be known of the objectives above them. Call it once no objective and no feature is left out any more."""
    found = proposal.tables["objective"]
    _note_chains(proposal, roles.labels)
    if len(found) > 1:
        said = "Groups are guessed from names. By default an objective of engagement sees the position, one of satisfaction does not."
        proposal.note(("objective", 0), said)
    if "rating" in roles.unsure:
        proposal.note(("objective", 0), f"unsure: {roles.unsure['rating']}")
    if roles.outcome is not None:
        said = (
            f"unsure: {roles.outcome.name} is taken for what became of each row's impression: few of its actions follow a view of the same"
        )
        proposal.note(("objective", 0), f'{said} user and item. Where each row is an action, write kind = "events".')
    _note_opinions(proposal, roles.opinions)
    for column in roles.labels:
        place = next((place for place, entry in enumerate(found) if entry["label"] == label_of(column)), None)
        if column.is_one_or_two and place is not None:
            said = f"unsure: {column.name} holds 1 and 2, and 2 is taken for yes. Write {quoted(column.name)} = 1 where 1 is yes"
            proposal.note(("objective", place), said)
    for column in roles.durations:
        place = next((place for place, entry in enumerate(found) if entry["label"] == number(column)), None)
        if place is not None and re.search(LIFETIME, column.words):
            said = f"unsure: {column.name} may be a total over many impressions, later ones too. Leave it out if so"
            proposal.note(("objective", place), said)
    _learn_by_length(proposal, roles, sides)
    for column in roles.acted:
        place = next((place for place, entry in enumerate(found) if entry["label"] == acted_label(column)), None)
        if place is not None and re.fullmatch(r"column_\d+", column.name):
            proposal.note(
                ("objective", place), f"unsure: {column.name} is taken for the time at which the user acted: it follows the row's"
            )
        if place is not None:
            said = f"{column.name} stands only where the user acted. If that may be later than features.label_delay, raise it."
            proposal.note(("objective", place), said)
    if "labels" in roles.unsure:
        proposal.note(("objective", 0), f"unsure: {roles.unsure['labels']}")


def _learn_by_length(proposal: Proposal, roles: Roles, sides: Sequence[SideTable]) -> None:
    """Name the length of the items in the first watch time, where it is a feature."""
    features = proposal.tables["features"]
    known = [*features.get("context", ()), *features.get("item", ())]
    of_items = (column for side in sides if side.role == "items" for column in side.features if is_called_length(column))
    length = next((column.name for column in (*roles.lengths, *of_items) if column.name in known), None)
    place = next((place for place, entry in enumerate(proposal.tables["objective"]) if entry.get("kind") == "watch_time"), None)
    if length is not None and place is not None:
        proposal.tables["objective"][place]["duration"] = length
        proposal.note(("objective", place), f"It is learned by {length}, the length of the item (docs/training.md, Watch time).")


def _alike_ones(roles: Roles) -> str:
    names = ", ".join(column.name for column in roles.alike)
    return f" (besides {names}, whose names differ by case alone)" if names else ""


def _note_opinions(proposal: Proposal, columns: Sequence[ColumnFacts]) -> None:
    """Say above the first objective of each column of opinions what a row without one counts as."""
    for column in columns:
        labels = {opinion_label(column, word) for word in opinions(column)}
        first = next((place for place, entry in enumerate(proposal.tables["objective"]) if entry["label"] in labels), None)
        if first is not None:
            said = f"unsure: rows where {column.name} says nothing count as 0. Where few users were asked, leave coalesce out:"
            proposal.note(("objective", first), f"{said} then they are unknown")


def _note_chains(proposal: Proposal, labels: Sequence[ColumnFacts]) -> None:
    """Say of a label that is 1 only where another one is: the model can learn it given the other one."""
    objectives = proposal.tables["objective"]
    place_of = {entry["label"]: place for place, entry in enumerate(objectives)}
    ones = {
        place_of[label_of(column)]: column.numbers == 1
        for column in labels
        if column.is_binary and column.numbers is not None and label_of(column) in place_of
    }
    for place, one in ones.items():
        wider = [at for at, other in ones.items() if other.mean() > one.mean() and other.reindex(one.index, fill_value=False)[one].all()]
        if wider:
            name = objectives[min(wider, key=lambda at: ones[at].mean())]["name"]
            proposal.note(("objective", place), f'It is 1 only where {name} is 1: given = "{name}" would learn it so.')


def _halving(rating: ColumnFacts) -> float:
    """Return the rating from which on as nearly half of all ratings lie as may be, the higher one of two."""
    numbers = np.sort(rating.numbers.to_numpy() if rating.numbers is not None else [])
    levels, below = np.unique(numbers, return_index=True)
    distances = np.abs(below / len(numbers) - 0.5)
    return float(levels[np.flatnonzero(distances == distances.min())[-1]])


def _binary(name: str, label: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name}
    if is_satisfaction(name):
        entry["group"] = "satisfaction"
    entry["label"] = label
    if is_regretted(name):
        entry["better"] = "lower"
    return entry
