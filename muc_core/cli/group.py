"""Commands that end in a sentence and an exit code, never in a traceback that the user cannot read."""

from typing import Any

import typer
from typer.core import TyperGroup

USER_ERROR = 2
"""Exit code when the user can put it right, the one that a wrong option has too."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""


class Speaking(TyperGroup):
    """Turns `MucError` into one sentence on stderr. Other exceptions are defects and keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        from muc_core.errors import Cancelled, MucError

        try:
            return super().invoke(ctx)
        except MucError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(USER_ERROR) from error
        except (KeyboardInterrupt, Cancelled) as error:
            typer.echo("Cancelled.", err=True)
            raise typer.Exit(INTERRUPTED) from error
