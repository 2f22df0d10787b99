"""What check warns of in the small pipeline: labels, features and slices that tell too little or too much."""

import numpy as np
import pandas as pd

from tests.checkup.edits import DAY, START, Mistake, both, frame, noisy, toml

WARNED = {
    "a slice of measured numbers": Mistake(
        toml('slices = ["surface"]', 'slices = ["surface", "watched"]'),
        r"features\.slices: found 2,\d\d\d values of watched, expected at most 200: the most frequent ones get numbers of their own",
        0,
    ),
    "rows that contradict each other": Mistake(
        frame(
            "log.csv", lambda log: pd.concat([log, log[5:15].assign(clicked=np.where(log[5:15]["clicked"] == "1", "0", "1")), log[20:30]])
        ),
        r"log: found 20 rows that contradict another one .*\(user \d+, item \d+ at 2024-01-01T.* UTC has 2 with different click\)",
        0,
    ),
    "a name in the log and in the items": Mistake(
        frame("log.csv", lambda log: log.assign(genre="x")),
        r"features\.entities: found genre, a column of the log and of items, and the one of the log is read, expected a name in one table",
        0,
    ),
    "a label that is never true": Mistake(
        toml('"liked = 1"', '"liked = 2"'), r"objective\.like\.label: found 0 in all rows of split\.train", 0
    ),
    "a label twice": Mistake(
        toml('"liked = 1"', '"clicked > 0"'), r"objective\.like\.label: found the label of click in all 3,000 rows", 0
    ),
    "a label and its complement": Mistake(
        toml('"liked = 1"', '"clicked = 0"'), r"objective\.like\.label: found the complement of click", 0
    ),
    "a feature that tells the label": Mistake(
        both(
            frame("log.csv", lambda log: log.assign(after=noisy(log, "clicked"))),
            toml('context = ["surface"]', 'context = ["surface", "after"]'),
        ),
        r"features\.context: found after, which alone tells click \(AUC 1\.000",
        0,
    ),
    "a category that tells the label": Mistake(
        both(
            frame("log.csv", lambda log: log.assign(outcome=np.where(log["liked"] == "1", "yes", "no"))),
            toml('context = ["surface"]', 'context = ["surface", "outcome"]'),
        ),
        r"features\.context: found outcome, which alone tells like",
        0,
    ),
    "a label that is nowhere known": Mistake(
        toml('label = "liked = 1"', 'label = "liked = 1"\nobserved = "watched > 999"'),
        r"objective\.like\.label: found no label in the rows of split\.train, split\.validation, split\.test",
        3,
    ),
    "two users on the test day": Mistake(
        frame("log.csv", lambda log: log[(log["ts"].astype(int) < START + 5 * DAY) | log["uid"].isin(["1", "2"])]),
        r"split\.test: found as many rows per user as \S+ equally active users.* Fix: choose more days",
        0,
    ),
    "few who like on the test day": Mistake(
        frame("log.csv", lambda log: log.assign(liked=log["liked"].where(log["uid"].isin(["1", "2", "3"]), "0"))),
        r"objective\.like: found \d+ rows? with the rarer answer on the test days, by as many users as [123]\S* equally active ones",
        0,
    ),
    "most labels known too late": Mistake(
        toml("bias =", 'label_delay = "48h"\nbias ='), r"objective\.click, like, watch_time: found 3\d% of the training labels known", 0
    ),
}
