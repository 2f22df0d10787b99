"""Spark beside DuckDB: the same bytes. These tests need PySpark and Java; they fail where either is missing (`make spark`)."""

import os
import random
import re
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from recsys import config
from recsys.cli import run_command
from recsys.config import Spark
from recsys.errors import ConfigError
from recsys.features import spark_past
from recsys.features import values as cells
from recsys.features.duckdb_engine import DuckDBEngine
from recsys.features.engine import Answers, Engine
from recsys.features.labels import UnknownColumns, translate
from recsys.features.operands import LabelError
from recsys.features.spark_engine import SparkEngine
from recsys.progress import Console
from tests.features.test_candidates import EVERYTHING
from tests.features.test_label_bounds import ATOMS, BINARY, EVENTS, ROWS, TERNARY, UNARY
from tests.staged import build

pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets of py4j
]
PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    spill = tmp_path_factory.mktemp("spill")
    with DuckDBEngine(memory_limit="1GB", spill=spill) as duckdb, SparkEngine(Spark(), memory_limit="1GB", spill=spill) as spark:
        yield duckdb, spark


def both(engines: tuple[Engine, Engine], expression: ibis.Table) -> tuple[pa.Table, pa.Table]:
    first, second = (engine.arrow(expression) for engine in engines)
    assert first.schema == second.schema
    return first, second


def same(first: pa.Table, second: pa.Table) -> list[str]:
    """The columns that differ: by a bit, a sign of zero, or a null."""
    return [name for name in first.column_names if repr(first[name].to_pylist()) != repr(second[name].to_pylist())]


# --- Values -------------------------------------------------------------------------------------------------------
def expressions(rng: random.Random, number: int) -> list[str]:
    """Random expressions of labels that are not refused."""

    def grown(depth: int) -> str:
        if depth == 0 or rng.random() < 0.25:
            return rng.choice(ATOMS)
        form = rng.choice(rng.choice([UNARY, BINARY, TERNARY]))
        return form.format(*(grown(depth - 1) for _ in range(form.count("{}"))))

    found: list[str] = []
    while len(found) < number:
        text = grown(3)
        try:
            translate(text, EVENTS)
        except (LabelError, UnknownColumns):
            continue
        found.append(text)
    return found


def test_500_random_labels_have_the_same_bits(engines: tuple[Engine, Engine]) -> None:
    odd = {
        "log.big": [0.1, 1 / 3, 7e-8, 123.456, -0.0],
        "log.whole": [3, 10, 1000, -5, 2],
        "log.name": ["0.1", " 3 ", "1e5", "2d", "1_000"],
        "log.seen": [True, False, True, None, False],
        "log.share": pa.array([0.7, 0.5, -0.7, 0.0, None], pa.float64()),
        "feedback.stars": [2.5, 0.3, 4.7, 9.99, 1.0005],
    }
    for engine in engines:
        engine.rows("events", pa.concat_tables([ROWS, pa.table(odd)]))
    texts = expressions(random.Random(0), 500)
    for first in range(0, len(texts), 25):
        some = {text: translate(text, EVENTS) for text in dict.fromkeys(texts[first : first + 25])}
        assert same(*both(engines, EVENTS.select(**some))) == []


