"""A long audit as a job: what it finds is kept in the workspace, also when the page that asked for it was closed.

Pictures that came from a browser reach the worker as one packed file, which it deletes when it is done. Of these
pictures only small copies stay, beside the result that they explain.
"""

import base64
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from muc_core.audit.audit import AuditSettings
from muc_core.audit.result import AuditResult
from muc_core.auditing import VIEWS, Audited, audit_encoders
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.ingest import ingest_files
from muc_core.data.sets import load_dataset
from muc_core.encoders.decoys import Decoys
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import Cancelled, MucError
from muc_core.evidence.manifest import EncoderIdentity, Role, check_size
from muc_core.evidence.pack import Draft, read_draft, take_down
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import Progress
from muc_core.workspace import AuditRecord, Workspace

KIND = "audit"
RESULT, PICTURES = "audit.json", "pictures.json"
STATEMENT, VECTORS = "statement.json", "vectors.safetensors"
"""What evidence is made of later; not there when the audit is larger than a pack holds."""

THUMBNAIL = 64
_NAMES = "names.json"


class PictureSet(BaseModel):
    """Which pictures: some of a data set, or of a packed file.

    Attributes:
        source: a data set as `muc_core.data.sets.load_dataset` knows it, or the path of a file made by `pack`.
        packed: whether it is the latter.
        ids: of the pictures, in order.
        captions: for each, None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    packed: bool
    ids: tuple[str, ...] = Field(min_length=1)
    captions: tuple[str | None, ...]

    def open(self) -> ImageTextDataset:
        """The pictures. Raises `MucError` when they are not there any more."""
        found = unpack(Path(self.source)) if self.packed else load_dataset(self.source)
        chosen = found.subset(self.ids)
        items = [replace(item, text=text) for item, text in zip(chosen.items, self.captions, strict=True)]
        return ImageTextDataset(chosen.name, items, chosen.source)


class AuditJob(BaseModel):
    """What to audit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str | None = Field(description="name of the encoder before, if it is asked")
    after: str = Field(description="name of the encoder after")
    owner: PictureSet = Field(description="the owner's pictures")
    controls: PictureSet = Field(description="what they are compared with")
    retained: PictureSet | None = Field(default=None, description="what is looked at for collateral, too")
    decoys: PictureSet | None = Field(default=None, description="what encoders of others are asked about besides")
    decoys_each: int = Field(default=0, ge=0, description="decoys of each of the owner's pictures")
    key: str = Field(description="digest of everything that decides the result")
    views: int = Field(default=VIEWS, ge=2, description="random views of each picture")
    seed: int = Field(default=0, ge=0, description="of views and permutations")


def pack(files: Iterable[tuple[str, bytes]], *, key: str) -> bytes:
    """Uploaded files as one, for `PictureSet`; those of another key never share a file with these."""
    buffer = io.BytesIO()
    names = []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number, (name, content) in enumerate(files):
            archive.writestr(f"{number:06}", content)
            names.append(name)
        archive.writestr(_NAMES, json.dumps({"key": key, "names": names}))
    return buffer.getvalue()


