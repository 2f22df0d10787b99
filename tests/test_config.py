from pathlib import Path

import pytest

from recsys import config
from recsys.config import KuaiRandSource, OpenBanditSource, TableSource
from recsys.errors import ConfigError
from recsys.objectives import chain, durations

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

KINDS = "table, events, kuairand, kuairec, movielens, open_bandit, world"


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


@pytest.mark.parametrize("overrides", [(), ("source.items=''",)], ids=["file", "command line"])
def test_an_empty_path_is_no_folder(write, overrides: tuple[str, ...]):
    text = SMALLEST if overrides else SMALLEST.replace('log = "log.csv"', 'log = "log.csv"\nitems = ""')
    with pytest.raises(ConfigError, match=r"source\.items: found '', expected a path"):
        config.load(write(text), overrides)


def test_a_truth_value_for_a_number_hides_no_other_mistake_of_its_table(write):
    part, found = config.load_in_part(write(SMALLEST + "[evaluate]\nbootstrap = true\nconfidence = 2\nbaselines = []\n"))
    assert [problem.split(": ")[1] for problem in found] == ["evaluate.bootstrap", "evaluate.confidence"]
    assert part.evaluate.baselines == ()


def test_several_files_in_a_list_are_told_what_a_pattern_is(write):
    (found,) = problems(write(SMALLEST.replace('log = "log.csv"', 'log = ["a.csv", "b.csv"]')))
    assert "source.log: found ['a.csv', 'b.csv'], expected a path, in quotes (of several files: a pattern such as logs/*.csv)" in found


def test_every_problem_is_told_at_once_each_with_its_path(write):
    found = problems(
        write(
            SMALLEST.replace('name = "click"', 'nam = "click"')
            + '[train]\npasses = -1\n[model]\narchitecture = "mmo"\n[model.mmoe]\nnum_expert = 3\n[source.time]\nzone = "Asia/Shangai"\n'
        )
    )
    text = "\n".join(found)
    assert len(found) == 6
    assert 'source.time.zone: found "Asia/Shangai", expected an IANA time zone such as "Asia/Shanghai"' in text
    assert "objective.0.name: missing" in text
    assert 'objective.0.nam: unknown key; did you mean "name"?' in text
    assert 'train.passes: found -1, expected a whole number above 0, or "auto"' in text
    assert 'did you mean "mmoe"?' in text
    assert 'model.mmoe.num_expert: unknown key; did you mean "num_experts"?' in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'kind = "table"',
            'kind = "tabel"',
            f'source.kind: found tabel, expected one of {KINDS}; did you mean "table"?',
        ),
        (
            'kind = "table"',
            "",
            f"source.kind: found no kind, expected one of {KINDS}",
        ),
        (
            'kind = "table"',
            'kind = ""',
            f"source.kind: found an empty text, expected one of {KINDS}",
        ),
        ('["2022-04-25", "2022-05-02"]', '["x", "2022-05-02"]', "split.train.0: found 'x', expected a day such as 2022-04-25"),
        ("[split]", '[source.columns]\nposition = "slot"\ndevice = "slot"\n[split]', "found slot named more than once"),
        ("[split]", '[source.columns]\nposition = ""\n[split]', "source.columns.position"),
        ("[split]", '[source.time]\nzone = "localtime"\n[split]', 'found "localtime", expected an IANA time zone'),
        ("[split]", '[source.time]\nzone = "CEST"\n[split]', 'found "CEST", expected an IANA time zone such as "Europe/Berlin"'),
        ('"2022-04-25", "2022-05-02"', '20220425, "2022-05-02"', "split.train.0: found 20220425, expected a day such as 2022-04-25"),
        ("[split]", '[source.feedback]\nname = "x"\n[split]', "expected a table [[source.feedback]] for each"),
        ("[split]", "[source.time]\nsince = 5\n[split]", "since: found 5, expected a day such as 2020-01-01"),
        ("[split]", '[source.time]\nsince = "1577836800"\n[split]', "since: found 1577836800, expected a day such as 2020-01-01"),
        (
            "[split]",
            '[source.time]\nsince = "soon"\n[split]',
            "since: found 'soon', expected a day such as 2020-01-01, or a moment such as",
        ),
        (
            "[split]",
            "[source.time]\nsince = 1970-01-01\n[split]",
            "since: found 1970-01-01T00:00:00, expected a moment between 1971 and 2100",
        ),
        (
            "[split]",
            '[source.time]\nunit = "iso"\nsince = 2020-01-01\n[split]',
            "since: found it beside times in text, expected it only beside numbers",
        ),
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
    assert config.load(path, ["model.architecture=shared_bottom"]).model.architecture == "shared_bottom"
    assert config.load(path, ['model.architecture="shared_bottom"']).model.architecture == "shared_bottom"
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


