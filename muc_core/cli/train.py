"""`muc train`: train an encoder on pictures and their captions."""

from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import BaseModel

from muc_core.cli.jobs import Detach, Launcher, run_job
from muc_core.cli.output import JsonFlag
from muc_core.cli.settings import CommandWithSettings, chosen, validated
from muc_core.errors import MucError


class TrainCommand(CommandWithSettings):
    @staticmethod
    def models() -> Mapping[str, type[BaseModel]]:
        import muc_core.unlearning.methods  # noqa: F401  (registers them)
        from muc_core.unlearning.method import METHODS

        # Training an original encoder is Retrain before anything is to be forgotten.
        return {"training": METHODS.get("retrain").settings}


def train(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="Name of the encoder that comes out.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Option(
            help="What to train on: demo, or the path of pictures: a folder (sub-folders are labels) or zip, perhaps "
            "with captions.csv, .tsv or .jsonl (columns file, caption, label, owner); such a table itself; CIFAR-10 "
            "or -100, COCO captions, WebDataset .tar, parquet. FORMAT: before it says which, ?images=FOLDER after it "
            "where the pictures are.",
            metavar="demo|[FORMAT:]PATH",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Take what is not given from a preset, such as demo-simclr; `muc presets` lists them.",
            metavar="PRESET",
            show_default=False,
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            help="clip (the default), meru, simclr, moco or supervised.", metavar="FAMILY", show_default=False
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            help="Of clip and meru: muc-tiny, the default and small enough for a laptop, or any open_clip architecture."
            " Of simclr and moco: demo-resnet, the default, cifar-resnet18, torchvision/NAME or timm/NAME, and after "
            "it, if you like, the widths of the projection head (cifar-resnet18:512-128) and moco's queue (@4096). "
            "Of supervised the same models; the number of classes (@10) is that of the labels.",
            show_default=False,
        ),
    ] = None,
    held_out: Annotated[
        int | None,
        typer.Option(
            min=0, help="Pictures never trained on, the controls of an audit (default 160).", show_default=False
        ),
    ] = None,
    calibration: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Further pictures never trained on, to calibrate with (default 160). The demo has both of its own.",
            show_default=False,
        ),
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            help="Pictures to be forgotten later: trained on like the others, and never drawn as held-out.",
            metavar="SET",
            show_default=False,
        ),
    ] = None,
    most_forget: Annotated[
        int | None, typer.Option(min=1, help="Train on at most so many of these.", show_default=False)
    ] = None,
    most_retain: Annotated[
        int | None, typer.Option(min=1, help="Train on at most so many of the others.", show_default=False)
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
    launcher: Launcher = None,
    detach: Detach = False,
    as_json: JsonFlag = False,
) -> None:
    """Train an encoder on pictures, for CLIP on their captions, too, and supervised on their labels.

    Some pictures are held out and never trained on; an audit compares with them.

    Runs as a job in its own process: Ctrl-C cancels it, `--detach` leaves it alone, and the dashboard and
    `muc jobs` show it, too.

    Examples: `muc train --data my-pictures --name mine --epochs 40 --learning-rate 0.002`,
    `muc train --preset demo-simclr --name my-simclr`
    """
    import muc_core.encoders.load  # noqa: F401  (registers the families)
    from muc_core.data.sets import absolute_spec, load_dataset
    from muc_core.encoders.family import FAMILIES
    from muc_core.jobs.presets import PRESETS, plain, with_defaults
    from muc_core.unlearning.method import METHODS
    from muc_core.workspace import Workspace

    base = PRESETS.get(preset) if preset else plain(FAMILIES.get(family or "clip"))
    if family not in (None, base.family):
        raise MucError(f"the preset {preset!r} is one of {base.family}; leave --family out or take another preset")
    settings = validated(with_defaults(METHODS.get("retrain").settings, base.training), chosen(ctx), what="training")
    given = {
        "architecture": architecture,
        "held_out": held_out,
        "calibration": calibration,
        "forget": forget,
        "most_forget": most_forget,
        "most_retain": most_retain,
        "resume": resume,
    }
    # The path is kept with the encoder, which is used from other folders, too.
    job = base.job(name, data=absolute_spec(data) if data else None, settings=settings.model_dump(mode="json"))
    job = job.model_copy(update={"seed": seed} | {key: value for key, value in given.items() if value is not None})
    # Refused here already, and not only when the job gets its turn.
    Workspace().check_new_name(name)
    load_dataset(job.data)
    then = f"muc unlearn --method ac --original {name} --forget {job.forget or 'SET'} --name {name}-ac"
    run_job("train", job, then=then, detach=detach, as_json=as_json, launcher=launcher)
