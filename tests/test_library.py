"""The tool as a library: what `import recsys` gives."""

import doctest
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

import recsys
from recsys import evaluation
from recsys.errors import ConfigError
from recsys.evaluation import arrays

ROOT = Path(__file__).resolve().parents[1]


def example_holds(function, **names) -> bool:
    """Whether the example in a docstring gives what it says. `names` are what it takes as given."""
    (example,) = doctest.DocTestFinder(recurse=False).find(function, globs={**vars(sys.modules[function.__module__]), **names})
    assert example.examples, function
    return doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("function", [recsys.load_pipeline, recsys.evaluate_arrays, recsys.evaluate, recsys.off_policy])
def test_examples_in_docstrings_hold(function, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert example_holds(function)


def test_all_names_are_there() -> None:
    for name in recsys.__all__:
        assert getattr(recsys, name).__doc__, name
    assert set(recsys.__all__) <= set(dir(recsys))  # by which a notebook completes `recsys.`
    with pytest.raises(AttributeError, match="nothing"):
        recsys.nothing  # noqa: B018


def _rows(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    score = rng.random(rows)
    return pd.DataFrame({
        "y": (rng.random(rows) < 0.2 + 0.6 * score).astype(int), "score": score, "user": [f"u{n // 8 % 50}" for n in range(rows)],
        "list": np.arange(rows) // 8,
    })  # fmt: skip


def test_metrics_of_arrays_are_those_of_scikit_learn() -> None:
    rows = _rows()
    found = recsys.evaluate_arrays(rows["y"], rows["score"], users=rows["user"], lists=rows["list"], bootstrap=200)
    assert found.loc["auc", "value"] == pytest.approx(roc_auc_score(rows["y"], rows["score"]))
    assert found.loc["log_loss", "value"] == pytest.approx(log_loss(rows["y"], rows["score"]))
    assert found.loc["auc", "low"] < found.loc["auc", "value"] < found.loc["auc", "high"]

    def within(key: str) -> float:
        groups = [group for _, group in rows.groupby(key) if group["y"].nunique() == 2]
        return float(np.average([roc_auc_score(group["y"], group["score"]) for group in groups], weights=[len(group) for group in groups]))

    assert found.loc["gauc", "value"] == pytest.approx(within("user"))
    assert found.loc["gauc_list", "value"] == pytest.approx(within("list"))


def test_without_users_each_row_is_one_and_without_lists_there_are_none() -> None:
    rows = _rows()
    found = recsys.evaluate_arrays(rows["y"], rows["score"], bootstrap=0)
    assert found.loc["auc", "value"] == pytest.approx(roc_auc_score(rows["y"], rows["score"]))
    assert found.loc["gauc", "reason"] == "no user has both classes"
    assert found.loc["gauc_list", "reason"] == "no list has both classes"
    assert found.loc["auc", "n"] == len(rows)


def test_unknown_labels_and_other_kinds() -> None:
    rows = _rows()
    label = rows["y"].astype(float).where(rows.index % 4 != 0)
    found = recsys.evaluate_arrays(label, rows["score"], bootstrap=0)
    assert found.loc["auc", "n"] == 300
    assert found.loc["auc", "value"] == pytest.approx(roc_auc_score(label.dropna(), rows["score"][label.notna()]))
    found = recsys.evaluate_arrays(rows["score"] * 9, rows["score"] * 8, kind="watch_time", bootstrap=0)
    assert found.loc["rmse", "value"] == pytest.approx(float(np.sqrt(np.mean(rows["score"] ** 2))))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_score": [0.1]}, "y_score: found 1 values, expected 3, as many as y_true"),
        ({"users": [1, 2]}, "users: found 2 values, expected 3"),
        ({"kind": "ordinal"}, 'kind: found "ordinal", expected binary'),
        ({"bootstrap": -1}, "bootstrap"),
    ],
)
def test_arrays_that_do_not_fit(changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recsys.evaluate_arrays(**{"y_true": [0, 1, 1], "y_score": [0.1, 0.5, 0.6], **changes})


def test_evaluation_stays_usable_without_the_rest() -> None:
    assert arrays.evaluate_arrays is recsys.evaluate_arrays
    assert evaluation.evaluate is recsys.evaluate


@pytest.mark.parametrize("overrides", ["model.architecture=ple", [5]])
def test_overrides_that_are_no_list_of_texts_are_named(overrides) -> None:
    with pytest.raises(ConfigError, match=r"overrides: found .*, expected a list of texts KEY=VALUE. Fix: ") as caught:
        recsys.load_pipeline("pipelines/tiny.toml", overrides)
    assert len(caught.value.problems) == 1