def test_a_kind_that_is_not_there_is_near_to_none(write):
    (problem,) = problems(write(SMALLEST.replace('kind = "table"', "")))
    assert problem.endswith(f"source.kind: found no kind, expected one of {KINDS}")


def test_a_file_may_begin_with_a_byte_order_mark(write):
    assert config.load(write("\ufeff" + SMALLEST)) == config.load(write(SMALLEST))


@pytest.mark.parametrize("text", ["x = ", "\x00", "[a]\n[a]"])
def test_a_file_that_is_not_toml_is_told_by_name(write, text: str):
    assert "feed.toml" in problems(write(text))[0]


def test_a_missing_file_is_told_by_name(tmp_path: Path):
    assert "no-such.toml" in problems(tmp_path / "no-such.toml")[0]


@pytest.mark.parametrize("content", [b"user_id,item_id\n1,2\n", b"PAR1\x15\xff\xfe"])
def test_a_log_in_the_place_of_its_pipeline_is_told_what_writes_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.csv").write_bytes(content)
    (said,) = problems(tmp_path / "log.csv")
    assert said.startswith(f"{tmp_path / 'log.csv'}: found ")
    assert f", expected a pipeline's TOML. Fix: for a log, recsys init {tmp_path / 'log.csv'} writes one" in said


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


