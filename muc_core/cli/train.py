"""`muc train`: train an encoder on pictures and their captions."""

from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import BaseModel

from muc_core.cli.jobs import Detach, run_job
from muc_core.cli.output import JsonFlag
from muc_core.cli.settings import CommandWithSettings, chosen, validated


class TrainCommand(CommandWithSettings):
    @staticmethod
    def models() -> Mapping[str, type[BaseModel]]:
        from muc_core.unlearning.settings import TrainingSettings

        return {"training": TrainingSettings}


def train(
    ctx: typer.Context,
    data: Annotated[
        str,
        typer.Option(
            help="What to train on: demo, or a folder or zip of pictures with captions.csv, .tsv or .jsonl "
            "(columns file, caption and, if you like, label, owner).",
            metavar="demo|PATH",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the encoder that comes out.", show_default=False)],
    architecture: Annotated[
        str, typer.Option(help="muc-tiny, small enough for a laptop, or the name of any open_clip architecture.")
    ] = "muc-tiny",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same encoder.")] = 0,
    detach: Detach = False,
    as_json: JsonFlag = False,
) -> None:
    """Train an encoder on pictures and their captions.

    Some pictures are held out and never trained on; an audit compares with them.

    Runs as a job in its own process: Ctrl-C cancels it, `--detach` leaves it alone, and the dashboard and
    `muc jobs` show it, too.

    Example: `muc train --data my-pictures --name mine --epochs 40 --learning-rate 0.002`
    """
    from muc_core.jobs.tasks.train import TrainJob
    from muc_core.unlearning.settings import TrainingSettings
    from muc_core.workspace import Workspace

    Workspace().check_new_name(name)
    settings = validated(TrainingSettings, chosen(ctx), what="training")
    job = TrainJob(
        data=data,
        architecture=architecture,
        settings=settings.model_dump(mode="json"),
        name=name,
        seed=seed,
    )
    run_job("train", job, detach=detach, as_json=as_json)
