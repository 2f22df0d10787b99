"""What a training may see and when, and what it learns."""

import itertools
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import log_loss, roc_auc_score

from recsys import artifacts
from recsys.balancing.fixed import Fixed
from recsys.encoding import EncodedDays
from recsys.errors import ConfigError, DataError
from recsys.models import Ranker
from recsys.scoring import load
from recsys.scoring.member import Outputs
from recsys.scoring.model_folder import read_model
from recsys.training import descend, loop, observe

from .conftest import DAYS, Said, Toy, encoded_of, journal, pipeline_of, run_train, tables, true_logit, with_label

CLICK = ({"name": "click", "label": "is_click = 1"},)
Trained = Callable[..., Path]


def _shuffled_labels(table: pa.Table) -> pa.Table:
    """The same labels, given to other rows: base rates stay."""
    order = np.random.default_rng(5).permutation(len(table))
    for name in [name for name in table.column_names if name.startswith(("label.", "known."))]:
        table = table.set_column(table.column_names.index(name), name, table[name].take(pa.array(order)))
    return table


@pytest.fixture
def other_labels(tmp_path: Path) -> Callable[[str], Path]:
    """The toy feed, encoded, with the labels of one day given to other rows."""

    def encoded(day: str) -> Path:
        days = tables()
        return encoded_of(tmp_path / f"other-{day}", {**days, day: _shuffled_labels(days[day])})[1]

    return encoded


# --- Points in time -----------------------------------------------------------------------------------------------
def test_a_day_is_predicted_before_it_is_learned(
    toy: Toy, tmp_path: Path, other_labels: Callable[[str], Path], seen: list[Outputs]
) -> None:
    pipeline = pipeline_of()
    run_train(pipeline, toy.encoded, tmp_path / "run")
    before = [outputs.raw_NK for outputs in seen]
    seen.clear()
    run_train(pipeline, other_labels(DAYS[2]), tmp_path / "other")
    after = [outputs.raw_NK for outputs in seen]
    for day in range(3):  # after each day, the rows that smearing is fitted to are predicted
        assert torch.equal(before[2 * day], after[2 * day]), f"labels of the third day changed how day {day + 1} was predicted"
    assert not torch.equal(before[6], after[6]), "labels of the third day did not change how the days after it were predicted"
    progressive = journal(tmp_path / "run", part="progressive")
    assert [line["day"] for line in progressive] == list(DAYS[:5])


def test_progressive_rows_say_the_auc_of_what_was_predicted(toy: Toy, tmp_path: Path, seen: list[Outputs]) -> None:
    """The loss is in units of the best constant's, which comes from the first two days: one alone has too few likes."""
    run_train(pipeline_of(train={"refit": False}), toy.encoded, tmp_path / "run")
    first = np.concatenate([toy.tables[day]["label.click"].to_numpy() for day in DAYS[:2]])
    rate = (first.sum() + 0.5) / (len(first) + 1)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    for line, outputs in zip(journal(tmp_path / "run", part="progressive"), seen[0:6:2], strict=True):
        labels = toy.tables[line["day"]]["label.click"].to_numpy()
        raw = outputs.raw_NK[:, 0].double().numpy()
        assert line["auc"]["click"] == pytest.approx(roc_auc_score(labels, raw))
        assert line["loss"]["click"] == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-raw))) / entropy, rel=1e-6)


@pytest.mark.parametrize("order", [pytest.param("time", marks=pytest.mark.words), "shuffled"])
def test_validation_days_are_learned_by_the_refit_only(toy: Toy, tmp_path: Path, other_labels: Callable[[str], Path], order: str) -> None:
    """Shuffled with one pass: there is nothing to choose, so validation labels have no way in before the refit."""
    changed = other_labels(DAYS[3])
    for refit in (True, False):
        pipeline = pipeline_of(train={"order": order, "passes": 1, "refit": refit})
        run_train(pipeline, toy.encoded, tmp_path / f"run-{refit}")
        run_train(pipeline, changed, tmp_path / f"other-{refit}")
        kept, other_kept = (pq.read_table(tmp_path / f"{run}-{refit}/model/validation.parquet") for run in ("run", "other"))
        assert kept.equals(other_kept)
        weights, other_weights = (load_file(tmp_path / f"{run}-{refit}/model/model.safetensors") for run in ("run", "other"))
        same = all(torch.equal(weights[name], other_weights[name]) for name in weights)
        assert same is not refit


