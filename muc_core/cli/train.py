"""`muc train`: train an encoder on pictures and their captions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from muc_core.cli.jobs import Detach, run_job
from muc_core.cli.output import JsonFlag
from muc_core.cli.settings import CommandWithSettings, chosen, validated


class TrainCommand(CommandWithSettings):
    @staticmethod
    def models() -> Mapping[str, type[BaseModel]]:
        import muc_core.unlearning.methods  # noqa: F401  (registers them)
        from muc_core.unlearning.method import METHODS

        # Training an original encoder is Retrain before anything is to be forgotten.
        return {"training": METHODS.get("retrain").settings}


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
    family: Annotated[str, typer.Option(help="Encoder family.")] = "clip",
    held_out: Annotated[
        int, typer.Option(min=0, help="Pictures never trained on, the controls of an audit; the demo has its own.")
    ] = 160,
    calibration: Annotated[
        int, typer.Option(min=0, help="Further pictures never trained on, to calibrate with; the demo has its own.")
    ] = 160,
    forget: Annotated[
        str | None,
        typer.Option(
            help="Pictures to be forgotten later: trained on like the others, and never drawn as held-out.",
            metavar="SET",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same encoder.")] = 0,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Run of the same command that was cancelled or failed, to go on with.",
            metavar="RUN",
            show_default=False,
        ),
    ] = None,
    detach: Detach = False,
    as_json: JsonFlag = False,
) -> None:
    """Train an encoder on pictures and their captions.

    Some pictures are held out and never trained on; an audit compares with them.

    Runs as a job in its own process: Ctrl-C cancels it, `--detach` leaves it alone, and the dashboard and
    `muc jobs` show it, too.

    Example: `muc train --data my-pictures --name mine --epochs 40 --learning-rate 0.002`
    """
    import muc_core.encoders.load  # noqa: F401  (registers the families)
    from muc_core.data.sets import load_dataset
    from muc_core.encoders.family import FAMILIES
    from muc_core.jobs.tasks.train import TrainJob
    from muc_core.workspace import Workspace

    settings = validated(TrainCommand.models()["training"], chosen(ctx), what="training")
    # Refused here already, and not only when the job gets its turn.
    Workspace().check_new_name(name)
    FAMILIES.get(family)
    load_dataset(data)
    job = TrainJob(
        name=name,
        # The path is kept with the encoder, which is used from other folders, too.
        data=data if data == "demo" else str(Path(data).absolute()),
        family=family,
        architecture=architecture,
        held_out=held_out,
        calibration=calibration,
        forget=forget,
        settings=settings.model_dump(mode="json"),
        seed=seed,
        resume=resume,
    )
    then = f"muc unlearn --method ac --original {name} --forget {forget or 'SET'} --name {name}-ac"
    run_job("train", job, then=then, detach=detach, as_json=as_json)
