"""Mistakes in the TOML of the small pipeline. Each ends with exit code 2."""

from tests.checkup.edits import CLICKED_IN_WORDS, Mistake, both, frame, toml

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
        both(CLICKED_IN_WORDS, toml('"clicked", "watched"', '"watched"')),
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
