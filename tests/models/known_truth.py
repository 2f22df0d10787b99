"""A small world of every kind of label, whose best possible losses are known.

Shape letters: B rows, K objectives, E points of noise, N training rows.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch.nn import functional as F

from recsys.encoding.layout import Batch
from recsys.losses import ObjectiveLosses
from tests.models import factory

KINDS = ("binary", "binary|0", "watch_time", "huber", "weighted_logistic", "d2q", "ordinal")
CUTS = torch.tensor([-1.5, 0.0, 1.5])
SPREAD = 0.3  # of a log watch time around its mean


class World(NamedTuple):
    """Rows, and the truth of each objective that their labels were drawn from."""

    batch: Batch
    truth_BK: torch.Tensor  # logits (of an ordinal one its place on the line that CUTS cut), means; of watch times means of logs
    means_B: torch.Tensor  # of the fifth label where it is above 0


@cache
def drawn(rows, seed):
    """Labels come from the numbers, a categorical value and a position, by other rules for each objective."""
    example = factory.batch(factory.layout(len(KINDS)), rows, seed=seed, kinds=KINDS)
    generator = torch.Generator().manual_seed(seed)
    a, b, c = example.dense.unbind(1)
    liked = torch.sin(example.rows[:, 0].float())  # of item.one
    logits = [2 * a + 2 * liked - 0.5 * example.bias[:, 0], 1.5 * c + liked]
    means = [5 + 0.8 * a + 0.5 * liked, 2 * b.abs() - c]
    watched, log_watch = a + liked - 1, 0.8 * c - liked
    truth_BK = torch.stack([*logits, *means, watched, log_watch, 2 * c - 2 * liked], dim=1)
    uniform_BK = torch.rand(rows, len(KINDS), generator=generator)
    chosen_BK = uniform_BK < truth_BK.sigmoid()
    noise_BK = torch.randn(rows, len(KINDS), generator=generator)
    means_B = (0.5 * c).exp()
    labels = [
        chosen_BK[:, 0].float(),
        (chosen_BK[:, 0] & chosen_BK[:, 1]).float(),
        (means[0] + SPREAD * noise_BK[:, 2]).expm1(),
        means[1] + 0.5 * noise_BK[:, 3],
        chosen_BK[:, 4] * means_B * (0.5 + uniform_BK[:, 3]),
        (log_watch + SPREAD * noise_BK[:, 5]).exp(),
        torch.tensor(factory.LEVELS)[torch.bucketize(truth_BK[:, 6] + uniform_BK[:, 6].logit(), CUTS)],
    ]
    return World(example._replace(labels=torch.stack(labels, dim=1)), truth_BK, means_B)


def losses_of(world, losses: ObjectiveLosses, outputs_BK):
    return losses(outputs_BK, world.batch.labels, world.batch.durations)[0]


def best_losses(train: World, test: World, losses: ObjectiveLosses):
    """[K], what the truth itself loses on the test rows, in the units of `losses`. Each best output by its own formula."""
    truth_BK, labels_NK = test.truth_BK, train.batch.labels
    logs_N, numbers_N, watched_N = labels_NK[:, 2].log1p(), labels_NK[:, 3], labels_NK[:, 4]
    best = [
        truth_BK[:, 0],
        truth_BK[:, 1],
        (truth_BK[:, 2] - logs_N.mean()) / logs_N.std(),
        (truth_BK[:, 3] - numbers_N.mean()) / numbers_N.std(),
        truth_BK[:, 4] + test.means_B.log() - watched_N[watched_N > 0].mean().log(),  # log(E[y] / (u · (1 − P)))
        _mean_ranks(truth_BK[:, 5], labels_NK[:, 5]).logit(),
        torch.zeros(len(truth_BK)),
    ]
    best_K = losses_of(test, losses, torch.stack(best, dim=1))
    best_K[6] = _level_loss(truth_BK[:, 6], test.batch.labels[:, 6]) / losses.scale_K[6]
    return best_K


def _mean_ranks(logs_B, labels_N):
    """The expected rank, among the training labels, of a label whose logarithm has this mean."""
    noise_E = torch.special.ndtri((torch.arange(32) + 0.5) / 32)
    ranks_BE = torch.searchsorted(labels_N.sort().values, (logs_B[:, None] + SPREAD * noise_E).exp()) / len(labels_N)
    return ranks_BE.mean(1).clamp(1e-3, 1 - 1e-3)


def _level_loss(truth_B, labels_B):
    """Mean −log P(level) of a logistic variable around the truth, cut at CUTS."""
    over_B5 = F.pad((truth_B[:, None] - CUTS).sigmoid(), (1, 0), value=1.0)
    probabilities_B4 = over_B5 - F.pad(over_B5[:, 1:], (0, 1))
    return -probabilities_B4.gather(1, (labels_B.long() - 1)[:, None]).log().mean()
