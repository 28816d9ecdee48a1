"""`muc demo`: the encoders and sets that come with the demo, and rebuilding the encoders from nothing."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from muc_core.cli.encoders import as_data, encoder_table
from muc_core.cli.output import JsonFlag, emit, table
from muc_core.cli.progress import Bar

app = typer.Typer(invoke_without_command=True)


@app.callback()
def main(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the demo's encoders and sets, or rebuild the encoders.

    The demo: encoders trained on OpenMoji drawings, of which an artist withdraws 150. The names of sets are what
    `--items`, `--controls` and `--forget` take.
    """
    if ctx.invoked_subcommand is not None:
        return
    from muc_core.data.demo import demo_split, load_demo
    from muc_core.data.sets import list_sets
    from muc_core.workspace import Workspace

    encoders = [record for record in Workspace().encoders() if record.shipped]
    sets = list_sets(load_demo(), demo_split())
    data = {
        "encoders": [as_data(record) for record in encoders],
        "sets": [{"spec": each.spec, "count": each.count, "description": each.description} for each in sets],
    }
    rows = [(each.spec, each.count, each.description) for each in sets]
    set_table = table({"set": "left", "pictures": "right", "": "left"}, rows)
    emit(data, Group(encoder_table(encoders), "", set_table), as_json=as_json)


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder to write to (the demo: assets/encoders).")] = Path("demo-encoders"),
    only: Annotated[
        list[str] | None,
        typer.Option(help="Build this encoder only; may be repeated.", metavar="NAME"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train the demo's encoders again from nothing. Takes about ten minutes on two cores.

    The recipe and its seeds are fixed, so that the result is the same.
    """
    from muc_core.jobs.demo import build_demo

    with Bar(quiet=as_json) as progress:
        manifests = build_demo(out, only=only or (), progress=progress)
    people = table(
        {"name": "left", "seconds": "right", "metrics": "left"},
        [
            (m.name, f"{m.run_time_s or 0:.0f}", ", ".join(f"{name} {value:.2g}" for name, value in m.metrics.items()))
            for m in manifests
        ],
    )
    emit([manifest.model_dump(mode="json") for manifest in manifests], people, as_json=as_json)
