"""The command `muc` and its groups."""

from typing import Annotated

import typer

from muc_core import __version__
from muc_core.cli import demo, encoders, jobs, keys, workspace
from muc_core.cli.audit import audit
from muc_core.cli.audit_texts import audit_texts
from muc_core.cli.bench import bench_methods
from muc_core.cli.embed import embed
from muc_core.cli.evaluate import evaluate
from muc_core.cli.group import Speaking
from muc_core.cli.log import log
from muc_core.cli.matrices import matrices
from muc_core.cli.presets import presets
from muc_core.cli.serve import serve_encoder
from muc_core.cli.stress import stress
from muc_core.cli.sweep import sweep
from muc_core.cli.train import TrainCommand, train
from muc_core.cli.unlearn import UnlearnCommand, unlearn
from muc_core.cli.verify import verify
from muc_core.cli.watch import watch

app = typer.Typer(
    cls=Speaking,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(demo.app, name="demo")
app.command(cls=TrainCommand)(train)
app.command(cls=UnlearnCommand)(unlearn)
app.command()(audit)
app.command()(audit_texts)
app.command()(verify)
app.command()(watch)
app.command()(log)
app.command()(matrices)
app.command()(embed)
app.command()(stress)
app.command()(sweep)
app.command()(evaluate)
app.command()(bench_methods)
app.command()(serve_encoder)
app.command()(presets)
app.add_typer(encoders.app, name="encoders")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(workspace.app, name="workspace")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Audit and perform machine unlearning in contrastive encoders.

    Start with `muc demo`, which lists encoders and sets to try. Every command explains itself with
    `--help` and prints JSON with `--json`.

    Encoders, runs and jobs are kept in the folder that the environment variable MUC_HOME names, otherwise in your user
    data directory. The dashboard uses the same.
    """