# --- Objectives ---------------------------------------------------------------------------------------------------
LIKE = '[[objective]]\nname = "like"\nlabel = "is_like = 1"\n'
WATCH = '[[objective]]\nname = "watch"\nlabel = "seconds"\nkind = "watch_time"\n'
RATED = '[[objective]]\nname = "rated"\nlabel = "stars"\nkind = "ordinal"\n'
EVERY_KIND = (
    SMALLEST
    + LIKE
    + 'given = "click"\ngroup = "satisfaction"\n'
    + '[[objective]]\nname = "glad"\nlabel = "x"\ngiven = "like"\n'
    + '[[objective]]\nname = "fun"\nlabel = "x"\nkind = "regression"\nloss = "huber"\n'
    + WATCH
    + WATCH.replace('"watch"', '"odds"')
    + 'method = "weighted_logistic"\n'
    + WATCH.replace('"watch"', '"ranked"')
    + 'method = "d2q"\nduration = "length"\n'
    + RATED
    + 'levels = [1, 2.5, 4]\n[features]\nitem = ["length"]\n'
    + '[train]\nweight = "counts"\nnegatives = { objective = "click", keep = 0.25 }\n'
)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (LIKE + 'loss = "huber"', 'objective.like: found loss with kind = "binary", expected it only with kind = "regression"'),
        (LIKE + 'method = "d2q"', 'objective.like: found method with kind = "binary", expected it only with kind = "watch_time"'),
        (LIKE + "levels = [1, 2]", 'objective.like: found levels with kind = "binary", expected it only with kind = "ordinal"'),
        (WATCH + 'given = "click"', 'objective.watch: found given with kind = "watch_time", expected it only with kind = "binary"'),
        (WATCH + 'loss = "hubr"', "objective.watch.loss: found 'hubr', expected one of squared, huber; did you mean \"huber\"?"),
        (
            WATCH + 'method = "wlr"',
            "objective.watch.method: found 'wlr', expected one of distribution, log_squared, weighted_logistic, d2q",
        ),
        (WATCH + 'method = "d2q"', 'objective.watch: found method = "d2q" without duration, expected duration = "a column of [features]"'),
        (WATCH + 'duration = "length"', 'objective.watch: found method = "distribution" with duration'),
        (
            WATCH + 'method = "d2q"\nduration = "length"',
            "objective.watch.duration: found length, expected a column that [features] names under user, item or context",
        ),
        (RATED, "objective.rated: found levels = [], expected at least two numbers, ascending"),
        (RATED + "levels = [3]", "objective.rated: found levels = [3.0], expected at least two numbers, ascending"),
        (RATED + "levels = [1, 3, 2]", "objective.rated: found levels = [1.0, 3.0, 2.0], expected at least two numbers, ascending"),
        (RATED + "levels = [1, 1]", "objective.rated: found levels = [1.0, 1.0], expected at least two numbers, ascending"),
        (RATED + "levels = [1, nan]", "objective.rated.levels.1: found nan"),
        (LIKE + 'given = "clik"', 'objective.like.given: found "clik", expected another objective; there are click, like'),
        (LIKE + 'given = "like"', "objective.like.given: found a circle, like → like, expected none"),
        (
            LIKE + 'given = "share"\n' + LIKE.replace('"like"', '"share"') + 'given = "like"',
            "objective.like.given: found a circle, like → share → like, expected none",
        ),
        (LIKE + 'given = "watch"\n' + WATCH, "objective.like.given: found watch, which is watch_time, expected a binary objective"),
        (
            WATCH + '[train.negatives]\nobjective = "watch"\nkeep = 0.5',
            'train.negatives.objective: found "watch", expected a binary objective; there are click',
        ),
        ('[train.negatives]\nobjective = "click"\nkeep = 0', "train.negatives.keep: found 0, expected a number above 0"),
        ('[train.negatives]\nobjective = "click"\nkeep = 1.5', "train.negatives.keep: found 1.5, expected a number up to 1"),
        ('[train]\nnegatives = { objectiv = "click", keep = 0.5 }', "train.negatives.objective: missing"),
        ("[model.mmoe]\ntop_k = 5", "model.mmoe.top_k: found 5, expected at most 4, the experts that an objective's gate mixes"),
        ('[model]\narchitecture = "stem"\nstem.top_k = 4\n' + LIKE, "model.stem.top_k: found 4, expected at most 3"),
    ],
)
def test_what_does_not_fit_an_objective_is_told_with_its_place(write, more: str, expected: str):
    found = problems(write(SMALLEST + more))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("[model]\nmembers = 0", 'model.members: found 0, expected a whole number above 0, or "auto"'),
        ("[model]\nd_tower = -3", "model.d_tower: found -3, expected a number above 0"),
        ("[model]\nd_tower = 1.5", "model.d_tower: found 1.5, expected a whole number"),
        ('[model]\nd_tower = "wide"', "model.d_tower: found 'wide', expected a whole number"),
        ("[model]\ndropout = 2", "model.dropout: found 2, expected a number below 1"),
        ("[model]\ndropout = -1", "model.dropout: found -1, expected a number from 0 on"),
        ("[evaluate]\nbootstrap = true", "evaluate.bootstrap: found true, expected a whole number"),  # not one replicate
        ("[evaluate]\nbootstrap = 1_000_000_001", "evaluate.bootstrap: found 1000000001, expected a number up to 1000000"),
        ("[features]\nhistory = false", "features.history: found false, expected a whole number"),
        ("[model]\ndropout = true", "model.dropout: found true, expected a number"),
        ("[features]\nwindows = [7, true]", "features.windows.1: found true, expected a whole number"),
        ('[[objective]]\nname = "geöffnet"\nlabel = "a = 1"', 'objective.geöffnet.name: found "geöffnet", expected letters a to z or A'),
        ('[train]\nrefit = "maybe"', "train.refit: found 'maybe', expected true or false"),
        ("[features]\nuser = [1]", "features.user.0: found 1, expected a text, in quotes"),
        ("[model.mmoe]\nhidden = []", "model.mmoe.hidden: found [], expected 1 or more"),
        ("[features]\nuser = 1", "features.user: found 1, expected a list, in brackets: [1]"),
        ("[train]\nfoo = 1", "train.foo: unknown key, expected one of order, "),
    ],
)
def test_values_of_another_kind_are_told_in_plain_words(write, more: str, expected: str):
    found = problems(write(SMALLEST + more))
    assert any(expected in problem for problem in found), found
    assert not any("nput should" in problem for problem in found), found


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ('user_id = "uid"', "source.columns.user_id"),
        ('zone = "UTC"', "source.time.zone"),
        ('log = "log.csv"', "source.log"),
        ("learning_rate = 0.1", "train.learning_rate"),
        ("epochs = 3", "train.passes"),
        ("objectives = []", "objective"),
        ("[feedback]", "source.feedback"),
        ("[mmoe]", "model.mmoe"),
        ("[columns]", "source.columns"),
        ("[training]", "train"),
    ],
)
def test_a_key_that_stands_in_another_table_is_told_where(write, key: str, meant: str):
    """Near by its letters were seed for user_id, name for zone, and checks for epochs."""
    found = problems(write(SMALLEST + key if key[0] == "[" else f"{key}\n{SMALLEST}"))
    assert any(f': unknown key; did you mean "{meant}"?' in problem for problem in found), found


