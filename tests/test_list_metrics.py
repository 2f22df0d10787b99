"""The names of the metrics of the fused order."""

import pytest

from recsys.list_metrics import ListMetric, is_captured

NAMES = {
    "ndcg@5": ListMetric("ndcg", k=5),
    "captured@10": ListMetric("captured", k=10),
    "captured@10%": ListMetric("captured", percent=10.0),
    "captured@0.5%": ListMetric("captured", percent=0.5),
    "captured@1e-05%": ListMetric("captured", percent=0.00001),
    "captured@33.33333%": ListMetric("captured", percent=33.33333),
    "captured@33.3333%": ListMetric("captured", percent=33.3333),
}
OTHERS = ("auc", "ndcg@", "ndcg@5%", "captured@0", "captured@1.5", "captured@1e-05", "captured@0%", "captured@100%")


@pytest.mark.parametrize(("name", "metric"), NAMES.items())
def test_a_name_leads_to_its_metric_and_back(name, metric):
    assert ListMetric.parse(name) == metric
    assert str(metric) == name


def test_a_number_is_the_same_however_it_is_written():
    assert str(ListMetric.parse("captured@10.0%")) == "captured@10%"
    assert str(ListMetric.parse("ndcg@05")) == "ndcg@5"


@pytest.mark.parametrize("name", OTHERS)
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match=f'found "{name}", expected captured@P%, captured@K or ndcg@K such as captured@10%'):
        ListMetric.parse(name)
    assert not is_captured(name)


def test_what_is_captured_is_captured_overall_or_in_lists():
    assert [name for name in NAMES if not is_captured(name)] == ["ndcg@5"]
