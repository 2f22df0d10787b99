"""`recsys.run` and `recsys.open_run`, in place of the command line."""

from pathlib import Path

import pytest

import recsys
from recsys.errors import ConfigError
from tests.pipelines.conftest import PIPELINES
from tests.test_library import example_holds


def test_a_run_from_python_is_the_run_of_the_command_line(tiny: Path) -> None:
    run = recsys.run(PIPELINES / "tiny.toml", workspace=tiny.parent, name="first", quiet=True)
    assert run.path == tiny / "runs" / "first"
    assert run.report.is_file()
    assert run.pipeline.name == "tiny"
    assert {"train"}.isdisjoint(run.predictions["split"])
    assert len(run.metrics) > 100


@pytest.mark.parametrize("function", [recsys.run, recsys.open_run])
def test_examples_in_docstrings_hold(function, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PIPELINES.parent)
    assert example_holds(function, workspace=tiny.parent)


def test_the_summary_holds_main_metrics_and_differences(tiny: Path) -> None:
    run = recsys.open_run("first", workspace=tiny.parent)
    summary = run.summary
    assert ("click", "auc") in summary.index
    rows = run.metrics
    (auc,) = rows[(rows["objective"] == "click") & (rows["metric"] == "auc") & (rows["split"] == "test") & rows["day"].isna()
                  & (rows["slice"] == "all") & rows["against"].isna()]["value"]  # fmt: skip
    assert summary.loc[("click", "auc"), "value"] == auc
    assert any(name.startswith("minus popularity") for name in summary.columns)
    html = run._repr_html_()
    assert "<b>first</b>" in html
    assert f"{auc:.4f}" in html


def test_a_run_that_is_not_there(tiny: Path) -> None:
    with pytest.raises(ConfigError, match='"never": found no evaluated run of that name'):
        recsys.open_run("never", workspace=tiny.parent)
