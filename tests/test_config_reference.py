import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from recsys.config import Pipeline
from recsys.config.reference import COMMAND, ORDER, options, reference, tables

ROOT = Path(__file__).resolve().parent.parent


def every_option() -> Iterator[tuple[str, str, FieldInfo]]:
    """The table, the key and the field of each option that a pipeline's TOML may hold."""
    for name, field in options(Pipeline).items():
        yield "", name, field
    for table, of_pipeline in Pipeline.model_fields.items():
        for kind, headings in tables(of_pipeline.annotation, table).items():
            for name, field in options(kind).items():
                yield headings[0], name, field


def sections(page: str) -> dict[str, str]:
    parts = re.split(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def keys(table: dict[str, Any], path: str, headings: str) -> Iterator[tuple[str, str]]:
    """Each key of a TOML with the path of its table; a table without a section of its own is a value."""
    for key, value in table.items():
        inner = f"{path}.{key}".removeprefix(".")
        for below in value if isinstance(value, list) else [value]:
            if isinstance(below, dict) and f"[{inner}]" in headings:
                yield from keys(below, inner, headings)
        if f"[{inner}]" not in headings:
            yield path, key


def test_the_committed_page_is_fresh():
    committed = (ROOT / "docs/config.md").read_text(encoding="utf-8")
    assert committed == reference(), f"docs/config.md is stale. Fix: {COMMAND}"


def test_every_option_has_a_meaning_of_one_line_that_ends_with_a_full_stop():
    found = list(every_option())
    assert len(found) > 150
    for table, name, field in found:
        place = f"{table} {name}"
        assert field.description, f"{place}: no description"
        assert "\n" not in field.description, place
        assert field.description.endswith("."), place
        spoken = name.replace("_", " ")
        assert field.description.removesuffix(".").lower() not in {name, spoken, f"the {spoken}", f"number of {spoken}"}, place
        assert re.match(r"[A-Z]\S* \S+ \S+", field.description), f"{place}: expected a phrase of three words or more"


def test_every_option_has_a_row_in_the_section_of_its_table():
    found = sections(reference())
    for table, name, field in every_option():
        (text,) = [text for heading, text in found.items() if f"`{table}`" in heading] if table else [found["The top of the file"]]
        if table or name in ("name", "seed"):
            assert f"| `{name}` | " in text, f"{table} {name}"
            assert str(field.description).replace("|", "\\|") in text


def test_every_table_of_a_pipeline_has_its_place_in_the_order():
    assert sorted(ORDER) == sorted(Pipeline.model_fields)
    required = [name for name, field in Pipeline.model_fields.items() if field.is_required()]
    assert sorted(required) == ["name", "objective", "source", "split"]  # as the introduction says; the file's name is the default of name


@pytest.mark.parametrize("name", ["demo", "tiny", "kuairand_pure", "movielens"])
def test_the_page_has_each_key_of_the_pipelines(name: str):
    found = sections(reference())
    pipeline = tomllib.loads((ROOT / "pipelines" / f"{name}.toml").read_text(encoding="utf-8"))
    for path, key in keys(pipeline, "", "\n".join(found)):
        under = {heading: text for heading, text in found.items() if f"[{path}]" in heading} if path else found
        assert any(f"| `{key}` | " in text for text in under.values()), f"{path}.{key}: not on the page. Fix: {COMMAND}"


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("`[[objective]]`", '| `kind` | one of `binary`, `regression`, `watch_time`, `ordinal` | `"binary"` |'),
        ("`[[objective]]`", "| `position` | optional true or false | left out |"),
        ("`[split]`", "| `train` | list of 2 dates | required |"),
        ("`[features]`", '| `entities` | list of lists of text | `[["user_id"], ["item_id"]]` |'),
        ("`[features]`", "| `multi` | table, each value text | `{}` |"),
        ("`[features]`", '| `label_delay` | text: a whole number and a unit (s, m, h, d) such as 10m | `"10m"` |'),
        ("`[features]`", '| `memory_limit` | text: an amount of memory such as 4GB or 500MB | `"4GB"` |'),
        ("`[features]`", "| `bias` | list, each one of `position`, `device` | `[]` |"),
        ("`[model]`", "| `dropout` | number from 0, below 1 | `0.2` |"),
        ("`[model.mmoe]`", "| `hidden` | list of one or more whole numbers above 0 | `[64]` |"),
        ("`[train]`", '| `sampling` | one of `joint`, `uniform`, `proportional`, or number from 0 to 1 | `"joint"` |'),
        ("`[train]`", "| `init_from` | optional path | left out |"),
        ("`[train]`", "| `negatives` | optional table | left out |"),
        ("`[fuse]`", "| `constraints` | table, each value text: a relative change such as -1% | `{}` |"),
        ('`[source], kind = "world"`', "| `start` | date from 2000-01-01, before 2100-01-01 | `2024-01-01` |"),
        (
            "The top of the file",
            "| `name` | text: letters a to z, digits and . _ + - behind a letter or digit, at most 100 | the file's name |",
        ),
    ],
)
def test_types_and_defaults_are_said_in_words_and_toml(table: str, row: str):
    assert row in sections(reference())[table]
