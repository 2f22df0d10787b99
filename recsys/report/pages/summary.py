"""The box on top of a page: what is gained and what is paid, what makes the numbers doubtful, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from recsys import schema
from recsys.config import Pipeline
from recsys.evaluation import Scores, dominant_users
from recsys.report.pages.next_steps import Seen, Step, next_steps
from recsys.report.pages.way_to_truth import way_to_truth
from recsys.report.tables.cells import Grid, grid
from recsys.report.tables.frame import short_names, splits, whole
from recsys.report.tables.verdict import Comparison, brief_comparisons
from recsys.report.training_log import Journal

COMPARED = 3  # other runs that the box compares with; all are in the results
STEPS = 4  # steps that are seen at once; the others open on demand


@dataclass(frozen=True)
class Summary:
    """The days that are judged, sentences, comparisons with other runs, warnings, and steps. Each may be missing."""

    days: str = ""
    sentences: Sequence[str] = ()
    comparisons: Sequence[Comparison] = ()
    warnings: Sequence[str] = ()
    steps: Sequence[Step] = ()

    @property
    def first_steps(self) -> Sequence[Step]:
        return self.steps[:STEPS]

    @property
    def more_steps(self) -> Sequence[Step]:
        return self.steps[STEPS:]


def summary(
    run: str,
    table: pd.DataFrame,
    pipeline: Pipeline,
    predictions: pa.Table,
    scores: Scores,
    journal: Journal | None,
    changed: pd.DataFrame | None = None,
) -> Summary:
    """Return the box of a run's page. `table` is the run's `frame`, `scores` are those of `predictions`, `changed` what calibration did."""
    shown = whole(table)
    main = grid(shown[shown["is_main"] & (shown["split"] == splits(shown)[0])])
    split = splits(shown)[0]
    comparisons = _named_first(brief_comparisons(main), pipeline)
    return Summary(
        days=pipeline.split.said(split),
        sentences=[*(_left_out(comparisons) if main.others else _values(main)), *_partly(shown, main), *way_to_truth(main)],
        comparisons=comparisons[:COMPARED],
        warnings=_warnings(split, predictions, pipeline),
        steps=next_steps(Seen(run, pipeline, table, predictions, scores, journal, main, changed)),
    )


def _values(main: Grid) -> list[str]:
    """Return the first number of each objective in words: what there is to say where nothing is compared."""
    first = {line.objective: line for line in reversed(main.lines) if line.value.value is not None}
    said = [f"{line.objective} {line.metric} {line.value}" for line in reversed(first.values())]
    return [f"{'; '.join(said)}."] if said else []


def _partly(shown: pd.DataFrame, main: Grid) -> list[str]:
    """Return in words which of the others scored only a part of the impressions. Differences to them are on that part."""
    names, split = short_names(list(main.others)), splits(shown)[0]
    of_split = shown[(shown["split"] == split) & shown["difference_n"].notna()].sort_values("n", ascending=False, kind="stable")
    first = of_split.drop_duplicates("against")
    return [
        f"{names[row['against']]} has {row['difference_n']:,.0f} of {row['n']:,.0f} {split} impressions; differences to it are on those."
        for row in first[first["difference_n"] < first["n"]].to_dict("records")
        if row["against"] in names
    ]


def _named_first(comparisons: Sequence[Comparison], pipeline: Pipeline) -> list[Comparison]:
    """Return the comparisons with what evaluate.against names before those with baselines: somebody asked for them."""
    return sorted(comparisons, key=lambda comparison: comparison.other.partition("-")[0] in pipeline.evaluate.baselines)


def _left_out(comparisons: Sequence[Comparison]) -> list[str]:
    left = [comparison.other for comparison in comparisons[COMPARED:]]
    return [f"The results also compare with {', '.join(left)}."] if left else []


def _warnings(split: str, predictions: pa.Table, pipeline: Pipeline) -> list[str]:
    """Return what makes the shown numbers doubtful."""
    found = [f"{each}." for each in dominant_users(predictions, pipeline.objective) if each.split == split]
    more = [f"{len(found) - 1} more objectives have such a user."] if len(found) > 1 else []
    chosen = "These are validation days. Choices were made on them, so the numbers look better than they are."
    return [*([chosen] if split == schema.VALIDATION else []), *found[:1], *more]
