"""The order of videos by a model of clicks, compared with their true attractiveness, for each way to handle the position.

    python studies/position_bias.py --out docs/position-bias.csv

The study simulates a world for every sharpness of the logging policy and every seed. It trains the same net three times on each world: with
the bias tower, blind to the position, and with the position as a plain input that is missing at serving. It compares the order of
`rank.click` within each request of the test day with P(click | examined), which only the simulator knows.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys import config, world
from recsys.evaluation import half_widths
from recsys.experiments import Run, Variant, open_runs, trained
from recsys.progress import Console
from recsys.workspace import INSIDE, MODEL, RAW

CONFIG = Path(__file__).with_suffix(".toml")
WAYS = ("tower", "blind", "input")
SHARPNESS = (0.0, 1.0, 3.0, 10.0, 30.0)


def main() -> None:
    """Run the grid. Every finished world is in the table, so an interrupted study goes on where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a world and way")
    parser.add_argument("--figure", type=Path, help="PNG of the gains and of the learned curve")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="of position_bias.toml; repeatable"
    )
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.out).to_dict("records") if arguments.out.exists() else []
    done = {(row["sharpness"], row["seed"]) for row in rows}
    for seed in range(1, arguments.seeds + 1):
        for sharpness in SHARPNESS:
            if (sharpness, seed) not in done:
                rows += one_world(sharpness, seed, arguments.overrides)
                pd.DataFrame(rows).to_csv(arguments.out, index=False)
                print(pd.DataFrame(rows[-len(WAYS) :]).drop(columns="curve").to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    print(differences(table).to_string(index=False))
    if arguments.figure:
        figure(table).save(arguments.figure, scale_factor=2)


def one_world(sharpness: float, seed: int, overrides: Sequence[str]) -> list[dict[str, object]]:
    """Train and measure the three ways on one simulated world. Delete its files afterwards."""
    common = [f"source.sharpness={sharpness}", *overrides]
    ways = [Variant(way, config.load(CONFIG, [*common, f"model.position={way}"])) for way in WAYS]
    with tempfile.TemporaryDirectory(prefix="position-bias-") as workspace:
        runs = open_runs(ways, [seed], Path(workspace), Console(quiet=True))
        return [{"sharpness": sharpness, "seed": seed, "way": run.variant.name, **measured(run)} for run in trained(runs, "position bias")]


def measured(run: Run) -> dict[str, object]:
    """Measure one way's order of the test day's requests. Keep the learned curve of the tower."""
    job, predictions = run.job, run.predictions().to_pandas()
    truth = world.read_truth(job.folder / RAW, ["request", "vid", "slot", world.ATTRACTIVENESS]).to_pandas()
    joined = predictions.merge(truth, left_on=["request_id", "item_id"], right_on=["request", "vid"], validate="one_to_one")
    joined = joined.sort_values(["request", "slot"])
    slots = int(joined["slot"].max())
    by = "rank.click" if "rank.click" in joined else "pred.click"
    right = pairs_ordered_rightly(joined[by].to_numpy().reshape(-1, slots), joined[world.ATTRACTIVENESS].to_numpy().reshape(-1, slots))
    inside = json.loads((job.run / MODEL / INSIDE).read_text())
    return {"requests": len(joined) // slots, "ordered_rightly": right, "curve": json.dumps(inside.get("position_bias", []))}


def pairs_ordered_rightly(score_RS: NDArray[np.float64], truth_RS: NDArray[np.float32]) -> float:
    """Return the share of a request's pairs that the score orders rightly, ties a half; the mean over requests.

    Only pairs of different true attractiveness count.
    """
    first, second = np.triu_indices(score_RS.shape[1], k=1)
    agreement_RP = np.sign(score_RS[:, first] - score_RS[:, second]) * np.sign(truth_RS[:, first] - truth_RS[:, second])
    counts_RP = truth_RS[:, first] != truth_RS[:, second]
    return float(np.mean(((agreement_RP + 1) / 2 * counts_RP).sum(1) / counts_RP.sum(1)))


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Return tower minus each other way, paired by world: the mean over seeds and its 95 % t interval."""
    wide = rows.pivot(index=["sharpness", "seed"], columns="way", values="ordered_rightly")
    table = []
    for sharpness, worlds in wide.groupby("sharpness"):
        for other in ("blind", "input"):
            gain = worlds["tower"] - worlds[other]
            (half,) = half_widths(gain.to_numpy().reshape(1, -1, 1), confidence=0.95)
            means = {"tower": worlds["tower"].mean(), "against": other, "other": worlds[other].mean(), "gain": gain.mean()}
            table.append({"sharpness": sharpness, "seeds": len(gain), **means, "low": gain.mean() - half, "high": gain.mean() + half})
    return pd.DataFrame(table).round(4)


def learned_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the tower's click logit by position and device, the mean over the seeds of each sharpness."""
    curves = [
        pd.DataFrame(json.loads(row.curve)).assign(sharpness=row.sharpness) for row in rows[rows["way"] == "tower"].itertuples(index=False)
    ]
    known = pd.concat(curves).dropna(subset=["device", "position"])
    return known.groupby(["sharpness", "device", "position"], as_index=False)["logit"].mean()


def figure(rows: pd.DataFrame) -> alt.HConcatChart:
    """Draw the tower's gains in rightly ordered pairs (left), and the curve that it learned (right)."""
    gains = alt.Chart(differences(rows), title="What the tower gains over blind and input (95 % over seeds)").encode(
        x=alt.X("sharpness:O", title="sharpness of the logging policy"), color=alt.Color("against:N", title="against")
    )
    points = gains.mark_point(filled=True, size=60).encode(y=alt.Y("gain:Q", title="share of pairs ordered rightly"), xOffset="against:N")
    bars = gains.mark_rule().encode(y="low:Q", y2="high:Q", xOffset="against:N")
    zero = alt.Chart(pd.DataFrame({"gain": [0.0]})).mark_rule(strokeDash=[4, 4]).encode(y="gain:Q")
    middle = learned_curve(rows).query("sharpness == 3")
    curve = (
        alt.Chart(middle, title="Learned position bias of clicks at sharpness 3")
        .mark_line(point=True)
        .encode(
            x=alt.X("position:O", title="position"),
            y=alt.Y("logit:Q", title="logit added to clicks"),
            color=alt.Color("device:N", title="device"),
        )
    )
    return ((points + bars + zero).properties(width=360, height=260) | curve.properties(width=360, height=260)).resolve_scale(
        color="independent"
    )


if __name__ == "__main__":
    main()
