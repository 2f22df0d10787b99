"""A training on every kind of label at once, on rows that count differently, and with fewer negatives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from recsys.config import Pipeline
from recsys.encoding import EncodedDays, Thinning
from recsys.losses import ObjectiveLosses
from recsys.predictions import ranking_names, value_names
from recsys.scoring import load
from recsys.scoring.member import Outputs

from .conftest import DAYS, KINDS, Said, Toy, encoded_of, journal, kinds_pipeline, pipeline_of, run_train, tables, with_label

NAMES = [objective["name"] for objective in KINDS]


@pytest.fixture
def trained(kinds_toy: Toy, tmp_path: Path) -> Callable[..., Path]:
    def train_on(pipeline: Pipeline, name: str = "run") -> Path:
        run_train(pipeline, kinds_toy.encoded, tmp_path / name)
        return tmp_path / name

    return train_on


@pytest.fixture(scope="module")
def plain(kinds_toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of `kinds_pipeline()`."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    run_train(kinds_pipeline(), kinds_toy.encoded, folder)
    return folder


def learned(kinds_toy: Toy, days: tuple[str, ...]) -> pa.Table:
    return pa.concat_tables([kinds_toy.tables[day] for day in days])


def column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy(zero_copy_only=False).astype(float)


# --- What is learned ----------------------------------------------------------------------------------------------
def test_a_binary_loss_is_the_weighted_mean_over_all_rows_in_units_of_the_weighted_constant(kinds_toy: Toy, tmp_path: Path, seen) -> None:
    """By hand: cross-entropy of the product along the chain. Thinning is for training batches only."""
    pipeline = kinds_pipeline(train={"order": "shuffled", "passes": 2, "refit": False, "negatives": {"objective": "click", "keep": 0.5}})
    run_train(pipeline, kinds_toy.encoded, tmp_path / "run")
    training, validation = learned(kinds_toy, DAYS[:3]), learned(kinds_toy, DAYS[3:5])
    weights, background = column(validation, "weight"), column(training, "weight")
    lines = journal(tmp_path / "run", part="validation", event="pass")
    assert len(lines) == 2
    for line, outputs in zip(lines, seen, strict=False):
        raw = outputs.raw_NK.double().numpy()
        assert len(raw) == 600
        sigmoid = 1 / (1 + np.exp(-raw))
        click = sigmoid[:, NAMES.index("click")]
        for name, predicted in (("click", click), ("like", click * sigmoid[:, NAMES.index("like")])):
            label = column(validation, f"label.{name}")
            loss = np.average(-(label * np.log(predicted) + (1 - label) * np.log1p(-predicted)), weights=weights)
            half = background[background > 0].mean() / 2
            rate = (background @ column(training, f"label.{name}") + half) / (background.sum() + 2 * half)
            assert line["loss"][name] == pytest.approx(loss / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)), rel=1e-5)
            assert line["auc"][name] == pytest.approx(roc_auc_score(label, predicted)), "of all rows, each counting once"


@pytest.mark.words
def test_lines_of_the_journal_have_finite_losses_of_every_kind(trained) -> None:
    for line in journal(trained(kinds_pipeline(train={"negatives": {"objective": "click", "keep": 0.3}}))):
        assert set(line["loss"]) == set(NAMES)
        assert all(value is not None and np.isfinite(value) for value in line["loss"].values())


@pytest.mark.words
def test_thresholds_are_learned_and_kept_in_the_model(kinds_toy: Toy, trained) -> None:
    pipeline = kinds_pipeline(train={"refit": False, "order": "shuffled", "passes": 2})
    run = trained(pipeline)
    days = EncodedDays(kinds_toy.encoded, DAYS[:3])
    start = ObjectiveLosses.fit(pipeline.objective, days.labels(), days.durations(), days.weights()).state_dict()
    end = {name.removeprefix("member.0.losses."): tensor for name, tensor in load_file(run / "model/model.safetensors").items()}
    moved = (end["methods.ordinal.cuts_JC"] - start["methods.ordinal.cuts_JC"]).abs()
    assert 0 < moved.max() < 1
    members = load(run / "model").model.members
    learned_numbers = sum(parameter.numel() for member in members for parameter in member.parameters())
    inside = json.loads((run / "model/inside.json").read_text())
    assert inside["parameters"]["dense"] + inside["parameters"]["embedding"] == learned_numbers


@pytest.mark.words
def test_weighted_predictions_of_watch_time_add_up_over_the_rows_that_count(kinds_toy: Toy, trained) -> None:
    """All three methods are smeared: Σ w · value = Σ w · label over what was learned."""
    run = trained(kinds_pipeline(train={"order": "shuffled", "passes": 1}))
    table = learned(kinds_toy, DAYS[:5])
    predicted = load(run / "model").predict(table, position="logged")
    for name in ("watch", "odds", "seen"):
        weights = column(table, "weight")
        assert weights @ predicted[:, NAMES.index(name)] == pytest.approx(weights @ column(table, f"label.{name}"), rel=1e-4)


# --- What is predicted --------------------------------------------------------------------------------------------
def test_predictions_hold_a_probability_of_each_level_and_ranks_hold_objectives_and_percentiles(kinds_toy: Toy, trained) -> None:
    pipeline = kinds_pipeline(model={"members": 2})
    run = trained(pipeline)
    kept = pq.read_table(run / "model/validation.parquet")
    values = value_names(pipeline.objective)
    assert values[-5:-4] == ("seen%",)
    assert values[-4:] == ("stars=1", "stars=2", "stars=3", "stars=4")
    ranks = ranking_names(pipeline.objective)
    assert set(kept.column_names) == {"day", *(f"pred.{name}" for name in values), *(f"rank.{name}" for name in ranks)}
    predicted = load(run / "model").predict(kinds_toy.tables[DAYS[5]])
    assert predicted.shape == (300, len(values))
    for levels, expected in (
        (predicted[:, -4:], predicted[:, NAMES.index("stars")]),
        (np.column_stack([column(kept, f"pred.stars={n}") for n in range(1, 5)]), column(kept, "pred.stars")),
    ):
        np.testing.assert_allclose(levels.sum(1), 1.0, rtol=1e-12)
        np.testing.assert_allclose(levels @ np.arange(1, 5), expected, rtol=1e-12)
    assert (column(kept, "pred.like") < column(kept, "pred.click")).all(), "a like is jointly of a click"


@pytest.mark.words
def test_serving_reads_no_label_and_no_weight_but_the_length(kinds_toy: Toy, plain: Path) -> None:
    scorer = load(plain / "model")
    table = kinds_toy.tables[DAYS[5]]
    blind = table.drop_columns([name for name in table.column_names if name.startswith("label.") or name == "weight"])
    predicted = scorer.predict(blind)
    np.testing.assert_array_equal(predicted, scorer.predict(table))
    longer = blind.set_column(blind.column_names.index("item.length"), "item.length", pa.array(column(blind, "item.length") * 10))
    assert scorer.predict(longer)[:, NAMES.index("watch")].mean() > 1.5 * predicted[:, NAMES.index("watch")].mean()


def test_background_means_know_the_conditional_form_and_no_weights(kinds_toy: Toy, plain: Path) -> None:
    means = json.loads((plain / "model/train_means.json").read_text())
    table = learned(kinds_toy, DAYS[:3])
    click, like = column(table, "label.click"), column(table, "label.like")
    assert set(means) == {*NAMES, "like|click"}
    assert means["like"] == pytest.approx(like.mean())
    assert means["like|click"] == pytest.approx(like[click == 1].mean())


# --- Thinning -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_a_thinned_training_takes_the_steps_that_its_rows_fill(kinds_toy: Toy, trained, order: str) -> None:
    train = {"order": order, "passes": 2, "refit": False, "negatives": {"objective": "click", "keep": 0.25}}
    run = trained(kinds_pipeline(train=train, seed=9))
    clicks = [column(kinds_toy.tables[day], "label.click").astype(np.float32) for day in DAYS[:3]]
    thinned, rows = Thinning(NAMES.index("click"), 0.25, 9), np.arange(300)
    first, second = ([thinned.kept(day, rows, of, epoch).sum() for day, of in zip(DAYS, clicks, strict=False)] for epoch in (0, 1))
    assert sum(first) < 700 < 900
    if order == "shuffled":
        expected = -(-sum(first) // 100) - (-sum(second) // 100)  # each pass keeps others
    else:
        expected = sum(-(-rows // 100) for rows in first)
    assert journal(run, event="step")[-1]["step"] == expected


@pytest.mark.words
def test_keeping_all_negatives_is_thinning_none_of_them_to_the_bit(plain: Path, trained) -> None:
    run = trained(kinds_pipeline(train={"negatives": {"objective": "click", "keep": 1.0}}))
    assert (run / "model/model.safetensors").read_bytes() == (plain / "model/model.safetensors").read_bytes()


@pytest.mark.words
def test_members_thin_by_their_own_seeds(trained) -> None:
    def weights(name: str, **tables: Any) -> dict[str, torch.Tensor]:
        train = {"negatives": {"objective": "click", "keep": 0.25}, "refit": False}
        return load_file(trained(kinds_pipeline(train=train, **tables), name) / "model/model.safetensors")

    both, second = weights("both", seed=7, model={"members": 2}), weights("second", seed=8)
    assert all(torch.equal(both[name.replace("member.0.", "member.1.")], second[name]) for name in second)


# --- What is said -------------------------------------------------------------------------------------------------
@pytest.mark.words
def test_what_the_losses_find_odd_is_said_once_for_all_members(tmp_path: Path) -> None:
    """Here: hardly a like is observed where there was a click."""
    objectives = [{"name": "click", "label": "c"}, {"name": "like", "label": "l", "given": "click"}]
    pipeline = pipeline_of(objectives=objectives, model={"members": 2}, train={"order": "shuffled", "passes": 1})
    days = {}
    for day, table in tables(100).items():
        click = column(table, "label.click")
        like = np.where(click == 0, 0.0, np.where(np.arange(100) % 4 == 0, 1.0, np.nan))
        days[day] = with_label(table, "like", like)
    said = Said()
    run_train(pipeline, encoded_of(tmp_path, days, pipeline)[1], tmp_path / "run", said)
    (text,) = [text for text in said.texts if "P(like | click) is learned too low" in text]
    assert text.startswith("train: like: found a label on only ")


@pytest.mark.words
def test_labels_that_are_not_known_yet_are_not_taken_for_missing_ones(tmp_path: Path) -> None:
    """Half of the likes of a day are known only on the next, with a click or without; of the last day all, for nothing comes after it."""
    objectives = [{"name": "click", "label": "c"}, {"name": "like", "label": "l", "given": "click"}]
    pipeline = pipeline_of(objectives=objectives, split={"train": (DAYS[0], DAYS[0]), "validation": (DAYS[1], DAYS[2])})
    days = {}
    for day, table in tables(300).items():
        like = np.nan_to_num(table["label.like"].to_numpy(zero_copy_only=False).astype(float))
        days[day] = with_label(table, "like", like, delay=86_400_000 - 150_000)
    said = Said()
    run_train(pipeline, encoded_of(tmp_path, days, pipeline)[1], tmp_path / "run", said)
    assert not [text for text in said.texts if "too low" in text]
    assert any(text.startswith("train: labels known only when the next day has begun") and "like 33.3%" in text for text in said.texts)


def test_outputs_of_a_prediction_carry_the_rows_lengths(kinds_toy: Toy, tmp_path: Path, seen: list[Outputs]) -> None:
    run_train(kinds_pipeline(train={"refit": False}), kinds_toy.encoded, tmp_path / "run")
    np.testing.assert_array_equal(seen[0].durations_NA.numpy()[:, 0], column(kinds_toy.tables[DAYS[0]], "item.length").astype(np.float32))


@pytest.mark.parametrize(("members", "warned"), [(1, True), (2, False)])
def test_one_member_that_sees_a_share_of_the_columns_is_warned_of(toy: Toy, tmp_path: Path, members: int, warned: bool) -> None:
    said = Said()
    run_train(pipeline_of(model={"members": members, "input_share": 0.5}), toy.encoded, tmp_path / "run", said)
    assert any("warning: found model.input_share = 0.5 with one member" in text for text in said.texts) == warned
