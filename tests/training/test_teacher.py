"""A run that learns what another run says: what it learns, what it refuses, and that an interruption changes nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recsys import artifacts
from recsys.config import Pipeline
from recsys.encoding import batches
from recsys.errors import ConfigError
from recsys.scoring import load
from recsys.scoring.devices import decide
from recsys.scoring.member import Member
from recsys.scoring.model_folder import CHOSEN, keeps_chosen, read_model
from recsys.training.checkpoint import Checkpoints
from recsys.training.descend import descend, forward, told_of
from recsys.training.interruption import Guard
from recsys.training.journal import Journal
from recsys.training.rounds import Phase
from recsys.training.start import fresh_state
from recsys.training.work import Work, open_training

from .conftest import DAYS, OBJECTIVES, Said, Toy, journal, kinds_pipeline, pipeline_of, run_train
from .test_resume import _interrupt_every, _train_until_done, assert_equal

SHUFFLED = {"order": "shuffled", "batch_size": 50, "passes": 3, "learning_rate": 0.01}

OF_TEACHER = {"members": 2, "architecture": "shared_bottom"}


@pytest.fixture(scope="module")
def teacher(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members of another architecture, kept as they were before the refit too."""
    run = tmp_path_factory.mktemp("teacher") / "first"
    run_train(pipeline_of(model=OF_TEACHER, train={**SHUFFLED, "keep_chosen": True}), toy.encoded, run)
    return run


