"""Measure how well clicks of the simulated feed can be ranked by a filter that knows all of the simulator but the users' interests.

    python -m studies.headroom --worlds 5 --out docs/headroom.csv

The true probabilities rank clicks better than any model does. A part of that lead is hard to reach: what a user is interested in shows in
few, noisy clicks, and it drifts. A filter reads the log of clicks in the order of time. It knows the latents of every video and user, and
the rules of the simulator, except the interests. Of each user's interest in each topic it keeps a normal belief (lasting interest and
today's mood; Kalman 1960, with the observation linearised as in an extended Kalman filter). The belief about the impressions of a request
comes from the requests before it. The study ranks the clicks of the last day by

- `truth`: the true probability,
- `filter`: the probability under the filter's belief,
- `average`: the probability where nothing is known of a user's interest but the mean of the age band.

A ranker that reads clicks alone has to learn the rest from them as well, so it cannot be expected above `filter`. A ranker that also reads
how long was watched, likes and answers knows more about interests than this filter does.

Shape letters: N impressions, U users, T topics, R impressions of different users; 2: lasting interest and mood.
"""

import argparse
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from recsys import world
from recsys.config import WorldOptions
from recsys.evaluation import half_widths
from recsys.world.population import DAY_MS

FloatArray = NDArray[np.float64]

EFFECT = 0.9  # of an interest on the logit of a click (docs/world.md)
LASTING, MOOD, MEMORY = 0.8**2, 0.5**2, 0.8  # variances of lasting interest and mood; correlation of a mood with yesterday's
FIRST_SEED = 7
WAYS = ("truth", "filter", "average")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV of one row a world and way to rank")
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--users", type=int, default=WorldOptions().users)
    arguments = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.worlds)
    table = pd.concat([ranked(log_of(WorldOptions(users=arguments.users), seed)).assign(seed=seed) for seed in seeds])
    table.to_csv(arguments.out, index=False)
    print(means(table).to_string(index=False))


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUC of each way over the worlds, and its lead over the way before it, with Student's 95 % intervals."""
    of_ways = table.pivot(index="seed", columns="way", values="auc")[list(WAYS)]
    rows = [(way, of_ways[way]) for way in WAYS]
    rows += [(f"{better} - {worse}", of_ways[better] - of_ways[worse]) for better, worse in pairwise(WAYS)]
    found = []
    for name, values in rows:
        (half,) = half_widths(values.to_numpy().reshape(1, -1, 1), confidence=0.95)
        found.append({"": name, "auc": values.mean(), "low": values.mean() - half, "high": values.mean() + half})
    return pd.DataFrame(found)


def log_of(options: WorldOptions, seed: int) -> pd.DataFrame:
    """Simulate a world. Return its impressions in the order of time, with the truth, the click, and the mean interest of the age band."""
    with tempfile.TemporaryDirectory(prefix="headroom-") as scratch:
        files = world.simulate(options, seed, Path(scratch))
        truth = world.read_truth(Path(scratch)).to_pandas()
        shown = pd.read_parquet(files.impressions)[["request", "slot", "clicked"]]
        users, videos = pd.read_csv(files.users), pd.read_csv(files.videos)
    log = truth.merge(shown, on=["request", "slot"]).merge(users[["uid", "age_band"]], on="uid").merge(videos[["vid", "topic"]], on="vid")
    interest = log["latent.interest"]
    log["of_band"] = interest.groupby([log["age_band"], log["topic"]]).transform("mean")
    attractive = log[world.ATTRACTIVENESS]
    log["rest"] = np.log(attractive / (1 - attractive)) - EFFECT * interest  # the logit of an attractive video, without the interest
    log["examined"] = log["expected.examined"]
    log["day"] = log["ts"] // DAY_MS - log["ts"].min() // DAY_MS
    return log.sort_values(["ts", "request", "slot"], ignore_index=True)