def test_a_key_that_is_like_none_is_told_those_of_its_table(write):
    """The nearest by its letters was members."""
    assert any(
        "model.experts: unknown key, expected one of single_task, " in line for line in problems(write(SMALLEST + "[model]\nexperts = 3"))
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["split: missing, expected a table [split] of train, validation and test days", "objective: missing", "source: missing"]),
        ("train = 3", ["train: found 3, expected a table of keys and values"]),
        ("objective = 3", ["objective: found 3, expected a table [[objective]] for each thing to predict"]),
        (
            "[split]\ntrain = 2024-01-05",
            ["split.train: found 2024-01-05, expected the first and the last day, in brackets: [2024-01-05, 2024-01-05]"],
        ),
        ("[split]\ntrain = [2024-01-05]", ["split.train.1: missing, expected the last day"]),
    ],
)
def test_what_a_pipeline_cannot_do_without_is_named(write, text: str, expected: list[str]):
    found = problems(write(text))
    assert all(any(words in problem for problem in found) for words in expected), found


def test_a_key_of_negatives_is_told_with_the_nearest(write):
    found = problems(write(SMALLEST + '[train]\nnegatives = { objectiv = "click", keep = 0.5 }'))
    assert any('train.negatives.objectiv: unknown key; did you mean "objective"?' in problem for problem in found)


@pytest.mark.parametrize(("written", "expected"), [('"joint"', "joint"), ('"uniform"', "uniform"), ("0", 0.0), ("0.3", 0.3), ("1", 1.0)])
def test_sampling_is_a_word_or_a_number_between_two_of_them(write, written: str, expected: str | float):
    pipeline = config.load(write(SMALLEST + f"[train]\nsampling = {written}\n"))
    assert pipeline.train.sampling == expected
    assert config.Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


@pytest.mark.parametrize("written", ['"unifrm"', "1.5", "-0.1", "nan", "true", "[0.5]"])
def test_any_other_sampling_is_told_with_what_it_may_be(write, written: str):
    (problem,) = problems(write(SMALLEST + f"[train]\nsampling = {written}\n"))
    assert "train.sampling: found " in problem
    assert 'expected one of joint, uniform, proportional, or a number from 0 (as "uniform") to 1 (as "proportional")' in problem


def test_every_kind_of_label_survives_a_round_trip(write):
    pipeline = config.load(write(EVERY_KIND))
    assert {objective.kind for objective in pipeline.objective} == {"binary", "regression", "watch_time", "ordinal"}
    assert config.Pipeline.model_validate(pipeline.model_dump(mode="json")) == pipeline
    assert config.Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


def test_a_chain_goes_from_an_objective_to_what_is_given_nothing(write):
    objectives = config.load(write(EVERY_KIND)).objective
    by_name = {objective.name: objective for objective in objectives}
    assert [link.name for link in chain(by_name["glad"], objectives)] == ["glad", "like", "click"]
    assert [link.name for link in chain(by_name["watch"], objectives)] == ["watch"]
    with pytest.raises(ValueError, match=r'like\.given: found "click", expected another objective; there are like'):
        chain(by_name["like"], [by_name["like"]])


def test_lengths_are_named_once_in_order(write):
    objectives = config.load(write(EVERY_KIND)).objective
    ranked = next(objective for objective in objectives if objective.method == "d2q")
    other = ranked.model_copy(update={"name": "other", "duration": "pages"})
    assert durations([other, *objectives, other]) == ("pages", "length")
    assert durations(objectives[:3]) == ()


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


def test_a_key_of_an_earlier_version_is_refused_with_its_name_now():
    with pytest.raises(ConfigError, match=r"model\.sharing: this key is now called model\.architecture$"):
        config.load(PIPELINES / "tiny.toml", ["model.sharing=mmoe"])


def test_a_list_where_a_table_belongs_is_told_from_one():
    with pytest.raises(ConfigError, match=r"features\.factors: found \['item_id'\], expected a table, in braces: \{ name = … \}"):
        config.load(PIPELINES / "tiny.toml", ['features.factors=["item_id"]'])


def test_a_value_where_a_list_belongs_is_shown_as_a_list(tmp_path):
    (tmp_path / "a.toml").write_text(
        'name = "a"\n[source]\nkind = "world"\n[split]\ntrain = ["2024-01-03", "2024-01-04"]\n'
        '[[objective]]\nname = "click"\nlabel = "clicked = 1"\n[features]\nwindows = "1, 7"\nitem = "topic"\nsignals = 5\n'
    )
    with pytest.raises(ConfigError) as raised:
        config.load(tmp_path / "a.toml")
    said = str(raised.value)
    assert "features.windows: found '1, 7', expected a list, in brackets: [1, 7]" in said
    assert "features.item: found 'topic', expected a list, in brackets: [\"topic\"]" in said
    assert "features.signals: found 5, expected a list, in brackets: [5]" in said