def test_test_days_change_nothing(plain_run: Path, tmp_path: Path, other_labels: Callable[[str], Path]) -> None:
    run_train(pipeline_of(), other_labels(DAYS[5]), tmp_path / "other")
    assert (tmp_path / "other/model/model.safetensors").read_bytes() == (plain_run / "model/model.safetensors").read_bytes()


@pytest.mark.words
def test_the_days_of_a_model_without_validation_are_all_learned(trained: Trained) -> None:
    pipeline = pipeline_of(split={"train": (DAYS[0], DAYS[2])}, train={"order": "shuffled", "passes": 3, "patience": 1})
    run = trained(pipeline)
    assert {(line["phase"], line["pass"]) for line in journal(run)} == {("choose", 1), ("choose", 2), ("choose", 3)}
    assert json.loads((run / "model/inside.json").read_text())["passes_chosen"] == [{"click": 3, "watch": 3, "like": 3}]
    assert len(pq.read_table(run / "model/validation.parquet")) == 0


# --- Choosing -----------------------------------------------------------------------------------------------------
def test_the_best_pass_is_kept_as_a_replay_by_hand_finds_it(toy: Toy, tmp_path: Path, seen: list[Outputs]) -> None:
    """Too high a learning rate on little data overfits, so the best pass is neither the first nor the last."""
    train = {"order": "shuffled", "schedule": "constant", "passes": 12, "patience": 3, "learning_rate": 2e-2, "batch_size": 64}
    objectives = [CLICK[0], {"name": "watch", "kind": "watch_time", "method": "log_squared", "label": "s", "loss_weight": 0.5}]
    pipeline = pipeline_of(objectives=objectives, model={"dropout": 0.0, "d_shared": 64}, train={**train, "refit": False})
    _, encoded = encoded_of(tmp_path, tables(150), pipeline)
    run_train(pipeline, encoded, tmp_path / "run")

    training, validation = (EncodedDays(encoded, days).labels().astype(float) for days in (DAYS[:3], DAYS[3:5]))
    rate = (training[:, 0].sum() + 0.5) / (len(training) + 1)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    z = np.log1p(training[:, 1])
    passes = len(journal(tmp_path / "run", event="pass"))
    by_hand = []
    for outputs in seen[:passes]:
        raw = outputs.raw_NK.double().numpy()
        click = log_loss(validation[:, 0], 1 / (1 + np.exp(-raw[:, 0]))) / entropy
        watch = np.mean((raw[:, 1] - (np.log1p(validation[:, 1]) - z.mean()) / z.std()) ** 2)
        by_hand.append(click + 0.5 * watch)
    lines = [line["loss"] for line in journal(tmp_path / "run", event="pass")]
    assert by_hand == pytest.approx([loss["click"] + 0.5 * loss["watch"] for loss in lines], rel=1e-3)
    best = int(np.argmin(by_hand))
    assert 0 < best < passes - 1, by_hand  # or this test shows nothing
    assert sorted(by_hand)[1] > by_hand[best] + 1e-3, "on another machine another pass may be the best"
    assert passes == best + 1 + 3, "stops after `patience` passes without a better one"
    assert json.loads((tmp_path / "run/model/inside.json").read_text())["passes_chosen"] == [{"click": best + 1, "watch": best + 1}]
    kept = pq.read_table(tmp_path / "run/model/validation.parquet")["pred.click"].to_numpy()
    np.testing.assert_allclose(kept, 1 / (1 + np.exp(-seen[best].raw_NK[:, 0].double().numpy())), rtol=1e-12)


@pytest.mark.words
def test_the_refit_runs_the_chosen_number_of_passes_over_all_days(toy: Toy, trained: Trained) -> None:
    run = trained(pipeline_of(train={"order": "shuffled", "passes": 5, "patience": 1, "learning_rate": 0.1, "batch_size": 100}))
    chosen = json.loads((run / "model/inside.json").read_text())["passes_chosen"][0]["click"]
    assert chosen < 5  # or this test shows nothing
    refit = journal(run, phase="refit", event="step")
    assert refit[-1]["step"] == chosen * 5 * 300 / 100


@pytest.mark.words
def test_in_time_order_the_refit_goes_on_as_if_there_had_been_no_validation_days(toy: Toy, tmp_path: Path) -> None:
    """A training on all five days takes the same steps: weights, moments of both optimisers and the balancer's memory go on."""
    for name, split in (("refit", {"validation": (DAYS[3], DAYS[4])}), ("whole", {})):
        train = DAYS[0], DAYS[2] if split else DAYS[4]
        run_train(pipeline_of(split={"train": train, **split}, balance={"method": "gradnorm"}), toy.encoded, tmp_path / name)
    refit, whole = (load_file(tmp_path / name / "model/model.safetensors") for name in ("refit", "whole"))
    torch.testing.assert_close(refit, whole, rtol=1e-5, atol=1e-6)
    assert {line["phase"] for line in journal(tmp_path / "refit")} == {"choose", "refit"}


