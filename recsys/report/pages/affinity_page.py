"""Which objective helps which: the rows of `schema.AFFINITY` as a matrix, and as a page of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from recsys import artifacts, schema
from recsys.errors import percent
from recsys.evaluation import POOLED
from recsys.report import cosines
from recsys.report.chance import by_chance
from recsys.report.figures.balance_figures import cosine_matrix
from recsys.report.figures.figure import Figure, sentence
from recsys.report.figures.front_figures import number_name
from recsys.report.figures.heat_map import heat_map, scale_of
from recsys.report.pages.page import page
from recsys.report.pages.section import Section
from recsys.report.pages.summary import Summary
from recsys.report.tables.cells import MARKS, Cell, Matrix, cell_of
from recsys.report.tables.frame import BETTER, UNCLEAR, WORSE, verdict_of
from recsys.report.tables.verdict import QUESTION_OF, unjudged

ALONE, WITH_ALL = "alone", "all"


def write_affinity(
    path: Path,
    rows: pa.Table,
    name: str,
    objectives: Sequence[str],
    facts: Mapping[str, str],
    *,
    confidence: float,
    fingerprint: str,
) -> None:
    """Write the page of an affinity study. `rows` have the form of `schema.AFFINITY`, `facts` are term → text."""
    table = rows.to_pandas()
    box = Summary(sentences=affinity_words(rows, confidence))
    html = page(name, run=path.parent.name, box=box, facts=facts, shown=_sections(table, objectives, confidence), kind="affinity")
    artifacts.write_file(path, lambda draft: draft.write_text(html, encoding="utf-8"), stage="affinity", fingerprint=fingerprint)


def affinity_matrix(rows: pa.Table, objectives: Sequence[str]) -> Matrix:
    """Return one row per metric of a judged objective: its value when trained alone, then the gain from each partner and from all."""
    return _matrix(rows.to_pandas(), objectives)


def affinity_words(rows: pa.Table, confidence: float) -> list[str]:
    """Return in words what the matrix says, and what it does not say. `confidence` is that of its intervals."""
    gains = _gains(rows.to_pandas())
    silent = gains[gains["low"].isna() & gains["reason"].notna()]
    names = map(number_name, silent["objective"], silent["metric"])
    return [_words(gains, confidence), *unjudged(zip(names, silent["reason"], strict=True))]


def _sections(table: pd.DataFrame, objectives: Sequence[str], confidence: float) -> list[Section]:
    gains = _gains(table)
    about = (
        "A row is a metric of a judged objective when it is trained alone, and the gain (that metric trained with the partner, minus"
        " alone, seed by seed) from each partner and from all others together. Two metrics per objective: who will, over all impressions"
        " (auc, xauc), and which item of a list (gauc_list, xgauc_list; gauc, xgauc within users where too few lists can tell). Every run"
        " is the same net from the same start on the same batches: the losses of the objectives left out have weight 0. So every run costs"
        " the same multiplications."
    )
    shown = [
        Section(
            "gains",
            "Who helps whom",
            about,
            is_open=True,
            figures=_maps(gains, objectives),
            matrices={f"Gain over being trained alone, with its interval over {_over(gains)}": _matrix(table, objectives)},
            wide=True,
        )
    ]
    found = table[table["what"] == "cosine"].rename(columns={"partners": "other", "value": "cosine"})
    if len(found):
        about = (
            "Whether the gradients of two objectives, in the weights of the layer that all share, point the same way on rows that were not"
            " learned yet, over the runs of all objectives together. Cosines come from products of one batch's gradient with another's,"
            f" which the noise of labels does not shift. Intervals ({percent(confidence)}) are from a jackknife over days, or over seeds"
            f" and ensemble members in shuffled passes. {cosines.words(found, confidence)} Gradients can say something else than metrics."
        )
        figures = [cosine_matrix(found, objectives)] if cosines.is_clear(found).any() else []
        shown.append(Section("gradients", "Gradients", about, gist=cosines.counted(found), figures=figures, wide=True))
    return shown


def _gains(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of gains with `verdict`, and with `partner`, which names a column of the matrix."""
    gains = table[table["what"] == "gain"]
    verdicts = [verdict_of(low, high, schema.HIGHER) for low, high in zip(gains["low"], gains["high"], strict=True)]
    partner = gains["partners"].where(~gains["partners"].str.contains(schema.TOGETHER, regex=False), WITH_ALL)
    return gains.assign(verdict=pd.Series(verdicts, index=gains.index, dtype=object), partner=partner)