def test_texts_numbers_and_lists_have_the_same_values(engines: tuple[Engine, Engine]) -> None:
    texts = [
        *("2d", "0x1p3", "1_000", "1__0", "_1", " 3 ", "\t4\n", "inf", "-Infinity", "NaN", "1e5", "1E-5", "1.", ".", ".5", "+7", "--7"),
        *("1,5", "", "  ", "é", "1e400", "00012", "1f", "1 2", "１２", "12,65", "[27, 9]", "[]", "['a', \"b's\", c]", "a|b", "[a"),
        *("Action|Children's", " a ,, b ", "[news]|[sport]", "a.b*c", "x,\u00a0y,\u2003z", "a\nb,c", "\\1,\\2", "'q'", "['q','r']"),
        *("a||b", "|", "$1|\\E|q", "b,a,b", "+-3", "1e+-5", "-+3", None),
    ]
    numbers = [0.1, 1e-5, 1e16, 1e22, 123456.789, -0.0, 2.5, 1 / 3, 5e-324, 1.7e308, 1e15, 1.0005, -1.0005, 8.0025, -0.0001, 1.7e306]
    numbers += [81790.10685515546, -791.8694358735992, 1000000000000000.2, 2.675, float("inf"), -float("inf"), float("nan"), None]
    cases = ibis.table({"t": "string", "x": "float64"}, name="cases")
    for engine in engines:
        engine.rows("cases", pa.table({"t": texts, "x": pa.array((numbers * 3)[: len(texts)], pa.float64())}))
    columns = {
        "number": cases["t"].try_cast("float64"),
        "written": cells.text(cases["x"]),
        "finite": cells.finite(cases["x"]),
        **{f"rounded to {digits}": cases["x"].round(digits) for digits in (1, 3, 9, 12, 15)},
        "ln": (cases["x"].abs() > 0).ifelse(cases["x"].abs(), 1.0).ln(),
        **{f"parts by {by}": cells.texts(cases["t"], by) for by in (",", "|", ".", None)},
        "sorted": cells.texts(cases["t"], ",").unique().sort(),
    }
    assert same(*both(engines, cases.select(**columns))) == []


def test_sums_over_a_window_may_be_beyond_64_bits(engines: tuple[Engine, Engine]) -> None:
    """A day's sum fits into 64 bits, and that of thirty days need not."""
    rng = random.Random(2)
    rows = [{"key": n % 3, "age": n % 5, "n": rng.choice([None, 0, 7, rng.randrange(2**62), 2**62 - 1])} for n in range(90)]
    days = ibis.table({"key": "int64", "age": "int64", "n": "int64"}, name="days")
    for engine in engines:
        engine.rows("days", pa.Table.from_pylist(rows, schema=days.schema().to_pyarrow()))
    windows = {f"n.{window}": days["n"].sum(where=days["age"] <= window).cast("float64") for window in (-1, 0, 4)}
    found = both(engines, days.group_by("key").agg(**windows).order_by("key"))
    assert same(*found) == []
    wanted = [float(sum(row["n"] or 0 for row in rows if row["key"] == key)) for key in range(3)]
    assert found[1]["n.4"].to_pylist() == wanted
    assert min(wanted) > 2.0**63
    assert found[1]["n.-1"].to_pylist() == [None] * 3


def test_names_that_hold_a_dot_or_a_dash(engines: tuple[Engine, Engine]) -> None:
    log = ibis.table({"a.b": "int64"}, name="odd-name")
    for engine in engines:
        engine.rows("odd-name", pa.table({"a.b": [1, 2]}))
        engine.keep("kept-0", log.filter(log["a.b"] > 1))
        engine.keep("kept-0", log.filter(log["a.b"] > 0))
        engine.view("seen-0", ibis.table(log.schema(), name="kept-0").mutate(c=ibis._["a.b"] + 1))
        found = engine.arrow(ibis.table({"a.b": "int64", "c": "int64"}, name="seen-0").order_by("c"))
        assert found.to_pydict() == {"a.b": [1, 2], "c": [2, 3]}
        engine.drop("kept-0")


# --- Functions ----------------------------------------------------------------------------------------------------
ASKS = ibis.table({"row": "int64", "of.key": "string"}, name="asked")
GONE = ibis.table({"of.key": "string", "at": "int64", "name": "string"}, name="gone")
NAMES = pa.schema({"row": pa.int64(), "log.names": pa.list_(pa.string()), "share": pa.float32()})


def names_before(past: pa.Table, asks: pa.Table) -> pa.Table:
    """Per ask, what its key's past is called, in order, and the share of the row's number in 7."""
    names: dict[str | None, list[str]] = {}
    for key, name in zip(past["of.key"].to_pylist(), past["name"].to_pylist(), strict=True):
        names.setdefault(key, []).append(name)
    found = [None if key is None else names.get(key) for key in asks["of.key"].to_pylist()]
    return pa.table({"row": asks["row"], "log.names": found, "share": [row / 7 for row in asks["row"].to_pylist()]}, schema=NAMES)


