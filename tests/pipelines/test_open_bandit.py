"""Open Bandit's own pipeline on the real files, up to predictions that a policy can be valued from."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import Objective, off_policy
from recsys.cli import run_command

PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "open_bandit.toml"


@pytest.mark.words
def test_predictions_carry_the_propensities_of_the_log(open_bandit: Path, tmp_path: Path):
    overrides = [f"source.path={open_bandit}", "evaluate.bootstrap=20", "evaluate.baselines=[]"]
    sets = [part for override in overrides for part in ("--set", override)]
    assert run_command(["run", str(PIPELINE), "--workspace", str(tmp_path), "--until", "evaluate", *sets]) == 0
    predictions = pq.read_table(next(tmp_path.glob("open_bandit/runs/*/predictions.parquet")))
    assert set(predictions["propensity"].to_pylist()) == {1 / 34}

    uniform = predictions.append_column("target_propensity", pa.array([1 / 34] * len(predictions)))
    rows = off_policy(uniform, [Objective(name="click", label="click = 1")], run="uniform", bootstrap=20, slices=()).to_pylist()
    means = {part: [row["value"] for row in rows if row["split"] == part and row["day"] is None][:4] for part in ("validation", "test")}
    for part, found in means.items():
        of_part = predictions.filter(pa.compute.equal(predictions["split"], part))
        assert found == pytest.approx([pa.compute.mean(of_part["label.click"]).as_py()] * 4)  # the policy that was logged: the plain mean
