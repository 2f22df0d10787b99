"""What the page says of the balancing and of who was best when."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recsys.progress import Console
from recsys.report import write_report
from recsys.report.cosines import NO_INTERVAL, pooled_cosines, words
from recsys.report.figures import balance_figures, model_figures
from recsys.report.pages.sections import balancing
from recsys.report.training_log import read_journal
from tests.report.conftest import SHORT
from tests.report.test_page import Page
from tests.staged import ORIGIN, sign

NAMES = ("click", "dismissal", "watch")
NOTHING_MEASURED = pd.DataFrame({name: [] for name in ("member", "phase", "pass", "day", "step", "objective", "other", "product")})
LOSSES = {"click": [0.9, 0.8, 0.85], "watch": [0.9, 0.8, 0.7]}  # by pass, of member 0; member 1 has the same and 0.02 more


def products(cosine: float, own: float = 4.0, others: float = 0.25) -> dict:
    """Of click and watch."""
    both = cosine * (own * others) ** 0.5
    return {"click": {"click": own, "watch": both}, "watch": {"click": both, "watch": others}}


def lines(cosine: float | None, weights: tuple[float, float], apart: float = 0.1) -> list[dict]:
    """Two passes' steps and three passes' validation, of two members, whose cosines are `apart`; and a refit, which is not shown."""
    found = []
    for member in range(2):
        place = {"member": member, "phase": "choose", "day": None, "auc": {}}
        for number in range(3):
            step = {"event": "step", "part": "train", "pass": number + 1, "step": 10 * number + 5, "loss": {"click": 1.0, "watch": 1.0}}
            weight = {"click": weights[min(number, 1)], "watch": 1.0}
            measured = {} if cosine is None or number else products(cosine - apart * member)
            found.append(place | step | {"weight": weight, "gradient_product": measured})
            loss = {name: values[number] + 0.02 * member for name, values in LOSSES.items()}
            found.append(place | {"event": "pass", "part": "validation", "pass": number + 1, "step": 10 * number + 10, "loss": loss})
        refit = {"phase": "refit", "event": "step", "part": "train", "pass": 1, "step": 40, "loss": {"click": 0.1, "watch": 0.1}}
        found.append(place | refit | {"weight": {"click": 9.0, "watch": 1.0}, "gradient_product": products(-1.0)})
    return found


def page(run: Path, cosine: float | None, weights: tuple[float, float], apart: float = 0.1) -> str:
    (run / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(cosine, weights, apart)))
    sign(run / "training.jsonl")
    write_report(run, SHORT, account=None, origin=ORIGIN, console=Console(quiet=True))
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.words
def test_weights_and_gradients_are_shown_where_there_are_any(short_run) -> None:
    html = page(short_run, 0.3, (1.0, 2.0))
    assert "balance.method = fixed" in html
    assert "Weights during training: click from 1 to 2; watch from 1 to 1." in html
    assert "Lengths of the gradients in the shared layer's weights: click 2; watch 0.5." in html
    assert "they are measured once by each member, halfway through the first pass." in html
    assert "0 of 1 cosines of gradients can be told from 0" in html  # .3 and .2: .25 ± 12.706 · .05
    assert "Cosine of each pair" not in html
    text = Page(html).text
    assert "Inconclusive: 1 of 1 cosines. By chance alone, about 0.05 of 1 intervals would exclude 0." in text


@pytest.mark.words
def test_a_cosine_that_can_be_told_from_0_is_drawn(short_run) -> None:
    html = page(short_run, 0.3, (1.0, 1.0), apart=0.01)
    assert "1 of 1 cosines of gradients can be told from 0" in html
    assert "(in brackets) inconclusive: click and watch +0.29 [+0.23, +0.36]." in html  # .3 and .29: .295 ± 12.706 · .005


def test_weights_that_stay_have_no_figure(tmp_path) -> None:
    (tmp_path / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(0.3, (1.0, 1.0))))
    sign(tmp_path / "training.jsonl")
    journal = read_journal(tmp_path / "training.jsonl")
    shown = balance_figures.figures(journal.balance, journal.products, pooled_cosines(journal.products, 0.95), NAMES)
    said = " ".join(figure.title + figure.text for figure in shown)
    assert "Weights during training" not in said
    assert "Lengths of the gradients" in said


def test_more_objectives_than_colours_are_told_apart_by_the_shape_of_their_points() -> None:
    def channels(names: int) -> dict:
        rows = [{"phase": "choose", "objective": f"o{k}", "step": step, "weight": k + step} for k in range(names) for step in (1, 2)]
        (figure,) = balance_figures.figures(pd.DataFrame(rows), NOTHING_MEASURED, pooled_cosines(NOTHING_MEASURED, 0.95), [])
        return figure.spec["encoding"]

    assert "shape" not in channels(balance_figures.COLOURS)
    many = channels(balance_figures.COLOURS + 1)
    assert many["shape"] == many["color"]  # one legend for both


def test_the_page_has_as_many_colours_as_the_figures_of_balancing_count_on() -> None:
    script = (Path(model_figures.__file__).parents[1] / "static" / "page.js").read_text(encoding="utf-8")
    assert script.partition("category: [")[2].partition("]")[0].count("--series-") == balance_figures.COLOURS


def test_one_objective_has_nothing_to_balance(short_run) -> None:
    (short_run / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(0.3, (1.0, 2.0))))
    sign(short_run / "training.jsonl")
    alone = SHORT.model_copy(update={"objective": SHORT.objective[:1]})
    section = balancing(read_journal(short_run / "training.jsonl"), alone)
    assert section.nothing == "There is one objective: no loss is held against another."


def test_a_refit_is_named_only_where_there_is_one(short_run) -> None:
    (short_run / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(0.3, (1.0, 2.0))))
    sign(short_run / "training.jsonl")
    journal = read_journal(short_run / "training.jsonl")
    alone = SHORT.model_copy(update={"train": SHORT.train.model_copy(update={"refit": False})})
    assert "(balance.method = fixed), before the refit." in balancing(journal, SHORT).about
    assert "(balance.method = fixed). Gradients" in balancing(journal, alone).about


@pytest.mark.words
def test_without_weights_and_gradients_the_section_says_so_and_who_was_best_where_and_who_overfits(short_run) -> None:
    html = page(short_run, None, (1.0, 1.0))
    assert "The weights stayed as they were (balance.method = fixed), and no gradient was measured." in html
    assert "click after pass 2 (0.810; 0.860 after 3); watch after pass 3 (0.710, the last)" in html
    assert "Best before the last pass, while others still learned: click." in html
    assert "click: validation 0.860 at the end, best after pass 2" in html


def test_the_best_point_of_every_member_is_ringed(run) -> None:
    (run / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(None, (1.0, 1.0))))
    sign(run / "training.jsonl")
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


def test_a_gradient_that_noise_hides_has_no_cosine(run) -> None:
    hidden = products(0.3) | {"watch": {"click": 0.3, "watch": -0.25}}
    line = lines(0.3, (1.0, 1.0))[0] | {"gradient_product": hidden}
    (run / "training.jsonl").write_text(json.dumps(line) + "\n")
    sign(run / "training.jsonl")
    journal = read_journal(run / "training.jsonl")
    found = pooled_cosines(journal.products, 0.95)
    assert found["cosine"].isna().all()
    assert words(found, 0.95) == "1 of 1 pairs have no cosine, because noise hides one of the two gradients."
    (shown,) = balance_figures.figures(journal.balance, journal.products, found, NAMES)
    assert shown.text == "Lengths of the gradients in the shared layer's weights: click 2."


# --- Cosines over measurements ------------------------------------------------------------------------------------
def measured(by_day: list[list[dict]]) -> pd.DataFrame:
    """Of each day, the products of each member."""
    return pd.DataFrame(
        {"member": member, "phase": "choose", "pass": 1, "day": str(day), "step": day, "part": "train"}
        | {"objective": one, "other": other, "product": product}
        for day, members in enumerate(by_day)
        for member, of in enumerate(members)
        for one, others in of.items()
        for other, product in others.items()
    )


def test_cosines_are_of_gradients_laid_end_to_end() -> None:
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(3, 2, 2, 5))  # day, member, objective, weight
    days = [
        [{a: {b: g[i] @ g[j] for j, b in enumerate(of)} for i, a in enumerate(of)} for g in day] for of in [NAMES[::2]] for day in gradients
    ]
    found = pooled_cosines(measured(days), 0.9).set_index(["objective", "other"])

    def cosine(days_DMKP) -> float:
        one, other = days_DMKP.transpose(2, 0, 1, 3).reshape(2, -1)
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    without = np.array([cosine(np.delete(gradients, day, axis=0)) for day in range(3)])
    error = np.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    half = stats.t.ppf(0.95, 2) * error
    for pair in (("click", "watch"), ("watch", "click")):
        assert found.loc[pair, "cosine"] == pytest.approx(cosine(gradients))
        assert found.loc[pair, "low"] == pytest.approx(max(cosine(gradients) - half, -1))
        assert found.loc[pair, "high"] == pytest.approx(min(cosine(gradients) + half, 1))


def test_days_in_which_noise_hides_a_gradient_count_too() -> None:
    """A mean of cosines would leave them out. Where all else hangs on one day there is no cosine."""
    days = [[products(0.3)], [products(0.3)], [{"click": {"click": -0.5, "watch": 0.0}, "watch": {"click": 0.0, "watch": 0.25}}]]
    (found, _) = pooled_cosines(measured(days), 0.95)["cosine"]
    assert found == pytest.approx(0.6 / (7.5 * 0.75) ** 0.5)
    assert pooled_cosines(measured([days[0], days[2]]), 0.95)["cosine"].isna().all()


def test_an_objective_that_does_not_learn_is_left_out() -> None:
    nothing = dict.fromkeys(("click", "watch", "idle"), 0.0)
    day = {"click": {"click": 4.0, "watch": 0.3, "idle": 0.0}, "watch": {"click": 0.3, "watch": 0.25, "idle": 0.0}, "idle": nothing}
    found = pooled_cosines(measured([[day], [day]]), 0.95)
    assert set(found["objective"]) == set(found["other"]) == {"click", "watch"}
    assert "no cosine" not in words(found, 0.95)


def test_one_day_has_no_interval() -> None:
    found = pooled_cosines(measured([[products(0.3), products(0.2)]]), 0.95)
    assert found["cosine"].tolist() == pytest.approx([0.25, 0.25])
    assert found["low"].isna().all()
    assert words(found, 0.95) == NO_INTERVAL


@pytest.mark.words
def test_intervals_cover_about_as_often_as_they_say() -> None:
    """Eight days of a true cosine of .4, of 20 batches each whose noise is as long as 4 gradients, in 30 directions."""
    rng, covered = np.random.default_rng(2), []
    truth_KP = np.zeros((2, 30))
    truth_KP[0, 0], truth_KP[1, :2] = 1.0, (0.4, np.sqrt(1 - 0.4**2))
    for _ in range(100):
        of_batches = truth_KP + rng.normal(size=(8, 20, 2, 30)) * 4 / np.sqrt(30)
        sums = of_batches.sum(1)
        between = (np.einsum("djp,dkp->djk", sums, sums) - np.einsum("dbjp,dbkp->djk", of_batches, of_batches)) / 380
        days = [
            [{a: dict(zip(("click", "watch"), row, strict=True)) for a, row in zip(("click", "watch"), day, strict=True)}]
            for day in between
        ]
        found = pooled_cosines(measured(days), 0.95).iloc[0]
        covered.append(found["low"] <= 0.4 <= found["high"])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)
