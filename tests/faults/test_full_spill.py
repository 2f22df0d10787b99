"""The engines spill to a disk that fills up, or may not spill at all: the message names the folder, or the option to raise."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from .test_full_disk import disk

pytestmark = pytest.mark.faults

# Both engines sort more than their memory holds.
SPILLING = """
import sys
from pathlib import Path
import ibis
from recsys.errors import ConfigError
from recsys.features.duckdb_engine import DuckDBEngine
from recsys.sources.database import engine
which, folder, limit = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
try:
    if which == "ingest":
        with engine(folder, limit) as con:
            con.execute("CREATE TABLE t AS SELECT hash(range) AS h, range AS r FROM range(4000000) ORDER BY h").fetchall()
    else:
        with DuckDBEngine(memory_limit=limit, spill=folder) as features:
            rows = ibis.range(4_000_000).unnest().name("r").as_table()
            if which == "packed":
                features.keep("small", rows.filter(rows.r < 50_000).mutate(h=rows.r.hash()), packed=True)
            features.keep("t", rows.mutate(h=rows.r.hash()).order_by("h"), packed=which == "packed")
    print("done")
except ConfigError as error:
    print(error)
except OSError as error:
    print(error.strerror, error.filename)
"""


def outcome(which: str, folder: Path, limit: str, largest_file: int | None = None) -> str:
    def limited() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    command = [sys.executable, "-c", SPILLING, which, str(folder), limit]
    return subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=limited).stdout.strip()


@pytest.mark.parametrize(
    ("which", "room"), [("ingest", 2_000_000), ("features", 2_000_000), ("packed", 2_000_000), ("packed", 300_000), ("packed", 100_000)]
)
def test_a_spill_that_does_not_fit_the_disk(tmp_path: Path, which: str, room: int) -> None:
    with disk(tmp_path / "disk", room) as mounted:
        said = outcome(which, tmp_path / "disk", "60MB", None if mounted else room // 2)
    assert str(tmp_path / "disk") in said
    assert "No space left on device" in said or "File too large" in said


@pytest.mark.parametrize("which", ["ingest", "features", "packed"])
def test_a_spill_that_fits(tmp_path: Path, which: str) -> None:
    assert outcome(which, tmp_path, "80MB") == "done"


@pytest.mark.parametrize("which", ["ingest", "features"])
def test_memory_that_is_too_little_even_with_a_spill(tmp_path: Path, which: str) -> None:
    said = outcome(which, tmp_path, "1MB")
    assert said.startswith("features.memory_limit: found")
    assert "expected more" in said
