"""What the page says of the balancing and of who was best when."""

import json

import pandas as pd
import pytest

from recsys.progress import Console
from recsys.report import balance_figures, model_figures, write_report
from recsys.report.training_log import read_journal

NAMES = ("click", "dismissal", "watch")
LOSSES = {"click": [0.9, 0.8, 0.85], "watch": [0.9, 0.8, 0.7]}  # by pass, of member 0; member 1 has the same and 0.02 more


def lines(cosine: float | None, weights: tuple[float, float]) -> list[dict]:
    """Two passes' steps and three passes' validation, of two members; and a refit, which is not shown."""
    found = []
    for member in range(2):
        place = {"member": member, "phase": "choose", "day": None, "auc": {}}
        for number in range(3):
            pair = {} if cosine is None else {"click": {"watch": cosine - 0.1 * member}, "watch": {"click": cosine - 0.1 * member}}
            step = {"event": "step", "part": "train", "pass": number + 1, "step": 10 * number + 5, "loss": {"click": 1.0, "watch": 1.0}}
            weight = {"click": weights[min(number, 1)], "watch": 1.0}
            norm = {} if cosine is None else {"click": 0.5, "watch": 0.0 if number else 2.0}
            found.append(place | step | {"weight": weight, "gradient_norm": norm, "cosine": pair})
            loss = {name: values[number] + 0.02 * member for name, values in LOSSES.items()}
            found.append(place | {"event": "pass", "part": "validation", "pass": number + 1, "step": 10 * number + 10, "loss": loss})
        refit = {"phase": "refit", "event": "step", "part": "train", "pass": 1, "step": 40, "loss": {"click": 0.1, "watch": 0.1}}
        opposite = {"click": {"watch": -1.0}, "watch": {"click": -1.0}}
        found.append(
            place | refit | {"weight": {"click": 9.0, "watch": 1.0}, "gradient_norm": {"click": 1.0, "watch": 1.0}, "cosine": opposite}
        )
    return found


@pytest.fixture
def page(run, pipeline):
    def written(cosine: float | None, weights: tuple[float, float]) -> str:
        (run / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(cosine, weights)))
        write_report(run, pipeline, account=None, fingerprint="f", console=Console(quiet=True))
        return (run / "report.html").read_text(encoding="utf-8")

    return written


def test_weights_and_gradients_are_shown_where_there_are_any(page) -> None:
    html = page(0.3, (1.0, 2.0))
    assert "balance.method = fixed" in html
    assert "Weights along training: click from 1 to 2; watch from 1 to 1." in html
    assert "Lengths of the gradients in the shared layer's weights: click from 0.5 to 0.5; watch from 2 to 0." in html
    assert "against each other: click and watch +0.25." in html  # the mean of two members, without the refit
    assert "Least alike on average: click and watch (+0.25)" in html


def test_weights_that_stay_have_no_figure(page) -> None:
    html = page(0.3, (1.0, 1.0))
    assert "Weights along training" not in html
    assert "Mean cosine with the other objectives along training" in html


def test_without_weights_and_gradients_there_is_no_such_section(page) -> None:
    assert 'id="balancing"' not in page(None, (1.0, 1.0))


def test_says_where_each_objective_was_best_and_who_overfits(page) -> None:
    html = page(None, (1.0, 1.0))
    assert "click after pass 2 (0.810; 0.860 after 3); watch after pass 3 (0.710, the last)" in html
    assert "Best before the last pass, while others still learned: click." in html
    assert "click: validation 0.870 at the end, best after pass 2" in html


def test_the_best_point_of_every_member_is_ringed(run) -> None:
    (run / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(None, (1.0, 1.0))))
    journal = read_journal(run / "training.jsonl")
    click, watch = model_figures.learning_curves(journal.curves)
    ringed = [
        [(point["step"], round(point["loss"], 3)) for point in figure.spec["layer"][2]["data"]["values"]] for figure in (click, watch)
    ]
    assert ringed == [[(20, 0.8), (20, 0.82)], [(30, 0.7), (30, 0.72)]]


def test_in_time_order_the_best_day_is_of_the_rows_predicted_before_they_were_learned() -> None:
    days = ["2024-01-01", "2024-01-02", "2024-01-03"]
    rows = [
        {"phase": "choose", "part": part, "event": "day", "pass": 1, "objective": "click", "member": 0, "day": day, "loss": loss}
        for part, losses in (("progressive", [0.9, 0.7, 0.8]),)
        for day, loss in zip(days, losses, strict=True)
    ]
    rows.append(rows[0] | {"part": "train", "event": "step", "loss": 0.1})
    (found,) = model_figures.best(pd.DataFrame(rows))
    assert (found.at, found.loss, found.last) == ("2024-01-02", 0.7, "2024-01-03")
    assert str(found) == "click on day 2024-01-02 (0.700; 0.800 on 2024-01-03)"


def test_an_objective_judged_once_was_best_nowhere() -> None:
    row = {"phase": "choose", "part": "validation", "event": "pass", "pass": 1, "objective": "click", "member": 0, "day": None, "loss": 0.9}
    assert model_figures.best(pd.DataFrame([row])) == []


def test_a_gradient_that_was_not_there_has_no_cosine(run) -> None:
    line = lines(0.3, (1.0, 1.0))[0] | {"cosine": {"click": {"watch": None}}, "gradient_norm": {"click": None, "watch": 1.0}}
    (run / "training.jsonl").write_text(json.dumps(line) + "\n")
    journal = read_journal(run / "training.jsonl")
    assert balance_figures.furthest(journal.cosines) == ""
    titles = [figure.title for figure in balance_figures.figures(journal.balance, journal.cosines, NAMES)]
    assert titles == ["Lengths of the gradients in the shared layer's weights"]
