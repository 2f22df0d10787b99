"""A small pipeline with its files, and single mistakes to be made in it: each an edit, and the words by which it must be found."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

START = 1_704_067_200_000  # 2024-01-01 00:00 UTC
DAY = 86_400_000

TOML = """\
[source]
kind = "table"
log = "log.csv"
users = "users.csv"
items = "items.csv"

[source.columns]
user_id = "uid"
item_id = "vid"
timestamp = "ts"
position = "slot"

[source.time]
unit = "ms"

[[source.feedback]]
name = "survey"
file = "survey.csv"
value = "stars"
within = "2h"

[split]
train = ["2024-01-02", "2024-01-04"]
validation = ["2024-01-05", "2024-01-05"]
test = ["2024-01-06", "2024-01-06"]

[[objective]]
name = "click"
label = "clicked = 1"

[[objective]]
name = "like"
group = "satisfaction"
label = "liked = 1"

[[objective]]
name = "watch_time"
kind = "watch_time"
label = "watched"

[features]
user = ["age"]
item = ["length", "genre"]
context = ["surface"]
signals = ["clicked", "watched"]
entities = [["user_id"], ["item_id"], ["genre"]]
slices = ["surface"]
bias = ["position"]
"""


def make_files(folder: Path, rows: int = 3_000) -> None:
    """Write the files of a sound pipeline: six days, 120 users, 60 items, labels of which none tells another."""
    rng = np.random.default_rng(7)
    log = pd.DataFrame({
        "uid": rng.integers(0, 120, rows), "vid": rng.integers(0, 60, rows), "ts": START + np.sort(rng.integers(0, 6 * DAY, rows)),
        "slot": rng.integers(1, 11, rows), "surface": rng.choice(["home", "search", "related"], rows),
        "clicked": (rng.random(rows) < 0.3).astype(int), "liked": (rng.random(rows) < 0.2).astype(int),
        "watched": np.round(rng.random(rows) * 60, 2),
    })  # fmt: skip
    log.to_csv(folder / "log.csv", index=False)
    pd.DataFrame({"uid": range(120), "age": rng.integers(14, 80, 120)}).to_csv(folder / "users.csv", index=False)
    pd.DataFrame({"vid": range(60), "length": rng.integers(5, 600, 60), "genre": rng.choice(["news", "music"], 60)}).to_csv(
        folder / "items.csv", index=False
    )
    answers = log.iloc[::40]
    pd.DataFrame({"uid": answers["uid"], "vid": answers["vid"], "ts": answers["ts"] + 60_000, "stars": 3}).to_csv(
        folder / "survey.csv", index=False
    )
    (folder / "own.toml").write_text(TOML)


Edit = Callable[[Path], None]


@dataclass(frozen=True)
class Mistake:
    edit: Edit
    words: str  # a regular expression that one finding matches, and no other
    exit_code: int  # 2: the TOML, 3: the files, 0: a warning


def toml(old: str, new: str) -> Edit:
    """Replace text in the TOML, which must be there once."""

    def edit(folder: Path) -> None:
        text = (folder / "own.toml").read_text()
        assert text.count(old) == 1, (old, text.count(old))
        (folder / "own.toml").write_text(text.replace(old, new))

    return edit


def frame(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Edit:
    def edit(folder: Path) -> None:
        change(pd.read_csv(folder / name, dtype=object, keep_default_na=False)).to_csv(folder / name, index=False)

    return edit


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return edit


def both(*edits: Edit) -> Edit:
    def edit(folder: Path) -> None:
        for each in edits:
            each(folder)

    return edit


def _some(log: pd.DataFrame, column: str, value: str, every: int = 20) -> pd.DataFrame:
    log.loc[log.index % every == 1, column] = value
    return log


def _noisy(log: pd.DataFrame, of: str) -> pd.Series:
    return log[of].astype(int) + (log.index % 97 == 0) * 0.2


_WORDS = frame("log.csv", lambda log: log.assign(clicked=np.where(log["clicked"] == "1", "yes", "no")))

_OWN_POSITION = frame("log.csv", lambda log: log.assign(position=np.where(log.index % 3, "0", "1")))

CONFIG = {
    "a key misspelt": Mistake(toml("slices =", "slizes ="), r'features\.slizes: unknown key; did you mean "slices"', 2),
    "an unknown zone": Mistake(toml('unit = "ms"', 'unit = "ms"\nzone = "Europe/Berln"'), r'zone: found "Europe/Berln"', 2),
    "a day that there is not": Mistake(toml('"2024-01-05", "2024-01-05"', '"2024-01-05", "2024-01-32"'), r"split\.validation\.1: found", 2),
    "no number in a list": Mistake(toml("bias =", 'windows = ["x"]\nbias ='), r"features\.windows\.0: found 'x'", 2),
    "a wrong weight of what is given": Mistake(
        toml(
            'label = "liked = 1"',
            'label = "liked = 1"\nloss_weight = -1\n[[objective]]\nname = "more"\nlabel = "liked = 1"\ngiven = "like"',
        ),
        r"objective\.like\.loss_weight: found -1",
        2,
    ),
    "a wrong duration": Mistake(toml('within = "2h"', 'within = "2 hours"'), r'feedback\.survey\.within: found "2 hours"', 2),
    "parts that overlap": Mistake(
        toml('"2024-01-05", "2024-01-05"', '"2024-01-04", "2024-01-05"'), r"split: validation: found first day 2024-01-04", 2
    ),
    "a kind that there is not": Mistake(
        toml('kind = "watch_time"', 'kind = "watchtime"'), r'watch_time\.kind: found .watchtime.*"watch_time"', 2
    ),
    "a name twice": Mistake(toml('name = "like"', 'name = "click"'), r"found the name click more than once", 2),
    "names that differ by case": Mistake(
        toml('name = "like"', 'name = "Click"'), r"objective: found Click, click, expected names that differ", 2
    ),
    "a fusion of nothing": Mistake(toml("[features]", '[fuse]\nmaximise = "likes"\n\n[features]'), r'fuse\.maximise: found "likes"', 2),
    "calibration without days": Mistake(
        both(
            toml('validation = ["2024-01-05", "2024-01-05"]\n', ""), toml("[features]", '[evaluate]\ncalibrate = "isotonic"\n\n[features]')
        ),
        r'evaluate\.calibrate: found "isotonic" without split\.validation',
        2,
    ),
    "a label that is no SQL": Mistake(toml('"clicked = 1"', '"clicked = = 1"'), r"objective\.click\.label: found .*cannot be parsed", 2),
    "an aggregate as a label": Mistake(toml('"liked = 1"', '"max(liked)"'), r"objective\.like\.label: found MAX\(liked\)", 2),
    "a label of words read as a number": Mistake(
        both(_WORDS, toml('"clicked", "watched"', '"watched"')),
        r"objective\.click\.label: found text beside a number.* the column clicked holds 'no', 'yes'\. Fix: .* such as clicked = 'yes'",
        2,
    ),
    "a label of an empty column": Mistake(
        frame("log.csv", lambda log: log.assign(liked="")),
        r"objective\.like\.label: found no value in the column liked, expected some.* Fix: mend the column",
        2,
    ),
    "a label as a feature": Mistake(
        toml('context = ["surface"]', 'context = ["surface", "liked"]'), r"features\.context: found liked, which is the label of like", 2
    ),
    "a signal as a feature": Mistake(
        toml('context = ["surface"]', 'context = ["surface", "clicked"]'), r"features\.context: found clicked, which is a signal", 2
    ),
    "a source column misspelt": Mistake(
        toml('user_id = "uid"', 'userid = "uid"'), r'source\.columns\.userid: unknown key; did you mean "user_id"', 2
    ),
    "a run to go on from that is not there": Mistake(
        toml("[features]", '[train]\ninit_from = "nowhere"\n\n[features]'), r"train\.init_from: found no folder .*nowhere", 2
    ),
    "a teacher that is not there": Mistake(
        toml("[features]", '[train]\ndistil_from = "nowhere"\n\n[features]'), r"train\.distil_from: found no folder .*nowhere", 2
    ),
    "a scalar of a wrong kind": Mistake(toml("bias =", 'windows = [1, "x"]\nbias ='), r"features\.windows\.1: found 'x'", 2),
    "no days to judge on": Mistake(
        both(toml('validation = ["2024-01-05", "2024-01-05"]\n', ""), toml('test = ["2024-01-06", "2024-01-06"]\n', "")),
        r"split: found neither validation nor test days",
        2,
    ),
    "a list without brackets": Mistake(
        toml('slices = ["surface"]', 'slices = "surface"'), r"features\.slices: found 'surface', expected a list, in brackets", 2
    ),
    "days to judge on that are no list": Mistake(
        toml('validation = ["2024-01-05", "2024-01-05"]\ntest = ["2024-01-06", "2024-01-06"]', 'test = "2024-01-06"'),
        r"split\.test: found '2024-01-06', expected the first and the last day, in brackets",
        2,
    ),
    "scores in no file": Mistake(
        toml("[features]", '[evaluate]\nagainst = ["theirs.csv"]\n[features]'), r"evaluate\.against: found no file .*theirs\.csv", 2
    ),
    "no window": Mistake(toml("bias =", "windows = []\nbias ="), r"features\.windows: found none", 2),
}

DATA = {
    "a label in a column that differs from another one by case alone": Mistake(
        frame("log.csv", lambda log: log.assign(Clicked=np.where(log["clicked"] == "1", "0", "1"))),
        r"the log: found clicked and Clicked, expected names that differ by more",
        3,
    ),
    "a feature in a column that differs from another one by case alone": Mistake(
        frame("items.csv", lambda items: items.assign(Genre="x")), r"items: found genre and Genre, expected names that differ by more", 3
    ),
    "labels that are no classes": Mistake(
        toml('"clicked = 1"', '"clicked / 2"'), r"found 0\.5, expected 0 or 1 for the binary objective click", 3
    ),
    "a text in double quotes": Mistake(
        both(_WORDS, toml('"clicked", "watched"', '"watched"'), toml('"clicked = 1"', "'clicked = \"yes\"'")),
        r"objective\.click\.label: found the name yes, .*Fix: a text stands in single quotes, as in 'yes'",
        3,
    ),
    "a label of an unknown column": Mistake(
        toml('"liked = 1"', '"likd = 1"'), r'objective\.like\.label: found the name likd.*did you mean "liked"', 3
    ),
    "a column of the items among the user's": Mistake(
        toml('user = ["age"]', 'user = ["age", "length"]'),
        r"features\.user: found the name length.*it is a column of items: put it into features\.item",
        3,
    ),
    "a column of the log among the item's": Mistake(
        toml('"length", "genre"', '"length", "genre", "surface"'),
        r"features\.item: found the name surface.*column of the log: put it into features\.context",
        3,
    ),
    "a feature by the log's name of its times": Mistake(
        toml('context = ["surface"]', 'context = ["surface", "ts"]'),
        r"features\.context: found the name ts, which is the timestamp in source\.columns, expected .*\. Fix: write timestamp$",
        3,
    ),
    "a feature by the log's name of its users": Mistake(
        toml('user = ["age"]', 'user = ["age", "uid"]'),
        r"features\.user: found the name uid, which is the user_id in source\.columns.*features\.ids: put user_id there",
        3,
    ),
    "an entity by the log's name of its items": Mistake(
        toml('["genre"]]', '["vid"]]'), r"features\.entities: found the name vid, which is the item_id .*Fix: write item_id$", 3
    ),
    "a label of the position": Mistake(
        toml('"liked = 1"', '"slot = 1"'),
        r"objective\.like\.label: found the name slot, which is the position .*Fix: it cannot be read here: give the log a copy",
        3,
    ),
    "a slice in one of two columns of that name": Mistake(
        both(_OWN_POSITION, toml('slices = ["surface"]', 'slices = ["position"]')),
        r"features\.slices: found position, a column of the log and our name of another, slot.*Fix: rename that column in the log",
        3,
    ),
    "a label in one of two columns of that name": Mistake(
        both(_OWN_POSITION, toml('"clicked = 1"', '"position = 1"')),
        r"objective\.click\.label: found position, which is here the log's own column and .* our name of another, slot.*log\.position",
        0,
    ),
    "an unknown entity": Mistake(toml('["genre"]]', '["gendre"]]'), r'features\.entities: found the name gendre.*did you mean "genre"', 3),
    "a signal of text": Mistake(
        both(toml('context = ["surface"]', "context = []"), toml('"clicked", "watched"', '"clicked", "watched", "surface"')),
        r"features\.signals: found surface of type string, expected numbers of 0 or more\. Fix: give its number a name in features\.expr",
        3,
    ),
    "an unknown device": Mistake(
        toml('bias = ["position"]', 'bias = ["position", "device"]'), r"features\.bias: found no device in the log", 3
    ),
    "a column that the log lacks": Mistake(
        toml('position = "slot"', 'position = "slot"\ndevice = "machine"'),
        r"log\.csv column machine: found no such column.*source\.columns\.device",
        3,
    ),
    "times in seconds": Mistake(
        both(*(frame(name, lambda rows: rows.assign(ts=rows["ts"].str[:-3])) for name in ("log.csv", "survey.csv"))),
        r"log\.csv:2 column ts: .*the unit seems to be s",
        3,
    ),
    "answers in seconds": Mistake(
        frame("survey.csv", lambda rows: rows.assign(ts=rows["ts"].str[:-3])),
        r"survey\.csv:2 column ts: .*Fix: the unit seems to be s: write these times as those of the log: source\.time holds for both$",
        3,
    ),
    "answers with times of another form": Mistake(
        frame("survey.csv", lambda rows: rows.assign(ts="3 Jan 2024")),
        r'survey\.csv:2 column ts: found "3 Jan 2024".*Fix: write these times as those of the log: source\.time holds for both$',
        3,
    ),
    "a split in another year": Mistake(
        toml('["2024-01-06", "2024-01-06"]', '["2025-01-06", "2025-01-06"]'),
        r"split\.test \(2025-01-06 to 2025-01-06\): found no rows.*2024-01-01 to 2024-01-06",
        3,
    ),
    "words among numbers": Mistake(
        frame("log.csv", lambda log: _some(log, "watched", "none")),
        r'log\.csv:3 column watched: found "none", expected a number; 150 of 3,000',
        3,
    ),
    "users without an id": Mistake(
        frame("log.csv", lambda log: _some(log, "uid", "")), r"log\.csv:3 column uid: found nothing, expected an id", 3
    ),
    "a label that is neither 0 nor 1": Mistake(toml('"clicked = 1"', '"clicked + 1"'), r"column label\.click: found 2, expected 0 or 1", 3),
    "numbers that no sum can hold": Mistake(
        both(
            frame("log.csv", lambda log: _some(log, "watched", "1e308")),
            frame("users.csv", lambda users: users.assign(age=np.where(users.index % 2, "-1.7e308", "1.7e308"))),
            toml('"clicked", "watched"', '"clicked"'),
        ),
        r"column label\.watch_time: found 1e\+308, expected a finite number of 0 or more",
        3,
    ),
    "a label without bounds": Mistake(toml('"liked = 1"', '"liked * 1e308 * 1e10"'), r"column label\.like: found inf, expected 0 or 1", 3),
    "a signal below 0": Mistake(
        both(frame("log.csv", lambda log: log.assign(delta="-1")), toml('"clicked", "watched"', '"clicked", "watched", "delta"')),
        r"column log\.delta: found -1, expected a signal from 0",
        3,
    ),
    "no such file": Mistake(
        toml('items = "items.csv"', 'items = "item.csv"'), r'item\.csv: found no such file.*did you mean "items.csv"', 3
    ),
    "an empty file": Mistake(bytes_of("users.csv", lambda data: b""), r"users\.csv: found an empty file", 3),
    "a packed file by another name": Mistake(bytes_of("items.csv", gzip.compress), r"items\.csv: found a gzip file", 3),
    "a user twice": Mistake(
        frame("users.csv", lambda users: pd.concat([users, users.head(1).assign(age="99")])),
        r"users\.csv:122 column user_id: found the key 0 of users\.csv:2 with other values",
        3,
    ),
    "ids that lost digits": Mistake(
        frame("items.csv", lambda items: items.assign(vid="1.2345678e+17")),
        r"items\.csv:2 column vid: found a number that has lost digits",
        3,
    ),
    "a feedback without its column": Mistake(
        toml('value = "stars"', 'value = "star"'), r'survey\.csv column star: found no such column.*did you mean "stars"', 3
    ),
    "another encoding": Mistake(
        bytes_of("items.csv", lambda data: data.replace(b"news", b"n\xe9ws")),
        r"items\.csv:\d+ column genre: found bytes that are not UTF-8",
        3,
    ),
    "torn rows": Mistake(
        bytes_of("log.csv", lambda data: data.replace(b",home,", b",home,x,")), r"log\.csv:\d+: found 9 fields, expected 8", 3
    ),
    "rows that are wider than the header": Mistake(
        bytes_of("users.csv", lambda data: b"uid,age\n" + data.split(b"\n", 1)[1].replace(b"\n", b",\n")),
        r"users\.csv:2: found 3 fields, expected 2, as in the header.*Fix: name all 3 columns.*source\.format\.users",
        3,
    ),
    "a comment above the header": Mistake(
        bytes_of("log.csv", lambda data: b"# exported 2024-02-02\n# by me\n" + data),
        r"log\.csv:1: found 1 field above the header \(# exported .*the 8 fields of the header.*line 3.*tail -n \+3 log\.csv",
        3,
    ),
    "a log without a header": Mistake(
        bytes_of("survey.csv", lambda data: data.split(b"\n", 1)[1]), r"survey\.csv column \w+: .*where a file has no header", 3
    ),
    "a separator that it has not": Mistake(
        toml('unit = "ms"', 'unit = "ms"\n\n[source.format.users]\nseparator = ";"'), r"users\.csv: found a header of one field", 3
    ),
    "labels known too late": Mistake(
        toml("bias =", 'label_delay = "9d"\nbias ='), r"objective\.click, like, watch_time: found no training label that is known before", 3
    ),
}

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
            frame("log.csv", lambda log: log.assign(after=_noisy(log, "clicked"))),
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

MISTAKES = CONFIG | DATA | WARNED
TOGETHER = [  # the mistakes of each case touch different places
    ("a key misspelt", "a split in another year"),
    ("times in seconds", "a label that is never true"),
    ("times in seconds", "a split in another year", "a label of an unknown column", "an unknown entity"),
    ("an unknown zone", "a label that is never true", "no such file"),
    ("a label that is no SQL", "a signal of text", "an empty file"),
    ("a wrong duration", "a column of the log among the item's", "words among numbers"),
    ("a column that the log lacks", "a label twice", "a user twice", "a feedback without its column"),
    ("a label as a feature", "a column of the items among the user's", "torn rows", "another encoding", "an unknown device"),
    ("a kind that there is not", "a label that is neither 0 nor 1", "a packed file by another name"),
    ("a list without brackets", "scores in no file", "a label that is never true"),
    ("no window", "a label and its complement", "ids that lost digits"),
    ("a fusion of nothing", "a feature that tells the label", "users without an id"),
    ("a feature that tells the label", "a label that is nowhere known", "two users on the test day"),
    ("parts that overlap", "no such file"),
    ("a source column misspelt", "an unknown entity", "a scalar of a wrong kind"),
    ("a name twice", "an unknown device", "no such file"),
    ("a comment above the header", "a key misspelt"),
    ("rows that are wider than the header", "a key misspelt"),
    ("a key misspelt", "an unknown zone", "an aggregate as a label", "a log without a header", "an empty file"),
]
