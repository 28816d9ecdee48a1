"""`muc evaluate`: is an unlearned encoder like a retrained one, and what did it cost?"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from muc_core.cli.output import JsonFlag, console, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.jobs.tasks.evaluate import Evaluations


class Probe(StrEnum):
    LBFGS = "lbfgs"
    SGD = "sgd"


def evaluate(
    encoders: Annotated[list[str], typer.Argument(help="Encoders to evaluate.", metavar="ENCODER...")],
    retrained: Annotated[
        str | None,
        typer.Option(
            help="Encoder trained without the forget set; without it there is no gap.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    forget: Annotated[
        str, typer.Option(help="The pictures that were to be forgotten: a set such as owner:artist.", metavar="SET")
    ] = "forget",
    held_out: Annotated[
        str, typer.Option(help="Pictures that none of the encoders was trained on.", metavar="SET")
    ] = "held-out",
    data: Annotated[
        str | None,
        typer.Option(
            help="What encoders from elsewhere were trained on; encoders trained here know it.",
            metavar="demo|PATH",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Evaluations of each encoder, each with its own seed.")] = 3,
    probe: Annotated[
        Probe, typer.Option(help="How the linear probe is trained: to its optimum, or as in the MUC paper.")
    ] = Probe.LBFGS,
    markdown: Annotated[
        Path | None, typer.Option(help="File to write the table to, as Markdown.", show_default=False)
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="File to write the table to, as CSV.", show_default=False)] = None,
    latex: Annotated[
        Path | None, typer.Option(help="File to write the table to, as LaTeX (booktabs).", show_default=False)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate encoders whose weights and training data you hold.

    Attacks that ask which pictures an encoder was trained on (EMIA, CMIA), classifiers on its features (RA, TA, UA, all
    plain accuracies), the same of a supervised encoder's own classifier, retrieval and zero-shot accuracy where there
    are captions, and the average gap to Retrain. What cannot be computed is missing, and why is said.

    Example: `muc evaluate demo-clip demo-clip-ac --retrained demo-clip-retrain --forget owner:artist`
    """
    for file in (markdown, csv, latex):
        if file is not None and not file.resolve().parent.is_dir():
            raise MucError(f"there is no folder {file.resolve().parent}; make it first or write elsewhere")

    from muc_core.data.sets import absolute_spec
    from muc_core.jobs.tasks.evaluate import EvaluateJob
    from muc_core.jobs.tasks.evaluate import evaluate as evaluate_encoders
    from muc_core.workspace import Workspace
    from muc_core.workspace.files import write_file

    job = EvaluateJob(
        encoders=tuple(encoders),
        retrained=retrained,
        forget=forget,
        held_out=held_out,
        data=None if data is None else absolute_spec(data),
        seeds=seeds,
        probe=probe.value,
    )
    with Bar(quiet=as_json) as progress:
        found = evaluate_encoders(Workspace(), job, progress=progress)
    result = found.table()
    for target, content in ((markdown, result.to_markdown()), (csv, result.to_csv()), (latex, result.to_latex())):
        if target is not None:
            write_file(target, content.encode())
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        console().print(_for_people(found))


def _for_people(found: "Evaluations") -> RenderableType:
    result = found.table()
    columns = {name: "right" if number else "left" for number, name in enumerate(result.columns)}
    runs = len(next(iter(found.encoders.values())))
    title = "White-box evaluation" + (f", mean ± spread over {runs} seeds" if runs > 1 else "")
    return Group(table(columns, result.rows, title=title), "", *found.explain())
