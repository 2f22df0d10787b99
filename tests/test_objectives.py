"""Which predictions follow the position that an impression was shown at."""

import pytest

from recsys import config
from recsys.config import Pipeline
from recsys.objectives import Objective
from tests.config.conftest import PIPELINES

FUNNEL = (
    {"name": "click", "label": "x"},
    {"name": "like", "label": "x", "group": "satisfaction", "given": "click"},
    {"name": "reply", "label": "x", "group": "satisfaction", "given": "like"},
    {"name": "survey", "label": "x", "group": "satisfaction"},
    {"name": "dismissal", "label": "x", "group": "satisfaction", "position": True},
    {"name": "watch", "label": "x", "position": False},
)


def pipeline_of(**tables) -> Pipeline:
    split = {"train": ("2024-01-01", "2024-01-02")}
    return Pipeline.model_validate({"name": "p", "source": {"kind": "world"}, "split": split, "objective": FUNNEL, **tables})


@pytest.mark.parametrize(
    ("group", "position", "expected"),
    [
        ("engagement", None, True),
        ("satisfaction", None, False),
        ("engagement", False, False),
        ("satisfaction", True, True),
    ],
)
def test_an_objective_sees_the_position_by_its_group_unless_it_says_so(group, position, expected):
    assert Objective(name="o", label="x", group=group, position=position).sees_position is expected


def test_a_prediction_follows_the_position_where_any_link_of_its_chain_does():
    assert pipeline_of().follows_position == (True, True, True, False, True, False)


@pytest.mark.parametrize("how", ["tower", "input"])
def test_how_a_model_meets_the_position_changes_nothing_but_a_blind_one_follows_none(how):
    assert pipeline_of(model={"position": how}).follows_position == pipeline_of().follows_position
    assert pipeline_of(model={"position": "blind"}).follows_position == (False,) * len(FUNNEL)


def test_nobody_dismisses_what_was_not_looked_at():
    demo = config.load(PIPELINES / "demo.toml")
    seen = dict(zip((objective.name for objective in demo.objective), demo.follows_position, strict=True))
    assert seen == {"click": True, "watch_time": True, "like": False, "share": False, "dismissal": True, "survey": False}
    other = config.load(PIPELINES / "demo.toml", ["objective.dismissal.position=false"])
    assert other.follows_position == (True, True, False, False, False, False)
