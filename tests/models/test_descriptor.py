import dataclasses

import pytest
import torch

from recsys.models import build
from recsys.models.descriptor import task_descriptors
from tests.models import factory
from tests.models.plain import randomised

KINDS = ("binary", "ordinal", "binary", "regression", "binary")


def test_one_hot_is_the_place():
    found = task_descriptors("one_hot", factory.setting(KINDS))
    assert torch.equal(found.values_KZ, torch.eye(5))
    assert found.look() == {}


def test_metadata_is_kind_group_and_standardised_base_rate():
    setting = dataclasses.replace(factory.setting(KINDS), starts_K=torch.tensor([-3.0, 9.0, -1.0, 9.0, -2.0], dtype=torch.float64))
    found = task_descriptors("metadata", setting)
    assert found.columns == (
        "kind = binary",
        "kind = ordinal",
        "kind = regression",
        "group = engagement",
        "group = satisfaction",
        "base rate",
    )
    spread = (2 / 3) ** 0.5  # of −3, −1 and −2; the last objective is of the satisfaction group
    expected = [
        [1.0, 0.0, 0.0, 1.0, 0.0, -1 / spread],
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 1.0, 0.0, 1 / spread],
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    ]
    torch.testing.assert_close(found.values_KZ, torch.tensor(expected))
    assert found.look()["task descriptors"].columns == found.columns


@pytest.mark.parametrize("kinds", [("binary",), ("binary", "regression"), ("regression", "watch_time")])
def test_a_single_base_rate_says_nothing(kinds):
    found = task_descriptors("metadata", factory.setting(kinds))
    assert "base rate" not in found.columns
    assert found.values_KZ.any(0).all()


def test_its_shape_does_not_depend_on_the_base_rates():
    setting = factory.setting(KINDS)
    known = task_descriptors("metadata", setting)
    unknown = task_descriptors("metadata", dataclasses.replace(setting, starts_K=torch.zeros(5)))
    assert unknown.values_KZ.shape == known.values_KZ.shape
    assert not unknown.values_KZ[:, -1].any()


def test_other_orders_of_objectives_are_other_orders_of_rows():
    setting = factory.setting(KINDS)
    order = torch.tensor([3, 1, 4, 0, 2])
    other = dataclasses.replace(setting, objectives=tuple(setting.objectives[k] for k in order), starts_K=setting.starts_K[order])
    for kind in ("metadata", "one_hot"):
        found, moved = task_descriptors(kind, setting), task_descriptors(kind, other)
        expected = found.values_KZ[order] if kind == "metadata" else found.values_KZ
        torch.testing.assert_close(moved.values_KZ, expected)
        assert moved.columns == found.columns


@pytest.mark.parametrize("architecture", ["gated_independent", "concat_task", "add_task", "film"])
def test_a_loaded_model_knows_the_base_rates_it_was_trained_with(architecture):
    """What a saved state is loaded into is built before the training days' base rates are known."""
    parts = factory.options(architecture=architecture, **{architecture: {"descriptor": "metadata"}}), factory.layout(), factory.objectives()
    model, empty = build(*parts, torch.tensor([-3.0, 0.0, 0.0, -1.0]), 1), build(*parts, torch.zeros(4), 1)
    assert model.architecture.descriptors_KZ[:, -1].tolist() == [-1.0, 0.0, 0.0, 1.0]
    randomised(model)
    empty.load_state_dict(model.state_dict())
    example = factory.batch(factory.layout(), 16)
    assert torch.equal(empty.eval()(example, position="logged").outputs_BK, model.eval()(example, position="logged").outputs_BK)
