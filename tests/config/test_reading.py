"""A TOML as typed options: where its paths lead, what overrides do, what names and words mean."""

from pathlib import Path

import pytest

from recsys import config
from recsys.config import KuaiRandSource, OpenBanditSource, TableSource
from recsys.errors import ConfigError
from tests.config.conftest import PIPELINES, SMALLEST, problems


def test_source_split_and_one_objective_make_a_working_file(write):
    loaded = config.load(write(SMALLEST))
    assert loaded.name == "feed"
    assert loaded.model.architecture == "mmoe"
    assert loaded.split.days("train")[0] == "2022-04-25"
    assert len(loaded.split.days("train")) == 8
    assert loaded.split.days("validation") == []


def test_paths_in_the_file_are_relative_to_the_file(write, tmp_path: Path):
    loaded = config.load(write(SMALLEST))
    assert isinstance(loaded.source, TableSource)
    assert loaded.source.log == tmp_path / "log.csv"


def test_paths_on_the_command_line_are_relative_to_the_shells_folder(write, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("shell")
    path = write(SMALLEST)
    monkeypatch.chdir(elsewhere)
    loaded = config.load(path, ["source.log=there/log.csv"])
    assert loaded.source.log == elsewhere / "there" / "log.csv"


def test_a_store_on_this_machine_is_a_path_as_any_other(write, monkeypatch, tmp_path: Path, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("shell")
    monkeypatch.chdir(elsewhere)
    path = write(SMALLEST + '[tracking]\nmlflow = "sqlite:///runs.db"\n')
    assert config.load(path).tracking.mlflow == f"sqlite:///{tmp_path}/runs.db"
    assert config.load(path, ["tracking.mlflow=sqlite:///runs.db"]).tracking.mlflow == f"sqlite:///{elsewhere}/runs.db"
    for whole in ("sqlite:////data/runs.db", "https://runs.example/db"):
        assert config.load(path, [f"tracking.mlflow={whole}"]).tracking.mlflow == whole
    with pytest.raises(ConfigError, match=r"tracking\.mlflow: found another address"):
        config.load(path, ["tracking.mlflow=sqlite:///"])


def test_override_values_are_toml_else_a_string(write):
    path = write(SMALLEST)
    assert config.load(path, ["model.architecture=shared_bottom"]).model.architecture == "shared_bottom"
    assert config.load(path, ['model.architecture="shared_bottom"']).model.architecture == "shared_bottom"
    assert config.load(path, ["features.windows=[3]"]).features.windows == (3,)
    assert "expected KEY=VALUE" in problems(path, "seed")[0]


def test_a_file_may_begin_with_a_byte_order_mark(write):
    assert config.load(write("\ufeff" + SMALLEST)) == config.load(write(SMALLEST))


@pytest.mark.parametrize(
    "path", sorted([*PIPELINES.glob("*.toml"), *PIPELINES.parent.glob("benchmarks/*.toml")]), ids=lambda path: path.stem
)
def test_every_pipeline_of_the_repository_is_named_as_its_file_and_valid(path: Path):
    assert config.load(path).name == path.stem


def test_open_bandit_is_looked_for_where_the_data_card_says():
    source = config.load(PIPELINES / "open_bandit.toml").source
    assert isinstance(source, OpenBanditSource)
    assert source.path.resolve() == PIPELINES.parent / "data" / "open_bandit_dataset"


def test_kuairand_is_looked_for_where_the_data_card_says():
    source = config.load(PIPELINES / "kuairand_pure.toml").source
    assert isinstance(source, KuaiRandSource)
    assert source.path.resolve() == PIPELINES.parent / "data" / "KuaiRand-Pure"


@pytest.mark.parametrize(("text", "expected"), [("10m", 600_000), ("24h", 86_400_000), ("0s", 0), ("7d", 604_800_000)])
def test_durations(text: str, expected: int):
    assert config.duration_ms(text) == expected


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-1h", "10 m", "ten"])
def test_what_is_no_duration(text: str):
    with pytest.raises(ValueError, match="expected a whole number and a unit"):
        config.duration_ms(text)


@pytest.mark.parametrize(("written", "expected"), [('"joint"', "joint"), ('"uniform"', "uniform"), ("0", 0.0), ("0.3", 0.3), ("1", 1.0)])
def test_sampling_is_a_word_or_a_number_between_two_of_them(write, written: str, expected: str | float):
    pipeline = config.load(write(SMALLEST + f"[train]\nsampling = {written}\n"))
    assert pipeline.train.sampling == expected
    assert config.Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


def test_a_name_of_several_features_is_the_videos_before_the_contexts_before_the_users():
    features = config.Features(item=("a",), context=("a", "b"), user=("a", "b", "c"))
    assert [features.example_column(name) for name in "abc"] == ["item.a", "context.b", "user.c"]
    with pytest.raises(ValueError, match="found d, expected a column that"):
        features.example_column("d")


def test_metrics_of_lists_have_numbers_in_range_each_once(write):
    loaded = config.load(write(SMALLEST + "[evaluate]\nlist_k = [1, 20]\ntop_percent = [5, 0.5]\n"))
    assert (loaded.evaluate.list_k, loaded.evaluate.top_percent) == ((1, 20), (5.0, 0.5))
    for options in ("list_k = [0]", "top_percent = [100]", "top_percent = [0]"):
        assert problems(write(SMALLEST + f"[evaluate]\n{options}\n"))[0].split(": ")[1].startswith(f"evaluate.{options.split()[0]}")
    assert problems(write(SMALLEST + "[evaluate]\nlist_k = [5, 5]\n"))[0].endswith("found list_k = [5, 5], expected each number once")


def test_an_aim_names_objectives_and_relative_changes(write):
    more = '[[objective]]\nname = "like"\nlabel = "l"\n[fuse]\nmaximise = "like"\n'
    fuse = config.load(write(SMALLEST + more + 'constraints = { "*" = "-1%" }\n')).fuse
    assert fuse.least_changes(["click", "like", "share"]) == {"click": -0.01, "share": -0.01}
    both = config.load(write(SMALLEST + more + 'constraints = { "*" = "-1%", click = "+0.5%" }\n')).fuse
    assert both.least_changes(["click", "like", "share"]) == {"click": 0.005, "share": -0.01}
    assert "fuse.constraints.click: found '1'" in problems(write(SMALLEST + more + 'constraints = { click = "1" }\n'))[0]
    for name in ("auc", "captured@200%"):
        assert f'fuse.metric: found "{name}", expected captured@P%' in problems(write(SMALLEST + more + f'metric = "{name}"\n'))[0]
    assert 'fuse.constraints: found "likes", expected an objective; there are click, like' in "\n".join(
        problems(write(SMALLEST + more + 'constraints = { likes = "-1%" }\n'))
    )


def test_a_toml_of_another_encoding_is_told_to_be_saved_as_utf_8(tmp_path: Path):
    path = tmp_path / "feed.toml"
    path.write_text(SMALLEST, encoding="utf-16")
    assert problems(path) == (f"{path}: found bytes that are not UTF-8 at 0, expected a pipeline's TOML. Fix: save it as UTF-8",)


def test_a_name_of_other_letters_is_told_which_are_meant(write, tmp_path: Path):
    (said,) = problems(write(f'name = "größe"\n{SMALLEST}'))
    expected = "found 'größe', expected letters a to z, digits and . _ + - behind a letter or digit, at most 100. Fix: name = "
    assert f"name: {expected}" in said
    path = tmp_path / "größe.toml"
    path.write_text(SMALLEST, encoding="utf-8")
    (said,) = problems(path)
    assert said.startswith(f"{path}: name: {expected}")
    assert said.endswith("without one, the name is that of the file")
