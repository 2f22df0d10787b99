"""TorchJD's methods as they are used here, against TorchJD itself and against what the papers promise.

Shape letters: K objectives, D width of a gradient.
"""

import math

import pytest
import torch
import torchjd.aggregation as agg
import torchjd.scalarization as sca

from recsys import config
from recsys.errors import ConfigError

from .factory import balancer, gradients, gramian, losses

TABLES = {  # method → TorchJD's own weighting, and the factor between it and ours
    "torchjd.mgda": (agg.MGDAWeighting, 4),
    "torchjd.pcgrad": (agg.PCGradWeighting, 1),
    "torchjd.cagrad": (lambda: agg.CAGradWeighting(c=0.5), 4),
    "torchjd.upgrad": (agg.UPGradWeighting, 4),
    "torchjd.imtl_g": (agg.IMTLGWeighting, 4),
    "torchjd.aligned_mtl": (agg.AlignedMTLWeighting, 4),
    "torchjd.fairgrad": (lambda: agg.FairGradWeighting(alpha=1.0), 1),
    "torchjd.gradvac": (agg.GradVacWeighting, 1),
}


def step(method, gradients_KD, loss_weights=None, **changes):
    """The weights, and the step w · G."""
    made = balancer(method, loss_weights or [1.0] * len(gradients_KD), **changes)
    weights_K = made(torch.ones(len(gradients_KD), dtype=torch.float64), None, gradients_KD @ gradients_KD.T)
    return weights_K, weights_K @ gradients_KD


