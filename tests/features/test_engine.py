"""Queries at once: the rows of each in order, the first error, and the end of all of them."""

import itertools
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.artifacts import GROUP_ROWS
from recsys.features.duckdb_engine import DuckDBEngine, _engine_share
from recsys.features.engine import in_groups

LOG = ibis.table({"user": "int64", "seconds": "int64"}, name="log")


@pytest.fixture
def engine(tmp_path: Path):
    with DuckDBEngine(memory_limit="1GB", spill=tmp_path) as engine:
        engine.rows("log", pa.table({"user": [1, 1, 2], "seconds": [10, 20, 30]}))
        yield engine


def test_several_queries_give_what_one_after_the_other_gives(engine: DuckDBEngine) -> None:
    asked = [LOG.filter(LOG["seconds"] > least).group_by("user").agg(total=LOG["seconds"].sum()).order_by("user") for least in range(40)]
    assert [table.to_pylist() for table in engine.arrows(asked)] == [engine.arrow(each).to_pylist() for each in asked]
    assert list(engine.arrows([])) == []


def test_streams_give_rows_in_their_order_in_groups_of_one_size(engine: DuckDBEngine) -> None:
    numbers = ibis.range(2 * GROUP_ROWS + 5).unnest().name("n").as_table()
    asked = [numbers.filter(numbers["n"] < most).order_by(numbers["n"].desc()) for most in (0, 7, GROUP_ROWS, 2 * GROUP_ROWS + 5)]
    found = [[*batches] for batches in engine.streams(asked)]
    assert [[len(batch) for batch in batches] for batches in found] == [[], [7], [GROUP_ROWS], [GROUP_ROWS, GROUP_ROWS, 5]]
    for batches, most in zip(found, (0, 7, GROUP_ROWS, 2 * GROUP_ROWS + 5), strict=True):
        assert [n for batch in batches for n in batch["n"].to_pylist()] == [*range(most)][::-1]


@pytest.mark.parametrize("sizes", [[], [0], [1, 0, 6], [GROUP_ROWS - 1, 2], [2 * GROUP_ROWS + 1, GROUP_ROWS - 1], [5] * 40])
def test_groups_do_not_depend_on_how_rows_were_parted(sizes: list[int]) -> None:
    rows = pa.table({"n": pa.array(range(sum(sizes)), pa.int64())})
    ends = np.cumsum([0, *sizes])
    parted = [pa.record_batch([rows["n"].combine_chunks()[start:end]], rows.schema) for start, end in itertools.pairwise(ends)]
    expected = [rows["n"].to_pylist()[start : start + GROUP_ROWS] for start in range(0, sum(sizes), GROUP_ROWS)]
    assert [batch["n"].to_pylist() for batch in in_groups(parted, rows.schema)] == expected


def test_sums_keep_the_type_of_the_expression(engine: DuckDBEngine) -> None:
    (table,) = engine.arrows([LOG.agg(total=LOG["seconds"].sum())])
    assert table.schema == pa.schema([("total", pa.int64())])


@pytest.mark.words
def test_a_query_that_fails_ends_the_others_and_the_engine_can_be_asked_again(engine: DuckDBEngine) -> None:
    absent = ibis.table({"user": "int64"}, name="absent")
    numbers = ibis.range(10**6).unnest().name("n").as_table()
    endless = numbers.cross_join(numbers.view()).agg(n=ibis._.count())  # 10¹² pairs, unless it is interrupted
    for _ in range(3):
        with pytest.raises(Exception, match="absent"):
            list(engine.arrows([absent.select("user"), *[endless] * 3]))
        assert [table["n"].to_pylist() for table in engine.arrows([LOG.agg(n=LOG.count())] * 6)] == [[3]] * 6


def test_answers_that_nobody_takes_end(engine: DuckDBEngine) -> None:
    answers = engine.arrows([LOG.select("user")] * 20)
    next(answers)
    answers.close()
    assert next(engine.arrows([LOG.agg(n=LOG.count())])).to_pylist() == [{"n": 3}]


def test_threads_see_what_was_named_after_they_began(engine: DuckDBEngine) -> None:
    count = LOG.agg(n=LOG.count())
    assert [table["n"].to_pylist() for table in engine.arrows([count, count])] == [[3], [3]]
    engine.rows("log", pa.table({"user": [7], "seconds": [1]}))
    assert [table["n"].to_pylist() for table in engine.arrows([count, count])] == [[1], [1]]


