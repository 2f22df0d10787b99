"""The seeds of an experiment; what cannot be compared is told by `recsys sweep` (test_sweep.py)."""

from pathlib import Path

import pytest

from recsys import config
from recsys.config.grid import Choice
from recsys.errors import ConfigError
from recsys.experiments.variants import Variant, read_variants, seeds_from

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


def test_what_is_wrong_with_the_file_is_said_once_and_of_no_choice(tmp_path: Path) -> None:
    choices = [Choice(name, (f"model.members={name}",)) for name in ("1", "x")]
    missing = tmp_path / "nope.toml"
    for path, words in ((missing, f"{missing}: "), (_without_days(tmp_path), ": split: missing")):
        with pytest.raises(ConfigError) as refusal:
            read_variants(path, (), choices, "sweep point")
        ours = [problem for problem in refusal.value.problems if words in problem and "members" not in problem]
        assert len(ours) == 1
        assert not ours[0].startswith("sweep point")
    with pytest.raises(ConfigError) as refusal:
        read_variants(TINY, (), choices, "sweep point")
    (said,) = refusal.value.problems
    assert said.startswith("sweep point x: ")


def _without_days(folder: Path) -> Path:
    (folder / "own.toml").write_text(TINY.read_text().replace("[split]", "[splt]"))
    return folder / "own.toml"
