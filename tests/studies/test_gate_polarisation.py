import pandas as pd
import torch

from recsys.nn.gates import Gates
from studies.gate_polarisation import by_run, differences, figure, rates_of_polarisation, runs


def test_a_run_is_polarised_where_one_of_its_objectives_is():
    table = pd.DataFrame(
        {
            "reads": "on the input",
            "rate": 0.1,
            "dropout": [0.0] * 4 + [0.1] * 4,
            "seed": [1, 1, 2, 2] * 2,
            "objective": [1, 2] * 4,
            "utilisation": [0.99, 0.3, 0.98, 0.2, 0.5, 0.5, 0.5, 0.5],
            "rows_polarised": [1.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0],
            "error": 1.0,
        }
    )
    assert by_run(table)["polarised"].tolist() == [True, False, False, False]
    rates = rates_of_polarisation(table)
    assert rates["polarised"].tolist() == [1, 0]
    assert rates["share of rows"].tolist() == ["0.500 [0.500, 0.500]", "0.000 [0.000, 0.000]"]
    assert differences(table)["rows_polarised"].tolist() == ["-0.500 [-0.500, -0.500]"]


def test_what_is_measured_is_what_the_gates_do():
    rows = runs("above a shared layer", 1e-2, 0.1, [1, 2], 3) + runs("on the input", 1e-2, 0.0, [1, 2], 3)
    table = pd.DataFrame(rows)
    assert len(table) == 2 * 2 * 2
    assert table["utilisation"].between(1 / 8, 1).all()
    assert table["rows_polarised"].between(0, 1).all()
    assert {"hconcat", "datasets"} <= figure(table).to_dict().keys()


def test_a_gate_without_bias_cannot_polarise_in_the_mean_over_inputs_that_are_symmetric():
    """g(x) + g(−x) ≤ 1 for every expert, so its mean is at most a half, however steep the gate."""
    gates = Gates(6, 2, 5)
    x_BD = torch.randn(200, 6)
    for steepness in (1.0, 10.0, 1000.0):
        with torch.no_grad():
            gates.linear.weight.normal_(std=steepness)
            both_BKN = gates(x_BD) + gates(-x_BD)
        assert both_BKN.max() <= 1 + 1e-5
