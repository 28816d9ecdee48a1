"""`muc verify`: whether an evidence pack is what was signed, and says what its vectors say."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from muc_core.cli.output import JsonFlag, emit
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.data.dataset import ImageTextDataset
    from muc_core.evidence.reembed import Reembedded
    from muc_core.evidence.verify import PicturesMeant, Verification

CHANGED = 20
_SHOWN = 10


def verify(
    pack: Annotated[Path, typer.Argument(help="Evidence, as `muc audit --evidence` writes it.", show_default=False)],
    public_key: Annotated[
        Path | None,
        typer.Option(
            help="The signer's public key, as `muc keys new` wrote it; otherwise the one in the pack, which anyone "
            "may have put there.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    with_pictures: Annotated[
        str | None,
        typer.Option(
            help="A folder, or a data set as --data of other commands takes it: which of its pictures the audit was "
            "about, and whether the owner's are all there.",
            metavar="DIR|DATA",
            show_default=False,
        ),
    ] = None,
    with_encoder: Annotated[
        str | None,
        typer.Option(
            help="An encoder of the workspace, or a folder that holds one: asked again for the pictures, are its "
            "answers the vectors in the pack?",
            metavar="NAME|PATH",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check evidence of an audit: signature, every file, and the statistics computed again from its vectors.

    Needs neither a network nor an encoder. Ends with the exit code 0 when all of it holds, 20 when anything was
    changed, one of the owner's pictures is missing, or the encoder answers otherwise, 2 for a wrong option or a file
    that cannot be read.

    Example: `muc verify audit.muc.zip --public-key signing-key.pub.pem`
    """
    if with_encoder is not None and with_pictures is None:
        raise MucError("--with-encoder asks an encoder for pictures; name them with --with-pictures")
    from muc_core.evidence.container import MAX_BYTES
    from muc_core.evidence.keys import read_public_key
    from muc_core.evidence.verify import pictures_meant, verify_pack
    from muc_core.reports.evidence import write_reports
    from muc_core.workspace.evidence import read_key_file

    signer = None
    if public_key is not None:
        signer = read_public_key(read_key_file(public_key, "name the signer's public key"), str(public_key))
    try:
        with pack.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise MucError(f"{pack} cannot be read ({error.strerror or error}); name an evidence pack") from error
    found = verify_pack(data, public_key=signer, write_reports=write_reports)
    meant, again = None, None
    if with_pictures is not None and found.verified and found.manifest is not None:
        pictures = _pictures(with_pictures)
        meant = pictures_meant(found.manifest, pictures)
        if with_encoder is not None:
            again = _ask_again(data, found, with_encoder, pictures, quiet=as_json)
    emit(_for_programs(found, meant, again), _for_people(found, meant, again), as_json=as_json)
    holds = found.verified and (meant is None or not meant.missing) and (again is None or again.agrees)
    raise typer.Exit(0 if holds else CHANGED)


def _pictures(spec: str) -> "ImageTextDataset":
    from muc_core.data.ingest import ingest_folder, usable_dataset
    from muc_core.data.sets import load_dataset

    path = Path(spec)
    if spec == "demo" or path.is_file():
        return load_dataset(spec)
    return usable_dataset(ingest_folder(path, name=path.name), path)


def _ask_again(
    data: bytes, found: "Verification", encoder: str, pictures: "ImageTextDataset", *, quiet: bool
) -> "Reembedded":
    from muc_core.cli.progress import Bar
    from muc_core.evidence.reembed import ask_again
    from muc_core.workspace import Workspace
    from muc_core.workspace.workspace import encoder_in, load_record

    record = encoder_in(Path(encoder)) if Path(encoder).is_dir() else Workspace().encoder(encoder)
    with Bar(quiet=quiet) as progress:
        return ask_again(data, found, load_record(record), record.manifest.content_digest, pictures, progress)


def _for_programs(
    found: "Verification", meant: "PicturesMeant | None", again: "Reembedded | None"
) -> dict[str, object]:
    return {
        "verified": found.verified,
        "problems": list(found.problems),
        "notes": list(found.notes),
        "signer": found.signer,
        "title": found.manifest.title if found.manifest else None,
        "verdict": found.result.verdict if found.verified and found.result else None,
        "pictures": None
        if meant is None
        else {
            "found": [{"file": file, "id": item_id, "group": group} for file, item_id, group in meant.found],
            "missing": list(meant.missing),
            "others": list(meant.others),
        },
        "encoder": None if again is None else {**asdict(again), "agrees": again.agrees},
    }


def _for_people(found: "Verification", meant: "PicturesMeant | None", again: "Reembedded | None") -> RenderableType:
    if not found.verified or found.manifest is None or found.result is None:
        return Group("[bold]Not verified.[/bold]", *(f"- {_safe(problem)}" for problem in found.problems))
    manifest, result = found.manifest, found.result
    lines = [
        "[bold]Verified:[/bold] signature and every file hold, and the statistics computed again from the vectors are "
        "the stored ones.",
        "",
        f"asked      {_safe(manifest.title)}",
        f"verdict    {result.verdict}: {_safe(result.rule)}",
        f"made       {manifest.created}, {len(manifest.owner):,} pictures, {len(manifest.controls):,} controls",
        *(f"{role:9}  {_safe(who.name)}, digest {_safe(who.digest)}" for role, who in manifest.encoders.items()),
        f"signer     {found.signer}",
        "",
        *(f"- {_safe(note)}" for note in found.notes),
    ]
    if meant is not None:
        owners = sum(group == "owner" for _, _, group in meant.found)
        lines += [
            "",
            f"Of the files in the folder {owners:,} are the owner's pictures that were meant, "
            f"{len(meant.found) - owners:,} are controls, {len(meant.others):,} are neither.",
            *_some("neither, or counted as a copy of another", meant.others),
            *_some("[bold]missing[/bold]: meant, but not in the folder", meant.missing),
        ]
    if again is not None:
        lines += ["", *_answers(again)]
    return Group(*lines)


def _answers(again: "Reembedded") -> Iterator[str]:
    """What the encoder answered when it was asked again."""
    from muc_core.evidence.reembed import TOLERANCE

    who = "the one that the pack names" if again.same_digest else "[bold]by its digest none that the pack names[/bold]"
    yield f"The encoder is {who}; its answers were compared with the vectors of the encoder {again.role}."
    parts = [(f"{again.pictures:,} pictures", again.furthest, again.picture)]
    if again.furthest_caption is not None and again.captioned is not None:
        parts.append((f"{again.captions:,} captions", again.furthest_caption, again.captioned))
    for what, furthest, item in parts:
        holds = "are" if furthest <= TOLERANCE else "[bold]are not[/bold]"
        yield (
            f"- its answers to {what} {holds} those in the pack: they differ by up to {furthest:.2g} of a vector's "
            f"length (at {_safe(item)}), and {TOLERANCE:g} is allowed"
        )
    if again.missing:
        yield f"- {again.missing:,} pictures are not at hand and were not asked"


def _some(what: str, names: tuple[str, ...]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return [f"- {what}: {_safe(', '.join(names[:_SHOWN]))}{more}"]


def _safe(text: str) -> str:
    """Text of a stranger for the terminal: without markup, and without signs that would move its cursor."""
    return escape("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))
