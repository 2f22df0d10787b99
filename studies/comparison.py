"""Every architecture, balancing method or sampling of tasks, compared with the plainest one, on one pipeline.

    python -m studies.comparison architectures benchmarks/kuairand.toml --budget 250000 --seeds 3 --out docs/comparison-kuairand.csv
    python -m studies.comparison balancing benchmarks/demo.toml --seeds 3 --out docs/balancing-world.csv --front docs/balancing-front.csv
    python -m studies.comparison sampling benchmarks/demo.toml --seeds 3 --out docs/sampling-world.csv

The study trains each way once per seed (ordinary runs, in the workspace, without baselines) and judges the test days. It writes one row per
way, seed and objective: the main metric and its paired difference to the reference of the same seed, with the interval over users. The
reference is a shared bottom, the default fixed weights, or rows with all their labels. The balancing methods include twelve other fixed
weightings, spread over the simplex of objectives by `studies/fixed_front.py`: a front with the default as its thirteenth point. Each other
method is compared with the whole front. `--front` says which weightings dominate it, and which it dominates, over all objectives at once.
An interrupted study goes on where it stopped.

The interval of a way's mean difference adds two variances. One is that over users (the mean of the seeds' own, because the test users are
the same). The other is that over seeds, pooled over all ways of an objective, because two or three seeds cannot tell one way's variance
from another's.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from recsys import config, schema
from recsys.balancing import BALANCERS
from recsys.config.architectures import Architectures
from recsys.evaluation import SHARED_REFERENCE, SeedNoise, evaluate, judged_by, main_metric
from recsys.experiments import Run, Variant, open_runs, paired, points, trained
from recsys.progress import Console
from recsys.workspace import INSIDE, MODEL
from studies import fixed_front

FIXED = "fixed"
FRONT = tuple(f"{FIXED} {place}" for place in range(1, fixed_front.POINTS + 1))
WAYS: dict[str, tuple[str, ...]] = {  # the reference first
    "architectures": ("shared_bottom", *(way for way in Architectures.model_fields if way != "shared_bottom")),
    "balancing": (
        FIXED,
        *FRONT,
        *(way for way in BALANCERS if way != FIXED),
    ),
    "sampling": ("joint", "uniform", "0.5", "proportional"),
}
KEYS = {"architectures": "model.architecture", "balancing": "balance.method", "sampling": "train.sampling"}
GAIN = ("gain", "low", "high")
NORMAL_95 = 1.96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WAYS)
    parser.add_argument("pipeline", type=Path, help="a pipeline's TOML")
    parser.add_argument("--budget", type=int, help="multiplications per row, all objectives together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a way, seed and objective")
    parser.add_argument("--table", type=Path, help="markdown of the means and differences")
    parser.add_argument("--figure", type=Path, help="PNG of the differences")
    parser.add_argument("--front", type=Path, help="CSV of one row a balancing method, held against the front of fixed weights")
    parser.add_argument("--workspace", type=Path, default=Path("data"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    done = {(row["way"], row["seed"]) for row in rows}
    for seed in range(1, arguments.seeds + 1):
        reference, *others = runs_of(arguments, seed)
        missing = [run for run in (reference, *others) if (run.variant.name, seed) not in done]
        for run in trained(missing, arguments.what):
            rows += measured(run, reference)
            pd.DataFrame(rows).to_csv(arguments.out, index=False)
    table = summary(pd.DataFrame(rows))
    print(table.to_string(index=False))
    if arguments.table:
        arguments.table.write_text(markdown(table))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=2)
    if arguments.front:
        judged = held_against_front(arguments)
        judged.to_csv(arguments.front, index=False)
        print(fixed_front.markdown(judged))


def held_against_front(arguments: argparse.Namespace) -> pd.DataFrame:
    """Compare every balancing method with every fixed weighting, from the predictions of all runs.

    Runs that stand are not trained again.
    """
    values, replicates = [], []
    for seed in range(1, arguments.seeds + 1):
        runs = list(trained(runs_of(arguments, seed), arguments.what))
        judged = judged_by([objective for objective in runs[0].job.pipeline.objective if objective.loss_weight > 0])
        of_seed = points(runs, paired(runs, judged, schema.TEST), schema.TEST)
        values.append(of_seed.sign * of_seed.value)
        replicates.append(of_seed.sign * of_seed.by_user)
    ways = WAYS[arguments.what]
    is_fixed = [way == FIXED or way in FRONT for way in ways]
    return fixed_front.against_front(ways, is_fixed, np.stack(values, axis=1), np.mean(replicates, axis=0))


def measured(run: Run, reference: Run) -> list[dict[str, object]]:
    """Judge one way, against the reference of the same seed, which stands already."""
    job = run.job
    against = {reference.job.run.name: reference.predictions()} if job.run != reference.job.run else {}
    metrics = evaluate(run.predictions(), job.pipeline.objective, run=job.run.name, against=against, slices=()).to_pandas()
    metrics = metrics[(metrics["split"] == "test") & metrics["day"].isna()]
    inside = json.loads((job.run / MODEL / INSIDE).read_text())
    rows = []
    for objective in job.pipeline.objective:
        of_it = metrics[(metrics["objective"] == objective.name) & (metrics["metric"] == main_metric(objective))]
        own = of_it[of_it["against"].isna()].iloc[0]
        paired = of_it[of_it["against"].notna()]
        difference = paired[["value", "low", "high"]].iloc[0] if len(paired) else (0.0, 0.0, 0.0)
        about = {"way": run.variant.name, "seed": run.seed, "objective": objective.name, "metric": own["metric"]}
        numbers = {"n": own["n"], "n_positive": own["n_positive"], "value": own["value"], **dict(zip(GAIN, difference, strict=True))}
        cost = {"multiplications": inside["multiplications"], "parameters": inside["parameters"]["dense"]}
        rows.append({**about, **numbers, "loss_weight": objective.loss_weight, **cost})
    return rows


def runs_of(arguments: argparse.Namespace, seed: int) -> list[Run]:
    """Return the runs of all ways with this seed, the reference first. A simulated log is drawn anew for each seed."""
    common = [*arguments.overrides, "evaluate.baselines=[]"]
    if arguments.budget:
        common.append(f"model.budget_macs={arguments.budget}")
    variants = []
    for way in WAYS[arguments.what]:
        overrides = [f"{KEYS[arguments.what]}={FIXED if way in FRONT else way}"]
        if way in FRONT:
            weights = fixed_front.weightings(config.load(arguments.pipeline, arguments.overrides))[FRONT.index(way)]
            overrides += [f"objective.{name}.loss_weight={weight}" for name, weight in weights.items()]
        variants.append(Variant(way, config.load(arguments.pipeline, [*common, *overrides])))
    return open_runs(variants, [seed], arguments.workspace, Console())


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one line per way and objective: means over seeds, the mean gain over the reference, its interval, a verdict."""
    lines = []
    for objective, of_objective in rows.groupby("objective", sort=False):
        reference = of_objective["way"].iloc[0]
        compared = of_objective[of_objective["way"] != reference]
        seeds = int(of_objective["seed"].nunique())
        gain_PSK = compared.pivot(index="way", columns="seed", values="gain").to_numpy()[:, :, None]
        noise = SeedNoise.of(gain_PSK, correlation=SHARED_REFERENCE)
        for way, of_way in of_objective.groupby("way", sort=False):
            user_variance = (((of_way["high"] - of_way["low"]) / (2 * NORMAL_95)) ** 2).mean()
            half = np.nan if noise is None or way == reference else float(noise.half_width([user_variance], confidence=0.95)[0])
            gain = of_way["gain"].mean()
            lines.append(
                {
                    "objective": objective,
                    "metric": of_way["metric"].iloc[0],
                    "way": way,
                    "value": of_way["value"].mean(),
                    "gain": gain,
                    "low": gain - half,
                    "high": gain + half,
                    "verdict": "reference" if way == reference else "better" if gain > half else "worse" if gain < -half else "tie",
                    "seed_sd": np.nan if noise is None else float(np.sqrt(noise.covariance_KK[0, 0])),
                    "seeds": seeds,
                    "multiplications": int(of_way["multiplications"].iloc[0]),
                    "parameters": int(of_way["parameters"].iloc[0]),
                }
            )
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame) -> str:
    """Return a table, ways down and objectives across: the gain with its interval, bold where it is no tie."""
    objectives: Sequence[str] = list(dict.fromkeys(table["objective"]))
    reference = table[table["verdict"] == "reference"].set_index("objective")
    noise = table.groupby("objective")["seed_sd"].first()
    head = ["way", "multiplications", *(f"{name} ({reference.loc[name, 'metric']})" for name in objectives)]
    lines = [head, ["---"] * len(head)]
    lines.append(
        [
            f"{reference['way'].iloc[0]}, value",
            f"{reference['multiplications'].iloc[0]:,}",
            *(f"{reference.loc[o, 'value']:.4f}" for o in objectives),
        ]
    )
    lines.append(["seed noise of a difference (sd)", "", *(f"{noise[name]:.4f}" for name in objectives)])
    for way, of_way in table[table["verdict"] != "reference"].groupby("way", sort=False):
        cells = of_way.set_index("objective")
        lines.append([str(way), f"{cells['multiplications'].iloc[0]:,}", *(_cell(cells.loc[name]) for name in objectives)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(line: pd.Series) -> str:
    text = f"{line['gain']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}]"
    return text if line["verdict"] == "tie" else f"**{text}**"


def figure(table: pd.DataFrame) -> alt.FacetChart:
    """Draw one panel per objective, one line per way: the gain over the reference, and the interval over users and seeds."""
    reference = table.loc[table["verdict"] == "reference", "way"].iloc[0]
    compared = table[table["verdict"] != "reference"]
    base = alt.Chart().encode(y=alt.Y("way:N", sort=list(dict.fromkeys(compared["way"])), title=None))
    marks = alt.layer(
        alt.Chart().mark_rule(strokeDash=[3, 3], color="gray").encode(x=alt.datum(0.0)),
        base.mark_rule().encode(x=alt.X("low:Q", title=f"gain over {reference}"), x2="high:Q"),
        base.mark_point(filled=True, size=45).encode(x="gain:Q", color=alt.Color("verdict:N", title=None)),
        data=compared,
    ).properties(width=210, height=alt.Step(13))
    return marks.facet(facet=alt.Facet("objective:N", sort=list(dict.fromkeys(table["objective"])), title=None), columns=3).resolve_scale(
        x="independent"
    )


if __name__ == "__main__":
    main()
