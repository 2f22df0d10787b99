"""Every architecture walks the whole path by its word alone. Minutes: under a marker, run by .ci/run and not by `make test`."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from recsys.cli import run_command
from recsys.config.architectures import Architectures

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

pytestmark = pytest.mark.words
words = pytest.mark.parametrize("architecture", list(Architectures.model_fields))
# One per way to the heads: apart, one trunk, gates, layers of gates, gated inputs, a table per objective, one head after another.
KINDS = pytest.mark.parametrize("architecture", ["single_task", "shared_bottom", "mmoe", "ple", "pepnet", "stem", "aitm"])


@words
def test_tiny(architecture: str, workspace: Path, tiny: Path):
    assert (
        run_command(["run", str(PIPELINES / "tiny.toml"), "--workspace", str(workspace), "--set", f"model.architecture={architecture}"])
        == 0
    )
    run = next((workspace / "tiny" / "runs").glob(f"{architecture}-*"))
    metrics = pq.read_table(run / "metrics.parquet").to_pandas()
    whole = metrics[(metrics["slice"] == "all") & metrics["day"].isna() & (metrics["split"] == "test") & metrics["against"].isna()]
    auc = whole[(whole["metric"] == "auc") & (whole["objective"] == "click")]["value"].iloc[0]
    assert auc > 0.55
    assert (run / "report.html").stat().st_size > 100_000


@pytest.fixture(scope="session")
def kuairand_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kuairand")


@KINDS
def test_kuairand(architecture: str, kuairand_pure: Path, kuairand_workspace: Path):
    """One member, one pass, two days and no refit: whether it runs on real data, not how well."""
    overrides = [
        f"model.architecture={architecture}",
        'split.train=["2022-05-01","2022-05-02"]',
        "model.members=1",
        "train.passes=1",
        "train.refit=false",
        "evaluate.baselines=[]",
    ]
    sets = [part for override in [*overrides, f"source.path={kuairand_pure}"] for part in ("--set", override)]
    pipeline = str(PIPELINES / "kuairand_pure.toml")
    assert run_command(["run", pipeline, "--workspace", str(kuairand_workspace), "--until", "score", *sets]) == 0
    run = next((kuairand_workspace / "kuairand_pure" / "runs").glob(f"{architecture}-*"))
    predictions = pq.read_table(run / "predictions.parquet", filters=[("split", "==", "test")]).to_pandas()
    assert roc_auc_score(predictions["label.click"], predictions["pred.click"]) > 0.7
