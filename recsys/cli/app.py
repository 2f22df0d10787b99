"""The application that every verb is registered with."""

import typer

from recsys.cli.arguments import ABOUT, EXIT_CODES

app = typer.Typer(name="recsys", help=ABOUT, epilog=EXIT_CODES, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