def test_in_time_order_a_round_of_balancing_is_a_day_however_often_it_is_gone_over(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[None] = []
    monkeypatch.setattr(Fixed, "end_round", lambda self: ended.append(None))
    run_train(pipeline_of(train={"order": "time", "batch_size": 300, "day_passes": 2}), toy.encoded, tmp_path / "run")
    assert len(ended) == len(DAYS[:5])


@pytest.mark.words
def test_members_are_nets_of_neighbouring_seeds_and_predictions_their_mean(toy: Toy, tmp_path: Path) -> None:
    def kept(name: str, **tables: Any) -> np.ndarray:
        run_train(pipeline_of(**tables, train={"refit": False}), toy.encoded, tmp_path / name)
        table = pq.read_table(tmp_path / name / "model/validation.parquet")
        return np.column_stack([table[name] for name in table.column_names[1:]]).astype(float)

    one, two = kept("one", seed=7), kept("two", seed=8)
    both = kept("both", seed=7, model={"members": 2})
    np.testing.assert_allclose(both, (one + two) / 2, rtol=1e-12)
    assert np.abs(one - two).max() > 1e-4
    weights = load_file(tmp_path / "both/model/model.safetensors")
    alone = load_file(tmp_path / "two/model/model.safetensors")
    assert all(torch.equal(weights[name.replace("member.0.", "member.1.")], alone[name]) for name in alone)


@pytest.mark.words
def test_the_model_that_stands_says_how_many_members_auto_was(toy: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_of(model={"members": "auto"}, train={"refit": False})
    run_train(pipeline, toy.encoded, tmp_path / "run")
    model = read_model(tmp_path / "run/model")
    assert (len(model.members), model.pipeline.model.members) == (4, 4)
    assert {line["member"] for line in journal(tmp_path / "run")} == {0, 1, 2, 3}


# --- Learning -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("architecture", ["mmoe", pytest.param("shared_bottom", marks=pytest.mark.words), "single_task"])
def test_a_planted_signal_is_learned_nearly_to_its_optimum(tmp_path: Path, architecture: str) -> None:
    """Every architecture learns nearly all in tests/contracts/test_models.py, without files."""
    train = {"order": "shuffled", "passes": 4, "learning_rate": 1e-2, "batch_size": 128, "refit": False}
    pipeline = pipeline_of(model={"architecture": architecture}, train=train)
    days = tables(1200)
    _, encoded = encoded_of(tmp_path, days, pipeline)
    run_train(pipeline, encoded, tmp_path / "run")
    test = days[DAYS[5]]
    labels = test["label.click"].to_numpy()
    predicted = load(tmp_path / "run/model").predict(test, position="logged")
    best = roc_auc_score(labels, true_logit(test))
    assert best > 0.75
    assert roc_auc_score(labels, predicted[:, 0]) > best - 0.02


@pytest.mark.words
def test_the_bias_tower_learns_the_planted_order_of_positions(tmp_path: Path) -> None:
    train = {"order": "shuffled", "passes": 6, "learning_rate": 2e-2, "batch_size": 128, "refit": False}
    pipeline = pipeline_of(objectives=CLICK, train=train)
    encoded = encoded_of(tmp_path, tables(1200), pipeline)[1]
    run_train(pipeline, encoded, tmp_path / "run")
    inside = json.loads((tmp_path / "run/model/inside.json").read_text())
    curve = [entry["logit"] for entry in inside["position_bias"] if entry["device"] == "phone" and entry["position"] is not None]
    assert curve[0] - curve[4] == pytest.approx(1.4, abs=0.5)  # POSITION_EFFECT: .8 against −.6
    assert curve[0] > curve[2] > curve[4]


@pytest.mark.words
def test_predicted_watch_time_adds_up_to_what_was_watched(toy: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_of(train={"order": "shuffled", "passes": 2})
    run_train(pipeline, toy.encoded, tmp_path / "run")
    learned = pa.concat_tables([toy.tables[day] for day in DAYS[:5]])
    predicted = load(tmp_path / "run/model").predict(learned, position="logged")[:, 1]
    assert predicted.sum() == pytest.approx(learned["label.watch"].to_numpy().sum(), rel=1e-5)


def test_smearing_is_fitted_on_the_last_rows_only(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[Outputs]) -> None:
    """Three batches of 200 of the 900 rows of the training days: the last 500, as a batch may be short."""
    monkeypatch.setattr(observe, "PREDICTION_ROWS", 200)
    monkeypatch.setattr(observe, "_SMEARING_BATCHES", 3)
    run_train(pipeline_of(train={"refit": False}), toy.encoded, tmp_path / "run")
    raw_NK = seen[5].raw_NK  # of each day before it is learned, and what is fitted when it is done
    assert len(raw_NK) == 500
    watched = np.concatenate([toy.tables[day]["label.watch"].to_numpy() for day in DAYS[:3]])[400:]
    losses = read_model(tmp_path / "run/model").members[0].losses
    assert losses.values(raw_NK)[:, 1].sum().item() == pytest.approx(watched.sum(), rel=1e-5)


def test_equal_seeds_give_equal_bytes_and_the_callers_random_state_stays(plain_run: Path, trained: Trained) -> None:
    torch.manual_seed(11)
    expected = torch.rand(2)
    torch.manual_seed(11)
    again = trained(pipeline_of())
    assert torch.equal(torch.rand(2), expected)
    assert (again / "model/model.safetensors").read_bytes() == (plain_run / "model/model.safetensors").read_bytes()


# --- What goes wrong ----------------------------------------------------------------------------------------------
def test_a_loss_that_is_not_finite_stops_before_the_update(toy: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_of(train={"batch_size": 64, "learning_rate": 1e25, "checkpoint_seconds": 1e-6})
    with pytest.raises(ConfigError, match=r"found a loss of .*(click|watch|like) (nan|inf).* at step \d+ \(member 1, choose"):
        run_train(pipeline, toy.encoded, tmp_path / "run")
    assert not (tmp_path / "run/model").exists()
    saved = load_file(tmp_path / "run/checkpoint/state-0.safetensors")
    weights = [tensor for name, tensor in saved.items() if name.startswith("member.ranker.")]
    assert all(torch.isfinite(tensor).all() for tensor in weights)
    for line in journal(tmp_path / "run"):
        assert all(np.isfinite(value) for value in line["loss"].values())


def test_a_gradient_that_is_not_finite_is_named(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descend, "gramian", lambda rows: torch.diag(torch.tensor([1.0, torch.inf, 1.0], dtype=torch.float64)))
    with pytest.raises(ConfigError, match=r"found a gradient of watch inf at step 1 \(member 1, choose"):
        run_train(pipeline_of(balance={"method": "torchjd.mgda"}), toy.encoded, tmp_path / "run")


def test_weights_whose_gradient_is_not_finite_are_named(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under finite losses; the penalty's is infinite in the towers' biases."""
    plain = Ranker.forward

    def with_root(ranker: Ranker, *args: Any, **by: Any) -> Any:
        bias = ranker.towers.heads.bias
        return plain(ranker, *args, **by)._replace(penalty=(bias - bias.detach()).sum().sqrt())

    monkeypatch.setattr(Ranker, "forward", with_root)
    with pytest.raises(
        ConfigError, match=r"found a gradient that is not finite, of the weights ranker\.towers\.heads\.bias at step 1 \(member 1"
    ):
        run_train(pipeline_of(), toy.encoded, tmp_path / "run")


def test_gradients_are_combined_only_where_something_shared_is_learned(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an architecture reads the input itself, and that holds nothing but numbers. Where nothing is shared, the TOML is refused."""
    plain = Ranker.forward

    def of_numbers(ranker: Ranker, *args: Any, **by: Any) -> Any:
        output = plain(ranker, *args, **by)
        return output._replace(shared=output.shared.detach())

    monkeypatch.setattr(Ranker, "forward", of_numbers)
    pipeline = pipeline_of(model={"architecture": "aitm"}, balance={"method": "torchjd.mgda"})
    with pytest.raises(ConfigError, match=r"torchjd\.mgda.*aitm.*they share nothing that is learned"):
        run_train(pipeline, toy.encoded, tmp_path / "run")


def test_no_training_day_is_an_error_that_names_the_days(toy: Toy, tmp_path: Path) -> None:
    pipeline = pipeline_of(split={"train": ("2030-01-01", "2030-01-02")})
    with pytest.raises(DataError, match="expected some from 2030-01-01 to 2030-01-02"):
        run_train(pipeline, toy.encoded, tmp_path / "run")


# --- The model folder ---------------------------------------------------------------------------------------------
def test_what_a_model_folder_says(toy: Toy, run_of_two: Path) -> None:
    run = run_of_two
    assert artifacts.verify(run / "model").stage == "train"
    inside = json.loads((run / "model/inside.json").read_text())
    assert inside.keys() == {
        "architecture", "members", "multiplications", "parameters", "looks", "position_bias", "passes_chosen", "precision", "device",
        "pace",
    }  # fmt: skip
    assert inside["pace"] == {"rows": 900, "batch_size": 100, "passes": 4, "day_passes": 1, "learning_rate": 0.001}
    learned = sum(parameter.numel() for member in load(run / "model").model.members for parameter in member.parameters())
    assert inside["parameters"]["dense"] + inside["parameters"]["embedding"] == learned
    (gates,) = inside["looks"]
    assert (gates["name"], gates["columns"]) == ("gates", ["expert 1", "expert 2"])
    assert gates["rows"].keys() == gates["polarised"].keys() == {"click", "watch", "like"}
    for shares in gates["rows"].values():
        assert sum(shares) == pytest.approx(1.0)
    assert all(0 <= share <= 1 for share in gates["polarised"].values())
    means = json.loads((run / "model/train_means.json").read_text())
    training = pa.concat_tables([toy.tables[day] for day in DAYS[:3]])
    for name in ("click", "watch", "like"):
        assert means[name] == pytest.approx(np.mean([value for value in training[f"label.{name}"].to_pylist() if value is not None]))


@pytest.mark.words
def test_an_architecture_without_gates_shows_none(trained: Trained) -> None:
    run = trained(pipeline_of(model={"architecture": "shared_bottom", "position": "blind"}))
    inside = json.loads((run / "model/inside.json").read_text())
    assert (inside["looks"], inside["position_bias"]) == ([], [])
    assert {str(line["gates"]) for line in journal(run)} == {"{}"}
    assert not any(name.startswith("rank.") for name in pq.read_schema(run / "model/validation.parquet").names)


@pytest.mark.words
def test_a_tower_that_no_objective_sees_gives_no_ranking_of_its_own(toy: Toy, tmp_path: Path) -> None:
    """All objectives are of satisfaction: the position changes nothing, so predictions without it say nothing new."""
    objectives = [{**CLICK[0], "group": "satisfaction"}]
    pipeline = pipeline_of(objectives=objectives)
    _, encoded = encoded_of(tmp_path, toy.tables, pipeline)
    run_train(pipeline, encoded, tmp_path / "run")
    assert pq.read_schema(tmp_path / "run/model/validation.parquet").names == ["day", "pred.click"]
    assert not load(tmp_path / "run/model").sees_position


@pytest.mark.words
def test_lines_of_the_journal_have_one_form(trained: Trained) -> None:
    run = trained(pipeline_of(train={"order": "shuffled", "passes": 2}))
    for line in journal(run):
        assert set(line) == {
            "event", "member", "phase", "pass", "day", "step", "part", "loss", "auc", "gates", "weight", "gradient_norm", "cosine",
            "gradient_product",
        }  # fmt: skip
        assert line["loss"].keys() == line["auc"].keys() == {"click", "watch", "like"}
    assert {line["auc"]["watch"] for line in journal(run)} == {None}


@pytest.mark.words
def test_what_is_odd_in_the_labels_is_said_once(tmp_path: Path) -> None:
    """Whatever phases and members there are. Here odds of what is watched nearly always: a twentieth is not."""
    odds = ({"name": "watch", "kind": "watch_time", "label": "seconds", "method": "weighted_logistic"},)
    pipeline = pipeline_of(objectives=odds, model={"members": 2})
    days = {day: with_label(table, "watch", np.arange(len(table)) % 20.0) for day, table in tables(60).items()}
    said = Said()
    run_train(pipeline, encoded_of(tmp_path, days, pipeline)[1], tmp_path / "run", said)
    assert len([text for text in said.texts if text.startswith("train: watch: found ")]) == 1, said.texts


def test_the_speed_on_the_console_is_rows_over_seconds(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves 2 s whenever it is looked at. It stands in no file: equal trainings leave equal bytes."""
    clock = itertools.count(step=2.0)
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    notes = []
    monkeypatch.setattr(Said, "bar", lambda *_: nullcontext(lambda steps=1, note="": notes.append(note.partition(", ")[2])))
    run_train(pipeline_of(train={"batch_size": 64, "order": "time", "refit": False}), toy.encoded, tmp_path / "run", Said())
    assert list(filter(None, notes)) == 3 * [*4 * ["32 rows/s"], "22 rows/s"], "of 300 rows a day"
