import numpy as np
import pandas as pd
import pytest

from studies.when_a_net_wins import EXPERTS, LEAD, METRICS, POPULARITY, TREES, TRUTH, figure, one_world, pipeline_of, summary


def rows_of(**values: float) -> list[dict[str, object]]:
    return [{"objective": "click", "metric": "auc", "ranker": ranker, "value": value, "n": 10} for ranker, value in values.items()]


def test_the_way_is_a_share_of_what_truth_leads_popularity_by() -> None:
    worlds = [(0.6, 0.7, 0.65, 0.8, 0.05), (0.5, 0.7, 0.75, 0.9, -0.05)]
    table = pd.DataFrame(
        [
            {"users": 100, "seed": seed, "impressions": 8_000 + seed, **row}
            for seed, (popularity, experts, trees, truth, lead) in enumerate(worlds)
            for row in rows_of(**{POPULARITY: popularity, EXPERTS: experts, TREES: trees, TRUTH: truth, LEAD: lead})
        ]
    )
    (found,) = summary(table).to_dict("records")
    assert found["impressions"] == 8_000
    assert found["worlds"] == 2
    assert found["way of experts"] == pytest.approx(0.5)
    assert found["way of trees"] == pytest.approx((0.25 + 0.625) / 2, abs=1e-4)
    assert found[LEAD] == pytest.approx(0.0)
    half = 12.7062 * 0.1 / 2**0.5 / 2**0.5  # t of one degree of freedom; the two leads are .1 apart
    assert found[f"{LEAD}, high"] == pytest.approx(half, abs=1e-3)
    assert found[f"{LEAD}, low"] == pytest.approx(-half, abs=1e-3)


def test_of_one_world_there_is_no_interval() -> None:
    rows = rows_of(**{POPULARITY: 0.6, EXPERTS: 0.7, TREES: 0.65, TRUTH: 0.8, LEAD: 0.05})
    (found,) = summary(pd.DataFrame([{"users": 1, "seed": 7, "impressions": 9, **row} for row in rows])).to_dict("records")
    assert np.isnan(found["way of experts, low"])


def test_the_pipeline_is_the_demos_with_the_default_number_of_members() -> None:
    pipeline = pipeline_of(1_250, 8)
    assert (pipeline.source.users, pipeline.seed, pipeline.model.members) == (1_250, 8, "auto")
    assert set(METRICS) == {objective.name for objective in pipeline.objective} - {"survey"}


@pytest.mark.words
def test_a_small_world_from_end_to_end_and_the_truth_ranks_best() -> None:
    rows = one_world(150, 7, ["model.members=1", "train.passes=1", "evaluate.bootstrap=20"])
    shown = summary(pd.DataFrame(rows))
    assert len(shown) == sum(map(len, METRICS.values()))
    clicks = shown[(shown["objective"] == "click") & (shown["metric"] == "auc")].iloc[0]
    assert clicks[TRUTH] > max(clicks[EXPERTS], clicks[TREES], clicks[POPULARITY])
    assert clicks[LEAD] == pytest.approx(clicks[EXPERTS] - clicks[TREES], abs=2e-4)
    assert figure(shown).to_dict()["facet"]["field"] == "objective"

    again = one_world(150, 7, ["model.members=1", "train.passes=1", "evaluate.bootstrap=20"], pd.DataFrame(rows))
    of_both = [pd.DataFrame(table).set_index(["ranker", "objective", "metric"])["value"].sort_index() for table in (rows, again)]
    pd.testing.assert_series_equal(*of_both)
    with pytest.raises(SystemExit, match="found no row of users 150 and seed 8"):
        one_world(150, 8, ["model.members=1", "train.passes=1", "evaluate.bootstrap=20"], pd.DataFrame(rows))
