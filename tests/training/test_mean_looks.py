"""What an architecture shows: means over rows, over batches and over members, and the names that go with them."""

import json

import numpy as np
import pytest
import torch

from recsys.encoding import EncodedDays, batches
from recsys.models import Look
from recsys.objectives import Objective
from recsys.scoring.devices import decide
from recsys.scoring.mean_looks import GATES, MeanLooks, as_tensors, columns_of, described, gates_by_name
from recsys.scoring.member import new_member, predict

from .conftest import DAYS, Toy, pipeline_of, run_train

OBJECTIVES = [Objective(name="a", label="x"), Objective(name="b", label="y")]


def look(values: list[list[float]], polarised: list[float] | None = None) -> Look:
    return Look(
        torch.tensor(values).float(), tuple("uvw"[: len(values[0])]), None if polarised is None else torch.tensor(polarised).float()
    )


def test_means_are_by_rows_and_looks_without_polarised_rows_have_none() -> None:
    looks = MeanLooks()
    looks.add({"gates": look([[1, 0], [0, 1]], [1, 0]), "masks": look([[2.0], [4.0]])}, 3)
    looks.add({"gates": look([[0, 1], [0, 1]], [0, 1]), "masks": look([[6.0], [4.0]])}, 1)
    means = looks.means()
    assert means["gates"].values_KN.tolist() == [[0.75, 0.25], [0, 1]]
    assert means["gates"].polarised_K.tolist() == [0.75, 0.25]
    assert means["masks"].values_KN.tolist() == [[3.0], [4.0]]
    assert means["masks"].polarised_K is None
    assert means["gates"].columns == ("u", "v")
    assert MeanLooks().means() == {}


def test_what_was_added_stays_as_it_was() -> None:
    given = look([[1.0, 0.0], [0.5, 0.5]])
    looks = MeanLooks()
    looks.add({"gates": given}, 2)
    looks.add({"gates": given}, 2)
    assert given.values_KN.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_a_description_is_the_mean_over_members() -> None:
    members = [{"gates": look([[1, 0], [0, 1]], [1, 0]), "a.b": look([[2.0], [4.0]])}, {"gates": look([[0, 1], [0, 1]], [0, 0])}]
    members[1]["a.b"] = look([[3.0], [4.0]])
    kept = [as_tensors(looks) | {"pred.": torch.zeros(3)} for looks in members]
    found = described(kept, {"gates": ("u", "v"), "a.b": ("u",)}, OBJECTIVES)
    assert found == [
        {"name": "gates", "columns": ["u", "v"], "rows": {"a": [0.5, 0.5], "b": [0, 1]}, "polarised": {"a": 0.5, "b": 0}},
        {"name": "a.b", "columns": ["u"], "rows": {"a": [2.5], "b": [4.0]}, "polarised": {}},
    ]
    assert described([{}], {}, OBJECTIVES) == []


def test_the_journal_follows_the_gates_and_a_way_without_any_has_none() -> None:
    assert gates_by_name(look([[1, 0], [0, 1]]), OBJECTIVES) == {"a": [1, 0], "b": [0, 1]}
    assert gates_by_name(None, OBJECTIVES) == {}


def test_a_prediction_in_batches_shows_what_one_of_all_rows_shows(toy: Toy) -> None:
    days, compute = EncodedDays(toy.encoded, [DAYS[0]]), decide(pipeline_of(train={"device": "cpu"}).train)
    member = new_member(pipeline_of(), days, 0)
    for parameter in member.ranker.architecture.parameters():
        torch.nn.init.normal_(parameter, std=2.0, generator=torch.Generator().manual_seed(1))
    whole, parts = (
        predict(member, batches(days, batch_size=size, order="time"), position="logged", compute=compute).looks[GATES] for size in (300, 70)
    )
    torch.testing.assert_close(parts.values_KN, whole.values_KN, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(parts.polarised_K, whole.polarised_K)
    assert 0 < whole.polarised_K.max() < 1
    (one,) = list(batches(EncodedDays(toy.encoded, [DAYS[0]]), batch_size=300, order="time"))
    assert columns_of(member.eval().ranker, one) == {GATES: whole.columns}


@pytest.mark.words
@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_inside_shows_the_gates_of_the_validation_days_before_the_refit(toy: Toy, tmp_path, seen, order: str) -> None:
    run_train(pipeline_of(train={"order": order, "passes": 1}), toy.encoded, tmp_path / "run")
    (gates,) = json.loads((tmp_path / "run/model/inside.json").read_text())["looks"]
    whole = [outputs.looks[GATES] for outputs in seen if len(outputs.raw_NK) == 600]
    shown = np.array([gates["rows"][name] for name in ("click", "watch", "like")])
    assert any(np.allclose(shown, of_rows.values_KN.numpy(), rtol=1e-12) for of_rows in whole)
    assert gates["columns"] == list(whole[0].columns)
