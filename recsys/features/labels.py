"""Translate a label's SQL expression to Ibis. The expression is parsed, limited to scalar constructs, and never spliced into SQL.

Numbers are computed as float64. Results that SQL leaves undefined (x / 0, ln(0), sqrt(-1), text that is no number) are null.
NaN in the data is null too.
"""

import math
import re
from collections.abc import Iterable
from contextlib import suppress

import ibis.expr.types as ir
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from recsys.features.expressions import COPIES, NO_VALUES, TRANSLATIONS, candidates, name_of, value_of
from recsys.features.operands import LabelError, number, shortened

_ALLOWED = (
    "comparisons, and/or/not, arithmetic, case, if, in, between, is null, coalesce, nullif, least, greatest, abs, ln, log, exp, sqrt,"
    " round, floor, ceil, cast"
)
_MAX_WORDS = 20  # that are looked at, of an expression that cannot be parsed
# Characters, parts (operations, names, numbers), and operations in one another: the parser and the engine work recursively.
_MAX_LENGTH, _MAX_PARTS, _MAX_DEPTH, _MAX_WRITTEN = 10_000, 2_000, 100, 20_000


class UnknownColumns(ValueError):  # noqa: N818 (what it holds, not what it is)
    """The error for names in an expression that are neither columns of the log nor feedback."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(", ".join(self.names))


def parse(text: str) -> exp.Expression:
    """Parse one scalar expression into its tree. Raise LabelError for anything else: a query, an aggregate, two statements, …"""
    if len(text) > _MAX_LENGTH:
        raise LabelError(f"found {len(text):,} characters, expected at most {_MAX_LENGTH:,}")
    try:
        statements = sqlglot.parse(text, read="duckdb")
    except (SqlglotError, RecursionError) as error:
        word = _word_to_quote(text)
        fix = "" if word is None else f'. Fix: {word} is a word of SQL, too; in double quotes, "{word}", it is a name'
        raise LabelError(
            f'found "{shortened(text)}", which cannot be parsed, expected a scalar expression such as "is_like = 1"{fix}'
        ) from error
    if len(statements) != 1 or statements[0] is None:
        count = sum(statement is not None for statement in statements)
        raise LabelError(f"found {count} expressions, expected one scalar SQL expression")
    tree: exp.Expression = statements[0]
    _require_bounded(tree)
    for node in tree.walk():
        if not _is_allowed(node):
            kind = type(node).__name__.lower()
            raise LabelError(f"found {shortened(node.sql(dialect='duckdb'))} ({kind}), expected scalars of the log's columns: {_ALLOWED}")
    return tree


def _is_allowed(node: exp.Expression) -> bool:
    return type(node) in TRANSLATIONS or type(node) in NO_VALUES


def _word_to_quote(text: str) -> str | None:
    """Return the word of SQL that stands where a name is meant: with it in double quotes, the expression is one."""
    for word in list(dict.fromkeys(re.findall(r'(?<![\w"])[A-Za-z]\w*(?![\w"])', text)))[:_MAX_WORDS]:
        with suppress(SqlglotError, RecursionError):
            quoted = re.sub(rf'(?<![\w"]){word}(?![\w"])', f'"{word}"', text)
            trees = sqlglot.parse(quoted, read="duckdb")
            if len(trees) == 1 and trees[0] is not None and all(map(_is_allowed, trees[0].walk())):
                return str(word)
    return None


def _require_bounded(tree: exp.Expression) -> None:
    """Raise LabelError where an expression is too long, or too deep, for what walks it; or too long once the engine's SQL is written."""
    nodes = list(tree.walk())  # in breadth, so that a node comes after its parent
    depths: dict[int, int] = {}
    for node in nodes:
        depths[id(node)] = 1 + depths.get(id(node.parent), 0)
    written: dict[int, int] = {}
    for node in reversed(nodes):
        of_operands = written.get(id(node), 0)
        copies = len(node.args["ifs"]) if isinstance(node, exp.Case) and node.this else COPIES.get(type(node), 1)
        parent = id(node.parent)
        written[id(node)] = 1 + copies * of_operands
        written[parent] = written.get(parent, 0) + written[id(node)]
    for found, most, what in (
        (len(nodes), _MAX_PARTS, "parts"),
        (max(depths.values()), _MAX_DEPTH, "operations in one another"),
        (written[id(tree)], _MAX_WRITTEN, "parts once it is written as SQL"),
    ):
        if found > most:
            raise LabelError(f"found {found:,} {what}, expected at most {most:,}")


def columns(text: str) -> tuple[str, ...]:
    """List the names that an expression reads, in order, each once."""
    return tuple(dict.fromkeys(name_of(node) for node in parse(text).find_all(exp.Column)))


def translate(text: str, events: ir.Table) -> ir.NumericValue:
    """Translate `text` into a float64 expression over the columns of `events`. True is 1, false is 0.

    A bare name is a column of the log (`log.X`) or a feedback (`feedback.X`). Raise LabelError, or UnknownColumns with
    every unknown name.
    """
    tree = parse(text)
    unknown = [name for name in columns(text) if not candidates(name, events)]
    if unknown:
        raise UnknownColumns(unknown)
    return number(value_of(tree, events)).nullif(math.nan)  # infinity minus infinity; the engine holds NaN equal to itself