def test_all_connections_are_in_one_zone(engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A date of a moment with a zone is that of the connection's zone. It must not be that of the machine."""
    monkeypatch.setenv("TZ", "America/New_York")
    with DuckDBEngine(memory_limit="1GB", spill=tmp_path) as other:
        moments = pa.array([0], pa.timestamp("ms", tz="UTC"))
        other.rows("moments", pa.table({"at": moments}))
        table = ibis.table({"at": ibis.dtype("timestamp('UTC')")}, name="moments")
        day = table.select(day=table["at"].cast("string"))
        assert next(other.arrows([day]))["day"].to_pylist() == other.arrow(day)["day"].to_pylist()


@pytest.mark.parametrize("ask", [lambda engine, query: engine.arrow(query), lambda engine, query: list(engine.arrows([query, query]))])
def test_an_interrupt_is_a_ctrl_c_and_no_bug(engine: DuckDBEngine, ask: Callable[[DuckDBEngine, ir.Table], object]) -> None:
    numbers = ibis.range(10**6).unnest().name("n").as_table()
    endless = numbers.cross_join(numbers.view()).agg(n=ibis._.count())

    def interrupt() -> None:
        while not is_over.wait(0.2):
            for connection in (engine._connection, *engine._open):
                connection.interrupt()

    is_over = threading.Event()
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            ask(engine, endless)
    finally:
        is_over.set()
        interrupter.join()


def test_a_thread_that_is_half_started_when_ctrl_c_comes_ends_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = ibis.range(10**6).unnest().name("n").as_table()
    endless = numbers.cross_join(numbers.view()).agg(n=ibis._.count())
    start = threading.Thread.start

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
    try:
        with DuckDBEngine(memory_limit="1GB", spill=tmp_path) as engine:
            monkeypatch.setattr(threading.Thread, "start", start_and_interrupt)
            with pytest.raises(KeyboardInterrupt):
                list(engine.arrows([endless, endless]))
            monkeypatch.undo()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python loses one that comes in a destructor
def test_ctrl_c_is_one_wherever_it_comes_while_names_are_given(engine: DuckDBEngine, tmp_path: Path) -> None:
    """The engine has other errors for it in short calls than in long queries."""
    rows = pa.table({"user": range(1000), "seconds": range(1000)})
    pq.write_table(rows, tmp_path / "rows.parquet")
    came = {True: 0, False: 0}
    is_armed = False

    def interrupt(number: int, frame: object) -> None:
        if is_armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for moment in np.random.default_rng(0).uniform(1e-5, 3e-3, 300):
            try:
                is_armed = True
                signal.setitimer(signal.ITIMER_REAL, moment)
                engine.rows("log", rows)
                engine.own_files("log", [tmp_path / "rows.parquet"])
                is_armed = False
            except KeyboardInterrupt:
                came[True] += 1
            else:
                came[False] += 1
            is_armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert came[True]
    assert len(engine.arrow(LOG)) == 1000


def test_a_name_may_stand_for_rows_and_then_for_an_expression(engine: DuckDBEngine) -> None:
    total = LOG.agg(total=LOG["seconds"].sum())
    found = ibis.table(total.schema(), name="found")
    pack = partial(engine.keep, packed=True)
    view, keep, packed = (engine.view, []), (engine.keep, [("memory",)]), (pack, [("packed",)])
    for make, databases in (view, keep, keep, view, view, packed, packed, keep, packed, view):
        make("found", total)
        assert engine.arrow(found).to_pylist() == [{"total": 60}]
        tables = engine._connection.sql("SELECT database_name FROM duckdb_tables() WHERE table_name = 'found'").fetchall()
        assert tables == databases
    engine.drop("found")
    with pytest.raises(Exception, match="found"):
        engine.arrow(found)


@pytest.mark.words
def test_what_is_packed_takes_less_room_and_gives_it_back(engine: DuckDBEngine, tmp_path: Path) -> None:
    numbers = ibis.range(600_000).unnest().name("n").as_table()
    wide = numbers.mutate(text=(numbers["n"] % 100).cast("string") + " is a text of some length", even=numbers["n"] % 2 == 0)
    size = "SELECT total_blocks * block_size FROM pragma_database_size() WHERE database_name = 'packed'"
    sizes = []
    for _ in range(4):
        engine.keep("wide", wide, packed=True)
        assert engine.arrow(ibis.table(wide.schema(), name="wide").count().as_table())[0][0].as_py() == 600_000
        sizes.append(engine._connection.execute(size).fetchall()[0][0])
        engine.drop("wide")
    assert sizes[0] < 600_000 * 16  # a text alone takes 16 bytes or more in memory
    assert sizes[-1] < 1.5 * sizes[0]
    assert not [*tmp_path.iterdir()], "a job that dies leaves nothing"


def test_what_is_packed_is_made_again_and_again_as_by_a_log_of_many_days(engine: DuckDBEngine) -> None:
    """Three tables of full groups of rows and of less, as a large day has, for fourteen days."""
    for day in range(14):
        for place, rows in enumerate((100_000, 300_000, 400_000)):
            numbers = ibis.range(rows).unnest().name("n").as_table()
            table = numbers.mutate(h=numbers["n"].hash(), text=(numbers["n"] % (day + 50)).cast("string"))
            engine.keep(f"t{place}", table, packed=True)
    assert engine.arrow(ibis.table(table.schema(), name="t2").count().as_table())[0][0].as_py() == 400_000


@pytest.mark.parametrize(("limit", "megabytes"), [("1GB", 750), ("4GB", 3600), ("10MB", 7.5), ("999999GB", 999_998_600)])
def test_the_engine_gets_a_part_of_the_limit(limit: str, megabytes: float, tmp_path: Path) -> None:
    assert _engine_share(limit) == f"{megabytes:.2f}MB"
    with DuckDBEngine(memory_limit=limit, spill=tmp_path) as engine:
        engine.rows("log", pa.table({"user": [1], "seconds": [2]}))
        assert engine.arrow(LOG).to_pylist() == [{"user": 1, "seconds": 2}]


def test_files_are_read_by_their_own_names_and_not_by_what_these_would_stand_for(engine: DuckDBEngine, tmp_path: Path) -> None:
    for number, name in enumerate(("w 1", "w [1]", "w ?", "w *")):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"user": [number], "seconds": [0]}), tmp_path / name / "rows.parquet")
    for number, name in enumerate(("w 1", "w [1]", "w ?", "w *")):
        assert engine.arrow(engine.own_files("found", [tmp_path / name / "rows.parquet"]))["user"].to_pylist() == [number]
