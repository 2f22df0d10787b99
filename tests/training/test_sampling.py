"""A training whose steps are of one objective each: what reaches the losses and the balancer, and that it goes on where it was."""

from pathlib import Path
from typing import Any

import pytest
import torch

from recsys.balancing.fixed import Fixed
from recsys.config import Train
from recsys.encoding import EncodedDays, Sampling, batches
from recsys.objectives import Objective
from recsys.scoring.member import new_member
from recsys.training.rounds import sampling

from .conftest import DAYS, KINDS, OBJECTIVES, Toy, journal, kinds_pipeline, pipeline_of, run_train
from .test_resume import _interrupt_every, _train_until_done, assert_equal

NAMES = [objective["name"] for objective in KINDS]


def test_a_word_is_an_exponent_and_objectives_that_count_for_nothing_are_not_drawn() -> None:
    objectives = [Objective(name=name, label="x", loss_weight=weight) for name, weight in (("a", 1.0), ("b", 0.0), ("c", 0.2))]
    assert sampling(Train(), objectives) is None
    assert sampling(Train(sampling="uniform"), objectives) == Sampling(0.0, (0, 2))
    assert sampling(Train(sampling="proportional"), objectives) == Sampling(1.0, (0, 2))
    assert sampling(Train(sampling=0.3), objectives) == Sampling(0.3, (0, 2))


@pytest.mark.words
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_a_step_has_one_objective_for_the_losses_and_the_balancer(kinds_toy: Toy, tmp_path: Path, monkeypatch, order: str) -> None:
    seen: list[torch.Tensor] = []
    original = Fixed.forward

    def forward(self: Fixed, losses_K: torch.Tensor, present_K: torch.Tensor, gramian_KK: Any = None) -> torch.Tensor:
        seen.append(present_K)
        return original(self, losses_K, present_K, gramian_KK)

    monkeypatch.setattr(Fixed, "forward", forward)
    objectives = [*KINDS[:3], {**KINDS[3], "loss_weight": 0.0}, *KINDS[4:]]
    pipeline = pipeline_of(
        objectives=objectives,
        features=kinds_pipeline().features.model_dump(),
        seed=6,  # in 15 steps, chance leaves out one of six objectives four times in ten
        train={"batch_size": 64, "weight": "counts", "order": order, "passes": 3, "patience": 9, "refit": False, "sampling": "uniform"},
    )
    run_train(pipeline, kinds_toy.encoded, tmp_path / "run")
    present = torch.stack(seen)
    assert (present.sum(1) == 1).all()
    assert [NAMES[k] for k in (~present.any(0)).nonzero().flatten()] == ["watch"], "what counts for nothing is not drawn, all others are"
    steps = journal(tmp_path / "run", event="step")
    assert steps[-1]["step"] == len(seen) == (3 * -(-900 // 64) if order == "shuffled" else 3 * -(-300 // 64)), "as many as of all rows"
    for line in steps:  # of 15 steps a round, each has its line
        (name,) = [name for name, loss in line["loss"].items() if loss is not None]
        assert line["weight"] == {other: float(other == name) for other in NAMES}


def test_a_conditional_objective_learns_the_same_from_its_own_label_alone(kinds_toy: Toy) -> None:
    """A like's loss reads the joint label; whether the click's label is there changes neither it nor a gradient of it."""
    pipeline = kinds_pipeline()
    days = EncodedDays(kinds_toy.encoded, DAYS[:3])
    like = NAMES.index("like")
    member = new_member(pipeline, days, 0).eval()
    batch = next(iter(batches(days, batch_size=64, order="shuffled", sampling=Sampling(0.0, (like,)))))
    order = {tuple(row): n for n, row in enumerate(days.dense().tolist())}
    places = [order[tuple(row)] for row in batch.dense.tolist()]
    whole = batch._replace(labels=torch.from_numpy(days.labels()[places]))
    assert not whole.labels[:, NAMES.index("click")].isnan().any()
    assert batch.labels[:, NAMES.index("click")].isnan().all()
    gradients = []
    for some in (batch, whole):
        losses_K, _ = member.losses(member.ranker(some, position="logged").outputs_BK, some.labels, some.durations, some.weights)
        gradients.append([losses_K[like], *torch.autograd.grad(losses_K[like], list(member.ranker.parameters()), allow_unused=True)])
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert torch.equal(one.to_dense(), other.to_dense())


@pytest.mark.words
@pytest.mark.parametrize("order", ["time", pytest.param("shuffled", marks=pytest.mark.words)])
def test_interrupted_again_and_again_it_ends_bit_equal(kinds_toy: Toy, tmp_path: Path, monkeypatch, order: str) -> None:
    negatives = {"objective": "click", "keep": 0.6}
    train = {"order": order, "passes": 2, "batch_size": 120, "negatives": negatives, "sampling": 0.5}
    pipeline = kinds_pipeline(train=train, balance={"method": "torchjd.famo"})
    run_train(pipeline, kinds_toy.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 5)
    assert _train_until_done(pipeline, kinds_toy.encoded, tmp_path / "parts") >= 3
    assert_equal(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.words
@pytest.mark.parametrize("method", ["gradnorm", "torchjd.dwa", "torchjd.upgrad", "worst_case", "uncertainty", "torchjd.imtl_l"])
def test_ways_of_balancing_work_on_one_objective_at_a_time(toy: Toy, tmp_path: Path, method: str) -> None:
    train = {"order": "shuffled", "passes": 2, "batch_size": 60, "refit": False, "sampling": "uniform"}
    run_train(pipeline_of(balance={"method": method}, train=train), toy.encoded, tmp_path / "run")
    validation = journal(tmp_path / "run", part="validation")
    assert all(set(line["loss"]) == {objective["name"] for objective in OBJECTIVES} for line in validation)
    assert validation[-1]["loss"]["click"] < 1.0, "better than a constant"