def ranked(log: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of the last day's clicks by each way to rank them."""
    rest_N, examined_N, band_N = (log[name].to_numpy(np.float64) for name in ("rest", "examined", "of_band"))
    mean_N, variance_N = filtered(log)
    ways = {
        "truth": examined_N * _sigmoid(rest_N + EFFECT * log["latent.interest"].to_numpy(np.float64)),
        "filter": examined_N * _probability(rest_N, mean_N, variance_N),
        "average": examined_N * _probability(rest_N, band_N, np.full(len(log), LASTING + MOOD)),
    }
    last_N = (log["day"] == log["day"].max()).to_numpy()
    clicked_N = log["clicked"].to_numpy()[last_N]
    return pd.DataFrame([{"way": way, "auc": roc_auc_score(clicked_N, of_N[last_N]), "n": len(clicked_N)} for way, of_N in ways.items()])


@dataclass
class Belief:
    """Normal beliefs about every user's interest in every topic: means [U, T, 2] and covariances [U, T, 2, 2]."""

    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def at_first(cls, band_UT: FloatArray) -> "Belief":
        mean = np.stack([band_UT, np.zeros_like(band_UT)], axis=-1)
        return cls(mean, np.broadcast_to(np.diag([LASTING, MOOD]), (*band_UT.shape, 2, 2)).copy())

    def next_day(self) -> None:
        """Let each mood drift by one day, as `recsys.world.population.drifted` does."""
        step = np.diag([1.0, MEMORY])
        self.mean = self.mean @ step
        self.covariance = step @ self.covariance @ step + np.diag([0.0, MOOD * (1 - MEMORY**2)])

    def of(self, user_R: NDArray[np.intp], topic_R: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of today's interest, the sum of both parts."""
        return self.mean[user_R, topic_R].sum(-1), self.covariance[user_R, topic_R].sum((-2, -1))

    def learn(
        self, user_R: NDArray[np.intp], topic_R: NDArray[np.intp], rest_R: FloatArray, examined_R: FloatArray, clicked_R: FloatArray
    ) -> None:
        """Take in one impression of each of R different users.

        P(click) = examined · σ(rest + 0.9 · interest). The log likelihood is replaced by a parabola at the mean: its slope, and the Fisher
        information as its curvature.
        """
        mean_R, variance_R = self.of(user_R, topic_R)
        attractive_R = _sigmoid(rest_R + EFFECT * mean_R)
        click_R = examined_R * attractive_R
        slope_R = EFFECT * click_R * (1 - attractive_R)
        noise_R = click_R * (1 - click_R)
        information_R = slope_R**2 / noise_R
        of_sum_R2 = self.covariance[user_R, topic_R].sum(-1)  # covariance of each part with the sum
        gain_R2 = of_sum_R2 / (1 + information_R * variance_R)[:, None]
        self.mean[user_R, topic_R] += gain_R2 * (slope_R / noise_R * (clicked_R - click_R))[:, None]
        self.covariance[user_R, topic_R] -= gain_R2[:, :, None] * of_sum_R2[:, None, :] * information_R[:, None, None]


def filtered(log: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of the belief about each impression's interest, [N] each, as they are when its request begins."""
    user_N, topic_N = (pd.factorize(log[name])[0] for name in ("uid", "topic"))
    bands = log.drop_duplicates(["age_band", "topic"]).pivot(index="age_band", columns="topic", values="of_band")
    band_UT = bands.loc[log.drop_duplicates("uid")["age_band"], log["topic"].drop_duplicates()].to_numpy()
    belief, mean_N, variance_N = Belief.at_first(band_UT), np.empty(len(log)), np.empty(len(log))
    columns = [log[name].to_numpy(np.float64) for name in ("rest", "examined", "clicked")]
    # The requests of one user come one after another; those of different users do not touch each other's beliefs.
    turn_N = log.groupby(["day", "uid"])["request"].transform(lambda requests: pd.factorize(requests)[0]).to_numpy()
    slot_N, day_N = log["slot"].to_numpy(), log["day"].to_numpy()
    for day in range(int(day_N.max()) + 1):
        if day:
            belief.next_day()
        today = np.flatnonzero(day_N == day)
        for _, of_turn in pd.Series(today).groupby(turn_N[today]):
            rows = of_turn.to_numpy()
            mean_N[rows], variance_N[rows] = belief.of(user_N[rows], topic_N[rows])
            for _, of_slot in pd.Series(rows).groupby(slot_N[rows]):
                one = of_slot.to_numpy()
                belief.learn(user_N[one], topic_N[one], *(column[one] for column in columns))
    return mean_N, variance_N


def _probability(rest_N: FloatArray, mean_N: FloatArray, variance_N: FloatArray) -> FloatArray:
    """Compute E[σ(rest + 0.9 · interest)] of a normal interest, by the probit approximation (MacKay 1992)."""
    return _sigmoid((rest_N + EFFECT * mean_N) / np.sqrt(1 + np.pi / 8 * EFFECT**2 * variance_N))


def _sigmoid(logit: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-logit))


if __name__ == "__main__":
    main()
