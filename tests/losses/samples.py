"""Objectives of every loss in one model, in no order, and labels of them with holes."""

import numpy as np

from recsys.objectives import Objective

OBJECTIVES = (
    Objective(name="like", label="x", given="click"),
    Objective(name="d2q", kind="watch_time", method="d2q", duration="video_length", label="x"),
    Objective(name="stars", kind="ordinal", levels=(1, 2, 3, 4, 5), label="x"),
    Objective(name="share", label="x", given="like"),
    Objective(name="huber", kind="regression", loss="huber", label="x"),
    Objective(name="click", label="x"),
    Objective(name="weighted_logistic", kind="watch_time", method="weighted_logistic", label="x"),
    Objective(name="mood", kind="ordinal", levels=(-1, 0.1, 2), label="x"),
    Objective(name="squared", kind="regression", label="x"),
    Objective(name="d2q_of_song", kind="watch_time", method="d2q", duration="song_length", label="x"),
    Objective(name="hide", label="x"),
    Objective(name="log_squared", kind="watch_time", method="log_squared", label="x"),
    Objective(name="distribution", kind="watch_time", label="x"),
    Objective(name="distribution_of_all", kind="watch_time", label="x"),
    Objective(name="distribution_by_length", kind="watch_time", duration="song_length", label="x"),
)
NAMES = tuple(objective.name for objective in OBJECTIVES)


def labels(rng, rows, *, holes=0.2):
    """[N, K] float32 and durations [N, 2] float32. The conditional ones are joint, and known where what they are given is."""
    click = rng.random(rows) < 0.4
    like = click & (rng.random(rows) < 0.3)
    share = like & (rng.random(rows) < 0.5)
    durations = rng.integers(5, 90, (rows, 2)).astype(np.float32)
    durations[rng.random((rows, 2)) < 0.1] = np.nan
    watched = np.minimum(rng.exponential(30.0, (rows, 2)), np.nan_to_num(durations, nan=40.0))
    columns = {
        "click": click,
        "like": like,
        "share": share,
        "hide": rng.random(rows) < 0.1,
        "d2q": watched[:, 0],
        "d2q_of_song": watched[:, 1] * (rng.random(rows) < 0.9),
        "log_squared": watched[:, 0] * click,
        "weighted_logistic": watched[:, 0] * click,
        "distribution": watched[:, 0] * click,
        "distribution_of_all": 1 + watched[:, 1],
        "distribution_by_length": watched[:, 1] * click,
        "huber": rng.lognormal(1.0, 1.0, rows),
        "squared": rng.normal(3.0, 2.0, rows),
        "stars": rng.choice([1, 2, 3, 4, 5], rows, p=[0.1, 0.05, 0.15, 0.4, 0.3]),
        "mood": rng.choice([-1, 0.1, 2], rows, p=[0.2, 0.5, 0.3]),
    }
    matrix = np.column_stack([columns[name] for name in NAMES]).astype(np.float32)
    unknown = rng.random(matrix.shape) < holes
    for name in ("like", "share"):  # else their product would be another constant than their rates
        unknown[:, NAMES.index(name)] = unknown[:, NAMES.index("click")]
    matrix[unknown] = np.nan
    return matrix, durations
