"""Write what a user gets: predictions in the order of the candidates, or ranked lists."""

from collections.abc import Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir

from recsys import schema
from recsys.features import DuckDBEngine


def write_answers(
    engine: DuckDBEngine, candidates: ir.Table, scored: Sequence[Path], target: Path, *, top: int | None, as_text: bool
) -> None:
    """Write predictions with the ids as they were given: in the order of the candidates, or with `top` as ranked lists.

    `scored` are parquet files in the form of `predictions.assemble`, whose event_id is `schema.CANDIDATE`. A list is what one user has
    asked for in one request, or, without a request, at one moment. It holds its `top` best by score, best first; of equal scores the
    smaller item_id, then the one that was given first.
    """
    predicted = engine.own_files("scored", scored)
    of_request = _of_request(candidates)
    given = candidates.select(schema.CANDIDATE, *of_request, event=candidates[_given_id(candidates)])
    both = predicted.rename({schema.CANDIDATE: schema.EVENT_ID}).join(given, schema.CANDIDATE)
    ids = [schema.USER_ID, schema.ITEM_ID, schema.TIMESTAMP, schema.DAY, *of_request]
    values = [name for name in predicted.columns if name.startswith(schema.PREDICTION) or name == schema.SCORE]
    rows = both.select(schema.CANDIDATE, **{schema.EVENT_ID: both["event"]}, **{name: both[name] for name in (*ids, *values)})
    if top is None:
        engine.write(rows.order_by(schema.CANDIDATE).drop(schema.CANDIDATE), target, as_text=as_text)
        return
    engine.write(_ranked(rows, of_request, top), target, as_text=as_text)


def count_repeated(engine: DuckDBEngine, candidates: ir.Table) -> int:
    """Return how many candidates name an item that their list has already."""
    lists = _keys_of_lists(candidates, _of_request(candidates))
    items = candidates.select(schema.ITEM_ID, **lists)
    rows, different = (engine.arrow(table.agg(rows=table.count()))["rows"][0].as_py() for table in (items, items.distinct()))
    return int(rows - different)


def _of_request(candidates: ir.Table) -> list[str]:
    return [schema.REQUEST_ID] if schema.REQUEST_ID in candidates.columns else []


def _given_id(candidates: ir.Table) -> str:
    return schema.EVENT_ID if schema.EVENT_ID in candidates.columns else schema.CANDIDATE


def _keys_of_lists(rows: ir.Table, of_request: Sequence[str]) -> dict[str, ir.Value]:
    """Return what the candidates of one list have in common, by the names of new columns."""
    moment = rows[schema.TIMESTAMP]
    if not of_request:
        return {"of_user": rows[schema.USER_ID], "at": moment}
    request = rows[schema.REQUEST_ID]
    return {"of_user": rows[schema.USER_ID], "at": request.isnull().ifelse(moment, ibis.null("int64")), "of_request": request}


def _ranked(rows: ir.Table, of_request: Sequence[str], top: int) -> ir.Table:
    keys = _keys_of_lists(rows, of_request)
    keyed = rows.mutate(**keys)
    best = [keyed[schema.SCORE].desc(), keyed[schema.ITEM_ID], keyed[schema.CANDIDATE]]
    window = ibis.window(group_by=[keyed[name] for name in keys], order_by=best)
    placed = keyed.mutate(**{schema.PLACE: (ibis.row_number().over(window) + 1).cast("int64")})
    first = ibis.window(group_by=[placed[name] for name in keys])
    placed = placed.mutate(first=placed[schema.CANDIDATE].min().over(first))
    chosen = placed.filter(placed[schema.PLACE] <= top).order_by(["first", schema.PLACE])
    ids = [name for name in rows.columns if name != schema.CANDIDATE and not name.startswith(schema.PREDICTION) and name != schema.SCORE]
    return chosen.select(*ids, schema.PLACE, *(name for name in rows.columns if name.startswith(schema.PREDICTION)), schema.SCORE)