def unpack(path: Path) -> ImageTextDataset:
    """The pictures of a file made by `pack`. Raises `MucError` when it is gone or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = json.loads(archive.read(_NAMES))["names"]
            files = [(name, archive.read(f"{number:06}")) for number, name in enumerate(names)]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise MucError("the pictures of this audit are not there any more; upload them again and start anew") from error
    dataset = ingest_files(files, name="your pictures").dataset
    if dataset is None:
        raise MucError("none of the pictures of this audit can be used; upload others")
    return dataset


@dataclass(frozen=True)
class SavedAudit:
    """An audit that a job kept.

    Attributes:
        record: where it is.
        result: what was found.
        names: captions or file names of the owner's pictures by id.
        thumbnails: small pictures as data URLs by id.
    """

    record: AuditRecord
    result: AuditResult
    names: dict[str, str]
    thumbnails: dict[str, str]


def saved_audits(workspace: Workspace) -> list[AuditRecord]:
    """Audits that jobs of this kind kept, newest first."""
    return [record for record in workspace.audits() if record.manifest.settings.get("kind") == KIND]


def read_audit(record: AuditRecord) -> SavedAudit:
    """A kept audit. Raises `MucError` when it is damaged."""
    try:
        result = AuditResult.model_validate_json(record.read(RESULT))
        pictures = json.loads(record.read(PICTURES))
        return SavedAudit(record, result, pictures["names"], pictures["thumbnails"])
    except (ValidationError, ValueError, KeyError) as error:
        raise MucError(f"the audit {record.manifest.id} was written by another version; make it again") from error


def kept_draft(record: AuditRecord) -> Draft:
    """The evidence of a kept audit, to be signed. Raises `MucError` when there is none or it is damaged."""
    if STATEMENT not in record.manifest.files:
        raise MucError(
            f"the audit {record.manifest.id} was kept without its vectors, by an older version or because it is larger "
            "than an evidence pack; make it again, of fewer pictures or with fewer controls"
        )
    return read_draft(record.read(STATEMENT), read_audit(record).result, record.read(VECTORS))


def question(after: str, count: int) -> str:
    """What an audit of pictures that have no name asks."""
    return f"Did {after} forget {'this picture' if count == 1 else f'these {count:,} pictures'}?"


def _evidence(audited: Audited, result: AuditResult, encoders: Mapping[Role, EncoderManifest]) -> dict[str, bytes]:
    """The files of a draft; none for an audit that is larger than a pack."""
    inputs = audited.inputs
    try:
        check_size(len(inputs.owner_ids), len(inputs.control_ids), inputs.settings)
    except MucError:
        return {}
    draft = take_down(
        inputs,
        result,
        title=question(encoders["after"].name, len(inputs.owner_ids)),
        owner=audited.owner,
        controls=audited.controls,
        encoders={role: EncoderIdentity.of(manifest) for role, manifest in encoders.items()},
    )
    return {STATEMENT: draft.statement.model_dump_json(indent=1).encode(), VECTORS: draft.vectors}


def run(settings: AuditJob, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Audit and keep the result. Returns `{"audit": id, "verdict": verdict}`; see `read_audit`.

    Pictures from a browser are deleted when it is done or was cancelled. After a failure they stay for a day, so that
    the job can be gone on with.
    """
    try:
        told = _told_before(workspace) or _audit(settings, workspace, progress)
    except Cancelled:
        _discard(settings)
        raise
    _discard(settings)
    return told


def _told_before(workspace: Workspace) -> dict[str, JsonValue] | None:
    """What this very job returned, had its process not died after keeping the audit."""
    jobs = ((record, record.manifest.settings.get("job")) for record in saved_audits(workspace))
    record = next((record for record, job in jobs if job is not None and job == workspace.job), None)
    if record is None:
        return None
    return {"audit": record.manifest.id, "verdict": read_audit(record).result.verdict}


def _audit(settings: AuditJob, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    owner, controls = settings.owner.open(), settings.controls.open()
    retained = None if settings.retained is None else settings.retained.open()
    decoys = None
    if settings.decoys is not None:
        decoys = Decoys(settings.decoys.open(), settings.decoys_each, settings.seed)
    names = [name for name in (settings.before, settings.after) if name is not None]
    loaded = {name: workspace.load(name) for name in names}
    computed_from: list[Audited] = []
    result = audit_encoders(
        loaded[settings.after],
        owner,
        controls,
        before=None if settings.before is None else loaded[settings.before],
        retained=retained,
        decoys=decoys,
        views=settings.views,
        settings=AuditSettings(seed=settings.seed),
        keep=computed_from.append,
        progress=progress,
    )
    roles: dict[Role, str | None] = {"before": settings.before, "after": settings.after}
    manifests = {role: workspace.encoder(name).manifest for role, name in roles.items() if name is not None}
    called = {item.id: item.text or item.id for item in owner.items}
    pictures = {"names": called, "thumbnails": dict(zip(owner.ids, _thumbnails(owner), strict=True))}
    record = workspace.save_audit(
        title=f"{len(owner):,} pictures: {' → '.join(names)}",
        before=settings.before or settings.after,
        after=settings.after,
        settings={
            "kind": KIND,
            "key": settings.key,
            "views": settings.views,
            "seed": settings.seed,
            "job": workspace.job,
        },
        digests={
            **{f"encoder {name}": workspace.encoder(name).manifest.content_digest for name in names},
            "owner": owner.digest(),
            "controls": controls.digest(),
            **({} if retained is None else {"retained": retained.digest()}),
        },
        files={
            RESULT: result.model_dump_json(indent=1).encode(),
            PICTURES: json.dumps(pictures).encode(),
            **_evidence(computed_from[0], result, manifests),
        },
    )
    return {"audit": record.manifest.id, "verdict": result.verdict}


def _discard(settings: AuditJob) -> None:
    for part in (settings.owner, settings.controls):
        if part.packed:
            Path(part.source).unlink(missing_ok=True)


def _thumbnails(dataset: ImageTextDataset) -> Sequence[str]:
    urls = []
    for pixels in dataset.images(THUMBNAIL).permute(0, 2, 3, 1).contiguous().numpy():
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="WEBP", quality=80)
        urls.append("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode())
    return urls


TASKS.register(KIND, Task(KIND, AuditJob, run))
