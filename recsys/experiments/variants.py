"""The variants that an experiment compares: pipelines under names, trained with the same seeds and judged by the same labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys import artifacts, schema
from recsys.config import Pipeline, load
from recsys.config.grid import Choice
from recsys.errors import ConfigError
from recsys.objectives import Objective
from recsys.stages import run_identity

OWN = ("name", "source", "seed")  # keys of the pipeline that all variants have in common; a run's seed follows from `seed`
LABEL = ("name", "kind", "label", "observed", "given", "levels", "better")  # keys of an objective that all variants have in common


@dataclass(frozen=True)
class Variant:
    """A pipeline that is compared with others. Its runs differ in the seed alone.

    The names of its runs begin with `stem`; by default with its architecture, as those of any other run.
    """

    name: str
    pipeline: Pipeline
    stem: str | None = None

    def with_seed(self, seed: int) -> Pipeline:
        return self.pipeline.model_copy(update={"seed": seed})


def read_variants(path: Path, overrides: Sequence[str], choices: Sequence[Choice], what: str) -> list[Variant]:
    """Read the config of each choice. Raise ConfigError with everything that is wrong, and as `require_comparable` does."""
    found: dict[str, tuple[str, ...]] = {}  # choice → its problems
    variants: list[Variant] = []
    for choice in choices:
        try:
            variants.append(Variant(choice.name, load(path, [*overrides, *choice.overrides])))
        except ConfigError as error:
            found[choice.name] = error.problems
    if found:
        of_all = set.intersection(*map(set, found.values())) if len(found) == len(choices) > 1 else set()  # these are the file's own
        problems = [
            f"{what} {name}: {problem}" if name and problem not in of_all else problem for name, of in found.items() for problem in of
        ]
        raise ConfigError(list(dict.fromkeys(problems)))
    require_comparable(variants, what)
    return variants


def seeds_from(variants: Sequence[Variant], count: int) -> list[int]:
    """Return `count` seeds from the first variant's own on, so far apart that each member of each run has a seed of its own."""
    step = max(variant.pipeline.model.most_members for variant in variants)
    return [variants[0].pipeline.seed + place * step for place in range(count)]


def require_no_teacher(variants: Sequence[Variant], why: str) -> None:
    """Raise ConfigError for a variant that another run teaches, where this cannot be."""
    for variant in variants:
        teacher = variant.pipeline.train.distil_from
        if teacher is not None:
            raise ConfigError(f"train.distil_from: found {teacher}, expected none, because {why}. Fix: leave it out")


def require_comparable(variants: Sequence[Variant], what: str) -> None:
    """Raise ConfigError for variants that cannot be judged together, and for two that are the same. `what`: the word for a variant."""
    if problems := [*_unlike(variants, what), *_alike(variants, what)]:
        raise ConfigError(problems)


def _unlike(variants: Sequence[Variant], what: str) -> Iterator[str]:
    """Yield a problem for each variant that cannot be judged together with the first one."""
    first = variants[0]
    for variant in variants:
        pipeline = variant.pipeline
        differing = [key for key in OWN if getattr(pipeline, key) != getattr(first.pipeline, key)]
        if _labels(pipeline.objective) != _labels(first.pipeline.objective):
            differing.append(f"an objective's {', '.join(LABEL)}")
        differing += [
            f"split.{part}"
            for part in (schema.VALIDATION, schema.TEST)
            if pipeline.split.parts().get(part) != first.pipeline.split.parts().get(part)
        ]
        if differing:
            yield (
                f"{what} {variant.name}: found another {'; '.join(differing)} than {first.name} has, expected all judged on the same"
                " impressions by the same labels. Fix: seeds by --seeds, all else in pipelines of its own"
            )


def _labels(objectives: Sequence[Objective]) -> list[dict[str, Any]]:
    return [objective.model_dump(mode="json", include=set(LABEL)) for objective in objectives]


def _alike(variants: Sequence[Variant], what: str) -> Iterator[str]:
    """Yield a problem for each variant whose runs are those of an earlier one. It would be a second name of one thing."""
    known: dict[str, Variant] = {}
    for variant in variants:
        first = known.setdefault(artifacts.fingerprint(run_identity(variant.pipeline)), variant)
        if first is not variant:
            yield (
                f"{what} {variant.name}: found the same config as {first.name}, expected another."
                " Fix: change keys that a run depends on; seeds by --seeds"
            )
