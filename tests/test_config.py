from pathlib import Path

import pytest

from recsys import config
from recsys.config import KuaiRandSource, TableSource
from recsys.errors import ConfigError

PIPELINES = Path(__file__).resolve().parent.parent / "pipelines"

SMALLEST = """
[source]
kind = "table"
log = "log.csv"
[split]
train = ["2022-04-25", "2022-05-02"]
[[objective]]
name = "click"
label = "is_click = 1"
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "feed.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def problems(path: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config.load(path, overrides)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_source_split_and_one_objective_make_a_working_file(write):
    loaded = config.load(write(SMALLEST))
    assert loaded.name == "feed"
    assert loaded.model.sharing == "mmoe"
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


def test_every_problem_is_told_at_once_each_with_its_path(write):
    found = problems(
        write(
            SMALLEST.replace('name = "click"', 'nam = "click"')
            + '[train]\npasses = -1\n[model]\nsharing = "mmo"\n[model.mmoe]\nnum_expert = 3\n[source.time]\nzone = "Asia/Shangai"\n'
        )
    )
    text = "\n".join(found)
    assert len(found) == 6
    assert 'source.time.zone: found "Asia/Shangai", expected an IANA time zone such as "Asia/Shanghai"' in text
    assert "objective.0.name: missing" in text
    assert 'objective.0.nam: unknown key; did you mean "name"?' in text
    assert "train.passes: found -1; input should be greater than 0" in text
    assert 'did you mean "mmoe"?' in text
    assert 'model.mmoe.num_expert: unknown key; did you mean "num_experts"?' in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('kind = "table"', 'kind = "tabel"', 'source.kind: found tabel, expected one of table, kuairand, world; did you mean "table"?'),
        ('kind = "table"', "", "source.kind: found no kind, expected one of table, kuairand, world"),
        ('["2022-04-25", "2022-05-02"]', '["x", "2022-05-02"]', "split.train.0: found 'x', expected a day such as 2022-04-25"),
        ("[split]", '[source.columns]\nposition = "slot"\ndevice = "slot"\n[split]', "found slot named more than once"),
        ("[split]", '[source.columns]\nposition = ""\n[split]', "source.columns.position"),
        ("[split]", '[source.time]\nzone = "localtime"\n[split]', 'found "localtime", expected an IANA time zone'),
        ("[split]", '[features]\nmemory_limit = "0MB"\n[split]', "features.memory_limit"),
        ("[split]", '[features]\nlabel_delay = "²d"\n[split]', "expected a whole number and a unit"),
    ],
)
def test_what_else_is_told_in_one_line(write, old: str, new: str, expected: str):
    assert old in SMALLEST
    (problem,) = problems(write(SMALLEST.replace(old, new)))
    assert expected in problem
    assert "\n" not in problem


def test_an_objective_is_addressed_by_name(write):
    path = write(SMALLEST)
    assert config.load(path, ["objective.click.loss_weight=2"]).objective[0].loss_weight == 2
    assert "expected one of click" in problems(path, "objective.clik.loss_weight=2")[0]


def test_override_values_are_toml_else_a_string(write):
    path = write(SMALLEST)
    assert config.load(path, ["model.sharing=shared_bottom"]).model.sharing == "shared_bottom"
    assert config.load(path, ['model.sharing="shared_bottom"']).model.sharing == "shared_bottom"
    assert config.load(path, ["features.windows=[3]"]).features.windows == (3,)
    assert "expected KEY=VALUE" in problems(path, "seed")[0]


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        ('["2022-05-02", "2022-05-03"]', "expected a day after 2022-05-02, the last day of train"),
        ('["2022-04-01", "2022-04-02"]', "expected a day after 2022-05-02, the last day of train"),
        ('["2022-05-04", "2022-05-03"]', "expected first ≤ last"),
    ],
)
def test_parts_of_a_split_are_in_time_order_and_do_not_overlap(write, validation: str, expected: str):
    text = SMALLEST.replace("[[objective]]", f"validation = {validation}\n[[objective]]")
    assert expected in problems(write(text))[0]


def test_one_name_stands_for_one_objective(write):
    twice = SMALLEST + '[[objective]]\nname = "click"\nlabel = "x = 1"\n'
    assert "found the name click more than once" in problems(write(twice))[0]


@pytest.mark.parametrize("text", ["x = ", "\x00", "[a]\n[a]"])
def test_a_file_that_is_not_toml_is_told_by_name(write, text: str):
    assert "feed.toml" in problems(write(text))[0]


def test_a_missing_file_is_told_by_name(tmp_path: Path):
    assert "no-such.toml" in problems(tmp_path / "no-such.toml")[0]


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_pipeline_of_the_repository_is_named_as_its_file_and_valid(path: Path):
    assert config.load(path).name == path.stem


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
