"""No future in any example: what is rewritten after a moment changes nothing up to it, to the millisecond."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

LABELS = ["label.click", "label.watch", "known.click", "known.watch"]
DELAY, SURVEY_DELAY = 600_000, 600_000 + 20 * 3_600_000


def up_to(feed: Any, built: Any, moment: int) -> pa.Table:
    """Examples of at most that moment. Labels, and when they are known, are no features: they are of the impression's own future."""
    table = pa.concat_tables(feed.examples(built.folder).values())
    return table.filter(pc.field("timestamp") <= moment).drop(LABELS)


def rewritten_after(rows: list[dict[str, Any]], moment: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Later impressions dropped, moved and invented, and every signal that is known only after the moment replaced."""
    changed = []
    for row in rows:
        if row["timestamp"] > moment:
            if rng.random() < 0.3:
                continue
            row = row | {"user_id": int(rng.integers(5)), "item_id": f"v{rng.integers(7)}", "log.tab": int(rng.integers(2))}
        if row["timestamp"] + DELAY >= moment:
            row = row | {"log.is_click": int(rng.integers(2)), "log.watch": float(rng.integers(100))}
        if row["timestamp"] + SURVEY_DELAY >= moment:
            row = row | {"feedback.survey": int(rng.integers(1, 6))}
        changed.append(row)
    last = max(rows, key=lambda row: row["timestamp"])
    if last["timestamp"] > moment:
        changed += [last | {"event_id": 10**6 + n, "user_id": n % 5} for n in range(20)]
    return changed


@pytest.mark.parametrize("seed", [11, pytest.param(12, marks=pytest.mark.words)])
def test_rewriting_the_future_changes_no_example_up_to_now(feed: Any, seed: int) -> None:
    rows, rng = feed.tasteful_events(seed), np.random.default_rng(seed)
    moment = int(np.quantile([row["timestamp"] for row in rows], rng.uniform(0.6, 0.9)))
    factors = {"item_id": ["is_click", "survey"], "author_id": ["watch"]}
    pipeline = feed.pipeline(features={"factors": factors, "d_factors": 2, "recent": [["item_id"], ["tag", "tab"]], "hours": [2, 30]})
    before = feed.build("before", rows, pipeline)
    after = feed.build("after", rewritten_after(rows, moment, rng), pipeline)
    kept = up_to(feed, before, moment)
    assert kept.num_rows > 60
    assert np.abs(kept["agg.user_id+item_id.is_click.factors"].to_numpy()).max() > 0.05
    assert kept.equals(up_to(feed, after, moment))


def one_user(feed: Any, gap: int, **signals: Any) -> list[dict[str, Any]]:
    """An impression at noon and another `gap` ms later, of one user and one video, on the second day; one on the first, for base rates."""
    noon = feed.midnight("2022-03-02") + 12 * 3_600_000
    row = {
        "user_id": 1,
        "item_id": "v1",
        "position": 0,
        "log.is_click": 1,
        "log.watch": 1.0,
        "log.tab": 0,
        "feedback.survey": None,
    } | signals
    moments = [noon - 86_400_000, noon, noon + gap]
    return [row | {"event_id": n, "timestamp": moment} for n, moment in enumerate(moments)]


def last_example(feed: Any, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    split = {"train": ["2022-03-01", "2022-03-01"], "test": ["2022-03-02", "2022-03-02"]}
    built = feed.build(name, rows, feed.pipeline(split=split))
    example: dict[str, Any] = feed.examples(built.folder)["2022-03-02"].to_pylist()[-1]
    return example


@pytest.mark.words
@pytest.mark.parametrize(("gap", "known"), [(DELAY, 0), (DELAY + 1, 1)])
def test_a_signal_counts_from_the_millisecond_after_it_is_known(feed: Any, gap: int, known: int) -> None:
    example = last_example(feed, "log", one_user(feed, gap))
    assert example["agg.user_id.count.today"] == pytest.approx(np.log1p(known))
    assert len(example["history.item_id"]) == known + 1
    assert example["history.age"][0] == pytest.approx(np.log1p(gap / 1000 if known else gap / 1000 + 86_400), rel=1e-6)


@pytest.mark.words
def test_a_signal_known_after_midnight_belongs_to_the_next_day(feed: Any) -> None:
    """The last moment of a day with a label delay of ten minutes is no part of that day's sums."""
    end = feed.midnight("2022-03-02")
    base = one_user(feed, 5)[0]
    for name, moment, count in (("late", end - DELAY, 0), ("early", end - DELAY - 1, 1)):
        rows = [base | {"timestamp": moment}, base | {"event_id": 9, "timestamp": end + 3_600_000}]
        example = last_example(feed, name, rows)
        assert example["agg.item_id.count.1"] == pytest.approx(np.log1p(count))
        assert example["agg.user_id.count.today"] == pytest.approx(np.log1p(1 - count))


def test_impressions_of_one_moment_see_the_same_past(feed: Any) -> None:
    rows = one_user(feed, 1000)
    rows += [rows[-1] | {"event_id": 100 + n} for n in range(3)]
    split = {"train": ["2022-03-01", "2022-03-01"], "test": ["2022-03-02", "2022-03-02"]}
    table = feed.examples(feed.build("log", rows, feed.pipeline(split=split)).folder)["2022-03-02"]
    tied = table.drop(["event_id"]).to_pylist()[1:]
    assert len(tied) == 4
    assert all(row == tied[0] for row in tied)
    assert tied[0]["context.session_place"] == pytest.approx(np.log(2))
