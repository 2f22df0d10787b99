"""The seeds of an experiment; what cannot be compared is told by `recsys sweep` (test_sweep.py)."""

from pathlib import Path

from recsys import config
from recsys.experiments.variants import Variant, seeds_from

TINY = Path(__file__).resolve().parents[2] / "pipelines" / "tiny.toml"


def test_every_member_of_every_run_has_a_seed_of_its_own() -> None:
    variants = [Variant(str(members), config.load(TINY, [f"model.members={members}", "seed=5"])) for members in (1, "auto", 2)]
    seeds = seeds_from(variants, 4)
    assert seeds[0] == 5
    for variant in variants:
        of_members = [seed + place for seed in seeds for place in range(variant.pipeline.model.most_members)]
        assert len(set(of_members)) == len(of_members)


def test_a_variant_s_runs_differ_in_the_seed_alone() -> None:
    variant = Variant("some", config.load(TINY, ["seed=5"]))
    assert variant.with_seed(6) == config.load(TINY, ["seed=6"])
    assert variant.pipeline.seed == 5
