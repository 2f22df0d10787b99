import numpy as np
import pytest

from studies.dense_log import DAYS, LOGS, START, judged, means, simulate, true_metrics


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_is_in_order_and_a_pair_comes_once(kind):
    log = simulate(kind, seed=1, rows=20_000)
    assert len(log) == 20_000
    assert not log.duplicated(["user_id", "item_id"]).any()
    assert log["timestamp"].is_monotonic_increasing
    assert log["timestamp"].between(START, START + DAYS * 86_400 - 1).all()
    assert log["liked"].mean() == pytest.approx(log["truth"].mean(), abs=0.02)


def test_of_two_visits_a_user_is_there_on_two_days_and_rates_an_item_per_minute():
    log = simulate("two visits", seed=1, rows=20_000)
    days = (log["timestamp"] - START) // 86_400
    assert days.groupby(log["user_id"]).nunique().max() == 2
    gaps = log.groupby(["user_id", days])["timestamp"].diff().dropna()
    assert gaps.median() == 60


@pytest.mark.words
def test_the_truth_ranks_best_and_the_mean_of_one_world_has_no_interval():
    log = simulate("all along", seed=2, rows=6_000)
    found = judged(log, 2, {"factors": {"factors": {"item_id": ["liked"]}, "d_factors": 2}})
    assert set(found["ranker"]) == {"experts", "trees", "popularity", "truth"}
    truth = found[found["ranker"] == "truth"].set_index("metric")["value"]
    assert truth["auc"] > found[found["ranker"] != "truth"]["value"].max()
    assert true_metrics(log.assign(truth=log["liked"])) == {"auc": 1.0, "gauc": 1.0}
    assert np.isnan(means(found.assign(log="all along", seed=2))["low"]).all()
