"""Mistakes in the files of the small pipeline, and in what its TOML says of them."""

import gzip

import numpy as np
import pandas as pd

from tests.checkup.edits import CLICKED_IN_WORDS, Mistake, both, bytes_of, frame, some_as, toml

_OWN_POSITION = frame("log.csv", lambda log: log.assign(position=np.where(log.index % 3, "0", "1")))

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
        both(CLICKED_IN_WORDS, toml('"clicked", "watched"', '"watched"'), toml('"clicked = 1"', "'clicked = \"yes\"'")),
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
        frame("log.csv", lambda log: some_as(log, "watched", "none")),
        r'log\.csv:3 column watched: found "none", expected a number; 150 of 3,000',
        3,
    ),
    "users without an id": Mistake(
        frame("log.csv", lambda log: some_as(log, "uid", "")), r"log\.csv:3 column uid: found nothing, expected an id", 3
    ),
    "a label that is neither 0 nor 1": Mistake(toml('"clicked = 1"', '"clicked + 1"'), r"column label\.click: found 2, expected 0 or 1", 3),
    "numbers that no sum can hold": Mistake(
        both(
            frame("log.csv", lambda log: some_as(log, "watched", "1e308")),
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
