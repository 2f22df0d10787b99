"""The names that a pipeline reads, by the key of the TOML, and the words for one that stands for no column."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsys import schema
from recsys.config import Features, Pipeline
from recsys.errors import nearest
from recsys.features.feature_columns import Columns, Table
from recsys.features.operands import shortened


def expressions(pipeline: Pipeline) -> dict[str, str]:
    """Return key of the TOML → expression over the events."""
    texts = {
        f"objective.{objective.name}.{key}": text
        for objective in pipeline.objective
        for key, text in (("label", objective.label), ("observed", objective.observed))
        if text is not None
    }
    return texts | {f"features.expressions.{name}": text for name, text in pipeline.features.expressions.items()}


def by_entities(features: Features) -> dict[str, tuple[str, ...]]:
    """Return the key of each list of entities → the columns that it names, each once."""
    lists = {
        "entities": features.entities,
        "today": features.today,
        "recent": features.recent,
        "factors": [[name] for name in features.factored],
    }
    return {key: tuple(dict.fromkeys(name for entity in entities for name in entity)) for key, entities in lists.items()}


def mapped(pipeline: Pipeline) -> dict[str, str]:
    """Return our names of columns → the log's, as source.columns has them; nothing of a source that fixes them itself."""
    named = getattr(pipeline.source, "columns", None)
    return {} if named is None else named.named()


@dataclass(frozen=True)
class Unknown:
    """The words for names that stand for no column."""

    pipeline: Pipeline
    columns: Columns

    def said(self, place: str, name: str, known: Sequence[str], expected: str, tables: Sequence[Table] = ()) -> str:
        """Return the problem of a name at a key that reads columns of `tables`; none of them: the log's own and feedbacks alone.

        A column of the log that source.columns reads has our name from there on.
        """
        ours = next((ours for ours, theirs in mapped(self.pipeline).items() if name in (ours, theirs)), None)
        if ours is None:
            return f"{place}: found the name {shortened(name)}, expected {expected}{nearest(name, known)}"
        if len(tables) == 1 and ours in (schema.USER_ID, schema.ITEM_ID):
            fix = f"the model reads ids by features.ids: put {ours} there"
        elif self.columns.find(ours, tables, self.pipeline.features) is not None:
            fix = f"write {ours}"
        else:
            fix = "it cannot be read here: give the log a copy of the column, under another name"
        found = f"found the name {shortened(name)}, which is the {ours} in source.columns"
        return f"{place}: {found}, expected {expected}. Fix: {fix}"

    def in_expression(self, place: str, name: str, known: Sequence[str], text: str) -> str:
        """Return the problem of a name in an expression, where many take double quotes for those of a text."""
        problem = self.said(place, name, known, "a column of the log or a feedback")
        is_quoted = f'"{name}"' in text and ". Fix: " not in problem
        return problem + (f". Fix: a text stands in single quotes, as in '{shortened(name)}'" if is_quoted else "")
