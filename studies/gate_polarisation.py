"""The frequency with which gates of a mixture of experts polarise, with and without expert dropout (Zhao et al., RecSys 2019, §5.4).

    python -m studies.gate_polarisation --out docs/gate-polarisation.csv --figure docs/gate-polarisation.png

The study trains multi-gate mixtures on the synthetic tasks of Ma et al. (studies/synthetic.py), at the usual learning rate and at rates
that are much too high. It looks at the gates on held-out rows. An objective's gate is polarised where its mean utilisation of one expert is
above .98 (recsys.models.looks.POLARISED). A run is polarised where the gate of one of its objectives is.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import torch

from recsys.config.architectures import MMoEOptions
from recsys.models.looks import POLARISED
from studies.intervals import bootstrap, share
from studies.seeds import Net, SeedModels, train
from studies.synthetic import D_INPUT, Synthetic

COSINE = 0.5
D_SHARED = {"above a shared layer": 64, "on the input": 0}  # what experts and gates read
RATES = (2e-3, 1e-2, 2e-2, 3e-2, 1e-1)  # the first is that of `recsys train`
DROPOUTS = (0.0, 0.1)
GROUP = 16  # seeds that are trained as one batched model
BATCH, HELD_OUT = 128, 4096
KEY = ["reads", "rate", "dropout", "seed"]


def main() -> None:
    """Run the grid. Every finished group of seeds is in the table, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a run and objective")
    parser.add_argument("--figure", type=Path, help="PNG of the rates of polarisation and of the shares of rows")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    rows: list[Any] = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    for reads in D_SHARED:
        for rate in RATES:
            for dropout in DROPOUTS:
                done = {row["seed"] for row in rows if (row["reads"], row["rate"], row["dropout"]) == (reads, rate, dropout)}
                missing = [seed for seed in range(1, arguments.seeds + 1) if seed not in done]
                for start in range(0, len(missing), GROUP):
                    rows += runs(reads, rate, dropout, missing[start : start + GROUP], arguments.steps)
                    pd.DataFrame(rows).to_csv(arguments.out, index=False)
                    print(rates_of_polarisation(pd.DataFrame(rows)).tail(1).to_string(index=False, header=False), flush=True)
    table = pd.DataFrame(rows)
    print(rates_of_polarisation(table).to_string(index=False))
    print(differences(table).to_string(index=False))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=2)


def runs(reads: str, rate: float, dropout: float, seeds: Sequence[int], steps: int) -> list[dict[str, object]]:
    """Return one row per seed and objective, with the gates as they are after the last step."""
    stream = Synthetic(COSINE, seeds)
    held_out = Synthetic(COSINE, seeds, stream=1).rows(HELD_OUT)
    options = MMoEOptions(num_experts=8, hidden=(16,), expert_dropout=dropout)
    models = SeedModels(lambda: Net("mmoe", options, d_in=D_INPUT, d_shared=D_SHARED[reads]), seeds)
    torch.manual_seed(0)  # for the dropout
    train(models, lambda: stream.rows(BATCH), steps=steps, rate=rate)
    rows: list[dict[str, object]] = []
    for seed, net, x_BD, y_BK in zip(seeds, models.nets(), held_out.x_SBD, held_out.y_SBK, strict=True):
        look = net.look_at_gates(x_BD)
        assert look.polarised_K is not None
        with torch.no_grad():
            errors_K = (net(x_BD) - y_BK).square().mean(0)
        for k, (utilisation, polarised, error) in enumerate(zip(look.values_KN.amax(1), look.polarised_K, errors_K, strict=True)):
            measured = {"utilisation": utilisation, "rows_polarised": polarised, "error": error}
            place = {"reads": reads, "rate": rate, "dropout": dropout, "seed": seed, "objective": k + 1}
            rows.append(place | {name: round(value.item(), 5) for name, value in measured.items()})
    return rows


def by_run(table: pd.DataFrame) -> pd.DataFrame:
    """Return each run's highest mean utilisation of one expert, its share of polarised rows and its error (means over objectives)."""
    found = table.groupby(KEY, sort=False).agg(
        utilisation=("utilisation", "max"), rows_polarised=("rows_polarised", "mean"), error=("error", "mean")
    )
    return found.assign(polarised=found["utilisation"] > POLARISED).reset_index()


def rates_of_polarisation(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting, with two shares.

    They are the share of runs that polarised (Wilson), and the share of rows on which a gate is polarised (bootstrap over runs).
    """
    return pd.DataFrame(
        {
            "reads": reads,
            "rate": rate,
            "dropout": dropout,
            "runs": len(group),
            "polarised": int(group["polarised"].sum()),
            "share of runs": str(share(int(group["polarised"].sum()), len(group))),
            "share of rows": str(bootstrap("mean", group["rows_polarised"])),
            "median utilisation": round(group["utilisation"].median(), 3),
            "median error": round(group["error"].median(), 3),
        }
        for (reads, rate, dropout), group in by_run(table).groupby(KEY[:3], sort=False)
    )


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measures with dropout minus those without, on the same seeds: means and their intervals."""
    rows = []
    for (reads, rate), group in by_run(table).groupby(["reads", "rate"], sort=False):
        wide = group.astype({"polarised": float}).pivot(index="seed", columns="dropout").dropna()
        gaps = {
            measure: str(bootstrap("mean", wide[measure, DROPOUTS[1]] - wide[measure, DROPOUTS[0]]))
            for measure in ("polarised", "rows_polarised", "error")
        }
        rows.append({"reads": reads, "rate": rate, "runs": len(wide), **gaps})
    return pd.DataFrame(rows)


# --- The figure ---------------------------------------------------------------------------------------------------
def figure(table: pd.DataFrame) -> alt.HConcatChart:
    """Draw the share of runs that polarised (left) and of rows on which a gate is polarised (right), with intervals."""
    points = []
    for (reads, rate, dropout), group in by_run(table).groupby(KEY[:3], sort=False):
        place = {"reads": reads, "rate": f"{rate:g}", "dropout": f"{dropout:.0%}"}
        points.append({**place, "of": "runs", **share(int(group["polarised"].sum()), len(group))._asdict()})
        points.append({**place, "of": "rows", **bootstrap("mean", group["rows_polarised"])._asdict()})
    shown = pd.DataFrame(points)
    title = f"with one expert above {POLARISED:g}"
    left = _panel(shown.query("of == 'runs'"), "Runs in which a gate polarises", f"share of runs {title} in the mean")
    right = _panel(shown.query("of == 'rows'"), "Rows on which gates are polarised", f"share of rows {title}")
    return left | right


def _panel(shown: pd.DataFrame, title: str, measure: str) -> alt.FacetChart:
    base = alt.Chart().encode(
        x=alt.X("rate:N", title="learning rate (Adam)", sort=[f"{rate:g}" for rate in RATES]),
        xOffset="dropout:N",
        color=alt.Color("dropout:N", title="expert dropout"),
    )
    points = base.mark_point(filled=True, size=60).encode(y=alt.Y("value:Q", title=measure))
    bars = base.mark_rule().encode(y="low:Q", y2="high:Q")
    panels = alt.layer(bars, points, data=shown).properties(width=210, height=240)
    return panels.facet(column=alt.Column("reads:N", title=None, sort=list(D_SHARED)), title=title)


if __name__ == "__main__":
    main()
