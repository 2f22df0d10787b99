"""The column vocabulary and the Arrow schemas of every file that one stage writes and another reads.

No other module spells a column name of such a file. A name is either a constant here or made by one of the functions here
(`log_column`, `label_column`, …).
"""

from collections.abc import Iterable

import pyarrow as pa

# --- Canonical columns of an impression ---------------------------------------------------------------------------
EVENT_ID = "event_id"
USER_ID = "user_id"
ITEM_ID = "item_id"
TIMESTAMP = "timestamp"  # int64, milliseconds since 1970-01-01 UTC
REQUEST_ID = "request_id"
QUERY_ITEM_ID = "query_item_id"
POSITION = "position"
DEVICE = "device"
PROPENSITY = "propensity"
TARGET_PROPENSITY = "target_propensity"
DAY = "day"  # ISO date in the zone of the source; a partition (day=2022-04-25), never a column of events or examples
SPLIT = "split"  # "train", "validation" or "test"
SCORE = "score"
PLACE = "place"  # of a ranked list: 1 = the best
CANDIDATE = "candidate"  # 0, 1, …: the place of a candidate among all that a model is asked for
WEIGHT = "weight"  # of examples: the weight of a training row

KNOWN_COLUMNS = (USER_ID, ITEM_ID, TIMESTAMP, REQUEST_ID, QUERY_ITEM_ID, POSITION, DEVICE, PROPENSITY, TARGET_PROPENSITY)

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)

POPULARITY, TREES, SINGLE_TASK, TRUTH = "popularity", ("gbdt", "lightgbm"), "single_task", "truth"  # kinds of baselines

ENGAGEMENT, SATISFACTION = "engagement", "satisfaction"

# --- Prefixes -----------------------------------------------------------------------------------------------------
LOG, FEEDBACK = "log.", "feedback."
USER, ITEM, QUERY, CONTEXT, ID = "user.", "item.", "query.", "context.", "id."
AGGREGATE, HISTORY, BIAS, SLICE = "agg.", "history.", "bias.", "slice."
LABEL, PREDICTION, RANK = "label.", "pred.", "rank."
KNOWN = "known."  # before the name of an objective: the timestamp at which its label is known; null where the label is null
RAW = "raw."  # before the name of a column of predictions: its values before calibration

HISTORY_AGE = HISTORY + "age"  # natural log of 1 + seconds between a past impression and this one
COUNT = "count"  # natural log of 1 + impressions, as in agg.item_id.count.7
TODAY = "today"  # the window of counters that run on through the day, as in agg.user_id.is_click.today
LAST_HOURS = "hours"  # the group of features whose window is some hours
HOURS = "h"  # behind a number of hours: the window that ends at the very moment, as in agg.item_id.is_click.24h
OF_THE_MOMENT = ("hour", "weekday", "session_place", "session_elapsed")  # behind CONTEXT: made of every impression's moment
FACTORS = "factors"  # the score of a matrix factorisation, as in agg.user_id+item_id.is_click.factors


def log_column(name: str) -> str:
    """Return the name under which events carry a column of the user's own log: `log.tab`."""
    return LOG + name


def feedback_column(name: str) -> str:
    """Return the column of a feedback file that is joined to its impressions: `feedback.survey`."""
    return FEEDBACK + name


def label_column(objective: str) -> str:
    return LABEL + objective


def known_column(objective: str) -> str:
    return KNOWN + objective


def prediction_column(objective: str) -> str:
    return PREDICTION + objective


def rank_column(objective: str) -> str:
    """Return the column of the prediction with the position missing, by which lists are ordered."""
    return RANK + objective


def raw_column(column: str) -> str:
    """Return the column with the values of a column of predictions before calibration: `raw.pred.click`, `raw.score`."""
    return RAW + column


def conditional_name(objective: str, given: str) -> str:
    """Return the name of an objective's conditional form in metrics: `like|click` is judged where click is 1."""
    return f"{objective}|{given}"


def conditional_parts(name: str) -> tuple[str, str] | None:
    """Split a name made by `conditional_name` into the objective and its `given`. Return None for an objective's own name."""
    objective, bar, given = name.partition("|")
    return (objective, given) if bar else None


def percentile_name(objective: str) -> str:
    """Return the name of an objective's expected percentile, which orders impressions beside the expected value: `watch_time%`."""
    return f"{objective}%"


def level_name(objective: str, level: float) -> str:
    """Return the name of the probability of one level of an ordinal objective: `survey=4`."""
    return f"{objective}={level:g}"


def slice_column(name: str) -> str:
    return SLICE + name


def aggregate_column(entity: Iterable[str], what: str, window: int | str) -> str:
    """Return the column of an entity's smoothed log rate of a signal, or log count, over trailing days: `agg.item_id+tab.is_click.7`."""
    return f"{AGGREGATE}{'+'.join(entity)}.{what}.{window}"


def strip(column: str, prefix: str) -> str:
    """Return the bare name behind a prefix. The column must start with the prefix."""
    assert column.startswith(prefix), f"{column} does not start with {prefix}"
    return column[len(prefix) :]


# --- Border schemas -----------------------------------------------------------------------------------------------
ID_TYPES = (pa.int64(), pa.string())  # ids are never float

QUARANTINE = pa.schema([("source_file", pa.string()), ("source_row", pa.int64()), ("reason", pa.string()), ("raw", pa.string())])