@pytest.mark.parametrize("method", TABLES)
def test_weights_are_torchjds(method):
    theirs, factor = TABLES[method]
    theirs = theirs()
    made = balancer(method, [1.0] * 4)
    for seed in range(3):  # gradvac remembers
        gramian_KK = gramian(4, seed=seed)
        gramian_KK /= gramian_KK.diagonal().mean()
        torch.manual_seed(seed)
        expected_K = factor * theirs(gramian_KK)
        torch.manual_seed(seed)
        torch.testing.assert_close(made(losses(4), None, gramian_KK), expected_K, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("changes", [{"c": 0.0}, {"c": 0.9}])
def test_an_options_word_arrives(changes):
    gradients_KD = gradients(4)
    expected_K = 4 * agg.CAGradWeighting(**changes)(gradients_KD @ gradients_KD.T)
    torch.testing.assert_close(step("torchjd.cagrad", gradients_KD, **changes)[0], expected_K, rtol=1e-5, atol=1e-6)


# --- What the papers promise --------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
def test_mgda_of_two_is_the_min_norm_formula(seed):
    """Sener & Koltun, eq. 4: α = [(g₂ − g₁)ᵀ g₂ / ‖g₁ − g₂‖²] in [0, 1]."""
    first_D, second_D = gradients_KD = gradients(2, seed=seed) * torch.tensor([[1.0], [1.5]])
    alpha = ((second_D - first_D) @ second_D / (first_D - second_D).square().sum()).clamp(0.0, 1.0)
    torch.testing.assert_close(step("torchjd.mgda", gradients_KD)[0], 2 * torch.stack([alpha, 1 - alpha]))


@pytest.mark.parametrize("preferences", [(1.0, 1.0, 1.0), (1.0, 3.0, 0.5)])
def test_with_mgda_each_loss_falls_in_proportion_to_its_preference(preferences):
    """⟨d, g_k⟩ is l_k times the same for all that have a weight, and more for those without."""
    gradients_KD = gradients(3)
    weights_K, direction_D = step("torchjd.mgda", gradients_KD, preferences, epsilon=1e-9, max_iters=5000)
    falls_K = gradients_KD @ direction_D / torch.tensor(preferences)
    assert falls_K.min() > 0
    torch.testing.assert_close(falls_K[weights_K > 0.05], falls_K.min().expand((weights_K > 0.05).sum()), rtol=1e-2, atol=0)
    assert (weights_K > 0.05).sum() > 1


@pytest.mark.parametrize(("method", "rises"), [("fixed", True), ("torchjd.upgrad", False), ("torchjd.mgda", False)])
def test_no_loss_rises(method, rises):
    found = []
    for seed in range(10):
        gradients_KD = gradients(5, seed=seed)
        falls_K = gradients_KD @ step(method, gradients_KD)[1]
        found.append((falls_K.min() / falls_K.max()).item())
    assert (min(found) < -0.05) == rises
    assert (min(found) < -1e-3) == rises


SLOW = {"epsilon": 1e-6, "max_iters": 1000}


@pytest.mark.parametrize(
    ("method", "changes", "apart", "rises"),
    [
        ("torchjd.mgda", {}, 3, False),
        ("torchjd.mgda", {}, 30, True),
        ("torchjd.mgda", SLOW, 30, False),
        ("torchjd.upgrad", {}, 3, False),
        ("torchjd.upgrad", {}, 30, True),
    ],
)
def test_no_loss_rises_where_lengths_are_alike(method, changes, apart, rises):
    """As far as docs/balancing.md says, of nine objectives that conflict."""
    found = []
    for seed in range(6):
        unit_KD = torch.nn.functional.normalize(gradients(9, 20, seed=seed), dim=1)
        gradients_KD = torch.logspace(0, -math.log10(apart), 9, dtype=torch.float64)[:, None] * (unit_KD - 0.5 * unit_KD.mean(0))
        cosines_K = torch.nn.functional.cosine_similarity(gradients_KD, step(method, gradients_KD, **changes)[1][None])
        found.append(cosines_K.min().item())
    assert (min(found) < -0.01) == rises


def test_imtl_g_falls_alike_along_every_unit_gradient():
    gradients_KD = gradients(4) * torch.tensor([[1.0], [10.0], [0.1], [1.0]])
    falls_K = torch.nn.functional.normalize(gradients_KD, dim=1) @ step("torchjd.imtl_g", gradients_KD)[1]
    torch.testing.assert_close(falls_K, falls_K[:1].expand(4))


def test_imtl_gs_step_has_an_end():
    """Three gradients in a plane, around the origin: nothing falls alike along all, and TorchJD's step is 750 times their lengths' sum."""
    gradients_KD = torch.tensor([[1.0, 0.0], [-0.5, 0.867], [-0.5, -0.865]], dtype=torch.float64)
    theirs_D = agg.IMTLGWeighting()(gradients_KD @ gradients_KD.T) @ gradients_KD
    _, direction_D = step("torchjd.imtl_g", gradients_KD)
    lengths = gradients_KD.norm(dim=1).sum()
    assert 3 * theirs_D.norm() > 500 * lengths
    torch.testing.assert_close(direction_D, 10 * lengths * theirs_D / theirs_D.norm())


def test_aligned_gradients_are_orthogonal_and_alike():
    """w_k · g_k summed is the sum of the columns of U Vᵀ, times the smallest singular value."""
    gradients_KD = gradients(4)
    left, singular, right = torch.linalg.svd(gradients_KD, full_matrices=False)
    torch.testing.assert_close(step("torchjd.aligned_mtl", gradients_KD)[1], singular.min() * (left @ right).sum(0))


def test_fairgrad_is_the_nash_bargain():
    gradients_KD = gradients(4)
    gradients_KD /= gradients_KD.square().sum(1).mean().sqrt()
    weights_K, direction_D = step("torchjd.fairgrad", gradients_KD)
    torch.testing.assert_close(gradients_KD @ direction_D, 1 / weights_K, rtol=1e-5, atol=1e-6)
    assert direction_D.norm().item() == pytest.approx(math.sqrt(4), rel=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_fairgrad_is_fair_however_long_gradients_are(alpha):
    for seed in range(4):
        unit_KD = torch.nn.functional.normalize(gradients(4, 20, seed=seed), dim=1)
        gradients_KD = torch.logspace(0, -4, 4, dtype=torch.float64)[:, None] * (unit_KD - 0.5 * unit_KD.mean(0))
        gradients_KD /= gradients_KD.square().sum(1).mean().sqrt()
        weights_K, direction_D = step("torchjd.fairgrad", gradients_KD, alpha=alpha)
        torch.testing.assert_close((gradients_KD @ direction_D) * weights_K ** (1 / alpha), torch.ones(4).double(), rtol=1e-2, atol=1e-2)


def test_cagrad_stays_near_the_mean_and_helps_the_worst_off():
    gradients_KD = gradients(4, seed=2)
    total_D, direction_D = gradients_KD.sum(0), step("torchjd.cagrad", gradients_KD, c=0.4)[1]
    assert (direction_D - total_D).norm().item() == pytest.approx(0.4 * total_D.norm().item(), rel=1e-3)
    assert (gradients_KD @ direction_D).min() > (gradients_KD @ total_D).min()


@pytest.mark.parametrize("method", ["torchjd.pcgrad", "torchjd.cagrad", "torchjd.upgrad", "torchjd.gradvac", "torchjd.stch"])
def test_a_preference_is_a_factor_of_the_loss(method):
    """The same step as without preferences from losses l · L."""
    gradients_KD, preference_K = gradients(3), torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    torch.manual_seed(0)
    weights_K = balancer(method, preference_K.tolist())(losses(3), None, gradients_KD @ gradients_KD.T)
    scaled_KD = preference_K[:, None] * gradients_KD
    torch.manual_seed(0)
    expected_K = balancer(method)(preference_K * losses(3), None, scaled_KD @ scaled_KD.T)
    torch.testing.assert_close(weights_K, preference_K * expected_K)


# --- Scalarizers --------------------------------------------------------------------------------------------------
def test_stch_is_a_softmax_of_losses():
    torch.testing.assert_close(balancer("torchjd.stch", mu=0.2)(losses(3)), 3 * (losses(3) / 0.2).softmax(0))


def test_the_geometric_means_weights_are_autograds_and_have_product_1():
    losses_K = losses(3).requires_grad_()
    (3 * losses_K.log().mean().exp()).backward()
    weights_K = balancer("torchjd.geometric_mean")(losses_K)
    torch.testing.assert_close(weights_K, losses_K.grad)
    assert weights_K.prod().item() == pytest.approx(1.0)


def test_random_weights_are_drawn_from_the_cpus_generator():
    torch.manual_seed(3)
    expected_K = 3 * torch.randn(3, dtype=torch.float64).softmax(0)
    torch.manual_seed(3)
    made = balancer("torchjd.random")
    torch.testing.assert_close(made(losses(3)), expected_K)
    assert not torch.equal(made(losses(3)), made(losses(3)))


def test_imtl_l_is_torchjds_under_gradient_descent():
    theirs, made = sca.IMTLL(3).double(), balancer("torchjd.imtl_l", learning_rate=0.3)
    descent = torch.optim.SGD(theirs.parameters(), lr=0.3)
    for seed in range(5):
        torch.testing.assert_close(made(losses(3, seed)), theirs.log_scale.detach().exp())
        descent.zero_grad()
        theirs(losses(3, seed)).backward()
        descent.step()


def test_imtl_l_settles_where_all_losses_count_alike():
    made = balancer("torchjd.imtl_l", learning_rate=0.1)
    for _ in range(400):
        weights_K = made(losses(3))
    torch.testing.assert_close(weights_K, 1 / losses(3))


def test_dwa_by_hand_over_rounds():
    """Means .9, .8 → .6, .8 → .3, .8: rates 2/3, 1, then 1/2, 1, at T = 2."""
    made = balancer("torchjd.dwa", (1.0, 1.0))
    rounds = [[(1.0, 0.8), (0.8, 0.8)], [(0.7, 0.9), (0.5, 0.7)], [(0.3, 0.8)], [(1.0, 1.0)]]
    found = []
    for batches in rounds:
        found.append([made(torch.tensor(batch, dtype=torch.float64)) for batch in batches])
        made.end_round()
    ones = torch.ones(2, dtype=torch.float64)
    expected = [ones, ones, 2 * torch.tensor([1 / 3, 1 / 2]).double().softmax(0), 2 * torch.tensor([1 / 4, 1 / 2]).double().softmax(0)]
    for weights, expected_K in zip(found, expected, strict=True):
        for weights_K in weights:
            torch.testing.assert_close(weights_K, expected_K, rtol=1e-6, atol=1e-6)


def test_dwas_means_are_over_the_batches_with_a_label():
    """The second objective has a label in one batch of the first round, in both of the second: its rate is .3 / .6, the other's 1."""
    made = balancer("torchjd.dwa", (1.0, 1.0))
    for batches in ([((0.5, 0.6), True), ((0.5, 9.0), False)], [((0.4, 0.2), True), ((0.6, 0.4), True)]):
        for loss_K, labelled in batches:
            made(torch.tensor(loss_K), torch.tensor([True, labelled]))
        made.end_round()
    torch.testing.assert_close(made(torch.ones(2).double()), 2 * torch.tensor([0.5, 0.25]).double().softmax(0), rtol=1e-6, atol=0)


def test_famo_is_torchjds_driven_directly():
    theirs, made = sca.FAMO(3).double(), balancer("torchjd.famo")
    for seed in range(30):
        before_K, after_K = losses(3, seed).requires_grad_(), losses(3, seed) * torch.tensor([0.9, 0.99, 1.01])
        theirs(before_K).backward()
        torch.testing.assert_close(made(before_K), 3 * before_K.grad)
        theirs.update(after_K)
        made.observe(after_K)
    assert made(losses(3)).std() > 0.1


def test_only_famo_looks_at_the_losses_after_a_step():
    with pytest.raises(NotImplementedError):
        balancer("torchjd.mgda").observe(losses(3))


# --- Names --------------------------------------------------------------------------------------------------------
def test_a_name_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    (tmp_path / "feed.toml").write_text(
        '[source]\nkind = "world"\n[split]\ntrain = ["2024-01-01", "2024-01-02"]\n[[objective]]\nname = "o"\nlabel = "x"\n'
        '[balance]\nmethod = "torchjd.upgrade"\n[balance.torchjd.cagrad]\nC = 0.4\nc = -1.0\n'
    )
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "feed.toml")
    name, negative, unknown = caught.value.problems
    assert "balance.method: found 'torchjd.upgrade', expected one of fixed, gradnorm" in name
    assert name.endswith('did you mean "torchjd.upgrad"?')
    assert "balance.torchjd.cagrad.c: found -1.0" in negative
    assert "balance.torchjd.cagrad.C: unknown key" in unknown
