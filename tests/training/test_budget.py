"""A model with a budget: its widths are found once, when it is trained, and saved; whoever loads it counts nothing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from torch.utils.flop_counter import FlopCounterMode

from recsys import artifacts
from recsys.config import Learning
from recsys.encoding import Encoder
from recsys.errors import ArtifactError, ConfigError
from recsys.progress import Console
from recsys.scoring import load, permuted, score
from recsys.scoring.model_folder import read_model
from recsys.training.transfer import Transfer
from tests.staged import ORIGIN

from .conftest import DAYS, Toy, pipeline_of, run_train
from .test_resume import _interrupt_every

BUDGET = 6_000
PIPELINE = pipeline_of(model={"budget_macs": BUDGET, "members": 2}, train={"batch_size": 100, "order": "shuffled", "passes": 2})


@pytest.fixture(scope="module")
def run(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chosen and refitted, two members, scored."""
    folder = tmp_path_factory.mktemp("budget") / "run"
    run_train(PIPELINE, toy.encoded, folder)
    return folder


@pytest.fixture
def counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise AssertionError("multiplications were counted")

    monkeypatch.setattr(FlopCounterMode, "get_total_flops", refuse)


@pytest.fixture
def counts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """By 2 %, as another version of torch may."""
    original = FlopCounterMode.get_total_flops
    monkeypatch.setattr(FlopCounterMode, "get_total_flops", lambda counter: round(1.02 * original(counter)))


def _saved(run: Path) -> Learning:
    return Learning.model_validate_json((run / "model/config.json").read_bytes())


@pytest.mark.words
def test_what_is_saved_has_the_widths_of_its_weights_and_no_budget(run: Path) -> None:
    model = _saved(run).model
    assert (model.budget_macs, model.members) == (None, 2)
    assert json.loads((run / "model/inside.json").read_text())["multiplications"] in range(int(0.95 * BUDGET), BUDGET + 1)
    for member in read_model(run / "model").members:
        weights = dict(member.ranker.named_parameters())
        assert weights["hidden.layers.0.weight"].shape[2] == model.d_shared
        assert weights["architecture.experts.first.weight"].shape[2] == 2 * model.mmoe.hidden[0]
    assert model.mmoe.hidden != PIPELINE.model.mmoe.hidden


@pytest.mark.words
@pytest.mark.parametrize("counting", ["counts_nothing", "counts_more"])
def test_it_is_loaded_scored_and_looked_into_whatever_is_counted(
    toy: Toy, run: Path, request: pytest.FixtureRequest, counting: str
) -> None:
    before = _looked_at(toy, run)
    request.getfixturevalue(counting)
    for ours, theirs in zip(_looked_at(toy, run), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _looked_at(toy: Toy, run: Path) -> list[np.ndarray]:
    """The library's predictions, the stage's, and those of permutation importance."""
    quiet = Console(quiet=True)
    score(PIPELINE, toy.examples, toy.encoded, run, run / "predictions.parquet", ORIGIN, console=quiet)
    scored = pq.read_table(run / "predictions.parquet")["pred.click"].to_numpy()
    sample = permuted(PIPELINE, toy.examples, toy.encoded, run, rows=100, console=quiet)
    _, (first, *_) = next(sample.groups)
    return [load(run / "model").predict(toy.tables[DAYS[5]]), scored, *(table["pred.click"].to_numpy() for table in (sample.base, first))]


@pytest.mark.words
def test_a_training_that_goes_on_keeps_the_widths_it_began_with(
    toy: Toy, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Interrupted before the first member is chosen, so the refit and the second member are built where more is counted."""
    with monkeypatch.context() as patch:
        _interrupt_every(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            run_train(PIPELINE, toy.encoded, tmp_path / "run")
    request.getfixturevalue("counts_more")
    run_train(PIPELINE, toy.encoded, tmp_path / "run")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "run/model" / name).read_bytes() == (run / "model" / name).read_bytes()


def test_a_model_that_an_earlier_version_saved_with_its_budget_is_refused(run: Path, tmp_path: Path) -> None:
    with artifacts.writing(tmp_path / "model", stage="train", fingerprint="x") as output:
        shutil.copytree(run / "model", output.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(artifacts.MANIFEST))
        output.write_json("config.json", PIPELINE.model_dump(mode="json", include=set(Learning.model_fields)))
    with pytest.raises(ArtifactError, match=r"made by an earlier version \(model\.budget_macs: found 6,000, expected widths"):
        load(tmp_path / "model")


def test_another_run_starts_from_its_widths_as_they_are(toy: Toy, run: Path, counts_nothing: None) -> None:
    encoder = Encoder.load(toy.encoded / "encoder")
    Transfer(_saved(run), encoder, run)
    width = _saved(run).model.d_shared
    other = pipeline_of(model=_saved(run).model.model_dump(exclude={"d_shared"}) | {"d_shared": width + 1})
    with pytest.raises(ConfigError, match=rf"model\.d_shared: found {width + 1}, expected {width} as the run run has it"):
        Transfer(other, encoder, run)
