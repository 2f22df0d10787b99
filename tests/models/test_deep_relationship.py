import numpy as np
import torch

from recsys.config.architectures import DeepRelationshipOptions
from recsys.models.deep_relationship import DeepRelationship
from recsys.nn.relationship import RIDGE
from tests.models import factory
from tests.models.plain import randomised

B, D, K, SHARED, OWN = 9, 6, len(factory.KINDS), 5, (4, 3)


def fresh(strength=0.3):
    return DeepRelationship(DeepRelationshipOptions(hidden=(SHARED,), task_hidden=OWN, strength=strength), factory.setting(d_in=D))


def own_weights(model, k):
    """Of objective k's layers."""
    return [model.nets.first.weight[0][:, OWN[0] * k : OWN[0] * k + OWN[0]], model.nets.rest.layers[0].weight[k]]


def covariances(model):
    """By the formula, in numpy, a matrix a layer."""
    found = []
    for layer in range(len(OWN)):
        rows = np.stack([own_weights(model, k)[layer].detach().numpy().astype(np.float64).flatten() for k in range(K)])
        gram = rows @ rows.T
        found.append((1 - RIDGE) * K * gram / np.trace(gram) + RIDGE * np.eye(K))
    return found


def test_it_is_a_shared_layer_and_layers_of_each_objective():
    model = randomised(fresh())
    inputs_BTD = torch.randn(B, 1, D)
    found = model(inputs_BTD)
    (bottom,) = model.bottom.layers
    shared = (inputs_BTD[:, 0] @ bottom.weight[0] + bottom.bias[0]).relu()
    torch.testing.assert_close(found.shared, shared)
    second = model.nets.rest.layers[0]
    for k in range(K):
        bias_H = model.nets.first.bias[0, 0, OWN[0] * k : OWN[0] * k + OWN[0]]
        hidden = (shared @ own_weights(model, k)[0] + bias_H).relu()
        torch.testing.assert_close(found.outputs_BKH[:, k], (hidden @ second.weight[k] + second.bias[k]).relu())


def test_the_penalty_is_the_prior_s_with_the_covariances_of_the_formula():
    """Explicitly, with Ω ⊗ I over the weights of all objectives in a row."""
    model = randomised(fresh())
    expected = 0.0
    for layer, covariance in enumerate(covariances(model)):
        row = np.concatenate([own_weights(model, k)[layer].detach().numpy().astype(np.float64).flatten() for k in range(K)])
        expected += 0.5 * 0.3 * row @ np.linalg.solve(np.kron(covariance, np.eye(len(row) // K)), row)
    np.testing.assert_allclose(model.train()(torch.randn(B, 1, D)).penalty.item(), expected, rtol=1e-5)
    for relation, covariance in zip(model.relations, covariances(model), strict=True):
        np.testing.assert_allclose(relation.covariance_KK.numpy(), covariance, rtol=1e-5, atol=1e-6)


def test_the_covariance_follows_the_weights_in_training_only():
    model = randomised(fresh())
    inputs_BTD = torch.randn(B, 1, D)
    model.eval()(inputs_BTD)
    assert all(torch.equal(relation.covariance_KK, torch.eye(K)) for relation in model.relations)
    model.train()(inputs_BTD)
    first = [relation.covariance_KK.clone() for relation in model.relations]
    assert not any(torch.equal(covariance_KK, torch.eye(K)) for covariance_KK in first)
    model(inputs_BTD)
    assert all(torch.equal(relation.covariance_KK, before) for relation, before in zip(model.relations, first, strict=True))
    restored = fresh()
    restored.load_state_dict(model.state_dict())
    for look, expected in zip(restored.eval()(inputs_BTD).show.values(), model.eval()(inputs_BTD).show.values(), strict=True):
        assert torch.equal(look.values_KN, expected.values_KN)
    assert model(inputs_BTD).penalty is None


def test_objectives_start_as_one():
    model = fresh()
    found = model.train()(torch.randn(B, 1, D))
    for k in range(1, K):
        torch.testing.assert_close(found.outputs_BKH[:, k], found.outputs_BKH[:, 0])
    for look in found.show.values():
        torch.testing.assert_close(look.values_KN, torch.ones(K, K))


def test_nets_of_objectives_that_follow_one_signal_stay_more_alike():
    """Objectives 0 and 1 follow one input, 2 and 3 another, each with noise of its own; their heads start equal."""
    torch.manual_seed(0)
    options = DeepRelationshipOptions(hidden=(16,), task_hidden=(8,), strength=1e-3)
    model = DeepRelationship(options, factory.setting(d_in=D))
    heads_KH = torch.nn.Parameter(torch.randn(8).expand(K, -1).clone())
    optimiser = torch.optim.Adam([*model.parameters(), heads_KH], lr=0.01)
    inputs_BTD = torch.randn(256, 1, D)
    labels_BK = inputs_BTD[:, 0, [0, 0, 1, 1]] + 0.5 * torch.randn(256, K)
    for _ in range(200):
        optimiser.zero_grad()
        found = model(inputs_BTD)
        ((found.outputs_BKH * heads_KH).sum(-1) - labels_BK).square().mean().add(found.penalty).backward()
        optimiser.step()
    look = model(inputs_BTD).show["task correlation, layer 1"]
    assert look.columns == tuple(f"o{k}" for k in range(K))
    assert look.values_KN[[0, 2], [1, 3]].min() > look.values_KN[[0, 0, 1, 1], [2, 3, 2, 3]].max() + 0.05
