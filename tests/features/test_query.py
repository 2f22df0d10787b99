"""The video being watched: its own values, and what it shares with the candidate."""

from typing import Any

import pyarrow as pa


def test_query_video_and_what_it_shares(feed: Any) -> None:
    first, second = (feed.midnight(day) + 3_600_000 for day in feed.days[:2])
    row = {"user_id": 1, "position": 0, "log.is_click": 1, "log.watch": 1.0, "log.tab": 0, "feedback.survey": None}
    # Tags of v0: x, y; v1: y; v2: none; v3: x, z, x; authors of v0, v1, v3: 10, 11, 10.
    pairs = [("v0", "v1", 1.0, 0.0), ("v1", "v3", 0.0, 0.0), ("v2", "v0", None, None), ("v3", None, None, None), ("v0", "v3", 1.0, 1.0)]
    rows = [row | {"event_id": 100, "item_id": "v0", "query_item_id": None, "timestamp": first}]
    rows += [
        row | {"event_id": n, "item_id": item, "query_item_id": query, "timestamp": second + n} for n, (item, query, *_) in enumerate(pairs)
    ]
    pipeline = feed.pipeline(
        features={"item": ["tag", "author_id"], "category": ["author_id", "tab"], "entities": [["item_id"]], "signals": []},
        split={"train": [feed.days[0]] * 2, "test": [feed.days[1]] * 2},
    )
    built = feed.build("log", rows, pipeline, [pa.field("query_item_id", pa.string())])
    table = feed.examples(built.folder)[feed.days[1]]
    assert table["query.item_id"].to_pylist() == [query for _, query, *_ in pairs]
    assert table["query.tag"].to_pylist() == [["y"], ["x", "z", "x"], ["x", "y"], None, ["x", "z", "x"]]
    assert table["query.author_id"].to_pylist() == ["11", "10", "10", None, "10"]
    assert table["query.same.tag"].to_pylist() == [tag for *_, tag, _ in pairs]
    assert table["query.same.author_id"].to_pylist() == [author for *_, author in pairs]
