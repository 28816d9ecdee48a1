"""`muc stress`: does a trace of forgotten pictures come back when the weights are pushed a little?"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from muc_core.cli.output import JsonFlag, console, table
from muc_core.cli.progress import Bar

if TYPE_CHECKING:
    from muc_core.evaluation.stress import ResidualStress, Role

CAME_BACK = 10
CANNOT_TELL = 12
_CODES = {"still there": CAME_BACK, "hidden, not forgotten": CAME_BACK, "cannot tell": CANNOT_TELL}


def stress(
    before: Annotated[str, typer.Option(help="Encoder before unlearning.", metavar="NAME", show_default=False)],
    after: Annotated[str, typer.Option(help="Encoder after unlearning.", metavar="NAME", show_default=False)],
    forget: Annotated[
        str,
        typer.Option(
            help="The pictures that were to be forgotten: a set such as owner:artist, category:animal-bird or "
            "ids:FILE, or a path to a folder or a zip.",
            metavar="SET|PATH",
            show_default=False,
        ),
    ],
    retrained: Annotated[
        str | None,
        typer.Option(
            help="Encoder trained without these pictures; with it, what never-seen pictures do is known and not "
            "assumed.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    controls: Annotated[
        str, typer.Option(help="Pictures that none of the encoders was trained on.", metavar="SET|PATH")
    ] = "held-out",
    data: Annotated[
        str | None,
        typer.Option(
            help="What an encoder from elsewhere was trained on; encoders trained here know it.",
            metavar="demo|PATH",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each relearning.")] = 40,
    splits: Annotated[int, typer.Option(min=1, help="Splits into halves; each half is relearned once.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Try to bring back what an encoder was made to forget; needs its weights.

    An audit sees what an encoder answers. This changes a copy of it: rounds its weights to 8 bits, moves them towards
    the encoder before, classifies by its features, and relearns half of the forgotten pictures and looks at the other
    half. What comes back was hidden, not forgotten.

    Ends with 0 when no trace came back, 10 when one did or was there all along, 12 when that cannot be told.

    Example: `muc stress --before demo-clip --after demo-clip-ac --retrained demo-clip-retrain --forget owner:artist`
    """
    from muc_core.data.sets import absolute_spec
    from muc_core.jobs.stress_plan import ResidualStressSettings
    from muc_core.jobs.tasks.residual_stress import stress as stress_encoder
    from muc_core.workspace import Workspace

    settings = ResidualStressSettings(
        before=before,
        after=after,
        retrained=retrained,
        forget=forget,
        controls=controls,
        data=None if data is None else absolute_spec(data),
        steps=steps,
        splits=splits,
        seed=seed,
    )
    with Bar(quiet=as_json) as progress:
        _, found = stress_encoder(Workspace(), settings, progress=progress)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        console().print(_for_people(found))
    raise typer.Exit(_CODES.get(found.verdict, 0))


def _for_people(found: "ResidualStress") -> RenderableType:
    roles: list[Role] = ["before", "after", "retrained"]
    present = [role for role in roles if role in found.encoders]
    columns = {"": "left", **{f"{found.encoders[role]} ({role})": "right" for role in present}}
    curves = found.relearning.curves
    ends = {"start": 0, "end": -1}
    lines = [
        ("above never-seen pictures (controls' spread)", {r: s.effect.value for r, s in found.int8.plain.items()}),
        ("  with weights in 8 bits", {r: s.effect.value for r, s in found.int8.rounded.items()}),
        *(
            (
                f"  untouched half, {word} of relearning",
                {role: curve[end].effect.value for role, curve in curves.items()},
            )
            for word, end in ends.items()
        ),
        ("told apart by a linear classifier (AUC)", {r: rate.value for r, rate in found.separation.linear.items()}),
        ("told apart by nearest neighbours (AUC)", {r: rate.value for r, rate in found.separation.neighbours.items()}),
    ]
    rows = [(name, *(f"{values[role]:z.2f}" if role in values else "–" for role in present)) for name, values in lines]
    title = f"Residual stress of {found.encoders['after']}: {found.verdict}"
    return Group(table(columns, rows, title=title), "", *found.explain())
