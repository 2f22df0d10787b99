"""The page and the table of a sweep draw its rows, and text from the data stays text."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys import artifacts, schema
from recsys.errors import DataError
from recsys.evaluation import Paired, Points, judged_by, later_rows, sweep_rows
from recsys.evaluation.measured import Measured
from recsys.objectives import Objective
from recsys.progress import Console
from recsys.report import sweep_matrices, sweep_words, terminal_matrix, write_sweep
from tests.report.browser import all_drawn, browser_on

EVIL = "</script><script>alert(1)</script>"
OBJECTIVES = [Objective(name="click", label="x"), Objective(name="hide", label="x", better="lower"), Objective(name="like", label="x")]
JUDGED = judged_by(OBJECTIVES, ["click=auc", "hide=captured@10%", "like=auc"])
# The second is worse in everything, of hiding too, where less is better; the third is best at liking; the last nearly is the first.
VALUES = {"first": (0.8, 0.05, 0.7), EVIL: (0.7, 0.09, 0.6), "likes": (0.75, 0.06, 0.8), "near": (0.799, 0.051, 0.699)}


def points(*, seeds: int, split: str = "test") -> Points:
    rng = np.random.default_rng(5)
    noise_RK = 0.01 * rng.normal(size=(200, 3))  # of the users, whom all runs share
    measured, names = [], []
    for name, value_K in VALUES.items():
        for seed in range(seeds):
            run_K = np.array(value_K) + 0.001 * rng.normal(size=3)
            replicates_RK = run_K + noise_RK + 0.001 * rng.normal(size=(200, 3))
            measured.append(tuple(Measured(float(v), 1.0, "bootstrap", r) for v, r in zip(run_K, replicates_RK.T, strict=True)))
            names.append(f"{name}-{seed}")
    paired = Paired(tuple(names), JUDGED, tuple(measured), (900, 900, 41), (9000, 9000, 50))
    return Points(tuple(VALUES), tuple(range(7, 7 + seeds)), paired, split, 0.95, 7)


def both_questions() -> pa.Table:
    """The rows of two fronts. Within lists the first point is the worst one, and likes are too rare."""
    by_list = judged_by(OBJECTIVES[:1], ["gauc_list"])
    rng = np.random.default_rng(6)
    noise_R = 0.01 * rng.normal(size=200)
    values = dict(zip(VALUES, (0.5, 0.7, 0.6, 0.65), strict=True))
    measured = tuple((Measured(value, 0.5, "bootstrap", value + noise_R + 0.001 * rng.normal(size=200)),) for value in values.values())
    within = replace(points(seeds=1), paired=Paired(tuple(VALUES), by_list, measured, (900,), (9000,)), question=schema.WHICH)
    left_out = dict.fromkeys(schema.SWEEP.names) | {
        "question": schema.WHICH, "what": "left_out", "objective": "like", "metric": "gauc", "split": "test", "reason": "too few users (3)"
    }  # fmt: skip
    return pa.concat_tables(
        [
            sweep_rows(replace(points(seeds=1), question=schema.WHO), ([0.5, 0.1, 0.5], [1.0, 0.0, 1.0])),
            sweep_rows(within, ([0.5], [1.0])),
            pa.Table.from_pylist([left_out], schema=schema.SWEEP),
        ]
    )


@pytest.mark.words
def test_each_question_has_a_front_of_its_own(tmp_path: Path) -> None:
    table = both_questions()
    who, which = sweep_matrices(table).items()
    assert (who[0], which[0]) == ("Finding who will", "Ordering a user's list")
    assert dict(who[1].rows)[EVIL][-1] == "dominated by first, likes, near"
    assert {name: cells[-1] for name, cells in which[1].rows}[EVIL] == schema.FRONT
    assert str(dict(which[1].rows)["first"][-1]).startswith("dominated by")
    words = sweep_words(table)
    assert words[0].startswith("Finding who will: of 4 points on the Pareto front as measured: 3;")
    assert words[2].startswith("Ordering a user's list: of 4 points on the Pareto front as measured: 1;")
    assert "Ordering a user's list: like (gauc) left out, too few users (3)." in words
    html = written(tmp_path, table)
    for question in ("Finding who will", "Ordering a user&#39;s list"):
        assert f"<caption>{question}: every point on test days" in html


def rows(*, seeds: int = 3, later: bool = False) -> pa.Table:
    table = sweep_rows(points(seeds=seeds, split="validation" if later else "test"), ([0.5, 0.1, 0.5], [1.0, 0.0, 1.0]))
    return pa.concat_tables([table, later_rows(points(seeds=seeds))]) if later else table


def test_verdicts_say_who_dominates_whom_and_what_is_within_noise() -> None:
    (matrix,) = sweep_matrices(rows()).values()
    assert matrix.columns == ("click (auc)", "hide (captured@10%)", "like (auc)", "replicates on the front", "verdict")
    verdicts = {name: cells[-1] for name, cells in matrix.rows}
    assert list(verdicts)[-1] == EVIL  # what is dominated comes last
    assert verdicts["first"] == verdicts["likes"] == schema.FRONT
    assert verdicts["near"] == f"{schema.NOISE}; measured behind first"
    assert verdicts[EVIL] == "dominated by first, likes, near"
    assert not matrix.is_judged


def test_hypervolume_is_a_share_of_the_room_between_the_ends() -> None:
    """By inclusion and exclusion of the two points that count, each side a share of its own room."""
    table = rows().to_pandas()
    value = table[table["what"] == "point"].pivot(index="point", columns="objective", values="value").loc[["first", "likes"]]
    side = np.column_stack([(value["click"] - 0.5) / 0.5, (0.1 - value["hide"]) / 0.1, (value["like"] - 0.5) / 0.5])
    (volume,) = table[table["what"] == "hypervolume"].itertuples()
    assert volume.value == pytest.approx(side.prod(axis=1).sum() - side.min(axis=0).prod(), abs=1e-3)  # "near" adds next to nothing
    assert volume.low < volume.value < volume.high


def test_noise_of_seeds_widens_intervals_and_one_seed_has_none() -> None:
    several, one = (rows(seeds=seeds).to_pandas() for seeds in (3, 1))
    seed_sd = several[several["what"] == "seed_sd"].set_index("objective")["value"]
    assert seed_sd.to_dict() == pytest.approx(dict.fromkeys(seed_sd.index, 0.001), rel=0.5)
    assert "seed_sd" not in set(one["what"])
    assert any("One seed" in words for words in sweep_words(rows(seeds=1)))
    assert not any("One seed" in words for words in sweep_words(rows()))
    relative = several[several["what"] == "relative"]
    assert relative.groupby("objective")["value"].sum().to_numpy() == pytest.approx(0)
    whole = several[several["what"] == "point"].set_index(["point", "objective"])
    relative = relative.set_index(["point", "objective"])
    assert (relative["high"] - relative["low"] < 0.3 * (whole["high"] - whole["low"])).all()
    pair_sd = several[several["what"] == "pair_sd"]["value"]
    user_sd = several[several["what"] == "user_sd"]["value"]
    assert pair_sd.max() < 0.2 * user_sd.min()  # the same users


@pytest.mark.words
def test_with_one_seed_no_noise_of_seeds_is_spoken_of(tmp_path: Path) -> None:
    several, one = (written(tmp_path / str(seeds), rows(seeds=seeds)) for seeds in (3, 1))
    for words in ("noise of users and seeds", ">of users and seeds<", "grey: each seed"):
        assert (words in several, words in one) == (True, False)
    assert "What another seed would change is not known from one." in one
    assert "not known from one." not in several


@pytest.mark.words
def test_what_was_chosen_on_validation_days_is_shown_on_test_days(tmp_path: Path) -> None:
    table = rows(later=True)
    assert any("Points were told apart on validation days" in words for words in sweep_words(table))
    html = written(tmp_path, table)
    assert "the same points on test days, which were not used for the verdicts" in html


def test_without_a_value_there_is_no_plane() -> None:
    sound = points(seeds=1)
    broken = tuple((numbers[0], Measured(None, reason="no positives"), numbers[2]) for numbers in sound.paired.measured)
    with pytest.raises(DataError, match=r"captured@10% of hide in run first-0: found no value .*no positives.*--objective"):
        replace(sound, paired=replace(sound.paired, measured=broken))


@pytest.mark.parametrize("columns", [140, 80])
def test_the_terminal_gets_every_point_and_its_verdict(columns: int, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal_matrix("sweep", *sweep_matrices(rows()).values(), Console())
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert "likes" in out
    assert "▲" not in out  # nothing is marked, so no legend


def written(folder: Path, table: pa.Table) -> str:
    page = folder / "architecture-0123ab" / "sweep.html"
    write_sweep(page, table, "shown", {"Swept": EVIL}, fingerprint="f")
    assert artifacts.verify(page).stage == "sweep"
    return page.read_text(encoding="utf-8")


def test_the_page_has_every_section_a_plane_a_pair_and_only_text_from_the_data(tmp_path: Path) -> None:
    html = written(tmp_path, rows())
    assert all(f'id="{anchor}"' in html for anchor in ("run", "front", "planes", "noise", "hypervolume"))
    specs = json.loads(re.search(r'<script id="figures" type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    assert [key for key in specs if key.startswith("planes")] == ["planes-0", "planes-1", "planes-2"]
    assert len([key for key in specs if key.startswith("noise")]) == 3
    head = html.partition('<script id="figures"')[0]
    assert "<script>alert" not in html
    assert "&lt;/script&gt;" in head
    for objective, lower in (("click", False), ("hide", True)):  # up and right is better
        axes = [
            layer["encoding"]["x"] for layer in specs["planes-0"]["layer"] if "value_x" in str(layer["encoding"].get("x", {}).get("field"))
        ]
        other = [
            layer["encoding"]["y"] for layer in specs["planes-0"]["layer"] if "value_y" in str(layer["encoding"].get("y", {}).get("field"))
        ]
        shown = axes if objective == "click" else other
        assert {axis["scale"]["reverse"] for axis in shown} == {lower}


@pytest.mark.words
def test_names_stand_where_there_is_room_and_the_legend_has_the_verdicts_that_there_are(tmp_path: Path) -> None:
    html = written(tmp_path, rows())
    specs = json.loads(re.search(r'<script id="figures" type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    names = next(layer for layer in specs["planes-1"]["layer"] if layer["mark"]["type"] == "text")  # click and like
    of_point = {row["point"]: row for row in names["data"]["values"]}
    assert {name: row["label"] for name, row in of_point.items()} == {name: name for name in VALUES}
    assert {name for name, row in of_point.items() if row["goes_right"]} == {EVIL, "likes"}
    above, below = sorted(("first", "near"), key=lambda name: -of_point[name]["value_y"])
    assert (of_point[above]["goes_down"], of_point[below]["goes_down"]) == (False, True)
    legend = names["encoding"]["color"]["legend"]
    assert (legend["values"], legend["columns"]) == ([schema.FRONT, schema.NOISE, schema.DOMINATED], 2)


@pytest.mark.words
def test_opens_in_a_browser_without_an_error_or_a_request(tmp_path: Path) -> None:
    written(tmp_path, rows(later=True))
    with browser_on((tmp_path / "architecture-0123ab" / "sweep.html").as_uri()) as visit:
        for width, scheme in ((1280, "light"), (390, "dark")):
            page = visit(width, scheme)
            assert all_drawn(page) > 0
            assert page.evaluate("document.documentElement.scrollWidth") <= width
