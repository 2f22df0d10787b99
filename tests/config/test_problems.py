"""What is said of a TOML that is no pipeline: every mistake at once, each with its place, in plain words."""

from pathlib import Path

import pytest

from recsys import config
from recsys.errors import ConfigError
from tests.config.conftest import PIPELINES, SMALLEST, problems

KINDS = "table, events, kuairand, kuairec, movielens, open_bandit, world"


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


@pytest.mark.parametrize("method", ["gradnorm", "torchjd.pcgrad", "torchjd.fairgrad"])
@pytest.mark.parametrize("architecture", ["single_task", "soft", "gated_independent"])
def test_gradients_are_balanced_only_where_something_is_shared(write, architecture: str, method: str):
    """Training found it out, after the features were made."""
    chosen = (f"model.architecture={architecture}", f"balance.method={method}")
    (problem,) = problems(write(SMALLEST), *chosen)
    assert problem.startswith(f'{write(SMALLEST)}: balance.method: found "{method}", which combines gradients at what the objectives share')
    assert f'with model.architecture = "{architecture}", where they share nothing, expected one that acts on losses. Fix: ' in problem
    assert ('descriptor = "metadata"' in problem) == (architecture == "gated_independent")
    for other in ("balance.method=torchjd.famo", "model.architecture=mmoe"):
        assert config.load(write(SMALLEST), [*chosen, other])
    assert config.load(write(SMALLEST), ["model.gated_independent.descriptor=metadata", "model.architecture=gated_independent", chosen[1]])


def test_a_kind_that_is_not_there_is_near_to_none(write):
    (problem,) = problems(write(SMALLEST.replace('kind = "table"', "")))
    assert problem.endswith(f"source.kind: found no kind, expected one of {KINDS}")


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
    ("more", "expected"),
    [
        ("[model]\nmembers = 0", 'model.members: found 0, expected a whole number above 0, or "auto"'),
        ("[model]\nd_tower = -3", "model.d_tower: found -3, expected a number above 0"),
        ("[model]\nd_tower = 1.5", "model.d_tower: found 1.5, expected a whole number"),
        ('[model]\nd_tower = "wide"', "model.d_tower: found 'wide', expected a whole number"),
        ("[model]\ndropout = 2", "model.dropout: found 2, expected a number below 1"),
        ("[model]\ndropout = -1", "model.dropout: found -1, expected a number from 0 on"),
        ("[evaluate]\nbootstrap = true", "evaluate.bootstrap: found true, expected a whole number"),  # not one replicate
        ("[evaluate]\nconfidence = 0.9999991", "evaluate.confidence: found 0.9999991, expected a number up to 0.999999"),
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


@pytest.mark.parametrize("written", ['"unifrm"', "1.5", "-0.1", "nan", "true", "[0.5]"])
def test_any_other_sampling_is_told_with_what_it_may_be(write, written: str):
    (problem,) = problems(write(SMALLEST + f"[train]\nsampling = {written}\n"))
    assert "train.sampling: found " in problem
    assert 'expected one of joint, uniform, proportional, or a number from 0 (as "uniform") to 1 (as "proportional")' in problem


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


def test_a_number_of_levels_is_not_shown_as_a_list_of_one(tmp_path):
    """A list of one level is refused: the advice must be one that can be followed."""
    (tmp_path / "a.toml").write_text(
        'name = "a"\n[source]\nkind = "world"\n[split]\ntrain = ["2024-01-03", "2024-01-04"]\n'
        '[[objective]]\nname = "stars"\nkind = "ordinal"\nlabel = "stars"\nlevels = 5\n'
    )
    with pytest.raises(ConfigError) as raised:
        config.load(tmp_path / "a.toml")
    assert "objective.stars.levels: found 5, expected every number that the label may be, ascending, in brackets, such as [1, " in str(
        raised.value
    )
    assert "[5]" not in str(raised.value)
