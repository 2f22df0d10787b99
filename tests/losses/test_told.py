"""What a teacher tells the losses: of every loss, all in one model."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from recsys.losses import ObjectiveLosses
from recsys.losses.lengths import UNKNOWN
from recsys.objectives import Objective
from tests.losses.samples import NAMES, OBJECTIVES, labels

N, B, K = 4000, 16, len(NAMES)
STANDARDISED = ("squared", "huber", "log_squared")
objectives = pytest.mark.parametrize("k", range(K), ids=NAMES)


class Lesson:
    """Losses fitted on a feed, a batch of it, and outputs of a teacher."""

    def __init__(self, seed=0, scale=1.0):
        rng = np.random.default_rng(seed)
        labels_NK, durations_NA = labels(rng, N)
        if scale != 1.0:
            for name in (
                "squared",
                "huber",
                "log_squared",
                "weighted_logistic",
                "distribution",
                "distribution_of_all",
                "distribution_by_length",
            ):
                labels_NK[:, NAMES.index(name)] *= scale
        self.losses = ObjectiveLosses.fit(OBJECTIVES, labels_NK, durations_NA).double()
        self.labels_BK, self.durations_BA = torch.tensor(labels_NK[:B]), torch.tensor(durations_NA[:B])
        draws = torch.Generator().manual_seed(seed + 1)
        self.outputs_BK = 0.5 * torch.randn(B, K, generator=draws, dtype=torch.float64)

    def told(self, *outputs):
        """The mean of what these outputs say."""
        said = [self.losses.told_by(self.losses, outputs_BK, self.durations_BA) for outputs_BK in outputs]
        return {name: torch.stack([one[name] for one in said]).mean(0) for name in said[0]}

    def of(self, outputs_BK, told=None, labels_BK=None):
        """The losses against what was told, or against the labels."""
        labels_BK = self.labels_BK if labels_BK is None else labels_BK
        if told is None:
            return self.losses(outputs_BK, labels_BK, self.durations_BA)[0]
        return self.losses.against(told, outputs_BK, labels_BK, self.durations_BA)


@pytest.fixture(scope="module")
def lesson():
    return Lesson()


@objectives
def test_a_student_that_says_the_same_has_nothing_left_to_learn(lesson, k):
    """The gradient is 0 at the teacher's outputs, and the loss is larger on both sides."""
    outputs_BK = lesson.outputs_BK.clone().requires_grad_()
    told = lesson.told(lesson.outputs_BK)
    least = lesson.of(outputs_BK, told)[k]
    (gradient_BK,) = torch.autograd.grad(least, outputs_BK)
    (of_labels_BK,) = torch.autograd.grad(lesson.of(outputs_BK)[k], outputs_BK)
    assert of_labels_BK.abs().max() > 1e-3
    assert gradient_BK.abs().max() < 1e-9
    for step in (-0.3, 0.3):
        assert lesson.of(outputs_BK + step * (torch.arange(K) == k), told)[k] > least + 1e-4


