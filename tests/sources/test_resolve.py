"""Every kind of source that a TOML may name has a class that reads it."""

from typing import get_args

import pytest

from recsys.config import SOURCES, AnySource
from recsys.sources.raw_source import RawSource
from recsys.sources.resolve import raw_source
from tests.sources.logs import make_pipeline

SMALLEST = {  # kind → the options that have no default
    "table": {"log": "log.csv"},
    "events": {"log": "log.csv", "views": ["view"]},
    "kuairand": {"path": "folder"},
    "kuairec": {"path": "folder"},
    "movielens": {"path": "ml-100k"},
    "open_bandit": {"path": "folder"},
    "world": {},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_leads_to_a_reader_of_its_options(kind: str) -> None:
    pipeline = make_pipeline({"kind": kind, **SMALLEST[kind]})
    assert type(pipeline.source) is SOURCES[kind].options
    source = raw_source(pipeline)
    assert isinstance(source, RawSource)
    assert (source.options, source.seed) == (pipeline.source, pipeline.seed)


def test_the_kinds_are_those_that_a_toml_may_name() -> None:
    union, _ = get_args(AnySource)
    assert get_args(union) == tuple(kind.options for kind in SOURCES.values())


def test_each_kind_has_a_reader_of_its_own() -> None:
    assert len({kind.reader for kind in SOURCES.values()}) == len(SOURCES)


@pytest.mark.parametrize(
    ("kind", "zone"),
    [("kuairand", "Asia/Shanghai"), ("kuairec", "Asia/Shanghai"), ("movielens", "UTC"), ("open_bandit", "UTC"), ("world", "UTC")],
)
def test_official_data_has_its_own_days(kind: str, zone: str) -> None:
    assert make_pipeline({"kind": kind, **SMALLEST[kind]}).zone == zone


def test_the_days_of_a_table_are_those_of_its_zone() -> None:
    assert make_pipeline({"kind": "table", "log": "log.csv", "time": {"zone": "Asia/Tokyo"}}).zone == "Asia/Tokyo"
