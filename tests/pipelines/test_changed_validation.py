"""A validation day of a training in time order whose rows have changed since it was predicted and learned."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys import artifacts
from recsys.cli import run_command
from recsys.errors import EXIT_ARTIFACT
from tests.staged import sign

from .conftest import PIPELINES

DAY, VALIDATION = "2024-01-05", "2024-01-04"


def night(workspace: Path, *more: str) -> int:
    overrides = [part for key in ("train.warm_days=2", "evaluate.baselines=[]") for part in ("--set", key)]
    command = ["run", str(PIPELINES / "tiny.toml"), "--workspace", str(workspace), "--through", DAY, "--run", "night", "--until", "score"]
    return run_command([*command, *overrides, *more])


@pytest.mark.words
def test_what_was_predicted_never_stands_beside_other_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The day has as many rows as before, so that nothing but their order tells that they are others."""
    assert night(tmp_path) == 0
    (path,) = (tmp_path / "tiny" / "examples").glob(f"*/day={VALIDATION}/part-0.parquet")
    table = artifacts.read_table(path)
    pq.write_table(
        table.set_column(table.column_names.index("label.click"), "label.click", pa.array([1.0] * len(table), pa.float32())), path
    )
    sign(path)
    assert night(tmp_path) == 0, "the same impressions"
    assert "found other rows of" in capsys.readouterr().out
    pq.write_table(pa.concat_tables([table.slice(1), table.slice(0, 1)]), path)
    sign(path)
    capsys.readouterr()
    assert night(tmp_path) == EXIT_ARTIFACT
    said = capsys.readouterr().err
    assert f"day={VALIDATION}: found other rows than the model of night predicted before it learned them" in said
    assert f"Fix: recsys run PIPELINE --from {VALIDATION}" in said
    assert night(tmp_path, "--from", VALIDATION) == 0