def asked_and_gone(engines: tuple[Engine, Engine], asks: int) -> tuple[list[str | None], list[dict[str, Any]]]:
    """Random keys of asks, and a past in which some keys are missing, some are null, and some have never been asked for."""
    rng = random.Random(1)
    keys = [rng.choice([*"abcdefgh", None]) for _ in range(asks)]
    gone = [{"of.key": rng.choice([*"cdefghxy", None]), "at": rng.randrange(20), "name": f"n{rng.randrange(500)}"} for _ in range(300)]
    for engine in engines:
        engine.rows("asked", pa.table({"row": pa.array(range(asks), pa.int64()), "of.key": pa.array(keys, pa.string())}))
        engine.rows("gone", pa.Table.from_pylist(gone, schema=GONE.schema().to_pyarrow()))
    return keys, gone


@pytest.mark.parametrize(("asks", "size"), [(100, 100), (100, 40), (0, 40)])
def test_functions_answer_asks_by_their_past(engines: tuple[Engine, Engine], asks: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each engine gives what a plain loop finds, by its name and beside an expression, wherever the function is called."""
    monkeypatch.setattr(spark_past, "_BUCKET_ROWS", 30)  # so that there are several buckets
    keys, gone = asked_and_gone(engines, asks)
    answer = by_value(names_before)
    in_order = sorted(gone, key=lambda row: (row["at"], row["name"]))
    names = [[row["name"] for row in in_order if row["of.key"] == key is not None] or None for key in keys]
    both_parts = pa.schema({"of.key": pa.string(), **{field.name: field.type for field in NAMES if field.name != "row"}})
    for engine in engines:
        past = engine.past(GONE, ["of.key"], pa.Table.combine_chunks, ["at", "name"])
        answers = Answers(past, ASKS, answer, NAMES)
        engine.keep_answers("answered", answers)
        named = engine.arrow(ibis.table(ibis.schema(NAMES), name="answered").order_by("row"))
        assert named["log.names"].to_pylist() == names
        most = size if engine.whole_days else max(asks, 1)
        pieces = [piece() for piece in engine.side_by_side([ASKS.order_by("row"), answers], both_parts, asks, most)]
        assert [len(piece) for piece in pieces if len(piece)] == [min(most, asks - start) for start in range(0, asks, most)]
        if asks:
            found = pa.concat_tables(pieces)
            assert found.schema == both_parts
            assert found["of.key"].to_pylist() == keys
            assert found["log.names"].to_pylist() == names
            assert found["share"].equals(named["share"])


def test_streams_give_rows_in_their_order(engines: tuple[Engine, Engine]) -> None:
    asked_and_gone(engines, 0)
    order = ["name", "at", "of.key"]
    duckdb, spark = ([[*batches] for batches in engine.streams([GONE.order_by(order), ASKS.order_by("row")])] for engine in engines)
    assert [pa.Table.from_batches(batches).to_pylist() for batches in spark[:1]] == [
        pa.Table.from_batches(batches).to_pylist() for batches in duckdb[:1]
    ]
    assert [len(batch) for batch in spark[0]] == [300]
    assert spark[1] == duckdb[1] == []


def by_value(function: Any) -> Any:
    """Return a function that executors need no module of these tests for."""
    return types.FunctionType(function.__code__, {"pa": pa, "NAMES": NAMES, "__name__": "__main__"}, function.__name__)


def test_executors_with_other_versions_or_without_the_package_are_said(
    engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_and_gone(engines, 5)
    _, spark = engines
    past = spark.past(GONE, ["of.key"], pa.Table.combine_chunks)
    monkeypatch.setattr(spark_past, "version", lambda name: "99.0")  # of the driver alone
    with pytest.raises(ConfigError, match=r"\[spark\]: found executors in another environment \(found the versions .* expected .*99\.0"):
        spark.keep_answers("answered", Answers(past, ASKS, by_value(names_before), NAMES))
    monkeypatch.undo()
    absent = types.ModuleType("absent_on_executors")
    absent.names_before = names_before  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, absent.__name__, absent)
    monkeypatch.setattr(names_before, "__module__", absent.__name__)
    with pytest.raises(ConfigError, match=r"another environment \(No module named 'absent_on_executors'\)"):
        spark.keep_answers("answered", Answers(past, ASKS, names_before, NAMES))


# --- Whole logs ---------------------------------------------------------------------------------------------------
def test_a_random_log_has_the_same_examples_and_states(feed: Any) -> None:
    rows = feed.tasteful_events(21)
    for engine in ("duckdb", "spark"):
        build(feed.pipeline(features=EVERYTHING | {"engine": engine}), feed.write(engine, rows), console=QUIET)
    assert files(feed.folder / "duckdb") == files(feed.folder / "spark")


def test_a_workspace_with_an_odd_name_and_dates_with_fractions(feed: Any) -> None:
    """Names that stand for others where Spark reads files, and moments between seconds, some before 1970."""
    moments = [1_700_000_000_700, -1_500, 1_700_000_000_200]
    more = [pa.field("log.made", pa.timestamp("us"))]
    rows = [row | {"log.made": datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(milliseconds=moments[n % 3])}
            for n, row in enumerate(feed.events(3, 60))]  # fmt: skip
    found = []
    for engine in ("duckdb", "spark"):
        features = {"engine": engine, "context": ["tab", "made"], "entities": [["user_id"]], "today": [], "history": 0}
        folder = feed.write(f"{engine} [a] {{b}}*", rows, more)
        build(feed.pipeline(features=features), folder, console=QUIET)
        found.append(files(folder))
    assert found[0] == found[1]


def test_days_by_one_engine_go_on_from_days_by_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine is no part of what was made: a day that stands stays, and the next one is made from its state."""
    tiny = [str(PIPELINES / "tiny.toml"), "--set", "source.days=7", "--set", 'source.start="2024-01-01"']
    for workspace, engine in (("both", "spark"), ("one", "duckdb")):
        options = ["--workspace", str(tmp_path / workspace), "--quiet"]
        assert run_command(["run", *tiny, *options, "--through", "2024-01-05", "--until", "features"]) == 0
        last = ["--through", "2024-01-06", "--until", "features", "--set", f"features.engine={engine}"]
        assert run_command(["run", *tiny, *options, *last]) == 0
    assert files(tmp_path / "both" / "tiny") == files(tmp_path / "one" / "tiny")


@pytest.mark.parametrize("name", ["tiny", "demo", "kuairand_pure"])
def test_a_pipeline_has_the_same_examples_and_states(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Take the first four days of KuaiRand: all ten take seven minutes and show no more."""
    sets = ["--through", "2022-04-28", "--set", f"source.path={request.getfixturevalue(name)}"] if name == "kuairand_pure" else []
    for engine in ("duckdb", "spark"):
        options = ["--workspace", str(tmp_path / engine), "--quiet", "--set", f"features.engine={engine}"]
        assert run_command(["run", str(PIPELINES / f"{name}.toml"), *sets, *options, "--until", "features"]) == 0
    assert files(tmp_path / "duckdb" / name) == files(tmp_path / "spark" / name)


def files(folder: Path) -> dict[str, int]:
    """Every file of examples and states, with a hash of its bytes."""
    found = {str(path.relative_to(folder)): hash(path.read_bytes()) for path in folder.rglob("day=*/*.parquet")}
    found = {name: content for name, content in found.items() if not name.startswith("events")}
    assert len(found) > 10
    return found


# --- Mistakes and interruptions -----------------------------------------------------------------------------------
def test_a_missing_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r'features\.engine: found "spark" without Java, expected Java 17 or 21'):
        SparkEngine(Spark(), memory_limit="1GB", spill=tmp_path)


def test_ctrl_c_is_one_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "recsys", "run", str(PIPELINES / "tiny.toml"), "--until", "features", "--log", "json"]
    command += ["--workspace", str(tmp_path / "data"), "--set", "features.engine=spark"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    ) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if '"day"' in line and '"features"' in line:
                break
        time.sleep(1.0)
        os.killpg(job.pid, signal.SIGINT)
        rest, _ = job.communicate(timeout=60)
    assert job.returncode == 130, rest
    assert "a bug" not in rest
    assert subprocess.run(command, check=False, capture_output=True, env=environment).returncode == 0
    assert run_command([*command[3:-2], "--workspace", str(tmp_path / "duckdb"), "--quiet"]) == 0
    assert files(tmp_path / "data" / "tiny") == files(tmp_path / "duckdb" / "tiny")


def test_options_that_would_change_values_are_refused() -> None:
    conf = {"spark.executor.memory": "2g", "spark.app.name": "mine"}
    assert Spark(master="local[1]", conf=conf).conf == conf
    with pytest.raises(ConfigError, match=r"spark.conf: found spark.sql.session.TIMEZONE, expected none of spark.sql.session.timeZone"):
        config.load(PIPELINES / "tiny.toml", ['spark.conf={"spark.sql.session.TIMEZONE"="CET"}'])
    with pytest.raises(ConfigError, match=r"spark.master"):
        config.load(PIPELINES / "tiny.toml", ["spark.master=nowhere"])


def test_a_session_that_cannot_be_is_said(tmp_path: Path) -> None:
    """In a process of its own: this one has a context, which stays as it is."""
    code = (
        "import pathlib, sys\n"
        "from recsys.config import Spark\n"
        "from recsys.errors import ConfigError\n"
        "from recsys.features.spark_engine import SparkEngine\n"
        "try:\n"
        "    SparkEngine(Spark(), memory_limit='100MB', spill=pathlib.Path(sys.argv[1]))\n"
        "except ConfigError as error:\n"
        "    print('SAID', error)\n"
    )
    job = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True)
    assert re.search(r"SAID \[spark\]: found no session \(.*memory 104857600 must be at least", job.stdout), job.stdout + job.stderr[-2000:]


def test_a_context_that_stood_before_stays_with_its_settings_and_jobs(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    standing = SparkSession.builder.getOrCreate()
    standing.conf.set("spark.sql.session.timeZone", "CET")
    one = ibis.table({"x": "int64"}, name="one")
    with SparkEngine(Spark(), memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("one", pa.table({"x": [1, 2]}))
        assert engine.arrow(one.agg(n=one["x"].sum())).to_pylist() == [{"n": 3}]
    assert standing.sql("select 1 as x").toArrow().to_pylist() == [{"x": 1}]
    assert standing.conf.get("spark.sql.session.timeZone") == "CET"
    assert "one" not in [table.name for table in standing.catalog.listTables()]


def test_ctrl_c_that_has_ended_java_too_is_still_ctrl_c(
    engines: tuple[Engine, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from py4j.protocol import Py4JNetworkError
    from pyspark import SparkContext

    def ended(*_: object) -> None:
        raise Py4JNetworkError("Answer from Java side is empty")

    monkeypatch.setattr(SparkContext, "cancelJobsWithTag", ended)
    with pytest.raises(KeyboardInterrupt), SparkEngine(Spark(), memory_limit="1GB", spill=tmp_path):
        raise KeyboardInterrupt


def test_a_query_that_fails_ends_the_others_and_the_engine_can_be_asked_again(engines: tuple[Engine, Engine]) -> None:
    _, spark = engines
    spark.rows("log", pa.table({"user": [1, 1, 2]}))
    log, absent = ibis.table({"user": "int64"}, name="log"), ibis.table({"user": "int64"}, name="absent")
    with pytest.raises(Exception, match="absent"):
        list(spark.arrows([absent.select("user"), *[log.agg(n=log.count())] * 5]))
    answers = spark.arrows([log.agg(n=log.count())] * 6)
    next(answers)
    answers.close()
    assert [table["n"].to_pylist() for table in spark.arrows([log.agg(n=log.count())] * 6)] == [[3]] * 6
