"""The application that every verb is registered with, and what it answers without a verb."""

import platform
from typing import Annotated

import typer

from recsys import artifacts
from recsys.cli.arguments import ABOUT, EXIT_CODES
from recsys.progress import Console

app = typer.Typer(
    name="recsys",
    help=ABOUT,
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_versions(asked: bool) -> None:
    if asked:
        named = artifacts.versions() | {"Python": platform.python_version()}
        Console().say(", ".join(f"{name} {version}" for name, version in named.items()))
        raise typer.Exit


@app.callback()
def _without_a_verb(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_versions, help="Say the versions of recsys and what it stands on.")
    ] = False,
) -> None:
    pass
