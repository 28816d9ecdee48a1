"""`muc sweep`: the encoder at every strength between the original and the unlearned one, and beyond."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType

from muc_core.cli.output import JsonFlag, emit, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.evaluation.weakest import Search
    from muc_core.jobs.tasks.strength_sweep import Point


def sweep(
    before: Annotated[str, typer.Option(help="Original encoder, strength 0.", metavar="NAME", show_default=False)],
    after: Annotated[
        str, typer.Option(help="Encoder unlearned from it, strength 1.", metavar="NAME", show_default=False)
    ],
    points: Annotated[int, typer.Option(min=2, max=151, help="Strengths from 0 to 1.5, both among them.")] = 13,
    views: Annotated[int, typer.Option(min=2, max=64, help="Random views of each picture.")] = 8,
    others: Annotated[
        bool, typer.Option(help="Measure the other encoders made from the original with this forget set, too.")
    ] = True,
    weakest: Annotated[
        bool, typer.Option("--weakest", help="Then bisect for the weakest strength at which no trace is found.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure encoders on the line from the original through the unlearned one.

    At each strength: the audit of the forget set, how alike the pictures are to their own captions or views, and what
    the encoder is still good for. Ctrl-C stops; what was measured is kept, and the same command goes on from there. The
    dashboard's page Tune shows the same, and saves a strength as an encoder.

    Example: `muc sweep --before demo-clip --after demo-clip-ac --weakest`
    """
    from muc_core.evaluation.weights import STRONGEST
    from muc_core.jobs.tasks import strength_sweep, weakest_strength
    from muc_core.jobs.tuning.measure import Yardstick
    from muc_core.workspace import Workspace

    yardstick = Yardstick(views=views, seed=seed)
    settings = strength_sweep.StrengthSweepSettings(
        before=before,
        after=after,
        strengths=tuple(STRONGEST * place / (points - 1) for place in range(points)),
        others=others,
        yardstick=yardstick,
    )
    search = None
    with Bar(quiet=as_json) as progress:
        workspace = Workspace()
        found = strength_sweep.sweep(workspace, settings, progress=progress)
        if weakest:
            asked = weakest_strength.WeakestStrengthSettings(before=before, after=after, yardstick=yardstick)
            search = weakest_strength.search(workspace, asked, progress=progress)
    every = [*found.points, *found.others]
    if not any(point.measured.figures for point in every):
        raise MucError(f"no strength could be measured: {every[0].measured.refused}")
    data: dict[str, Any] = {
        "before": before,
        "after": after,
        "points": [_as_data(point) for point in every],
        "weakest": None if search is None else search.model_dump(mode="json"),
    }
    emit(data, _for_people(every, search, f"{before} → {after}"), as_json=as_json)


def _as_data(point: "Point") -> dict[str, Any]:
    base: dict[str, Any] = {"encoder": point.manifest.name, "strength": point.strength}
    found = point.measured.figures
    if found is None:
        return {**base, "refused": point.measured.refused}
    sets = {"forget": found.forget, "retain": found.retain, "held_out": found.held_out}
    trace = found.audit.findings["trace"]
    return {
        **base,
        "verdict": found.audit.verdict,
        "rule": found.audit.rule,
        "effect": trace.effect.model_dump(mode="json"),
        **{name: one.model_dump(mode="json") for name, one in sets.items()},
    }


def _for_people(points: "list[Point]", search: "Search | None", title: str) -> RenderableType:
    rows: list[tuple[str, ...]] = []
    for point in points:
        name = point.manifest.name if point.strength is None else f"strength {point.strength:g}"
        found = point.measured.figures
        if found is None:
            rows.append((name, "–", point.measured.refused or "", "–", "–", "–"))
            continue
        effect = found.audit.findings["trace"].effect
        tops = (f"{one.top1:.0%}" for one in (found.forget, found.retain, found.held_out))
        rows.append(
            (name, f"{effect.value:z.2f} ({effect.low:z.2f} to {effect.high:z.2f})", found.audit.verdict, *tops)
        )
    columns = {
        "": "left",
        "above never-seen": "right",
        "verdict": "left",
        "forget found": "right",
        "retain found": "right",
        "held-out found": "right",
    }
    note = "Found: share of pictures whose own caption (or other views) is the nearest. Forgotten: probed, too."
    said = [] if search is None else ["", search.explain("strength")]
    return Group(table(columns, rows, title=f"Strengths of {title}"), "", note, *said)
