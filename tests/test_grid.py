"""What a sweep goes over: values with and without commas of their own, simplex lattices, products."""

from math import comb
from pathlib import Path

import pytest

from recsys import config
from recsys.config.grid import axis, grid, simplex
from recsys.errors import ConfigError

TINY = Path(__file__).resolve().parents[1] / "pipelines" / "tiny.toml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.architecture=shared_bottom,mmoe", {"shared_bottom": "model.architecture=shared_bottom", "mmoe": "model.architecture=mmoe"}),
        ("train.learning_rate=1e-3, 2e-3", {f"learning_rate={v}": f"train.learning_rate={v}" for v in ("1e-3", "2e-3")}),
        ("model.mmoe.hidden=[64,32],[16]", {f"hidden={v}": f"model.mmoe.hidden={v}" for v in ("[64,32]", "[16]")}),
        ("objective.like.loss_weight=1", {"like.loss_weight=1": "objective.like.loss_weight=1"}),
        ('objective.like.label="a = 1, b","c"', {"a = 1, b": 'objective.like.label="a = 1, b"', "c": 'objective.like.label="c"'}),
        ("features.multi={a=',',b=';'}", {"multi={a=',',b=';'}": "features.multi={a=',',b=';'}"}),
    ],
)
def test_commas_part_values_unless_they_stand_inside_of_one(text, expected) -> None:
    assert {choice.name: choice.overrides[0] for choice in axis(text)} == expected


@pytest.mark.parametrize(
    ("text", "message"), [("model.architecture", 'no "="'), ("=1,2", "no key"), ("a=1,,2", "empty value"), ("a=", "empty")]
)
def test_what_is_no_axis_is_told(text, message) -> None:
    with pytest.raises(ConfigError, match=message):
        axis(text)


@pytest.mark.parametrize(("names", "steps"), [(["click", "like"], 4), (["click", "watch_time", "like"], 3)])
def test_a_simplex_deals_out_the_sum_of_the_weights_in_every_way(names, steps) -> None:
    pipeline = config.load(TINY, ["objective.click.loss_weight=2"])
    points = simplex(names, steps, pipeline)
    assert len({point.name for point in points}) == len(points) == comb(steps + len(names) - 1, len(names) - 1)
    for point in points:
        loaded = config.load(TINY, ["objective.click.loss_weight=2", *point.overrides])
        weights = {objective.name: objective.loss_weight for objective in loaded.objective}
        assert sum(weights[name] for name in names) == pytest.approx(
            sum(o.loss_weight for o in pipeline.objective if o.name in names), rel=1e-5
        )
        assert all(
            weights[name] * steps / (len(names) + 1) == pytest.approx(round(weights[name] * steps / (len(names) + 1)), abs=1e-4)
            for name in names
        )


@pytest.mark.parametrize(
    ("names", "message"), [(["click"], "two or more"), (["click", "click"], "two or more"), (["click", "clock"], "clock")]
)
def test_a_simplex_needs_two_objectives_that_there_are(names, message) -> None:
    with pytest.raises(ConfigError, match=message):
        simplex(names, 2, config.load(TINY))


def test_weights_that_sum_to_nothing_cannot_be_dealt_out() -> None:
    pipeline = config.load(TINY, ["objective.click.loss_weight=0", "objective.like.loss_weight=0"])
    with pytest.raises(ConfigError, match="loss_weight = 0 for all of click, like"):
        simplex(["click", "like"], 2, pipeline)


def test_a_grid_is_each_with_each_and_no_point_twice() -> None:
    points = grid([axis("model.architecture=mmoe,ple"), axis("train.batch_size=256,512")])
    assert [point.name for point in points] == [
        "mmoe · batch_size=256", "mmoe · batch_size=512", "ple · batch_size=256", "ple · batch_size=512",
    ]  # fmt: skip
    assert points[1].overrides == ("model.architecture=mmoe", "train.batch_size=512")
    with pytest.raises(ConfigError, match="mmoe more than once"):
        grid([axis("model.architecture=mmoe,mmoe")])
