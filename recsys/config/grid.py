"""The points of a sweep: `KEY=V1,V2,…` and loss weights on a simplex, as overrides of a pipeline's TOML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from recsys.config.pipeline import Pipeline
from recsys.config.reading import toml_value
from recsys.errors import ConfigError

OPENS, CLOSES, QUOTES = "[{", "]}", "\"'"


@dataclass(frozen=True)
class Choice:
    """One value of an axis, or one value of each axis: its name, and the overrides that it stands for."""

    name: str
    overrides: tuple[str, ...]


def axis(text: str) -> list[Choice]:
    """Parse the choices of `KEY=V1,V2,…`. Commas within brackets, braces and quotes belong to a value: `model.mmoe.hidden=[64,32],[128]`.

    A choice that sets a word has this word as its name. Any other choice is named PART=VALUE, where PART is the last part of the
    key; for the key of an objective, PART begins with the objective's name. Raises ConfigError where a key or a value is missing.
    """
    key, equals, values = text.partition("=")
    key = key.strip()
    if not equals or not key:
        lacks = "no key" if equals else 'no "="'
        raise ConfigError(f"--over {text}: found {lacks}, expected KEY=V1,V2,… such as model.architecture=shared_bottom,mmoe")
    found = [value.strip() for value in _parts(values)]
    if "" in found:
        raise ConfigError(f"--over {text}: found an empty value, expected one before and behind each comma")
    short = key.removeprefix("objective.") if key.startswith("objective.") else key.rpartition(".")[2]
    names = [value if isinstance(toml_value(value), str) else f"{short}={value}" for value in found]
    return [Choice(name.strip(QUOTES), (f"{key}={value}",)) for name, value in zip(names, found, strict=True)]


def _parts(text: str) -> Iterator[str]:
    """Cut a text at the commas outside of brackets, braces and quotes."""
    depth, quote, start = 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        elif letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
        depth += 0 if quote else (letter in OPENS) - (letter in CLOSES)
    yield text[start:]


def simplex(names: Sequence[str], steps: int, pipeline: Pipeline) -> list[Choice]:
    """List loss weights of the named objectives on the simplex lattice (Scheffé 1958): every way to deal out `steps` equal parts.

    The weights keep the sum that they have in `pipeline`, so that training steps keep their size. A weight of 0 leaves an
    objective untrained. Raises ConfigError for an unknown or repeated name, for fewer than two names, and for a sum of 0.
    """
    weights = {objective.name: objective.loss_weight for objective in pipeline.objective}
    unknown = [name for name in names if name not in weights]
    if unknown or len(set(names)) != len(names) or len(names) < 2:
        raise ConfigError(f"--over-weights: found {', '.join(names)}, expected two or more different ones of {', '.join(weights)}")
    total = sum(weights[name] for name in names)
    if total == 0:
        raise ConfigError(f"--over-weights: found loss_weight = 0 for all of {', '.join(names)}, expected a sum to deal out")
    choices = []
    for parts in _compositions(steps, len(names)):
        dealt = {name: f"{total * part / steps:.6g}" for name, part in zip(names, parts, strict=True)}
        overrides = tuple(f"objective.{name}.loss_weight={weight}" for name, weight in dealt.items())
        choices.append(Choice(", ".join(f"{name} {weight}" for name, weight in dealt.items()), overrides))
    return choices


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def grid(axes: Sequence[Sequence[Choice]]) -> list[Choice]:
    """Combine every choice of each axis with every choice of the others. The last axis changes fastest.

    Raises ConfigError where two points have the same name.
    """
    points = [
        Choice(" · ".join(choice.name for choice in some), tuple(override for choice in some for override in choice.overrides))
        for some in product(*axes)
    ]
    names = [point.name for point in points]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"--over: found {', '.join(twice)} more than once, expected each point once")
    return points
