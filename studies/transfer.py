"""The ranking of likes when few are known: from scratch, beside other objectives, or fine-tuned from a run of those objectives.

    python studies/transfer.py --out docs/transfer.csv --figure docs/transfer.png

The study simulates one world per seed, and trains a run of clicks and watch time on it. Then it trains likes on the same days, with all
their labels down to 500. The last digits of the watch time decide which labels stay. The study measures the AUC of likes among all clicks
of the test day.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from recsys import artifacts, config, jobs, schema, walk
from recsys.config import Pipeline
from recsys.encoding import EncodedDays
from recsys.evaluation import half_widths
from recsys.progress import Console
from recsys.stages import Job
from recsys.workspace import PREDICTIONS, day_folder

CONFIG = Path(__file__).with_suffix(".toml")
LABELS = (None, 5000, 2000, 1000, 500)  # None: all
FIRST = ("click", "watch_time")
FROZEN = ["embeddings", "shared", "experts"]
WAYS = ("alone", "beside the others", "fine-tuned", "fine-tuned, trunk frozen")
_PRIME, _SPREAD = 1_000_003, 618_034  # a hash: multiples of the golden section lie evenly, however many they are


def main() -> None:
    """Run the grid. Every finished world is a block of the table, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a seed, number of labels and way")
    parser.add_argument("--figure", type=Path, help="PNG of the AUC by the number of labels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="of transfer.toml; repeatable")
    arguments = parser.parse_args()
    rows: list[Any] = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    done = {row["seed"] for row in rows}
    for seed in range(1, arguments.seeds + 1):
        if seed not in done:
            rows += one_world(seed, arguments.overrides, LABELS)
            pd.DataFrame(rows).to_csv(arguments.out, index=False)
            print(pd.DataFrame(rows[-len(WAYS) * len(LABELS) :]).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    print(gains(table).to_string(index=False))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=2)


def one_world(seed: int, overrides: Sequence[str], labels: Sequence[int | None]) -> list[dict[str, object]]:
    """Train all ways with all numbers of labels on one simulated world. Delete its files afterwards."""
    with tempfile.TemporaryDirectory(prefix="transfer-") as folder:
        workspace = Path(folder)
        whole = config.load(CONFIG, [f"seed={seed}", *overrides])
        first = _run(of(whole, FIRST), workspace, "first")
        everything = _run(whole, workspace, "all", until="encode")
        known = likes_known(everything)
        return [
            {"seed": seed, "asked": asked or known, "way": way, **one_way(everything, way, asked, known, workspace, first.run)}
            for asked in labels
            for way in WAYS
        ]


def one_way(everything: Job, way: str, asked: int | None, known: int, workspace: Path, first: Path) -> dict[str, object]:
    """Train likes in one way on about `asked` of the `known` labels. Judge by all labels of the test day."""
    whole = everything.pipeline
    few = whole if asked is None else thinned(whole, asked / known)
    options = of(few, [*FIRST, "like"] if way == "beside the others" else ["like"])
    if way.startswith("fine-tuned"):
        freeze = tuple(FROZEN) if way.endswith("frozen") else ()
        options = options.model_copy(update={"train": options.train.model_copy(update={"init_from": first, "freeze": freeze})})
    job = _run(options, workspace, f"{way}-{asked}".replace(", ", "-").replace(" ", "-"))
    label, value = schema.label_column("like"), schema.prediction_column("like")
    predicted = artifacts.read_table(job.run / PREDICTIONS).select([schema.EVENT_ID, value]).to_pandas()
    days = [day_folder(everything.examples, day) for day in everything.days(schema.TEST)]
    known_labels = pd.concat([artifacts.read_table(day, [schema.EVENT_ID, label]).to_pandas() for day in days])
    joined = predicted.merge(known_labels, on=schema.EVENT_ID, validate="one_to_one")
    return {"labels": likes_known(job), "auc": round(auc(joined[value].to_numpy(), joined[label].to_numpy()), 5)}


def of(options: Pipeline, names: Sequence[str]) -> Pipeline:
    """Return the same pipeline with some of its objectives."""
    return options.model_copy(update={"objective": tuple(objective for objective in options.objective if objective.name in names)})


def thinned(options: Pipeline, share: float) -> Pipeline:
    """Return the pipeline with likes observed after about this share of the clicks.

    The last digits of the watch time choose the clicks. They do not depend on likes.
    """
    by_hash = f"cast(round(watch_seconds * 100) as bigint) * {_SPREAD} % {_PRIME} < {round(share * _PRIME)}"
    thin = {"observed": f"clicked = 1 and {by_hash}"}
    likes = tuple(objective.model_copy(update=thin if objective.name == "like" else {}) for objective in options.objective)
    return options.model_copy(update={"objective": likes})


def likes_known(job: Job) -> int:
    """Count the observed labels of likes on the training days."""
    days = EncodedDays(job.encoded, job.days(schema.TRAIN))
    return int((~np.isnan(days.labels()[:, days.layout.objectives.index("like")])).sum())


def auc(value_N: NDArray[np.float64], label_N: NDArray[np.float64]) -> float:
    """Compute the AUC over the rows with a label, ties a half (Mann and Whitney)."""
    known_N = ~np.isnan(label_N.astype(np.float64))
    ranks_N, is_liked_N = stats.rankdata(value_N[known_N]), label_N[known_N] == 1
    liked, not_liked = int(is_liked_N.sum()), int((~is_liked_N).sum())
    return float((ranks_N[is_liked_N].sum() - liked * (liked + 1) / 2) / (liked * not_liked))


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each way minus likes alone from scratch, paired by world: the mean over seeds and its 95 % t interval."""
    wide = _by_asked(rows).pivot(index=["asked", "seed"], columns="way", values="auc")
    table = []
    for asked, worlds in wide.groupby("asked"):
        for way in WAYS[1:]:
            gain = worlds[way] - worlds["alone"]
            (half,) = half_widths(gain.to_numpy().reshape(1, -1, 1), confidence=0.95)
            means = {"alone": worlds["alone"].mean(), "auc": worlds[way].mean(), "gain": gain.mean()}
            labels = "all" if asked == -1 else str(asked)
            table.append({"labels": labels, "seeds": len(gain), "way": way, **means, "low": gain.mean() - half, "high": gain.mean() + half})
    return pd.DataFrame(table).round(4)


def figure(rows: pd.DataFrame) -> alt.HConcatChart:
    """Draw the AUC of likes by their number of labels (left), and each way's gain over likes alone, with intervals (right).

    On the left there is one point per world, with lines through the means.
    """
    colour = alt.Color("way:N", title="likes are learned", sort=list(WAYS))
    mean = _by_asked(rows).groupby(["way", "asked"], as_index=False)[["labels", "auc"]].mean()
    x = alt.X("labels:Q", scale=alt.Scale(type="log", nice=False, padding=15), title="labels of likes on the training days")
    y = alt.Y("auc:Q", scale=alt.Scale(zero=False), title="AUC of likes among the clicks of the test day")
    points = alt.Chart(rows).mark_point(filled=True, opacity=0.4).encode(x=x, y=y, color=colour)
    lines = alt.Chart(mean).mark_line().encode(x=x, y=y, color=colour)
    order = [str(number) for number in sorted(number for number in LABELS if number)] + ["all"]
    base = alt.Chart(gains(rows)).encode(
        x=alt.X("labels:N", sort=order, title="labels of likes"), xOffset=alt.XOffset("way:N", sort=list(WAYS)), color=colour
    )
    gain = alt.Y("gain:Q", title="gain in AUC over likes alone (95 % interval over worlds)")
    zero = alt.Chart(pd.DataFrame({"gain": [0.0]})).mark_rule(strokeDash=[3, 3], color="gray").encode(y="gain:Q")
    intervals = base.mark_rule().encode(y=alt.Y("low:Q"), y2="high:Q") + base.mark_point(filled=True).encode(y=gain)
    return (lines + points).properties(width=420, height=300) | (zero + intervals).properties(width=360, height=300)


def _by_asked(rows: pd.DataFrame) -> pd.DataFrame:
    """Set `asked` to -1 where all labels are used, because their number differs from world to world."""
    return rows.assign(asked=rows["asked"].where(rows["asked"].isin([n for n in LABELS if n]), -1))


def _run(options: Pipeline, workspace: Path, name: str, until: str = "calibrate") -> Job:
    job = jobs.open_job(options, workspace, run=name, replace=False, console=Console(quiet=True))
    walk.run(job, until=until)
    return job


if __name__ == "__main__":
    main()
