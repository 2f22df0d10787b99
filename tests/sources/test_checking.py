"""What is said of a source before it is read: every problem at once, the columns, what the output depends on."""

import os
from pathlib import Path

import pandas as pd
import pytest

from recsys import sources
from recsys.errors import ConfigError, DataError
from recsys.progress import Console
from recsys.stages import STAGES, Job
from tests.sources.logs import COLUMNS, make_log, make_pipeline


def _source(tmp_path: Path, **more: object) -> dict[str, object]:
    make_log().to_csv(tmp_path / "log.csv", index=False)
    pd.DataFrame({"uid": [1], "age": [30]}).to_csv(tmp_path / "users.csv", index=False)
    return {"kind": "table", "log": tmp_path / "log.csv", "users": tmp_path / "users.csv", "columns": COLUMNS, **more}


def test_a_good_source_has_no_problem_and_is_left_alone(tmp_path: Path) -> None:
    pipeline = make_pipeline(_source(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    assert sources.check(pipeline) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_behind_a_link_of_the_source_is_one_of_it(tmp_path: Path) -> None:
    for name in ("log", "archive"):
        (tmp_path / name).mkdir()
    (tmp_path / "log" / "old").symlink_to(tmp_path / "archive")
    pipeline = make_pipeline(_source(tmp_path, log=tmp_path / "log"))
    assert all(sources.is_raw(pipeline, tmp_path / name / "new.csv") for name in ("log/old", "archive", "archive/day=1"))
    assert not sources.is_raw(pipeline, tmp_path / "archive" / "_new.csv")


@pytest.mark.parametrize(
    ("written", "file", "others"),
    [
        ("log.csv", "log.csv", ["new.csv"]),
        ("*.csv", "log.csv", [".new.csv", "deeper/new.csv"]),
        ("**/*.csv", "deeper/and/deeper/new.csv", ["_temporary/new.csv", "new.parquet"]),
        ("log*.csv", "log-2.csv", ["new.csv"]),  # not there yet: the next reading would take it for a part of the log
        ("log.csv", "answers.csv", []),  # of a feedback that is not there yet
        (".", "users.csv", ["_hidden/new.csv"]),
        (".", "deeper/new.parquet", ["deeper/.new.parquet"]),
    ],
)
def test_the_files_that_a_source_names_are_known_as_they_are_named(tmp_path: Path, written: str, file: str, others: list[str]) -> None:
    feedback = [{"name": "survey", "file": tmp_path / "answers.csv", "value": "stars"}]
    pipeline = make_pipeline(_source(tmp_path, log=tmp_path / written, feedback=feedback))
    assert sources.is_raw(pipeline, tmp_path / "." / file)
    (tmp_path / "other.txt").write_text("uid\n1\n")
    assert not any(sources.is_raw(pipeline, tmp_path / name) for name in ("other.txt", *others))


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    feedback = [{"name": "survey", "file": tmp_path / "survey.csv", "value": "starz"}]
    source = _source(
        tmp_path, columns={**COLUMNS, "position": "slots", "device": "machine"}, items=tmp_path / "items.parquet", feedback=feedback
    )
    (tmp_path / "items.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "survey.csv").write_text("uid,vid,ts,stars\n1,a,2,3\n")
    problems = sources.check(make_pipeline(source))
    assert len(problems) == 4
    for words in (
        'source.columns.position; did you mean "slot"',
        "column machine",
        "items.parquet: found a parquet file without",
        'did you mean "stars"',
    ):
        assert any(words in problem for problem in problems), (words, problems)


def test_another_separator_is_one_problem_not_one_a_column(tmp_path: Path) -> None:
    source = _source(tmp_path, format={"log": {"separator": ";"}})
    (problem,) = sources.check(make_pipeline(source))
    assert "set source.format.log.separator" in problem


def test_parts_that_do_not_fit_are_a_mistake_of_the_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.feedback\.saved\.on: found request_id"):
        sources.check(make_pipeline(_source(tmp_path, feedback=[{"name": "saved", "file": tmp_path / "log.csv", "on": ["request_id"]}])))
    alike = [{"name": name, "file": tmp_path / "log.csv"} for name in ("saved", "Saved")]
    with pytest.raises(ConfigError, match=r"source\.feedback: found Saved, saved, expected names that differ by more than case"):
        sources.check(make_pipeline(_source(tmp_path, feedback=alike)))


def test_bytes_that_are_not_utf8_are_found_in_the_first_rows(tmp_path: Path) -> None:
    source = _source(tmp_path)
    with (tmp_path / "log.csv").open("ab") as file:
        file.write(b"1,v\xff,1704103200000,1,1,1\n")
    (problem,) = sources.check(make_pipeline(source))
    assert "log.csv:202 column vid: found bytes that are not UTF-8" in problem


def test_the_columns_that_a_pipeline_may_name(tmp_path: Path) -> None:
    found = sources.columns(make_pipeline(_source(tmp_path, columns={**COLUMNS, "position": "slot"})))
    assert found == {
        "log": ["clicked", "watch"],
        "known": ["user_id", "item_id", "timestamp", "position"],
        "users": ["age"],
        "items": [],
        "feedback": [],
    }


def ingested(pipeline, folder):
    """What makes the output of ingest stale."""
    (part,) = STAGES["ingest"].parts(Job(pipeline, folder, folder, folder, folder, Console(quiet=True)), pipeline)
    return part.origin.fingerprint


def test_the_output_depends_on_options_and_files_but_not_on_their_place(tmp_path: Path) -> None:
    found = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        source = _source(folder)
        for path in folder.iterdir():
            os.utime(path, ns=(10**18, 10**18))
        found.append(ingested(make_pipeline(source), folder))
    assert found[0] == found[1]
    os.utime(tmp_path / "there" / "log.csv", ns=(10**18, 10**18 + 1))
    pipeline = make_pipeline(source)
    assert ingested(pipeline, folder) != found[0]
    assert ingested(make_pipeline(source, {"category": ["clicked"]}), folder) != ingested(pipeline, folder)


def test_a_missing_file_is_noticed_before_anything_is_read(tmp_path: Path) -> None:
    source = _source(tmp_path, items=tmp_path / "user.csv")
    with pytest.raises(DataError, match=r'user\.csv: found no such file.*did you mean "users\.csv"'):
        sources.raw_states(make_pipeline(source))


def test_a_simulated_source_depends_on_its_options_and_seed(tmp_path: Path) -> None:
    world = {"kind": "world", "users": 9}
    found = ingested(make_pipeline(world), tmp_path)
    assert ingested(make_pipeline(world | {"users": 8}), tmp_path) != found
    assert ingested(make_pipeline(world).model_copy(update={"seed": 8}), tmp_path) != found
    assert not list(tmp_path.iterdir())