@pytest.fixture(scope="module")
def teacher_of_kinds(kinds_toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("teacher") / "kinds"
    run_train(kinds_pipeline(train={**SHUFFLED, "keep_chosen": True}), kinds_toy.encoded, run)
    return run


def _taught(teacher: Path, **train: Any) -> dict[str, Any]:
    return {**SHUFFLED, "distil_from": str(teacher), **train}


def _work(pipeline: Pipeline, encoded: Path, folder: Path) -> Work:
    with Journal(folder / "journal.jsonl") as journal:
        guard = Guard(Checkpoints(folder / "checkpoint", ""), "", journal, lambda: False, facts={}, seconds=60.0)
        return Work(**vars(open_training(pipeline, encoded, decide(pipeline.train))), journal=journal, guard=guard, console=Said())


@pytest.mark.words
@pytest.mark.parametrize("phase", ["choose", "refit"])
def test_what_speaks_as_its_teacher_has_nothing_to_learn_from_it(
    kinds_toy: Toy, teacher_of_kinds: Path, tmp_path: Path, phase: Phase
) -> None:
    """Of every kind of label: the whole gradient is 0 in the teacher's weights where the labels have no share."""

    def gradient(share: float) -> float:
        train = _taught(teacher_of_kinds, distil_share=share, weight="counts")
        work = _work(kinds_pipeline(train=train), kinds_toy.encoded, tmp_path)
        assert work.teacher is not None
        state = fresh_state(work, 0, phase)
        state.member.load_state_dict(work.teacher.members[phase][0].state_dict())
        state.member.eval()  # as the teacher speaks
        batch = next(iter(batches(work.open(DAYS[:1]), batch_size=200, order="time")))
        forward(state, batch, work.compute, told_of(state, batch)).descended_K.sum().backward()
        found = [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in state.member.parameters() if p.grad is not None]
        return max(each.abs().max().item() for each in found)

    assert gradient(0.01) > 1e-3
    assert gradient(1.0) < 1e-5


@pytest.mark.words
def test_the_more_it_is_taught_the_nearer_it_is_to_its_teacher(
    toy: Toy, teacher: Path, trained: Callable[..., Path], tmp_path: Path
) -> None:
    table = toy.tables[DAYS[5]]
    said = load(teacher / "model").predict(table, "logged")

    def distance(name: str, train: dict[str, Any]) -> float:
        predicted = load(trained(pipeline_of(train=train), name) / "model").predict(table, "logged")
        return float(np.abs(predicted - said)[:, 0].mean())  # click

    plain = distance("plain", SHUFFLED)
    half, whole = (distance(f"{share}", _taught(teacher, distil_share=share)) for share in (0.5, 1.0))
    assert whole < half < plain


@pytest.fixture(scope="module")
def not_refitted(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the teacher was before its refit, trained as a run of its own."""
    run = tmp_path_factory.mktemp("before") / "run"
    run_train(pipeline_of(model=OF_TEACHER, train={**SHUFFLED, "refit": False}), toy.encoded, run)
    return run


@pytest.mark.words
@pytest.mark.parametrize("phase", ["choose", "refit"])
def test_what_it_is_told_is_the_mean_of_the_members_as_they_were_in_that_phase(
    toy: Toy, teacher: Path, not_refitted: Path, tmp_path: Path, phase: Phase
) -> None:
    work = _work(pipeline_of(train=_taught(teacher)), toy.encoded, tmp_path)
    state = fresh_state(work, 0, phase)
    batch = next(iter(batches(work.open(DAYS[:1]), batch_size=50, order="time")))
    told = told_of(state, batch)
    assert told is not None
    means, others = (load(run / "model").predict(toy.tables[DAYS[0]].slice(0, 50), "logged") for run in (teacher, not_refitted))
    if phase == "choose":
        means, others = others, means
    assert told.share == 0.9
    np.testing.assert_allclose(told.by_method["binary"].numpy(), means[:, [0, 2]], atol=1e-6)  # click, like
    assert np.abs(means - others)[:, [0, 2]].max() > 1e-3
    assert not told.by_method["binary"].requires_grad


def test_a_run_that_keeps_what_it_was_keeps_it_to_the_bit(teacher: Path, not_refitted: Path) -> None:
    assert not keeps_chosen(not_refitted / "model")
    kept, before = read_model(teacher / "model", CHOSEN), read_model(not_refitted / "model")
    for ours, theirs in zip(kept.members, before.members, strict=True):
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_balancing_and_the_journal_see_the_losses_against_the_labels(toy: Toy, teacher: Path, tmp_path: Path) -> None:
    """And what is descended is the mixture."""
    work = _work(pipeline_of(train=_taught(teacher, distil_share=0.25)), toy.encoded, tmp_path)
    state = fresh_state(work, 0, "choose")
    state.member.eval()
    batch = next(iter(batches(work.open(DAYS[:1]), batch_size=50, order="time")))
    told = told_of(state, batch)
    plain, taught = forward(state, batch, work.compute, None), forward(state, batch, work.compute, told)
    assert told is not None
    against_K = state.member.losses.against(told.by_method, plain.output.outputs_BK, batch.labels, batch.weights)
    assert torch.equal(taught.losses_K, plain.losses_K)
    torch.testing.assert_close(taught.descended_K, 0.75 * plain.losses_K + 0.25 * against_K)
    stepped = descend(state, batch, work.compute)
    torch.testing.assert_close(stepped.losses_K, plain.losses_K.detach())


@pytest.mark.words
def test_a_pass_is_judged_by_the_labels_alone(toy: Toy, teacher: Path, trained: Callable[..., Path]) -> None:
    run = trained(pipeline_of(train=_taught(teacher, distil_share=1.0, passes=1)))
    (line,) = journal(run, event="pass", part="validation")
    by_labels, by_teacher = _validation_loss(run, toy), _validation_loss(run, toy, teacher)
    assert line["loss"]["click"] == pytest.approx(by_labels, rel=2e-4)
    assert line["loss"]["click"] != pytest.approx(by_teacher, rel=2e-4)


def _validation_loss(run: Path, toy: Toy, teacher: Path | None = None) -> float:
    """The cross-entropy of the kept predictions against the labels, or against a run's predictions, in units of the best constant's."""
    predicted_N = artifacts.read_table(run / "model/validation.parquet")["pred.click"].to_numpy()
    clicks_N = np.concatenate([toy.tables[day]["label.click"].to_numpy() for day in DAYS[3:5]])
    if teacher is not None:
        clicks_N = artifacts.read_table(teacher / "model/validation.parquet")["pred.click"].to_numpy()
    of_training_N = np.concatenate([toy.tables[day]["label.click"].to_numpy() for day in DAYS[:3]])

    def entropy(chance: Any, labels_N: np.ndarray) -> float:
        return float(-np.mean(labels_N * np.log(chance) + (1 - labels_N) * np.log1p(-chance)))

    return entropy(predicted_N, clicks_N) / entropy(of_training_N.mean(), of_training_N)


@pytest.mark.words
@pytest.mark.parametrize(("members", "keeps"), [(1, True), (2, False)])
def test_interrupted_again_and_again_it_ends_bit_equal(
    toy: Toy, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int, keeps: bool
) -> None:
    pipeline = pipeline_of(model={"members": members}, train=_taught(teacher, keep_chosen=keeps))
    run_train(pipeline, toy.encoded, tmp_path / "whole")
    _interrupt_every(monkeypatch, 7)
    assert _train_until_done(pipeline, toy.encoded, tmp_path / "parts") >= 3
    assert_equal(tmp_path / "parts", tmp_path / "whole")
    assert keeps_chosen(tmp_path / "parts/model") == keeps


@pytest.mark.words
@pytest.mark.parametrize("method", ["gradnorm", "torchjd.upgrad", "torchjd.famo"])
def test_it_is_balanced_by_any_method(toy: Toy, teacher: Path, trained: Callable[..., Path], method: str) -> None:
    """Taught alone, it says more like its teacher than the same run without one."""
    said = load(teacher / "model").predict(toy.tables[DAYS[5]], "logged")

    def distance(name: str, train: dict[str, Any]) -> float:
        run = trained(pipeline_of(train=train, balance={"method": method}), name)
        return float(np.abs(load(run / "model").predict(toy.tables[DAYS[5]], "logged") - said)[:, 0].mean())

    assert distance("taught", _taught(teacher, distil_share=1.0)) < distance("alone", SHUFFLED)


def test_a_step_changes_the_student_alone(toy: Toy, teacher: Path, tmp_path: Path) -> None:
    work = _work(pipeline_of(train=_taught(teacher)), toy.encoded, tmp_path)
    state = fresh_state(work, 0, "choose")
    assert state.teacher is not None

    def numbers(members: Sequence[Member]) -> list[Tensor]:
        return [tensor.clone() for member in members for tensor in member.state_dict().values()]

    speaking = state.teacher.members["choose"]
    before, student = numbers(speaking), numbers([state.member])
    descend(state, next(iter(batches(work.open(DAYS[:1]), batch_size=50, order="time"))), work.compute)
    assert all(map(torch.equal, before, numbers(speaking)))
    assert not all(map(torch.equal, student, numbers([state.member])))


# --- What does not fit (other rows: tests/pipelines/test_transfer.py) ----------------------------------------------
def test_a_teacher_of_outputs_that_mean_something_else_is_refused(teacher: Path, trained: Callable[..., Path]) -> None:
    others = (OBJECTIVES[0], {**OBJECTIVES[1], "method": "log_squared"}, OBJECTIVES[2])
    with pytest.raises(ConfigError, match=r"objective\.watch\.learned_by: found 'log_squared', expected 'distribution' as the run first"):
        trained(pipeline_of(objectives=others, train=_taught(teacher)))


@pytest.mark.words
def test_other_weights_of_the_objectives_are_no_other_objectives(teacher: Path, trained: Callable[..., Path]) -> None:
    others = ({**OBJECTIVES[0], "loss_weight": 0.3, "fusion_weight": 2.0}, *OBJECTIVES[1:])
    assert (trained(pipeline_of(objectives=others, train=_taught(teacher, passes=1))) / "model").exists()


@pytest.mark.words
def test_a_teacher_that_has_not_learned_an_objective_is_refused(trained: Callable[..., Path]) -> None:
    others = ({**OBJECTIVES[0], "loss_weight": 0.0}, *OBJECTIVES[1:])
    lazy = trained(pipeline_of(objectives=others, train={**SHUFFLED, "passes": 1, "keep_chosen": True}), "lazy")
    with pytest.raises(ConfigError, match=r"the run lazy, which has not learned click \(loss_weight 0\)"):
        trained(pipeline_of(train=_taught(lazy)))
    assert (trained(pipeline_of(objectives=others, train=_taught(lazy, passes=1))) / "model").exists()


@pytest.mark.words
def test_a_teacher_that_has_seen_the_validation_days_is_refused(trained: Callable[..., Path]) -> None:
    refitted = trained(pipeline_of(train={**SHUFFLED, "passes": 1}), "refitted")
    with pytest.raises(ConfigError, match=r"the run refitted, which has learned the validation days and does not keep what it was before"):
        trained(pipeline_of(train=_taught(refitted)))
    chained = trained(pipeline_of(train={**SHUFFLED, "passes": 1, "keep_chosen": True, "init_from": str(refitted)}), "chained")
    with pytest.raises(ConfigError, match=r"the run chained, which started from the run refitted, expected one that started from nothing"):
        trained(pipeline_of(train=_taught(chained)))


def test_a_teacher_of_another_split_is_refused(teacher: Path, trained: Callable[..., Path]) -> None:
    """Without test days the labels of the last training day are learned however late they are known."""
    split = {"train": (DAYS[0], DAYS[2]), "validation": (DAYS[3], DAYS[4])}
    with pytest.raises(ConfigError, match="the run first with another split, expected the same"):
        trained(pipeline_of(split=split, train=_taught(teacher)))


@pytest.mark.words
def test_who_is_not_refitted_may_learn_of_who_is(teacher: Path, not_refitted: Path, trained: Callable[..., Path]) -> None:
    """The refitted voice is never heard. A teacher that was not refitted has one voice."""
    runs = [trained(pipeline_of(train=_taught(of, passes=1, refit=False)), of.name) for of in (teacher, not_refitted)]
    weights = [read_model(run / "model").members[0].state_dict() for run in runs]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


@pytest.mark.parametrize(
    ("train", "text"),
    [
        ({"keep_chosen": True, "refit": False}, "keep_chosen: found with refit = false"),
        ({"distil_share": 0.3}, "distil_share: found 0.3 without distil_from"),
        ({"distil_from": "x", "order": "time"}, 'distil_from: found with order = "time"'),
        ({"distil_from": "x", "distil_share": 0.0, "order": "shuffled"}, "greater than 0"),
        ({"distil_from": "x", "distil_share": 1.5, "order": "shuffled"}, "less than or equal to 1"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(train: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("=", r"\=")):
        pipeline_of(train={"order": "shuffled", **train})