def test_rows_without_a_label_are_not_told_of(lesson):
    labels_BK = lesson.labels_BK.clone()
    labels_BK[: B // 2] = torch.nan
    student_BK = lesson.outputs_BK.flip(0).requires_grad_()
    (gradient_BK,) = torch.autograd.grad(lesson.of(student_BK, lesson.told(lesson.outputs_BK), labels_BK).sum(), student_BK)
    assert not gradient_BK[: B // 2].any()
    assert gradient_BK[B // 2 :].any()


@pytest.mark.parametrize(
    "name", ["click", "hide", "like", "share", "stars", "mood", "distribution", "distribution_of_all", "distribution_by_length"]
)
def test_of_probabilities_it_is_the_expected_loss_of_labels_drawn_by_the_teacher(lesson, name):
    """Σ_l P(l) · loss(l), with P the teacher's, by the loss that learns labels."""
    student_BK = lesson.outputs_BK.flip(0)
    k = NAMES.index(name)
    method = OBJECTIVES[k].learned_by
    j = [one.name for one in OBJECTIVES if one.learned_by == method].index(name)
    said_BL = lesson.told(lesson.outputs_BK)[method][:, j]
    if method == "binary":
        said_BL, levels = torch.stack([1 - said_BL, said_BL], 1), [0.0, 1.0]
    elif method == "ordinal":
        levels = OBJECTIVES[k].levels
    else:
        bins = lesson.losses.methods[method]  # the mean of a bin of one watch time is rounded, perhaps beyond the bin's edge
        levels = torch.minimum(bins.means_JGL[j, UNKNOWN], pad(bins.edges_JC[j], (0, 1), value=torch.inf)).tolist()
    assert said_BL.sum(1).numpy() == pytest.approx(np.ones(B))
    expected = 0.0
    for place, level in enumerate(levels):
        if said_BL[:, place].any():
            per_row_B = torch.stack([_alone(lesson, student_BK[row], row, k, level) for row in range(B)])
            expected += (said_BL[:, place] * per_row_B).mean().item()
    all_known = torch.where(torch.arange(K) == k, torch.zeros(B, K), lesson.labels_BK)
    assert lesson.of(student_BK, lesson.told(lesson.outputs_BK), all_known)[k].item() == pytest.approx(expected, rel=1e-6)


def _alone(lesson, output_K, row, k, label):
    """The loss of this row with this label."""
    labels_1K = torch.full((1, K), torch.nan, dtype=torch.float64)
    labels_1K[0, k] = label
    return lesson.losses(output_K[None], labels_1K, lesson.durations_BA[row : row + 1])[0][k]


@pytest.mark.parametrize("name", STANDARDISED)
def test_of_a_number_it_is_the_loss_of_a_label_that_the_teacher_s_output_stands_for(lesson, name):
    k = NAMES.index(name)
    method = lesson.losses.methods[OBJECTIVES[k].learned_by]
    scale_B = lesson.outputs_BK[:, k] * method.std_J[0] + method.mean_J[0]
    labels_BK = lesson.labels_BK.double()
    labels_BK[:, k] = scale_B.expm1() if name == "log_squared" else scale_B
    student_BK = lesson.outputs_BK.flip(0)
    by_label = lesson.of(student_BK, None, labels_BK)[k]
    assert lesson.of(student_BK, lesson.told(lesson.outputs_BK), labels_BK)[k].item() == pytest.approx(by_label.item(), rel=1e-6)


def test_two_teachers_are_met_in_the_middle_of_what_they_say(lesson):
    """Of a probability the student that has nothing left to learn says the mean."""
    k = NAMES.index("hide")
    told = lesson.told(lesson.outputs_BK, -lesson.outputs_BK - 1.0)
    mean_B = (lesson.outputs_BK[:, k].sigmoid() + (-lesson.outputs_BK[:, k] - 1.0).sigmoid()) / 2
    student_BK = lesson.outputs_BK.clone()
    student_BK[:, k] = mean_B.logit()
    student_BK.requires_grad_()
    (gradient_BK,) = torch.autograd.grad(lesson.of(student_BK, told)[k], student_BK)
    assert gradient_BK.abs().max() < 1e-9


@pytest.mark.parametrize("name", [*STANDARDISED, "weighted_logistic", "distribution", "distribution_of_all", "distribution_by_length"])
def test_a_teacher_with_other_constants_means_the_same_labels(lesson, name):
    """Labels three times as large give a teacher other constants. A student that says what it was told means labels of that size."""
    k = NAMES.index(name)
    teacher = Lesson(scale=3.0)
    method = OBJECTIVES[k].learned_by
    said = lesson.losses.told_by(teacher.losses, teacher.outputs_BK, teacher.durations_BA)[method]
    j = [one.name for one in OBJECTIVES if one.learned_by == method].index(name)
    mine, its = lesson.losses.methods[method], teacher.losses.methods[method]
    theirs_B = teacher.outputs_BK[:, k]
    if method == "distribution":  # all that lies beyond the student's longest watch time is in its last bin
        places_L = np.searchsorted(mine.edges_JC[j].numpy(), its.means_JGL[j, UNKNOWN].numpy())
        of_teacher_BL = teacher.losses.told_by(teacher.losses, teacher.outputs_BK, teacher.durations_BA)[method][:, j].numpy()
        expected_BL = np.stack([np.bincount(places_L, weights, minlength=32) for weights in of_teacher_BL])
        np.testing.assert_allclose(said[:, j].numpy(), expected_BL, atol=1e-12)
    elif method == "weighted_logistic":
        np.testing.assert_allclose(mine.unit_J[j] * said[:, j] / (1 - said[:, j]), its.unit_J[j] * theirs_B.exp(), rtol=1e-9)
    else:
        np.testing.assert_allclose(mine._in_label_units(said)[:, j], its._in_label_units(theirs_B), rtol=1e-9)


@pytest.mark.parametrize("name", ["weighted_logistic", "d2q"])
def test_of_shares_it_is_their_formula(lesson, name):
    """Cross-entropy of σ(o) for odds, and squares for ranks, in units of the best constant's loss."""
    k = NAMES.index(name)
    student_B, teacher_B = lesson.outputs_BK.flip(0)[:, k].sigmoid(), lesson.outputs_BK[:, k].sigmoid()
    rows_B = (student_B - teacher_B) ** 2
    if name == "weighted_logistic":
        rows_B = -(teacher_B * student_B.log() + (1 - teacher_B) * (1 - student_B).log())
    known_B = ~lesson.labels_BK[:, k].isnan()
    expected = rows_B[known_B].mean() / lesson.losses.scale_K[k]
    assert lesson.of(lesson.outputs_BK.flip(0), lesson.told(lesson.outputs_BK))[k].item() == pytest.approx(expected.item(), rel=1e-9)


def test_weights_of_rows_count_against_a_teacher_too(lesson):
    """A row that counts twice is as good as two rows."""
    student_BK, told = lesson.outputs_BK.flip(0), lesson.told(lesson.outputs_BK)
    twice_B = torch.ones(B)
    twice_B[:6] = 2.0
    again = torch.cat([torch.arange(B), torch.arange(6)])
    weighted_K = lesson.losses.against(told, student_BK, lesson.labels_BK, lesson.durations_BA, twice_B)
    told_again = {name: said[again] for name, said in told.items()}
    torch.testing.assert_close(
        weighted_K, lesson.losses.against(told_again, student_BK[again], lesson.labels_BK[again], lesson.durations_BA[again])
    )


def test_bins_of_one_watch_time_are_told_as_themselves():
    """The mean of a bin whose labels are all equal is rounded, with weights that are no whole numbers beyond the bin's own edge."""
    watch = Objective(name="watch", kind="watch_time", label="x")
    rng = np.random.default_rng(0)
    labels_N1 = (rng.integers(0, 40, (4000, 1)) * 0.1).astype(np.float64)
    weights_N = rng.choice([1 / 0.3, 1.0, 0.7, 1.3], 4000)
    losses = ObjectiveLosses.fit([watch], labels_N1, None, weights_N)
    method = losses.methods["distribution"]
    edges_C, means_L = method.edges_JC[0], method.means_JGL[0, 0]
    assert (means_L[:-1] > edges_C)[edges_C.isfinite()].any()  # or this test shows nothing
    outputs_B1 = torch.randn(50, 1, dtype=torch.float64)
    only_table = torch.zeros(50, 1, dtype=torch.int64)
    of_bins_BL = torch.nan_to_num(method.double()._expected(outputs_B1, only_table, method.means_JGL))  # any function of the probabilities
    told_B1L = losses.told_by(losses, outputs_B1)["distribution"]
    torch.testing.assert_close((told_B1L * means_L).sum(-1), of_bins_BL)
