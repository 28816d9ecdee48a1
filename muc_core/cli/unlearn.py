"""`muc unlearn`: make an encoder forget part of its training data."""

from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import BaseModel

from muc_core.cli.jobs import Detach, Launcher, run_job
from muc_core.cli.output import JsonFlag
from muc_core.cli.settings import CommandWithSettings, chosen, validated


class UnlearnCommand(CommandWithSettings):
    @staticmethod
    def models() -> Mapping[str, type[BaseModel]]:
        import muc_core.unlearning.methods  # noqa: F401  (registers them)
        from muc_core.unlearning.method import METHODS

        return {method.name: method.settings for method in METHODS}


def unlearn(
    ctx: typer.Context,
    method: Annotated[
        str, typer.Option(help="Unlearning method, such as ac or retrain; those below say which.", show_default=False)
    ],
    original: Annotated[str, typer.Option(help="Encoder to start from.", metavar="NAME", show_default=False)],
    forget: Annotated[
        str,
        typer.Option(
            help="What to forget: a set of the encoder's training data such as owner:artist, category:animal-bird or "
            "ids:FILE.",
            metavar="SET",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the encoder that comes out.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Option(
            help="What an encoder from elsewhere was trained on; encoders trained here know it.",
            metavar="demo|PATH",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same encoder.")] = 0,
    launcher: Launcher = None,
    detach: Detach = False,
    as_json: JsonFlag = False,
) -> None:
    """Make an encoder forget part of its training data.

    Runs as a job in its own process: Ctrl-C cancels it, `--detach` leaves it alone, and the dashboard and
    `muc jobs` show it, too. Settings that are not given are those that suit the original encoder: where it
    was trained with a preset, that preset's, and otherwise the method's defaults.

    Example: `muc unlearn --method ac --original demo-clip --forget owner:artist --beta 8 --name my-ac`
    """
    import muc_core.unlearning.methods  # noqa: F401  (registers them)
    from muc_core.data.sets import absolute_spec
    from muc_core.jobs.presets import suited_settings
    from muc_core.jobs.tasks.unlearn import UnlearnJob
    from muc_core.unlearning.method import METHODS
    from muc_core.workspace import Workspace

    # Refused here already, and not only when the job gets its turn.
    workspace = Workspace()
    model = suited_settings(METHODS.get(method), workspace.encoder(original).manifest)
    settings = validated(model, chosen(ctx), what=f"the method {method!r}")
    workspace.check_new_name(name)
    job = UnlearnJob(
        method=method,
        original=original,
        forget=forget,
        data=None if data is None else absolute_spec(data),
        settings=settings.model_dump(mode="json"),
        name=name,
        seed=seed,
    )
    then = f"muc matrices --before {original} --after {name} --items {forget} --controls held-out --out {name}.png"
    run_job("unlearn", job, then=then, detach=detach, as_json=as_json, launcher=launcher)
