"""Each family has one table, of which the TOML's words, the implementations and the contract tests are made."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from recsys import config
from recsys.balancing import BALANCERS, Balancer
from recsys.config import Balance, Model
from recsys.config.balance import METHODS
from recsys.errors import ConfigError
from recsys.losses import LOSSES, Loss
from recsys.models import ARCHITECTURES, Architecture
from tests.losses import samples
from tests.models import factory

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"


@pytest.mark.parametrize(
    ("table", "base"), [(ARCHITECTURES, Architecture), (BALANCERS, Balancer), (LOSSES, Loss)], ids=["architectures", "balancers", "losses"]
)
def test_every_entry_is_an_implementation_of_its_own(table: Mapping[str, type], base: type):
    assert all(issubclass(implementation, base) for implementation in table.values())
    assert len(set(table.values())) == len(table)


def test_every_entry_is_in_the_contract_tests():
    assert {objective.learned_by for objective in samples.OBJECTIVES} == set(LOSSES)
    assert set(ARCHITECTURES) <= set(factory.SMALL)


def test_every_word_has_options():
    assert [getattr(Model(architecture=name), name) for name in ARCHITECTURES]
    assert [Balance(method=name).chosen for name in BALANCERS]


def test_the_toml_knows_what_a_method_acts_on():
    """Without the implementations, which import torch."""
    assert {name: options.acts_on for name, options in METHODS.items()} == {name: kind.acts_on for name, kind in BALANCERS.items()}


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("model.architecture=mmeo", "mmoe"),
        ("model.architecture=PLE", "ple"),
        ("balance.method=gradnrom", "gradnorm"),
        ("balance.method=cagrad", "torchjd.cagrad"),
        ("objective.watch_time.method=d2p", "d2q"),
        ("objective.watch_time.loss=hubber", "huber"),
    ],
)
def test_an_unknown_word_gets_the_nearest(override: str, meant: str):
    with pytest.raises(ConfigError, match=rf'expected one of .*; did you mean "{meant}"\?'):
        config.load(TINY, [override])
