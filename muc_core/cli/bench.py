"""`muc bench-methods`: every unlearning method on the demo or with a preset, over seeds."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from muc_core.cli.output import JsonFlag, console, note, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.jobs.bench.report import Report

INCOMPLETE = 13
"""Exit code when the time was over before the plan was complete."""


class Device(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def bench_methods(
    family: Annotated[
        list[str] | None,
        typer.Option(
            help="Families to run, once each or with commas between; all that the demo has.", metavar="NAME,..."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Run a preset (`muc presets`) in place of the demo's families.", show_default=False),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="What the preset is trained on, such as cifar10:PATH.", show_default=False)
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            help="The forget set; the artist's drawings in the demo, random:10% elsewhere.", show_default=False
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Methods to run, likewise; all that there are. Retrain is always run. With +contrast behind its name, "
            "a method has CoUn's contrastive term, on supervised encoders; all includes neggrad+contrast and "
            "l1+contrast.",
            metavar="NAME,...",
        ),
    ] = None,
    train_seeds: Annotated[int, typer.Option(min=1, help="Trainings of each original.")] = 3,
    unlearn_seeds: Annotated[int, typer.Option(min=1, help="Unlearnings of each original by each method.")] = 2,
    eval_seeds: Annotated[int, typer.Option(min=1, help="Evaluations of each encoder.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the results; what is there is not done again.")] = Path(
        "bench-methods"
    ),
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for encoders while they are needed; OUT/encoders.", show_default=False)
    ] = None,
    keep_encoders: Annotated[bool, typer.Option("--keep-encoders", help="Keep all encoders.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Runs at a time, each in its own process.")] = 1,
    device: Annotated[Device, typer.Option(help="auto takes a GPU when there is one.")] = Device.AUTO,
    time_limit: Annotated[
        float | None, typer.Option(min=1, help="Stop after so many seconds with what is complete.", show_default=False)
    ] = None,
    search: Annotated[
        int,
        typer.Option(
            min=0,
            max=1000,
            help="Settings of each method to try before, on the first training; judged by calibration pictures, never "
            "by what is evaluated. 0: the demo's settings.",
        ),
    ] = 0,
    epochs_scale: Annotated[
        float, typer.Option(min=0.0001, max=10, help="Share of all epochs: a rehearsal when below 1.")
    ] = 1.0,
    stress: Annotated[
        bool, typer.Option("--stress", help="Put every unlearned encoder under residual stress as well.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Run nothing: report on this folder of results.", show_default=False)
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="File for the tables as Markdown; a page with marks keeps what is around them.", show_default=False
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="File for all means as CSV.", show_default=False)] = None,
    latex: Annotated[Path | None, typer.Option(help="File for the tables as LaTeX.", show_default=False)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run every unlearning method over several seeds, on the demo or with a preset: which comes nearest to Retrain?

    Each finished evaluation is kept at once: started again, the command does what is missing. Ends with 0 when the plan
    is complete and 13 when the time was over before.

    Example: `muc bench-methods --family clip --methods ac,neggrad --out results`
    """
    from muc_core.data.sets import absolute_spec
    from muc_core.jobs.bench.plan import make_plan
    from muc_core.jobs.bench.report import into_page, read_report
    from muc_core.jobs.bench.run import run_plan
    from muc_core.workspace.files import write_file

    for file in (markdown, csv, latex):
        if file is not None and not file.resolve().parent.is_dir():
            raise MucError(f"there is no folder {file.resolve().parent}; make it first or write elsewhere")
    missing = 0
    if report is None:
        plan = make_plan(
            families=_names(family),
            preset=preset,
            data=None if data is None else absolute_spec(data),
            forget=forget,
            methods=_names(methods),
            train_seeds=train_seeds,
            unlearn_seeds=unlearn_seeds,
            eval_seeds=eval_seeds,
            epochs_scale=epochs_scale,
            stress=stress,
        )
        with Bar(quiet=as_json) as progress:
            done, total = run_plan(
                plan,
                out,
                scratch=scratch,
                processes=processes,
                device=device.value,
                time_limit_s=time_limit,
                keep_encoders=keep_encoders,
                trials=search,
                progress=progress,
            )
        missing = total - done
    if missing:
        note(f"{total - missing} of {total} evaluations are done; run the same command again for the others.")
    if missing and not done:
        raise typer.Exit(INCOMPLETE)
    found = read_report(report or out)
    if markdown is not None:
        page = markdown.read_text(encoding="utf-8") if markdown.exists() else None
        write_file(markdown, into_page(page, found.to_markdown()).encode())
    for target, content in ((csv, found.to_csv()), (latex, found.to_latex())):
        if target is not None:
            write_file(target, content.encode())
    if as_json:
        print("[" + ",\n".join(result.model_dump_json() for result in found.results) + "]")
    else:
        console().print(_for_people(found))
    if missing:
        raise typer.Exit(INCOMPLETE)


def _names(given: list[str] | None) -> list[str]:
    return [name.strip() for text in given or [] for name in text.split(",") if name.strip()]


def _for_people(found: "Report") -> RenderableType:
    parts: list[RenderableType] = []
    for family in found.families:
        overview = found.overview(family)
        columns = {name: "right" if number else "left" for number, name in enumerate(overview.columns)}
        parts += [
            table(columns, overview.rows, title=f"{family}: nearest to Retrain first"),
            "",
            *found.remarks(family),
            "",
        ]
    return Group(*parts)
