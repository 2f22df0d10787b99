"""The options of an objective, and what must hold between objectives."""

import pytest

from recsys import config
from recsys.objectives import chain, durations
from tests.config.conftest import SMALLEST, problems


def test_an_objective_is_addressed_by_name(write):
    path = write(SMALLEST)
    assert config.load(path, ["objective.click.loss_weight=2"]).objective[0].loss_weight == 2
    assert "expected one of click" in problems(path, "objective.clik.loss_weight=2")[0]


def test_one_name_stands_for_one_objective(write):
    twice = SMALLEST + '[[objective]]\nname = "click"\nlabel = "x = 1"\n'
    assert "found the name click more than once" in problems(write(twice))[0]


LIKE = '[[objective]]\nname = "like"\nlabel = "is_like = 1"\n'
WATCH = '[[objective]]\nname = "watch"\nlabel = "seconds"\nkind = "watch_time"\n'
RATED = '[[objective]]\nname = "rated"\nlabel = "stars"\nkind = "ordinal"\n'
EVERY_KIND = (
    SMALLEST
    + LIKE
    + 'given = "click"\ngroup = "satisfaction"\n'
    + '[[objective]]\nname = "glad"\nlabel = "x"\ngiven = "like"\n'
    + '[[objective]]\nname = "fun"\nlabel = "x"\nkind = "regression"\nloss = "huber"\n'
    + WATCH
    + WATCH.replace('"watch"', '"odds"')
    + 'method = "weighted_logistic"\n'
    + WATCH.replace('"watch"', '"ranked"')
    + 'method = "d2q"\nduration = "length"\n'
    + RATED
    + 'levels = [1, 2.5, 4]\n[features]\nitem = ["length"]\n'
    + '[train]\nweight = "counts"\nnegatives = { objective = "click", keep = 0.25 }\n'
)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (LIKE + 'loss = "huber"', 'objective.like: found loss with kind = "binary", expected it only with kind = "regression"'),
        (LIKE + 'method = "d2q"', 'objective.like: found method with kind = "binary", expected it only with kind = "watch_time"'),
        (LIKE + "levels = [1, 2]", 'objective.like: found levels with kind = "binary", expected it only with kind = "ordinal"'),
        (WATCH + 'given = "click"', 'objective.watch: found given with kind = "watch_time", expected it only with kind = "binary"'),
        (WATCH + 'loss = "hubr"', "objective.watch.loss: found 'hubr', expected one of squared, huber; did you mean \"huber\"?"),
        (
            WATCH + 'method = "wlr"',
            "objective.watch.method: found 'wlr', expected one of distribution, log_squared, weighted_logistic, d2q",
        ),
        (WATCH + 'method = "d2q"', 'objective.watch: found method = "d2q" without duration, expected duration = "a column of [features]"'),
        (LIKE + 'duration = "length"', 'objective.like: found duration with kind = "binary", expected it only with kind = "watch_time"'),
        (
            WATCH + 'duration = "length"',
            "objective.watch.duration: found length, expected a column that [features] names under user, item or context",
        ),
        (
            WATCH + 'method = "d2q"\nduration = "length"',
            "objective.watch.duration: found length, expected a column that [features] names under user, item or context",
        ),
        (RATED, "objective.rated: found levels = [], expected at least two numbers, ascending"),
        (RATED + "levels = [3]", "objective.rated: found levels = [3.0], expected at least two numbers, ascending"),
        (RATED + "levels = [1, 3, 2]", "objective.rated: found levels = [1.0, 3.0, 2.0], expected at least two numbers, ascending"),
        (RATED + "levels = [1, 1]", "objective.rated: found levels = [1.0, 1.0], expected at least two numbers, ascending"),
        (RATED + "levels = [1, nan]", "objective.rated.levels.1: found nan"),
        (LIKE + "loss_weight = 1e-46", "objective.like.loss_weight: found 1e-46, expected 0, or 0.000001 or more: steps are rounded"),
        (LIKE + "loss_weight = 9.9e-7", "objective.like.loss_weight: found 9.9e-07, expected 0, or 0.000001 or more"),
        (LIKE + "loss_weight = 1e38", "objective.like.loss_weight: found 1e+38, expected a number up to 1e+20"),
        (LIKE + "fusion_weight = 1e308", "objective.like.fusion_weight: found 1e+308, expected a number up to 1e+20"),
        (LIKE + 'given = "clik"', 'objective.like.given: found "clik", expected another objective; there are click, like'),
        (LIKE + 'given = "like"', "objective.like.given: found a circle, like → like, expected none"),
        (
            LIKE + 'given = "share"\n' + LIKE.replace('"like"', '"share"') + 'given = "like"',
            "objective.like.given: found a circle, like → share → like, expected none",
        ),
        (LIKE + 'given = "watch"\n' + WATCH, "objective.like.given: found watch, which is watch_time, expected a binary objective"),
        (
            WATCH + '[train.negatives]\nobjective = "watch"\nkeep = 0.5',
            'train.negatives.objective: found "watch", expected a binary objective; there are click',
        ),
        ('[train.negatives]\nobjective = "click"\nkeep = 0', "train.negatives.keep: found 0, expected a number above 0"),
        ('[train.negatives]\nobjective = "click"\nkeep = 1.5', "train.negatives.keep: found 1.5, expected a number up to 1"),
        ('[train]\nnegatives = { objectiv = "click", keep = 0.5 }', "train.negatives.objective: missing"),
        ("[model.mmoe]\ntop_k = 5", "model.mmoe.top_k: found 5, expected at most 4, the experts that an objective's gate mixes"),
        ('[model]\narchitecture = "stem"\nstem.top_k = 4\n' + LIKE, "model.stem.top_k: found 4, expected at most 3"),
    ],
)
def test_what_does_not_fit_an_objective_is_told_with_its_place(write, more: str, expected: str):
    found = problems(write(SMALLEST + more))
    assert any(expected in problem for problem in found), found


def test_weights_of_0_and_small_ones_are_taken(write):
    pipeline = config.load(
        write(SMALLEST + LIKE + "loss_weight = 1e-6\nfusion_weight = 1e-45\n" + RATED + "levels = [1, 2]\nloss_weight = 0")
    )
    assert [objective.loss_weight for objective in pipeline.objective] == pytest.approx([1, 1e-6, 0])
    assert pipeline.objective[1].fusion_weight == pytest.approx(1e-45)


def test_every_kind_of_label_survives_a_round_trip(write):
    pipeline = config.load(write(EVERY_KIND))
    assert {objective.kind for objective in pipeline.objective} == {"binary", "regression", "watch_time", "ordinal"}
    assert config.Pipeline.model_validate(pipeline.model_dump(mode="json")) == pipeline
    assert config.Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


def test_a_chain_goes_from_an_objective_to_what_is_given_nothing(write):
    objectives = config.load(write(EVERY_KIND)).objective
    by_name = {objective.name: objective for objective in objectives}
    assert [link.name for link in chain(by_name["glad"], objectives)] == ["glad", "like", "click"]
    assert [link.name for link in chain(by_name["watch"], objectives)] == ["watch"]
    with pytest.raises(ValueError, match=r'like\.given: found "click", expected another objective; there are like'):
        chain(by_name["like"], [by_name["like"]])


def test_lengths_are_named_once_in_order(write):
    objectives = config.load(write(EVERY_KIND)).objective
    ranked = next(objective for objective in objectives if objective.method == "d2q")
    other = ranked.model_copy(update={"name": "other", "duration": "pages"})
    assert durations([other, *objectives, other]) == ("pages", "length")
    assert durations(objectives[:3]) == ()
