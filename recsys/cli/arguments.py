"""The texts, arguments and options that several verbs share."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from recsys.errors import nearest
from recsys.progress import LogForm, log_as
from recsys.threads import bound_threads
from recsys.workspace import file_in_the_way

ABOUT = "Multi-objective ranking: from feedback logs to a model whose trade-offs you can see."
EXIT_CODES = (
    "Exit codes: 0 done; 2 usage or config; 3 data; 4 a damaged file or a full disk; 5 in use by another job; 6 a run that may not be"
    " promoted; 7 a day that is not closed yet; 130 interrupted; 141 the reader of the output has gone; 1 a bug."
)
DEFAULT_WORKSPACE = Path("data")
_OF_FILES = frozenset((".csv", ".gz", ".html", ".json", ".jsonl", ".md", ".parquet", ".pdf", ".png", ".svg", ".toml", ".tsv", ".txt"))


def _bounded(number: int | None) -> int | None:
    bound_threads(number)
    return number


def _log_form(text: str) -> str:
    forms = get_args(LogForm)
    if text not in forms:
        raise typer.BadParameter(f"found '{text}', expected one of {', '.join(forms)}{nearest(text, forms)}")
    return text


def _logged(form: LogForm) -> LogForm:
    log_as(form)
    return form


def _folder(text: str) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("found no text, expected a folder")
    _require_no_file(Path(text))
    return Path(text)


def _require_no_file(folder: Path) -> None:
    if (file := file_in_the_way(folder)) is not None:
        raise typer.BadParameter(f"found the file {file}, expected a folder. Fix: name another one")


def _out_file(text: str) -> Path:
    """Return where a file is to be written. Refuse a folder, and a place in a folder that is not there or may not be written."""
    path = _out(text, "a file")
    if path.is_dir():
        raise typer.BadParameter(f"found the folder {path}, expected a file. Fix: name one in it")
    return path


def _out_folder(text: str) -> Path:
    """Return a folder to write into, which is made where it is missing; the folder above it must be there. Refuse the name of a file."""
    path = _out(text, "a folder")
    if path.suffix.lower() in _OF_FILES and not path.is_dir():
        raise typer.BadParameter(f"found {path}, the name of a file, expected a folder. Fix: a name without {path.suffix}")
    _require_no_file(path)
    return path


def _out_page(text: str) -> Path:
    return _out_file(text) if Path(text).suffix == ".html" else _out_folder(text)


def _out(text: str, what: str) -> Path:
    path = Path(text)
    if not str(text).strip():
        raise typer.BadParameter(f"found no text, expected {what}")
    _require_no_file(path.parent)
    if not path.parent.is_dir():
        raise typer.BadParameter(f"found no folder {path.parent}, expected one that is there. Fix: make it first, or mend the path")
    folder = path if path.is_dir() else path.parent
    if not os.access(folder, os.W_OK):
        raise typer.BadParameter(f"found {folder}, which cannot be written, expected a folder that can. Fix: name another place")
    return path


PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE.toml", help="The pipeline's TOML.")]
Workspace = Annotated[
    Path,
    typer.Option("--workspace", parser=_folder, metavar="FOLDER", help="Where everything generated lies; what generates makes it."),
]
RunName = Annotated[
    str | None,
    typer.Option("--run", metavar="NAME", help="Name of the run; by default its architecture and a fingerprint of its config."),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out", parser=_out_file, metavar="FILE", help="A .parquet or .csv; by default beside the candidates, as NAME.predicted.parquet."
    ),
]
OutFolder = Annotated[
    Path | None, typer.Option("--out", parser=_out_folder, metavar="FOLDER", help="Where the metrics of --predictions go.")
]
OutToml = Annotated[
    Path | None, typer.Option("--out", parser=_out_file, metavar="NEW.toml", help="Where to write; by default the log's name, here.")
]
WorldFolder = Annotated[Path, typer.Argument(parser=_out_folder, metavar="DIR", help="Where the raw files and the truth go.")]
OutPage = Annotated[
    Path | None,
    typer.Option("--out", parser=_out_page, metavar="FILE.html", help="Write a page too; for a folder, compare.html in it."),
]
Over = Annotated[list[str] | None, typer.Option(metavar="KEY=V1,V2,…", help="Values for a key of the TOML; repeatable: each with each.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a key of the TOML; repeatable.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="[OBJECTIVE=]NAME", help="Judge by this metric; repeatable. By default the main ones."),
]
JudgedOn = Annotated[str | None, typer.Option("--on", metavar="PART", help="Judge on test or validation days; by default test, if any.")]
Told = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="OURS=THEIRS", help="Which column is the user_id, the item_id or the timestamp; repeatable."),
]
Through = Annotated[
    datetime | None,
    typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="Move the split so that it ends on this day; training begins where it did."),
]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        metavar="DAY",
        formats=["%Y-%m-%d"],
        help="In time order, learn this day and the later ones again, although they have been learned.",
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Let --run NAME stand for another config from now on.")]
HealthDay = Annotated[
    datetime | None,
    typer.Option("--day", metavar="DAY", formats=["%Y-%m-%d"], help="The day whose limits may stop; by default the last one."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait where another job writes what this one has to write.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        max=4096,
        metavar="N",
        callback=_bounded,
        help="Threads to compute with; by default one per core. With N, a run fits its baselines after its training, not beside it.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but the result and errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Give the result as one JSON object on stdout, and messages on stderr.")]
Log = Annotated[
    LogForm,
    typer.Option(
        "--log",
        parser=_log_form,
        metavar="text|json",
        callback=_logged,
        help="Write messages as text, or as one JSON object per line: stages, days, rows, seconds.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
