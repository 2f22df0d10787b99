import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from recsys.losses import ObjectiveLosses
from recsys.objectives import Objective

CLICK, LIKE, SHARE = (
    Objective(name=name, label="x", given=given) for name, given in (("click", None), ("like", "click"), ("share", "like"))
)


def rows_of(objectives, outputs, labels):
    """Each row's loss in nats, of neutral constants (scale 1)."""
    losses = ObjectiveLosses(objectives)
    return torch.stack([losses(output[None], label[None])[0] for output, label in zip(outputs, labels, strict=True)])


def test_alone_it_is_scikit_learn_s_log_loss(rng):
    labels, logits = rng.integers(0, 2, 500).astype(float), rng.normal(size=500) * 3
    losses = ObjectiveLosses([CLICK])
    ours = losses(torch.tensor(logits)[:, None], torch.tensor(labels)[:, None])[0].item()
    assert ours == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))), rel=1e-9)
    np.testing.assert_allclose(losses.values(torch.tensor(logits)[:, None])[:, 0], 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_it_starts_at_the_base_rate_and_counts_in_its_entropy():
    labels = np.array([1.0] * 30 + [0.0] * 970)
    losses = ObjectiveLosses.fit([CLICK], labels[:, None])
    rate = 30.5 / 1001
    assert 1 / (1 + np.exp(-losses.start_K.item())) == pytest.approx(rate)
    assert losses.scale_K.item() == pytest.approx(log_loss([0, 1], [rate, rate], sample_weight=[1 - rate, rate]))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_label_of_one_class_stays_finite(label):
    losses = ObjectiveLosses.fit([CLICK, LIKE], np.full((1000, 2), label))
    assert losses.start_K.isfinite().all()
    assert (losses.scale_K > 0).all()


def test_a_chain_of_three_is_the_product_of_its_probabilities():
    """By hand: P(click) 3/4, P(like | click) 2/3, P(share | like) 1/2; joint 3/4, 1/2, 1/4. The order of objectives is any."""
    order = (LIKE, SHARE, CLICK)
    logits = torch.tensor([[2.0, 1.0, 3.0]], dtype=torch.float64).log()  # odds
    values = ObjectiveLosses(order).values(logits)[0]
    torch.testing.assert_close(values, torch.tensor([1 / 2, 1 / 4, 3 / 4], dtype=torch.float64))
    happened, not_happened = rows_of(order, logits.expand(2, 3), torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(happened, -values.log())
    torch.testing.assert_close(not_happened, -(1 - values).log())


def test_along_a_chain_losses_and_gradients_are_those_of_explicit_probabilities(rng):
    outputs = torch.tensor(rng.normal(size=(200, 3)) * 3, requires_grad=True)
    click = torch.tensor(rng.random(200) < 0.6)
    like = click & torch.tensor(rng.random(200) < 0.5)
    labels = torch.stack([like & torch.tensor(rng.random(200) < 0.5), click, like], dim=1).double()
    share, click, like = outputs.sigmoid().unbind(1)
    joint = torch.stack([share * like * click, click, like * click], dim=1)
    explicit = -(labels * joint.log() + (1 - labels) * (1 - joint).log()).mean(0)
    ours, _ = ObjectiveLosses([SHARE, CLICK, LIKE])(outputs, labels)
    torch.testing.assert_close(ours, explicit)
    for k, heads in enumerate(([0, 1, 2], [1], [1, 2])):
        gradient, expected = (torch.autograd.grad(losses[k], outputs, retain_graph=True)[0] for losses in (ours, explicit))
        torch.testing.assert_close(gradient, expected)
        assert gradient.any(0).nonzero().flatten().tolist() == heads


@pytest.mark.parametrize("signs", [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)])
@pytest.mark.parametrize("size", [20.0, 60.0, 150.0])
def test_in_float32_a_product_is_right_where_its_probabilities_are_0_and_1(signs, size):
    """Against fractions: where 1/(1 + exp(−o)) of a float would be 1."""
    outputs = (size * torch.tensor([signs])).requires_grad_()
    click, like = (1 / (1 + Fraction(math.exp(-output))) for output in outputs[0].tolist())
    for label, probability in ((1.0, click * like), (0.0, 1 - click * like)):
        loss = ObjectiveLosses([CLICK, LIKE])(outputs, torch.tensor([[1.0, label]]))[0][1]
        assert loss.item() == pytest.approx(minus_log(probability), rel=1e-6, abs=1e-37)
        (gradient,) = torch.autograd.grad(loss, outputs)
        assert gradient.isfinite().all()


def minus_log(probability):
    if probability > Fraction(1, 2):
        return -math.log1p(-float(1 - probability))
    return math.log(probability.denominator) - math.log(probability.numerator)


def test_a_conditional_start_is_the_rate_where_the_given_happened():
    """Ten clicks of 40, four liked; on two clicks the like is not known, and on one row the click is not."""
    click = np.repeat([1.0, 0.0], [10, 30])
    like = np.repeat([1.0, 0.0], [4, 36])
    like[8:10], click[39] = np.nan, np.nan
    losses = ObjectiveLosses.fit([LIKE, CLICK], np.column_stack([like, click]))
    assert 1 / (1 + np.exp(-losses.start_K[0].item())) == pytest.approx(4.5 / 9)
    joint = 4.5 / 39
    assert losses.scale_K[0].item() == pytest.approx(-(joint * np.log(joint) + (1 - joint) * np.log(1 - joint)))


def test_a_like_unknown_on_most_clicks_is_warned_of(rng):
    """And with reason: the constants that fit the product best say less than half of what is so."""
    click = (rng.random(20_000) < 0.5).astype(float)
    like = click * (rng.random(20_000) < 0.4)
    known = ObjectiveLosses.fit([CLICK, LIKE], np.column_stack([click, like]))
    assert known.warnings == ()
    like[(click == 1) & (rng.random(20_000) < 0.75)] = np.nan
    labels = np.column_stack([click, like])
    losses = ObjectiveLosses.fit([CLICK, LIKE], labels)
    (warning,) = losses.warnings
    assert warning.startswith("like: found a label on only 24.8%")
    outputs = losses.start_K.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([outputs], max_iter=50)

    def closure():
        optimiser.zero_grad()
        click_loss, like_loss = losses(outputs.expand(20_000, 2), torch.tensor(labels))[0]
        (1000 * click_loss + like_loss).backward()  # the click is learned from its own label
        return click_loss

    optimiser.step(closure)
    assert outputs[1].sigmoid().item() < 0.7 * 0.4
