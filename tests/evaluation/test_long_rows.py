"""What is shared or left out for speed leaves every number as it is."""

import pandas as pd

from recsys.evaluation import evaluate, long_rows
from recsys.objectives import Objective

LIKE = Objective(name="like", label="x")
WATCH = Objective(name="watch", label="x", kind="watch_time")


def test_objectives_at_a_time_change_nothing(predictions, monkeypatch):
    predictions["score"] = predictions["pred.like"]
    at_once = evaluate(predictions, [LIKE, WATCH], run="r", bootstrap=50)
    monkeypatch.setattr(long_rows, "THREADS", 1)
    assert evaluate(predictions, [LIKE, WATCH], run="r", bootstrap=50).equals(at_once)


def test_metrics_alone_are_as_among_the_others(predictions):
    """Lists are made only where a metric reads them."""
    whole = evaluate(predictions, [LIKE, WATCH], run="r", bootstrap=50).to_pandas()
    for names in (["auc", "gauc"], ["gauc_list"], ["xauc", "log_loss"]):
        part = evaluate(predictions, [LIKE, WATCH], run="r", bootstrap=50, metrics=names).to_pandas()
        pd.testing.assert_frame_equal(part, whole[whole["metric"].isin(names)].reset_index(drop=True), check_dtype=False)


def test_parts_of_the_log_are_as_if_they_were_alone(predictions):
    """A split's users are numbered and drawn by themselves, whatever stands beside it; only sessions go on from one to the other."""
    predictions["split"] = ["validation", "test"] * (len(predictions) // 2)
    names = ["auc", "gauc", "log_loss"]
    whole = evaluate(predictions, [LIKE], run="r", bootstrap=50, metrics=names).to_pandas()
    for split in ("validation", "test"):
        alone = evaluate(predictions[predictions["split"] == split], [LIKE], run="r", bootstrap=50, metrics=names).to_pandas()
        pd.testing.assert_frame_equal(alone, whole[whole["split"] == split].reset_index(drop=True))
