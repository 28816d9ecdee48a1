"""What the commands print: a table for people or JSON for programs on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else, for programs.")]


def emit(data: Any, people: RenderableType, *, as_json: bool) -> None:
    """Print `data` as JSON, or what is meant for people."""
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        console().print(people)


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal; wide enough for whole rows where the output goes into a file or a pipe."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if terminal else 200, highlight=False)


def table(columns: Mapping[str, str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> Table:
    """A table for people.

    Args:
        columns: headings, and for each "left" or "right"; numbers belong on the right.
        rows: cells, in the order of the columns; None is an empty cell.
    """
    result = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold")
    result.show_header = any(heading.strip() for heading in columns)
    for number, (heading, side) in enumerate(columns.items()):
        result.add_column(heading, justify="right" if side == "right" else "left", no_wrap=number == 0)
    for row in rows:
        result.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    return result


def note(text: str) -> None:
    """A line for people that must not disturb the output."""
    typer.echo(text, err=True)


def moment(when: datetime | str) -> str:
    """A moment (ISO 8601 if it is text) for people, in the time of this machine."""
    known = datetime.fromisoformat(when) if isinstance(when, str) else when
    return f"{known.astimezone():%Y-%m-%d %H:%M}"


def flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested entries as `outer.inner`; long lists of ids as their number."""
    rows: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and len(value) > 8:
            rows.append((f"{prefix}{key}", f"{len(value)} items"))
        else:
            rows.append((f"{prefix}{key}", value))
    return rows
