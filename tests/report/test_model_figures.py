"""The curves of a training and the other figures of a model."""

import numpy as np
import pandas as pd
import pytest

from recsys.report.figures import model_figures
from recsys.report.training_log import Inside
from tests.report.conftest import INSIDE


def test_a_training_curve_is_a_mean_over_runs_of_batches_and_validation_stays() -> None:
    steps = np.arange(1, 1001)
    noisy = pd.DataFrame({"step": steps, "loss": 0.9 + 0.3 * (-1.0) ** steps, "part": "train", "event": "step", "pass": 1})
    judged = pd.DataFrame({"step": [500, 1000], "loss": [0.8, 0.7], "part": "validation", "event": "pass", "pass": [1, 2]})
    journal = pd.concat([noisy, judged]).assign(phase="choose", objective="click", member=0, day=None, auc=None)
    (figure,) = model_figures.learning_curves(journal)
    points = figure.spec["layer"][0]["data"]["values"]
    learned = [point for point in points if point["part"] == "train"]
    assert len(learned) <= model_figures.CURVE_POINTS
    assert [point["loss"] for point in learned] == pytest.approx([0.9] * len(learned), abs=0.01)
    assert learned[-1]["step"] == 1000
    assert [(point["step"], point["loss"]) for point in points if point["part"] == "validation"] == [(500, 0.8), (1000, 0.7)]


def test_a_member_that_stopped_still_counts_where_the_least_loss_is_looked_for() -> None:
    """Both were best before their last pass; the second one alone went on to the fourth."""
    losses = {0: [1.0, 1.05, 1.1], 1: [0.9, 0.89, 0.91, 0.92]}
    lines = [
        {"member": member, "phase": "choose", "pass": number, "day": None, "step": number, "part": "validation", "event": "pass",
         "objective": "click", "loss": loss, "auc": None}
        for member, values in losses.items() for number, loss in enumerate(values, 1)
    ]  # fmt: skip
    (found,) = model_figures.best(pd.DataFrame(lines))
    assert str(found) == "click after pass 1 (0.950; 1.010 after 4)"


def test_an_objective_whose_tower_learned_nothing_is_not_drawn() -> None:
    learned = [{"objective": "click", "device": "tv", "position": position, "logit": 0.1} for position in (1, None)]
    never = [{"objective": "dismissal", "device": "tv", "position": position, "logit": 0.0} for position in (1, None)]
    (figure,) = model_figures.position_bias(Inside.model_validate(INSIDE | {"position_bias": learned + never}))
    assert figure.title.startswith("click")
    assert figure.spec["layer"][0]["encoding"]["y"]["title"] == "added to the output by the bias tower"  # of a mean it is no logit


def test_without_devices_a_position_bias_is_that_of_any_device() -> None:
    learned = [{"objective": "click", "device": None, "position": position, "logit": 0.1} for position in (1, None)]
    (figure,) = model_figures.position_bias(Inside.model_validate(INSIDE | {"position_bias": learned}))
    assert figure.text == "Learned position bias of click: any device at 1 +0.10; any device at a missing position +0.10."
