"""`muc encoders`: which encoders there are, what is known of one, adding, checking, renaming and removing one."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from muc_core.cli.output import JsonFlag, emit, flat, moment, note, table
from muc_core.cli.progress import Bar
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.workspace import EncoderRecord, Workspace
    from muc_core.workspace.importing import ImportReport, RecognitionReport

app = typer.Typer(help="List, add, check or remove encoders.", invoke_without_command=True, add_completion=False)

Name = Annotated[str, typer.Argument(help="Name of an encoder, as `muc encoders` lists it.", show_default=False)]


@app.callback()
def main(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List, add, check or remove encoders; without a command, list them.

    The workspace is the folder MUC_HOME, or one in your user data directory.
    """
    if ctx.invoked_subcommand is None:
        list_encoders(as_json=as_json)


@app.command("list")
def list_encoders(as_json: JsonFlag = False) -> None:
    """List the encoders of the workspace and of the demo."""
    from muc_core.workspace import Workspace

    records = Workspace().encoders()
    nothing = "There are no encoders yet; `muc train` makes one, `muc demo build` those of the demo."
    emit([as_data(record) for record in records], encoder_table(records) if records else nothing, as_json=as_json)


@app.command()
def show(name: Name, as_json: JsonFlag = False) -> None:
    """Show what is known of an encoder: how it was made, on which data, with which settings and seeds."""
    from muc_core.workspace import Workspace

    record = Workspace().encoder(name)
    rows = [(key, value) for key, value in flat(as_data(record)) if value not in (None, {}, [])]
    emit(as_data(record), table({"": "left", " ": "left"}, rows, title=record.manifest.title), as_json=as_json)


