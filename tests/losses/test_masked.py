import numpy as np
import pytest
import torch

from recsys.errors import DataError
from recsys.losses import KINDS, ObjectiveLosses
from recsys.losses.kind import Constants
from tests.models import factory

B = 200


@pytest.fixture
def labels():
    return factory.batch(factory.layout(), B).labels


@pytest.fixture
def losses(labels):
    return ObjectiveLosses.fit(factory.objectives(), labels.numpy())


@pytest.fixture
def outputs():
    return torch.randn(B, 4, generator=torch.Generator().manual_seed(4))


def one_by_one(losses, outputs_BK, labels_BK):
    for k, kind in enumerate(factory.KINDS):
        observed = ~labels_BK[:, k].isnan()
        constants = Constants(losses.mean_K[k : k + 1], losses.std_K[k : k + 1], losses.smear_K[k : k + 1])
        rows = KINDS[kind].loss(outputs_BK[observed, k : k + 1], labels_BK[observed, k : k + 1], constants)
        yield (
            rows.mean().item() / losses.scale_K[k].item(),
            int(observed.sum()),
            KINDS[kind].value(outputs_BK[:, k : k + 1].double(), constants),
        )


def test_all_at_once_is_one_by_one(losses, outputs, labels):
    losses_K, counts_K = losses(outputs, labels)
    values_BK = losses.values(outputs)
    assert values_BK.dtype == torch.float64
    for k, (loss, count, values) in enumerate(one_by_one(losses, outputs, labels)):
        assert losses_K[k].item() == pytest.approx(loss, rel=1e-5)
        assert counts_K[k] == count
        torch.testing.assert_close(values_BK[:, k], values[:, 0])


def test_the_best_constant_has_loss_1(losses, labels):
    starts = losses.start_K.float().expand(B, -1)
    torch.testing.assert_close(losses(starts, labels)[0], torch.ones(4), rtol=0, atol=0.01)


def test_null_labels_have_no_part_in_the_loss_or_its_gradient(losses, outputs, labels):
    outputs.requires_grad_()
    losses_K, _ = losses(outputs, labels)
    losses_K.sum().backward()
    assert outputs.grad.isfinite().all()
    assert torch.equal(outputs.grad == 0, labels.isnan())


def test_nothing_observed_is_a_loss_of_exactly_zero(losses, outputs, labels):
    labels[:, 2] = float("nan")
    outputs.requires_grad_()
    losses_K, counts_K = losses(outputs, labels)
    losses_K.sum().backward()
    assert losses_K[2] == 0.0
    assert counts_K[2] == 0
    assert not outputs.grad[:, 2].any()


def test_extreme_outputs_stay_finite(losses, labels):
    extreme = torch.tensor([[80.0], [-80.0]]).repeat(B // 2, 4)
    assert losses(extreme, labels)[0].isfinite().all()
    assert losses.values(extreme).isfinite().all()


def test_smearing_is_fitted_on_watch_time_alone_and_saved(losses, outputs, labels):
    losses.fit_smearing(outputs.numpy(), labels.numpy())
    observed = ~labels[:, 1].isnan()
    assert losses.values(outputs)[observed, 1].sum().item() == pytest.approx(labels[observed, 1].sum().item(), rel=1e-5)
    assert losses.smear_K[[0, 2, 3]].tolist() == [1.0, 1.0, 1.0]
    loaded = ObjectiveLosses(factory.objectives())
    loaded.load_state_dict(losses.state_dict())
    assert torch.equal(loaded.values(outputs), losses.values(outputs))


def test_smearing_stays_where_no_row_is_observed(losses, outputs, labels):
    losses.fit_smearing(outputs.numpy(), labels.numpy())
    before = losses.smear_K.clone()
    assert before[1] != 1.0
    labels[:, 1] = float("nan")
    losses.fit_smearing(outputs.numpy(), labels.numpy())
    assert torch.equal(losses.smear_K, before)


def test_an_objective_without_training_labels_is_an_error(labels):
    labels[:, 2] = float("nan")
    with pytest.raises(DataError, match=r"column label\.o2: found no label on any training day.*200 of 200 rows\. Fix: "):
        ObjectiveLosses.fit(factory.objectives(), labels.numpy())


def test_a_label_that_its_kind_cannot_learn_is_an_error(labels):
    labels[3:5, 0] = 2.0
    with pytest.raises(DataError, match=r"column label\.o0: found 2, expected 0 or 1 \(binary\); 2 of \d+ rows\. Fix: "):
        ObjectiveLosses.fit(factory.objectives(), labels.numpy())


def test_labels_are_left_as_they_were(losses, outputs, labels):
    copy = labels.clone()
    losses(outputs, labels)
    ObjectiveLosses.fit(factory.objectives(), labels.numpy())
    np.testing.assert_array_equal(labels.numpy(), copy.numpy())
