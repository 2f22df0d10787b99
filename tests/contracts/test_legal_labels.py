"""Which labels an objective allows: the features, the losses and the evaluation refuse the same ones."""

from pathlib import Path
from types import SimpleNamespace

import ibis
import numpy as np
import pyarrow as pa
import pytest

from recsys.days import Day
from recsys.errors import DataError
from recsys.evaluation import read_scores
from recsys.features.validate import require_valid
from recsys.losses import ObjectiveLosses
from recsys.objectives import Objective

DAY = Day("2024-01-01", "UTC")
INFINITE = (np.inf, -np.inf)
THIRD = 0.1 * 3  # not 0.3, but the same float32
CASES = [  # kind, legal, illegal, words
    ({"kind": "binary"}, (0, 1), (0.5, -1, 2, 1 + 1e-9, *INFINITE), "0 or 1"),
    ({"kind": "regression"}, (-3.5, 0, 1e30), INFINITE, "a finite number"),
    ({"kind": "watch_time"}, (0, 0.1, 1e30), (-0.1, -1e-9, *INFINITE), "a finite number of 0 or more"),
    ({"kind": "ordinal", "levels": (0.3, 1, 5)}, (0.3, THIRD, 1, 5), (0, 0.31, 3, -1, *INFINITE), "one of 0.3, 1, 5"),
]


def in_features(objective: Objective, label_N: list[float]) -> None:
    rows = pa.table({"timestamp": [DAY.start] * len(label_N), "label.o": pa.array(label_N, pa.float64())})
    table, plan = ibis.memtable(rows), SimpleNamespace(signals=(), weight=None, objectives=(objective,))
    require_valid(lambda answer: answer.to_pyarrow().to_pylist()[0], table, table, plan, DAY, Path("part-0.parquet"))


def in_losses(objective: Objective, label_N: list[float]) -> None:
    ObjectiveLosses.fit([objective], np.array(label_N)[:, None])


def in_evaluation(objective: Objective, label_N: list[float]) -> None:
    rows = {"event_id": pa.array(range(len(label_N)), pa.int64()), "pred.o": [0.5] * len(label_N), "label.o": label_N}
    read_scores(pa.table(rows), [objective], "mine", labels=True)


@pytest.mark.parametrize("read", [in_features, in_losses, in_evaluation])
@pytest.mark.parametrize(("options", "legal", "illegal", "words"), CASES, ids=[options["kind"] for options, *_ in CASES])
def test_a_label_is_refused_everywhere_or_nowhere(read, options, legal, illegal, words):
    objective = Objective(name="o", label="x", **options)
    labels = [float(value) for value in legal]
    read(objective, labels)
    for value in illegal:
        with pytest.raises(DataError, match=rf"label\.o: found .*, expected {words}\b.*; 1 of {len(legal) + 1} rows"):
            read(objective, [*labels, float(value)])
