"""What the command line answers without a pipeline."""

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

from recsys.cli import run_command
from recsys.cli.app import app
from recsys.errors import EXIT_ARTIFACT, EXIT_CLOSED, EXIT_CONFIG, EXIT_INTERRUPTED, data_error, many
from recsys.stages import STAGES

TINY = str(Path(__file__).resolve().parent.parent / "pipelines" / "tiny.toml")
SMALL = """
name = "small"
source = { kind = "table", log = "none.csv" }
split = { train = ["2024-03-01", "2024-03-01"], test = ["2024-03-02", "2024-03-02"] }
objective = [{ name = "click", label = "clicked = 1" }]
features = { signals = ["clicked"] }
"""
RECSYS = [sys.executable, "-m", "recsys"]
VERBS = [command.name or command.callback.__name__ for command in app.registered_commands]


def test_the_version_comes_with_those_that_a_report_of_a_bug_needs(capsys: pytest.CaptureFixture) -> None:
    assert run_command(["--version"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"recsys {version('recsys')}, ")
    assert f"torch {version('torch')}" in said
    assert f"Python {platform.python_version()}" in said


@pytest.mark.parametrize("form", [["--log", "json"], ["--log=json"]])
def test_a_mistake_in_the_arguments_has_the_form_that_is_asked_for(form: list[str], capsys: pytest.CaptureFixture) -> None:
    assert run_command(["run", "tiny.toml", "--jobs", "0", *form]) == 2
    found = json.loads(capsys.readouterr().err)
    assert found["level"] == "error"
    assert "--jobs" in found["message"]


def test_a_workspace_without_a_name_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert run_command(["runs", "--workspace", ""]) == 2
    assert "found no text, expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "status", "health"])
def test_a_workspace_with_the_place_of_a_day_is_refused(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_command([verb, TINY, "--workspace", str(tmp_path / "{day}")]) == 2
    assert f"--workspace: found {tmp_path}/{{day}}, expected a folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["", "below"])
@pytest.mark.parametrize("arguments", [["runs"], ["show", "x"], ["prune", "x.toml"], ["status", "x.toml"], ["predict", "x", "x.csv"]])
def test_a_file_in_the_place_of_the_workspace_is_named_by_every_verb(
    arguments: list[str], where: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert run_command([*arguments, "--workspace", str(tmp_path / "notes.txt" / where)]) == 2
    assert f"found the file {tmp_path / 'notes.txt'}, expected a folder. Fix: " in capsys.readouterr().err


OUTS = {
    "evaluate": (["evaluate", TINY, "--predictions", "x.csv", "--out"], "theirs"),
    "compare": (["compare", "one", "two", "--out"], "page.html"),
    "compare in a folder": (["compare", "one", "two", "--out"], "pages"),
    "predict": (["predict", "one", "x.csv", "--out"], "lists.csv"),
    "init": (["init", "x.csv", "--out"], "new.toml"),
    "world": (["world"], "feed"),
}


@pytest.mark.parametrize("command", OUTS)
def test_what_is_written_goes_into_a_folder_that_is_there(command: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments, name = OUTS[command]
    (tmp_path / "notes").write_text("")
    for place, said in (
        (tmp_path / "none" / name, f"found no folder {tmp_path / 'none'}, expected one that is there. Fix: "),
        (tmp_path / "notes" / name, f"found the file {tmp_path / 'notes'}, expected a folder. Fix: "),
        ("", "found no text, expected a "),
    ):
        assert run_command([*arguments, str(place)]) == EXIT_CONFIG
        assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("command", ["evaluate", "compare in a folder", "world"])
def test_the_name_of_a_file_is_no_folder_to_write_into(command: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_command([*OUTS[command][0], str(tmp_path / "x.txt")]) == EXIT_CONFIG
    assert f"found {tmp_path / 'x.txt'}, the name of a file, expected a folder. Fix: a name without .txt" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", TINY, "--through", "1.6.2024"], "'--through': found '1.6.2024', expected a day such as 2022-04-25"),
        (["backtest", TINY, "--days", "2024-06-05", "x"], "'--days': found 'x', expected a day such as 2022-04-25"),
        (["sweep", TINY, "--seeds", "many"], "'--seeds': found 'many', expected a whole number"),
        (["run", TINY, "--jobs", "0"], "'--jobs': found '0', expected a number from 1 on"),
        (["run", TINY, "--jobs", "5000"], "'--jobs': found '5000', expected a number up to 4096"),
        (["run", TINY, "--log", "xml"], "'--log': found 'xml', expected one of text, json"),
        (["run", TINY, "--log", "jsn"], "'--log': found 'jsn', expected one of text, json; did you mean \"json\"?"),
    ],
)
def test_a_value_of_an_option_is_told_with_what_it_may_be(arguments: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    assert run_command(arguments) == EXIT_CONFIG
    fix = f"{'' if words.endswith('?') else '.'} Fix: recsys {arguments[0]} --help says what there is"
    assert capsys.readouterr().err == f"error: Invalid value for {words}{fix}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", TINY, "--set"], "--set: found no value, expected KEY=VALUE. Fix: recsys run"),
        (["run", TINY, "--log"], "--log: found no value, expected text|json. Fix: recsys run"),
        (["show", "first", "--workspace"], "--workspace: found no value, expected FOLDER. Fix: recsys show"),
        (["backtest", TINY, "--days", "2024-06-05"], "--days: found too few values, expected FIRST LAST. Fix: recsys backtest"),
        (["run", TINY, "--quiet=yes"], "--quiet: found a value, expected none. Fix: recsys run"),
        (["--version=1"], "--version: found a value, expected none. Fix: recsys"),
    ],
)
def test_an_option_without_its_value_is_told_with_what_it_takes(arguments: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    assert run_command(arguments) == EXIT_CONFIG
    assert capsys.readouterr().err == f"error: {words} --help says what there is\n"


def test_every_option_with_a_value_says_what_it_takes() -> None:
    verbs = get_command(app).commands
    options = {(name, option.opts[0]): option for name, verb in verbs.items() for option in verb.params if option.opts[0].startswith("--")}
    assert [place for place, option in options.items() if not option.is_flag and not option.metavar] == []


@pytest.mark.parametrize("command", ["compare", "predict", "init"])
def test_a_folder_is_no_file_to_write(command: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments, name = OUTS[command]
    (tmp_path / name).mkdir()
    assert run_command([*arguments, str(tmp_path / name)]) == EXIT_CONFIG
    assert f"found the folder {tmp_path / name}, expected a file. Fix: " in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    for arguments, name in OUTS.values():
        assert run_command([*arguments, str(tmp_path / name)]) == EXIT_CONFIG
        assert f"found {tmp_path}, which cannot be written, expected a folder that can. Fix: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "verify", "run", "health", "prune", "unlock", "rollback"])
def test_a_file_in_the_place_of_a_pipelines_folder_is_named(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "tiny").write_text("")
    assert run_command([verb, TINY, "--workspace", str(tmp_path)]) == 4
    assert f"{tmp_path / 'tiny'}: found a file, expected the folder of a pipeline. Fix: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status"], 0),
        (["verify"], 2),
        (["verify", "--repair"], 2),
        (["prune", "--yes"], 0),
        (["rollback", "--set", "name=foo"], 2),
        (["health"], 4),
        (["features"], 4),
        (["train"], 4),
        (["report"], 4),
        (["ingest", "--set", "source.kind=table", "--set", "source.log=none.csv"], 2),
        (["run", "--set", 'evaluate.against=["none"]'], 2),
    ],
)
def test_what_only_reads_or_is_refused_leaves_no_folder(
    arguments: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    verb, *more = arguments
    assert run_command([verb, TINY, *more, "--workspace", str(tmp_path / "new")]) == code, capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_workspace_that_is_not_there_is_not_said_to_be_whole(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    place = ["--workspace", str(tmp_path / "dta")]
    for repair in ([], ["--repair"]):
        assert run_command(["verify", TINY, *place, *repair]) == EXIT_CONFIG
        assert f"{tmp_path / 'dta' / 'tiny'}: found no such folder, expected what a run has written" in capsys.readouterr().err
    assert run_command(["prune", TINY, *place]) == 0, "nothing is there to remove, which is as wanted"
    assert capsys.readouterr().out.startswith(f"prune: {tmp_path / 'dta' / 'tiny'}: no such folder, ")


def test_a_log_that_is_not_there_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    for verb in ("run", "ingest"):
        assert run_command([verb, str(tmp_path / "small.toml"), "--workspace", str(tmp_path / "new")]) == 3
        assert "none.csv: found no such file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_one_is_not_many() -> None:
    assert [many(number, "row") for number in (0, 1, 2_990)] == ["0 rows", "1 row", "2,990 rows"]
    assert "; 1 row. Fix: " in str(data_error("log.csv", found="a", expected="b", fix="c", bad_rows=1))
    assert "; 1 of 2,990 rows. Fix: " in str(data_error("log.csv", found="a", expected="b", fix="c", bad_rows=1, rows=2_990))


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "name another place"),
        (errno.EACCES, "look at the rights"),
        (errno.ENOTDIR, "stands where a folder is to be"),
        (errno.EIO, "see what the system says"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(
    number: int, fix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def fail(*about: object) -> None:
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr("recsys.runs.list_runs", fail)
    assert run_command(["runs", "--workspace", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert said.startswith(f"error: some/file: {os.strerror(number)}. Fix: ")
    assert fix in said


@pytest.mark.words
def test_characters_that_an_output_lacks_are_replaced() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    lines = "import sys; sys.argv = ['recsys', '--version']\nfrom recsys.cli import command_line\n"
    lines += "command_line.run_command = lambda arguments: print('─ é')\ncommand_line.main()"
    done = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"? \xe9\n")


FULL = Path("/dev/full")


@pytest.mark.words
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--json"], ["--help"]])
def test_an_output_without_room_is_not_taken_for_the_workspace(arguments: list[str], tmp_path: Path) -> None:
    place = ["--workspace", str(tmp_path)] if "runs" in arguments else []
    with FULL.open("w") as full:
        done = subprocess.run([*RECSYS, *arguments, *place], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == EXIT_ARTIFACT
    assert done.stderr.startswith("error: the output: No space left on device. Fix: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.words
@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--json"], ["--help"], ["--version"]])
def test_a_reader_that_has_gone_ends_it_quietly(arguments: list[str], tmp_path: Path) -> None:
    place = ["--workspace", str(tmp_path)] if "runs" in arguments else []
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*RECSYS, *arguments, *place], stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (EXIT_CLOSED, b"")


@pytest.mark.words
def test_messages_whose_reader_has_gone_end_it_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*RECSYS, "check", TINY, "--json"], stdout=subprocess.PIPE, stderr=writer, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stdout) == (EXIT_CLOSED, b"")


@pytest.mark.words
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_an_error_that_cannot_be_said_keeps_its_code() -> None:
    with FULL.open("w") as full:
        assert subprocess.run([*RECSYS, "fly"], stderr=full, check=False).returncode == EXIT_CONFIG


DURING_IMPORTS = """
import os, signal, sys
class Sender:
    def find_spec(self, name, *more):
        if name in ("recsys.cli", "recsys.config"):
            os.kill(os.getpid(), int(sys.argv.pop(1)))
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Sender())
from {} import {}
{}()
"""


@pytest.mark.parametrize(("form", "words"), [([], "error: interrupted. The same "), (["--log=json"], '"message": "interrupted. The same ')])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_during_the_imports_ends_as_a_later_one_does(number: signal.Signals, form: list[str], words: str) -> None:
    """Also a second one. By the start that pyproject.toml names."""
    start = tomllib.loads((Path(TINY).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["recsys"]
    module, name = start.split(":")
    command = [sys.executable, "-c", DURING_IMPORTS.format(module, name, name), *2 * [str(int(number))], "runs", *form]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_INTERRUPTED, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


AT_THE_END = """
import os, signal, sys
class Sender:
    def __init__(self):
        self.kill, self.process, self.number = os.kill, os.getpid(), int(sys.argv.pop(1))
    def __del__(self):
        self.kill(self.process, self.number)
signal.signal(signal.SIGINT, signal.default_int_handler)
sender = Sender()
from recsys.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("verb", "code"), [("--version", 0), ("fly", EXIT_CONFIG)])
def test_a_signal_while_python_takes_its_modules_down_changes_no_exit_code(number: signal.Signals, verb: str, code: int) -> None:
    """The object is removed with its module, when Python has given the signals back their default meaning."""
    done = subprocess.run([sys.executable, "-c", AT_THE_END, str(int(number)), verb], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "interrupted" not in done.stderr


@pytest.mark.words
def test_json_keeps_letters_that_the_output_does_not_know(tmp_path: Path) -> None:
    toml = tmp_path / "small.toml"
    toml.write_text(SMALL.replace("none.csv", "größe.csv"), encoding="utf-8")
    for arguments, stream in ((["check", str(toml), "--json"], "stdout"), (["run", str(toml), "--log=json"], "stderr")):
        for encoding in ("ascii", "latin-1", "utf-8"):
            environment = {**os.environ, "PYTHONIOENCODING": encoding}
            done = subprocess.run([*RECSYS, *arguments], capture_output=True, check=False, env=environment)
            said = json.loads(getattr(done, stream))
            assert "größe.csv" in (said["data"][0] if "data" in said else said["message"])


def test_a_path_that_is_no_text_is_named(tmp_path: Path) -> None:
    """A workspace called by bytes of Latin-1, which no table and no engine can name."""
    workspace = os.fsencode(tmp_path) + b"/gr\xf6\xdfe"
    try:
        os.mkdir(workspace)
    except OSError:
        pytest.skip("this file system has names of UTF-8 alone")
    command = [*RECSYS, "run", TINY, "--until", "ingest", "--quiet", "--workspace", workspace]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_CONFIG, done.stderr
    assert "found a path whose bytes are not UTF-8" in done.stderr


def test_every_stage_is_a_verb() -> None:
    assert set(STAGES) <= set(VERBS)


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_both_words_for_help(verb: str | None, capsys: pytest.CaptureFixture) -> None:
    shown = []
    for word in ("-h", "--help"):
        assert run_command([*([verb] if verb else []), word]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[0].startswith("Usage: recsys")
    assert "<datetime" not in shown[0], "a day is called so, and two of them stand apart"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["run", "own.toml", "--epochs", "3"],
            "No such option: --epochs. Fix: recsys run --help says what there is; keys of the TOML are set by",
        ),
        (
            ["check", "own.toml", "train.passes=1"],
            "Fix: recsys check --help says what there is; keys of the TOML are set by --set KEY=VALUE",
        ),
        (["init", "log.csv", "--epochs", "3"], "Fix: recsys init --help says what there is\n"),
        (["fuse", "first", "--max", "like"], 'error: No such option: --max; did you mean "--maximise"? Fix: recsys fuse --help says'),
        (["fuse", "first", "--keep", "like"], "error: No such option: --keep. Fix: recsys fuse --help says what there is\n"),
        (["prune", "own.toml", "--yess"], '--yess; did you mean "--yes"? Fix: recsys prune --help says what there is\n'),
        (
            ["evaluate", "own.toml", "--out", "."],
            "--predictions: found none, expected --predictions FILE and --out FOLDER together. Fix: give",
        ),
        (
            ["evaluate", "own.toml", "--predictions", "a.csv"],
            "--out: found none, expected --predictions FILE and --out FOLDER together. Fix: ",
        ),
        (["compare", "first"], "compare: found one run, expected two or more, or --predictions FILE. Fix: name another run, or the file"),
        (["show"], "error: Missing argument 'RUN'. Fix: recsys show --help says what there is\n"),
        (["backtest", "own.toml"], "error: Missing option '--days'. Fix: recsys backtest --help says what there is; keys"),
    ],
)
def test_what_a_verb_does_not_take_is_told_where_to_look(arguments: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    assert run_command(arguments) == EXIT_CONFIG
    assert words in capsys.readouterr().err


def test_the_name_of_a_toml_that_is_not_there_is_told_what_is_near(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "plays.toml").write_text("")
    assert run_command(["check", str(tmp_path / "play.tml")]) == EXIT_CONFIG
    assert capsys.readouterr().err.endswith('expected a pipeline\'s TOML. Fix: mend the path; did you mean "plays.toml"?\n')
