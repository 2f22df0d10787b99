"""The parts of a page: templates with escaping on, files of this package, and values for its scripts to read."""

import json
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, /, **values: Any) -> Markup:
    """Fill a template of this package with these values, and escape every string among them. A template may import others.

    Raises UndefinedError where a value is missing.
    """
    loader = FunctionLoader(lambda name: str(static(name)))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader)
    return Markup(environment.get_template(template).render(**values))


def static(name: str) -> Markup:
    """Return a file of this package as it stands."""
    return Markup(resources.files("recsys.report").joinpath("static", name).read_text(encoding="utf-8"))


def script(source: str) -> Markup:
    assert "</script" not in source.lower(), "a script that holds its own end tag cannot stand in a page"
    return Markup(source)


def inline_json(value: Any) -> Markup:
    """Return a value for a script of type application/json. "<" is escaped, so it cannot end the script or open a comment."""
    return Markup(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))