def _matrix(table: pd.DataFrame, objectives: Sequence[str]) -> Matrix:
    shown = _gains(table)
    gains = {(row["objective"], row["metric"], row["partner"]): row for row in shown.to_dict("records")}
    values = table[(table["what"] == "value") & table["partners"].isna()]
    alone = values.groupby(["objective", "metric"], sort=False)["value"].mean()
    columns = _columns(shown, objectives)

    def gain(objective: str, metric: str, partner: str) -> Cell | None:
        row = gains.get((objective, metric, partner))
        if row is None:
            return None
        value, low, high = (None if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high"))
        return Cell(value, low, high, row["reason"], row["verdict"], signed=True)

    rows = tuple(
        (f"{name} ({metric})", (cell_of(value, None, None), *(gain(name, metric, partner) for partner in columns)))
        for name, metric, value in alone.reset_index().itertuples(index=False)
    )
    return Matrix("judged", (ALONE, *(f"with {partner}" for partner in columns)), rows)


def _columns(gains: pd.DataFrame, objectives: Sequence[str]) -> list[str]:
    return [*objectives, *([WITH_ALL] if (gains["partner"] == WITH_ALL).any() else [])]


def _maps(gains: pd.DataFrame, objectives: Sequence[str]) -> list[Figure]:
    """Return a map per question: of the gains over all impressions, and of those within lists or users."""
    is_pooled = gains["metric"].isin(POOLED)
    asked = ((gains[is_pooled], schema.WHO), (gains[~is_pooled], schema.WHICH))
    return [_map(known, objectives, question) for of, question in asked if len(known := of.dropna(subset="value"))]


def _map(known: pd.DataFrame, objectives: Sequence[str], question: str) -> Figure:
    texts = [f"{value:+z.4f} {MARKS.get(verdict, '')}".strip() for value, verdict in zip(known["value"], known["verdict"], strict=True)]
    cells = known.rename(columns={"objective": "row", "partner": "column"}).assign(text=texts)
    metrics = ", ".join(known["metric"].unique())
    title = f"{QUESTION_OF[question]}: gain in {metrics} of the row's objective from being trained with the column's objective"
    text = sentence(
        title, (f"{row} with {column} {text}" for row, column, text in cells[["row", "column", "text"]].itertuples(index=False))
    )
    return heat_map(cells, _columns(known, objectives), scale_of(cells["value"]), "gain", title=title, text=text, of="with")


def _over(gains: pd.DataFrame) -> str:
    """Return whose noise the intervals hold."""
    return "users" if gains["seeds"].max() == 1 else "users and seeds"


def _words(gains: pd.DataFrame, confidence: float) -> str:
    """Return in words what the intervals say, and how many of them would exclude 0 by chance alone."""
    judged = gains[gains["verdict"].notna()]
    if judged.empty:
        return "No gain has an interval."
    parts = [
        f"{words}: " + ", ".join(f"{row.objective} by {row.partner} ({row.metric} {row.value:+z.4f})" for row in found.itertuples())
        for verdict, words in ((BETTER, "Helped"), (WORSE, "Hurt"))
        if len(found := judged[judged["verdict"] == verdict])
    ]
    unclear = int((judged["verdict"] == UNCLEAR).sum())
    parts.append(f"Inconclusive, within the noise of {_over(gains)}: {unclear} of {gains['value'].notna().sum()} gains")
    words = f"{'. '.join(parts)}. {by_chance(len(judged), confidence)}"
    if gains["seeds"].max() == 1:
        words += " One seed: what is said is of these trained models. Whether a partner does it again, only more seeds tell."
    return words
