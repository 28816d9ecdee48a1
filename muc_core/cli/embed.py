"""`muc embed`: the vectors of a data set, in files that can be mapped into memory."""

from pathlib import Path
from typing import Annotated

import typer

from muc_core.cli.jobs import Detach, Launcher, run_job
from muc_core.cli.output import JsonFlag


def embed(
    encoder: Annotated[str, typer.Argument(help="Name of an encoder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write to, made when missing.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Option(
            help="What to embed: demo, or the path of pictures as `muc train` reads them; otherwise what it was "
            "trained on.",
            metavar="demo|[FORMAT:]PATH",
            show_default=False,
        ),
    ] = None,
    items: Annotated[
        str | None,
        typer.Option(help="A set of it, such as held-out or owner:artist; otherwise all.", show_default=False),
    ] = None,
    captions: Annotated[bool, typer.Option("--captions", help="The captions, too.")] = False,
    shard: Annotated[
        int, typer.Option(min=1, max=1_048_576, help="Items embedded between two writes, by one process each.")
    ] = 4096,
    launcher: Launcher = None,
    detach: Detach = False,
    as_json: JsonFlag = False,
) -> None:
    """Write the vectors of a data set into files.

    `OUT/image_features/vectors.npy` has a row of float32 for each picture, `OUT/text_features/vectors.npy` for each
    caption, and `OUT/ids.json` their ids; `numpy.load(FILE, mmap_mode="r")` maps them into memory. The same command
    again goes on where an earlier one was broken off.

    Example: `muc embed demo-clip --out vectors --captions`
    """
    from muc_core.data.sets import absolute_spec
    from muc_core.jobs.tasks.embed import IMAGES, EmbedJob
    from muc_core.workspace import Workspace

    Workspace().encoder(encoder)  # refused here already, and not only when the job gets its turn
    job = EmbedJob(
        encoder=encoder,
        out=out.absolute(),
        data=None if data is None else absolute_spec(data),
        items=items,
        captions=captions,
        shard=shard,
    )
    then = f'python -c \'import numpy; print(numpy.load("{out / IMAGES}/vectors.npy", mmap_mode="r").shape)\''
    run_job("embed", job, then=then, detach=detach, as_json=as_json, launcher=launcher)
