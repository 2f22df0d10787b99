"""The texts, arguments and options that several verbs share."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from recsys.progress import LogForm, log_as
from recsys.threads import bound_threads
from recsys.workspace import file_in_the_way

ABOUT = "Multi-objective ranking: from feedback logs to a model whose trade-offs you can see."
EXIT_CODES = (
    "Exit codes: 0 done; 2 usage or config; 3 data; 4 a damaged file or a full disk; 5 in use by another job; 6 a run that may not be"
    " promoted; 7 a day that is not closed yet; 130 interrupted; 141 the reader of the output has gone; 1 a bug."
)
DEFAULT_WORKSPACE = Path("data")


def _bounded(number: int | None) -> int | None:
    bound_threads(number)
    return number


def _logged(form: LogForm) -> LogForm:
    log_as(form)
    return form


def _folder(text: str) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("found no text, expected a folder")
    if (file := file_in_the_way(Path(text))) is not None:
        raise typer.BadParameter(f"found the file {file}, expected a folder. Fix: name another one")
    return Path(text)


PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE.toml", help="The pipeline's TOML.")]
Workspace = Annotated[
    Path, typer.Option("--workspace", parser=_folder, metavar="FOLDER", help="Where everything generated goes; made where it is missing.")
]
RunName = Annotated[str | None, typer.Option("--run", help="Name of the run; by default its architecture and a fingerprint of its config.")]
Over = Annotated[list[str] | None, typer.Option(metavar="KEY=V1,V2,…", help="Values for a key of the TOML; repeatable: each with each.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a key of the TOML; repeatable.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="[OBJECTIVE=]NAME", help="Judge by this metric; repeatable. By default the main ones."),
]
JudgedOn = Annotated[str | None, typer.Option("--on", metavar="PART", help="Judge on test or validation days; by default test, if any.")]
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
Wait = Annotated[bool, typer.Option("--wait", help="Wait where another job writes what this one has to write.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, max=4096, metavar="N", callback=_bounded, help="Threads to compute with; by default one per core."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but the result and errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Give the result as one JSON object on stdout, and messages on stderr.")]
Log = Annotated[
    LogForm,
    typer.Option("--log", callback=_logged, help="Write messages as text, or as one JSON object per line: stages, days, rows, seconds."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