# One number per row, with its interval. `day` null: the whole split. `slice` "all": no slice. `against` null: a value, not a difference.
METRICS = pa.schema(
    [
        ("run", pa.string()),
        ("objective", pa.string()),
        ("group", pa.string()),
        ("metric", pa.string()),
        ("split", pa.string()),
        ("day", pa.string()),
        ("slice", pa.string()),
        ("slice_value", pa.string()),
        ("against", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("method", pa.string()),
        ("n", pa.int64()),
        ("n_positive", pa.int64()),
        ("coverage", pa.float64()),
        ("seed", pa.int64()),
        ("better", pa.string()),
        ("reason", pa.string()),
    ]
)
ALL = "all"
UNCALIBRATED = "uncalibrated"  # name of a run without its calibration, where this stands as a run of its own

# How much worse an objective's order becomes when a group of features is permuted. `value` null: undefined, for the `reason`.
IMPORTANCE = pa.schema(
    [
        ("run", pa.string()),
        ("objective", pa.string()),
        ("feature_group", pa.string()),
        ("metric", pa.string()),
        ("split", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("method", pa.string()),
        ("n", pa.int64()),
        ("n_positive", pa.int64()),
        ("permutations", pa.int64()),
        ("seed", pa.int64()),
        ("reason", pa.string()),
    ]
)

# Results of a study of which objectives help each other. `partners`: the other objectives of a training, joined by "+"; null:
# trained alone. "value": a metric of one run. "gain": the metric with these partners minus the metric alone, seed by seed; its mean
# over `seeds` seeds, with the interval over users and seeds (of one seed: over users). "cosine": between two objectives' gradients in
# the shared layer's weights, over the days and seeds of the runs with all objectives; null: noise hides one of the gradients. `reason`:
# why there is no value or no interval.
AFFINITY = pa.schema(
    [
        ("what", pa.string()),
        ("objective", pa.string()),
        ("partners", pa.string()),
        ("metric", pa.string()),
        ("run", pa.string()),
        ("seed", pa.int64()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("seeds", pa.int64()),
        ("reason", pa.string()),
    ]
)

# Results of a backtest: a number of a config or of a baseline on one day, or on all days (`day` null), where each day is predicted by
# models of the days before it. `against` null: the mean over `seeds` seeds; else the mean difference, seed by seed. `n`: known labels.
BACKTEST = pa.schema(
    [
        ("run", pa.string()),
        ("against", pa.string()),
        ("day", pa.string()),
        ("objective", pa.string()),
        ("metric", pa.string()),
        ("better", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("users", pa.int64()),
        ("seeds", pa.int64()),
        ("reason", pa.string()),
    ]
)

# Runs compared with the first of them: a number of a run with its interval, and its difference from the first run's number. `n`: rows
# with a known label of the objective. `users`: the users of these rows. `reason`: why there is no value, difference or interval.
COMPARISON = pa.schema(
    [
        ("run", pa.string()),
        ("objective", pa.string()),
        ("metric", pa.string()),
        ("split", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("difference", pa.float64()),
        ("difference_low", pa.float64()),
        ("difference_high", pa.float64()),
        ("n", pa.int64()),
        ("coverage", pa.float64()),
        ("users", pa.int64()),
        ("better", pa.string()),
        ("reason", pa.string()),
    ]
)

# Results of a sweep. `question`: WHO, WHICH or ASKED; each has a front of its own. `point`: a config, whatever its seed. "run": a metric
# of one run, with its interval over users. "point": the mean over seeds. "relative": this mean minus the mean of all points, without what
# users and seeds do to all points alike. "front": the share of bootstrap replicates in which a point is on the front, its verdict, and in
# `by` the points that dominate it, or seem to. "dominates": for two points of which `by` is ahead, the share of replicates in which `by` is
# nowhere worse. "user_sd", "seed_sd": noise of a number of one run; "pair_sd": noise of the difference of two points. "reference",
# "perfect": the two ends between which the "hypervolume" is a share of the whole. "left_out": a number within lists that has no interval,
# and so is not used for the front. `reason`: why there is no value or no interval.
SWEEP = pa.schema(
    [
        ("question", pa.string()),
        ("what", pa.string()),
        ("point", pa.string()),
        ("run", pa.string()),
        ("seed", pa.int64()),
        ("objective", pa.string()),
        ("metric", pa.string()),
        ("split", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("users", pa.int64()),
        ("better", pa.string()),
        ("verdict", pa.string()),
        ("by", pa.string()),
        ("reason", pa.string()),
    ]
)
WHO, WHICH, ASKED = (
    "who",
    "which",
    "asked",
)  # questions: over all impressions; within lists (or users, where lists are too few); metrics named
FRONT, NOISE, DOMINATED = "on the front", "within noise of the front", "dominated"
UNTOLD = "behind the front, with too few users to tell"
BETWEEN_POINTS = "; "  # between the points that dominate one point

TOGETHER = "+"  # between the names of several objectives; no name holds a "+"

# One number of one day of a log, held against the days before it. `usual`: their median (of features 0). `low`, `high`: the limits of a
# warning. `check`: "gap", "rows", "nulls", "unknown", "labels", "base_rate", "psi" or "shift". `reason`: why there is no verdict.
HEALTH = pa.schema(
    [
        ("day", pa.string()),
        ("check", pa.string()),
        ("column", pa.string()),
        ("value", pa.float64()),
        ("usual", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
    ]
)
USUAL, WARNS, STOPS, UNTOLD_DAY = "usual", "warn", "stop", "untold"  # verdicts

HIGHER, LOWER = "higher", "lower"
