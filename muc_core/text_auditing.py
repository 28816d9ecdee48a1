"""From encoders and captions to an audit of the text tower alone: for owners who have captions and show no picture.

from muc_core.text_auditing import audit_captions
found = audit_captions(after, captions, control_captions, public_pictures, before=before)
print(*found.explain(), sep="\\n")
"""

from collections.abc import Sequence
from pathlib import Path

from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.texts import FEWEST_PICTURES, MOST_CAPTIONS, TextAudit, TextVectors, audit_texts
from muc_core.audit.wording import wording_guard
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.files import read_file
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.decoys import OfOthers
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.errors import MissingTextTower, MucError
from muc_core.progress import SILENT, Progress

MOST_BYTES = 16 * 2**20
LONGEST_CAPTION = 2_000


def read_captions(file: Path) -> tuple[str, ...]:
    """The captions in a UTF-8 text file, one a line; blank lines and lines that begin with # are passed over.

    Raises:
        MucError: it cannot be read, is too large or no such text, or holds no caption, too many, or too long a one.
    """
    try:
        text = read_file(file, f"the file of captions {file}", MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MucError(f"the file of captions {file} is not UTF-8 text; save it with the encoding UTF-8") from error
    lines = [line.strip() for line in text.splitlines()]
    captions = tuple(line for line in lines if line and not line.startswith("#"))
    if not captions:
        raise MucError(f"the file of captions {file} holds none; give one a line")
    if len(captions) > MOST_CAPTIONS:
        raise MucError(f"{file} holds {len(captions):,} captions; up to {MOST_CAPTIONS:,} are compared")
    if longest := next((caption for caption in captions if len(caption) > LONGEST_CAPTION), None):
        raise MucError(f"{file} holds a caption of {len(longest):,} signs; up to {LONGEST_CAPTION:,} are accepted")
    return captions


def audit_captions(
    after: Encoder,
    captions: Sequence[str],
    controls: Sequence[str],
    pool: ImageTextDataset,
    *,
    before: Encoder | None = None,
    settings: AuditSettings | None = None,
    progress: Progress = SILENT,
) -> TextAudit:
    """Compare the owner's captions with control captions in the text tower; see `muc_core.audit.texts`.

    A caption that is there several times counts once, and pictures of the pool whose caption is among those compared
    are left out of it.

    Args:
        captions: of the pictures that were to be forgotten, which nobody shows.
        controls: captions like them that nobody trained on.
        pool: public pictures that the encoder is shown.
        before: without it, only where the captions stand after is asked.

    Raises:
        MissingTextTower: an encoder that reads no text.
        MucError: as `muc_core.audit.texts.audit_texts`; a caption that is both the owner's and a control.
        Cancelled: from `progress`.
    """
    settings = settings or AuditSettings()
    known = {"before": before, "after": after}
    encoders = {name: encoder for name, encoder in known.items() if encoder is not None}
    for encoder in encoders.values():
        if not encoder.has_text:
            raise MissingTextTower(f"the encoder {encoder.name!r} reads no text; captions say nothing of it")
    mine, theirs = _once(captions), _once(controls)
    if both := sorted(set(mine) & set(theirs)):
        raise MucError(f"the caption {mine[both[0]]!r} is both yours and a control; take it out of the controls")
    check_counts(list(mine), [f"{key} (control)" for key in theirs])
    used = {*mine, *theirs}
    public = [item.id for item in pool.items if _key(item.text or "") not in used]
    if len(public) < FEWEST_PICTURES:
        raise MucError(
            f"{len(public)} of the pictures in {pool.name!r} have none of the captions that are compared; at least "
            f"{FEWEST_PICTURES} are needed"
        )
    shown, texts = pool.subset(public), [*mine.values(), *theirs.values()]
    guard = wording_guard(list(mine.values()), list(theirs.values()), seed=settings.seed)
    vectors = {
        name: TextVectors(
            embed_texts(encoder, texts, progress=progress).numpy(),
            embed_images(encoder, shown, progress=progress).numpy(),
            similarity_of(encoder),
        )
        for name, encoder in encoders.items()
    }
    warnings = [
        f"Whoever runs {encoder.name!r} was sent your captions, before the controls'."
        for encoder in encoders.values()
        if isinstance(encoder, OfOthers)
    ]
    if twice := len(captions) - len(mine):
        warnings.append(f"Of your captions {twice:,} {'is' if twice == 1 else 'are'} there already and left out.")
    return audit_texts(
        vectors["after"],
        len(mine),
        before=vectors.get("before"),
        checks=(guard,),
        settings=settings,
        warnings=warnings,
    )


def _key(caption: str) -> str:
    return " ".join(caption.casefold().split())


def _once(captions: Sequence[str]) -> dict[str, str]:
    """Captions by what is compared of them, the first of equal ones."""
    found: dict[str, str] = {}
    for caption in captions:
        if key := _key(caption):
            found.setdefault(key, caption)
    return found
