import re
from functools import cache

import pytest
import torch

from recsys.config import Model
from recsys.errors import ConfigError
from recsys.models import ARCHITECTURES, build, multiplications, sized
from recsys.models.budget import WIDTHS
from recsys.options import Options
from tests.models import factory

COUNTS = {"num_experts", "own_experts", "group_experts", "shared_experts", "levels", "layers", "subspaces", "top_k"}
BUDGET = 60_000

architectures = pytest.mark.parametrize("architecture", factory.one_of_its_like(sorted(ARCHITECTURES)))


def ranker(**changes):
    options = factory.options(**changes)
    options = sized(options, factory.layout(), factory.objectives(), architecture=ARCHITECTURES[options.architecture], seed=1)
    return build(options, factory.layout(), factory.objectives(), torch.zeros(4), 1)


@cache
def resized(architecture, budget_macs=BUDGET):
    options = factory.options(architecture=architecture, budget_macs=budget_macs)
    return sized(options, factory.layout(), factory.objectives(), architecture=ARCHITECTURES[architecture])


def cost(model):
    return multiplications(model, factory.batch(factory.layout(), 1))


@pytest.mark.words
@architectures
def test_a_budget_is_used_and_not_passed(architecture):
    options = resized(architecture)
    assert 0.98 * BUDGET < cost(build(options, factory.layout(), factory.objectives(), torch.zeros(4), 1)) <= BUDGET


@architectures
def test_widths_keep_their_proportions_and_nothing_else_changes(architecture):
    before, after = factory.options(architecture=architecture), resized(architecture)
    ratios = [after.d_shared / before.d_shared]
    for name, old in getattr(before, architecture):
        new = getattr(getattr(after, architecture), name)
        if name not in WIDTHS:
            assert new == old, name
        elif isinstance(old, tuple):
            ratios += [b / a for a, b in zip(old, new, strict=True)]
        else:
            ratios.append(new / old)
    assert max(ratios) - min(ratios) < 0.75, ratios  # the narrowest width goes in steps of 2 of 8, and may be one or two steps on
    same = {"d_shared": before.d_shared, architecture: getattr(before, architecture), "budget_macs": None}
    assert after.model_copy(update=same) == before


@pytest.mark.words
def test_no_width_could_be_one_more():
    options = resized("mmoe")
    for changes in ({"d_shared": options.d_shared + 1}, *({"mmoe": more.model_dump()} for more in one_more(options.mmoe))):
        assert cost(ranker(**options.model_dump(include={"d_shared", "mmoe"}) | changes)) > BUDGET


def one_more(options):
    for at in range(len(options.hidden)):
        yield options.model_copy(update={"hidden": tuple(width + (place == at) for place, width in enumerate(options.hidden))})


@pytest.mark.words
def test_inputs_towers_and_cross_layer_are_alike_for_all_ways():
    shapes = [
        {
            n: p.shape
            for n, p in ranker(architecture=architecture, budget_macs=BUDGET).named_parameters()
            if n.startswith(("inputs.", "cross."))
        }
        for architecture in ("shared_bottom", "mmoe")
    ]
    assert shapes[0] == shapes[1] == {n: p.shape for n, p in ranker().named_parameters() if n.startswith(("inputs.", "cross."))}
    assert ranker(budget_macs=BUDGET).towers.net.d_out == 8


@pytest.mark.words
def test_members_share_a_budget():
    assert 0.98 * BUDGET < 3 * cost(ranker(budget_macs=BUDGET, members=3)) <= BUDGET


@pytest.mark.words
def test_without_a_shared_layer_there_is_none():
    model = ranker(architecture="shared_bottom", budget_macs=BUDGET, d_shared=0)
    assert len(model.hidden.layers) == 0
    assert 0.95 * BUDGET < cost(model) <= BUDGET


@pytest.mark.parametrize("members", [1, 2])
def test_too_small_a_budget_names_the_smallest(members):
    with pytest.raises(ConfigError, match=r"model\.budget_macs: found 300, expected at least") as error:
        ranker(architecture="cgc", budget_macs=300, members=members)
    least = int(re.search(r"at least ([\d,]+)", str(error.value))[1].replace(",", ""))
    assert cost(ranker(architecture="cgc", budget_macs=least, members=members)) * members == least
    with pytest.raises(ConfigError):
        ranker(architecture="cgc", budget_macs=least - 1, members=members)


@pytest.mark.words
@pytest.mark.parametrize("way", ["pepnet", "shared_bottom"])
def test_no_member_passes_its_part_whichever_inputs_it_sees(way):
    """A member's seed chooses more or fewer of the inputs that have bins, and of those that PEPNet's gates read by themselves."""
    dense = ("user.a", "user.b", "user.c", "x.a", "x.b", "x.c")
    quantiles = (*factory.layout().quantiles[:1] * 3, (), (), ())
    wide = factory.layout().model_copy(update={"dense": dense, "quantiles": quantiles, "history_length": 0})
    options = factory.options(architecture=way, numeric_bins=8, budget_macs=3 * BUDGET, members=3, input_share=0.5)
    options = sized(options, wide, factory.objectives(), architecture=ARCHITECTURES[way], seed=1)
    members = [build(options, wide, factory.objectives(), torch.zeros(4), seed) for seed in (1, 2, 3)]
    costs = [multiplications(member, factory.batch(wide, 1)) for member in members]
    assert min(costs) < max(costs) <= BUDGET
    assert max(costs) > 0.95 * BUDGET


def test_what_is_built_has_widths_and_no_budget():
    with pytest.raises(ValueError, match=r"model\.budget_macs: found 60,000, expected widths"):
        build(factory.options(budget_macs=BUDGET), factory.layout(), factory.objectives(), torch.zeros(4), 1)


def test_without_a_budget_widths_are_as_asked_for():
    assert resized("mmoe", budget_macs=None) == factory.options(architecture="mmoe")


def test_every_number_of_a_way_is_a_width_or_a_count():
    tables = [value for _, value in Model() if isinstance(value, Options)]
    names = {name for table in tables for name, value in table if isinstance(value, tuple | int) and not isinstance(value, bool)}
    assert names <= COUNTS | set(WIDTHS)
    assert set(WIDTHS) <= names