@app.command()
def add(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A weight file or folder, a name of open_clip such as `ViT-B-32:laion2b_s34b_b79k`, or "
            "`hf-hub:OWNER/NAME`.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it here (default: after its file).")] = None,
    title: Annotated[str | None, typer.Option(help="The same for people.")] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            help="Its architecture, which is checked: `cifar-resnet18`, `torchvision/NAME`, `timm/NAME`, with a "
            "projection head `cifar-resnet18:512-128`, or a name of open_clip."
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of its pictures in pixels.")] = None,
    mean: Annotated[str | None, typer.Option(help="Mean of red, green, blue from 0 to 1: `0.485,0.456,0.406`.")] = None,
    std: Annotated[str | None, typer.Option(help="Their deviation: `0.229,0.224,0.225`.")] = None,
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic"] | None, typer.Option(help="How pictures are resized.")
    ] = None,
    output: Annotated[
        Literal["features", "projections"] | None,
        typer.Option(help="What it gives where it has a projection head (default projections)."),
    ] = None,
    text_onnx: Annotated[Path | None, typer.Option(help="The text tower of an image tower in ONNX.")] = None,
    url: Annotated[str | None, typer.Option(help="Address of an encoder behind a URL, instead of a file.")] = None,
    dialect: Annotated[str | None, typer.Option(help="With --url: how requests and answers are written.")] = None,
    model: Annotated[str | None, typer.Option(help="With --url: name of the model there.")] = None,
    key_env: Annotated[
        str | None, typer.Option(help="With --url: environment variable that holds the key, not the key itself.")
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="With --url: it may be on this machine or inside a private network.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Add an encoder from elsewhere: a checkpoint, an exported model, or one behind a URL.

    What the file is taken for, how sure that is and how pictures will be prepared is printed; each of it can be set
    with an option. A file that would run code when it is opened is refused.
    """
    from muc_core.workspace import Workspace

    workspace = Workspace()
    if url is not None:
        of_files = {
            "a file": source,
            "--arch": arch,
            "--mean": mean,
            "--std": std,
            "--output": output,
            "--text-onnx": text_onnx,
        }
        if given := [option for option, value in of_files.items() if value is not None]:
            raise MucError(f"an encoder behind a URL is not read from a file; leave out {', '.join(given)}")
        record, sentence = _add_remote(
            workspace,
            url=url,
            dialect=dialect,
            model=model,
            key_env=key_env,
            allow_private=allow_private,
            name=name,
            title=title,
            size=size,
            interpolation=interpolation,
        )
        emit(as_data(record), f"{sentence}\nAdded {record.manifest.name}.", as_json=as_json)
        return
    of_urls = {"--dialect": dialect, "--model": model, "--key-env": key_env, "--allow-private": allow_private or None}
    if given := [option for option, value in of_urls.items() if value is not None]:
        raise MucError(f"{', '.join(given)}: only with --url")
    if source is None:
        raise MucError("name a weight file, a folder or a model of open_clip, or give an address with --url")
    from muc_core.workspace.importing import import_encoder

    with Bar(quiet=as_json) as progress:
        report = import_encoder(
            workspace,
            source,
            name=name,
            title=title,
            arch=arch,
            size=size,
            mean=_three(mean, "--mean"),
            std=_three(std, "--std"),
            interpolation=interpolation,
            output=output,
            text_onnx=text_onnx,
            progress=progress,
        )
    recognition = report.recognition.model_dump(mode="json") if report.recognition else None
    emit({"recognition": recognition, "encoder": as_data(report.record)}, _told(report), as_json=as_json)


@app.command()
def check(name: Name, as_json: JsonFlag = False) -> None:
    """Check what an audit takes for granted: shapes, finite numbers, determinism, batch against single, and more.

    The vectors of some fixed drawings are kept and compared with at every later check. Exit code 1 when a probe failed.
    """
    from muc_core.jobs.tasks.check_encoder import check as check_encoder
    from muc_core.workspace import Workspace

    with Bar(quiet=as_json) as progress:
        found = check_encoder(Workspace(), name, progress)
    marks = {True: "passed", False: "FAILED", None: "measured"}
    rows = [(probe.title, marks[probe.passed], probe.value, probe.meaning) for probe in found.probes]
    columns = {"probe": "left", "": "left", "value": "right", "meaning": "left"}
    emit(found.model_dump(mode="json"), table(columns, rows, title=name), as_json=as_json)
    if found.failed:
        note(f"{len(found.failed)} of {len(found.probes)} probes failed.")
        raise typer.Exit(1)


@app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(help="Its new name.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Give an encoder of the workspace another name; what was made from it follows."""
    from muc_core.workspace import Workspace

    record = Workspace().rename_encoder(name, new)
    emit(as_data(record), f"Renamed {name} to {new}.", as_json=as_json)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove an encoder from the workspace. The demo's encoders stay."""
    from muc_core.workspace import Workspace

    workspace = Workspace()
    record = workspace.encoder(name)
    if not yes:
        typer.confirm(f"Remove the encoder {name} and its weights from {record.folder}?", abort=True, err=True)
    workspace.delete_encoder(name)
    emit({"removed": name}, f"Removed {name}.", as_json=as_json)


def _add_remote(
    workspace: "Workspace",
    *,
    url: str,
    dialect: str | None,
    model: str | None,
    key_env: str | None,
    allow_private: bool,
    name: str | None,
    title: str | None,
    size: int | None,
    interpolation: str | None,
) -> tuple["EncoderRecord", str]:
    """Ask an encoder behind a URL once and add it. Returns where it is, and what was found, a sentence."""
    from pydantic import ValidationError

    from muc_core.encoders.manifest import explain
    from muc_core.encoders.remote.connect import connect, remote_manifest
    from muc_core.encoders.remote.dialects import DIALECTS
    from muc_core.encoders.remote.settings import RemoteSettings

    if dialect is None:
        raise MucError(f"say with --dialect how {url} is asked: {', '.join(DIALECTS.names())}")
    if name is None:
        raise MucError("say with --name what the encoder is to be called")
    workspace.check_new_name(name)
    given = {
        "url": url,
        "dialect": DIALECTS.get(dialect).name,
        "model": model,
        "key_environment": key_env,
        "image_size": size,
        "interpolation": interpolation,
        "allow_private": allow_private,
    }
    try:
        settings = RemoteSettings.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise MucError(f"this encoder cannot be asked ({explain(error)})") from None
    found = connect(settings)
    manifest, files = remote_manifest(name, settings, found, title=title)
    return workspace.add_encoder(manifest, files), f"{found.sentence}."


def _three(text: str | None, option: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise MucError(
            f"{option} takes three numbers with commas between them, such as 0.485,0.456,0.406, not {text!r}"
        ) from None
    return red, green, blue


def _told(report: "ImportReport") -> Group:
    """What an added file was taken for, for people."""
    added = Text(f"Added {report.record.manifest.name}.")
    if report.recognition is None:
        return Group(Text("An encoder with all that is known of it."), added)
    return Group(recognition_table(report.recognition), added)


def recognition_table(found: "RecognitionReport") -> Table:
    """The recognition report of a file for people."""
    rows = [
        ("recognised as", found.format),
        ("family", found.family),
        ("architecture", found.architecture),
        ("confidence", found.confidence),
        ("output", found.output),
        ("pictures", str(found.preprocessing)),
        ("", f"({found.preprocessing_source})"),
        *(("did not fit", key) for key in found.unexpected),
        *(("could also be", other) for other in found.others[:6]),
        *(("note", text) for text in found.notes),
    ]
    return table({"": "left", " ": "left"}, [row for row in rows if row[1] is not None], title=found.source)


def as_data(record: "EncoderRecord") -> dict[str, Any]:
    """An encoder for `--json`: its manifest and where it lies."""
    return {**record.manifest.model_dump(mode="json"), "folder": str(record.folder), "shipped": record.shipped}


def encoder_table(records: Iterable["EncoderRecord"]) -> Table:
    columns = {
        "name": "left",
        "method": "left",
        "made from": "left",
        "architecture": "left",
        "created": "left",
        "": "left",
    }
    rows = [
        (
            record.manifest.name,
            record.manifest.method or "original",
            record.manifest.original,
            record.manifest.architecture,
            moment(record.manifest.created),
            "demo" if record.shipped else "",
        )
        for record in records
    ]
    return table(columns, rows)
