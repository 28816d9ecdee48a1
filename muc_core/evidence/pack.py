"""Making an evidence pack of an audit: what it was computed from is taken down at once, and can be signed later.

draft = take_down(inputs, result, title=title, owner=owner, controls=controls, encoders=who)
pack = sign(draft, key, write_reports)
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from pydantic import ValidationError

from muc_core.audit.inputs import AuditInputs
from muc_core.audit.result import AuditResult
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.manifest import installed_versions, utc_now
from muc_core.errors import MucError
from muc_core.evidence.container import write_container
from muc_core.evidence.keys import Ed25519PrivateKey, fingerprint, write_public_key
from muc_core.evidence.manifest import (
    MANIFEST,
    PUBLIC_KEY,
    REPORT,
    REPORT_PDF,
    RESULT,
    SIGNATURE,
    VECTORS,
    EncoderIdentity,
    Manifest,
    Picture,
    Role,
    Statement,
    check_size,
)
from muc_core.evidence.pictures import merkle_root, picture_digests
from muc_core.evidence.vectors import write_vectors
from muc_core.similarity import COSINE

TYPESETTING = ("typst", "matplotlib")
"""What sets the report, matplotlib for its fonts."""


@dataclass(frozen=True)
class Reports:
    """An audit for people: HTML, and the same as PDF.

    Attributes:
        form: digest of all that decides how they are written, so that the same form gives the same bytes.
    """

    html: bytes
    pdf: bytes
    form: str


WriteReports = Callable[[Statement, AuditResult, str], Reports]
"""Reports of a statement, a result, and the fingerprint of the signer's key."""


@dataclass(frozen=True, eq=False)
class Draft:
    """The evidence of an audit before it is signed; no picture is in it.

    Attributes:
        vectors: as `evidence.vectors` writes them.
    """

    statement: Statement
    result: AuditResult
    vectors: bytes


def take_down(
    inputs: AuditInputs,
    result: AuditResult,
    *,
    title: str,
    owner: ImageTextDataset,
    controls: ImageTextDataset,
    encoders: Mapping[Role, EncoderIdentity],
    created: str | None = None,
    salt: bytes | None = None,
) -> Draft:
    """What an audit was computed from and what it found; pictures stay out.

    Args:
        inputs, result: of the audit; the result must be that of the inputs.
        title: what was asked.
        owner, controls: the pictures, in the order of the inputs' ids.
        encoders: those that gave the vectors.
        created: when the audit was made, ISO 8601; now if None.
        salt: 32 bytes for the pictures' digests; new ones if None.

    Raises:
        MucError: more than a pack holds.
        BadImage: a picture's file that is gone since.
    """
    check_size(len(inputs.owner_ids), len(inputs.control_ids), inputs.settings)
    salt = secrets.token_bytes(32) if salt is None else salt
    first, second = picture_digests(owner, salt), picture_digests(controls, salt)
    statement = Statement(
        title=title,
        created=created or utc_now(),
        settings=inputs.settings,
        versions=versions(),
        encoders=dict(encoders),
        salt=salt.hex(),
        owner=_pictures(inputs.owner_ids, first),
        controls=_pictures(inputs.control_ids, second),
        similarities={role: how for role in encoders if (how := inputs.vectors[role].similarity) != COSINE},
        merkle_root=merkle_root([*first, *second]),
        warnings=inputs.warnings,
    )
    return Draft(statement, result, write_vectors(inputs.vectors))


def read_draft(statement: bytes, result: AuditResult, vectors: bytes) -> Draft:
    """A draft that was kept as the JSON of its statement and its vectors. Raises `MucError` when it is another's."""
    try:
        return Draft(Statement.model_validate_json(statement), result, vectors)
    except ValidationError as error:
        raise MucError("the evidence of this audit was kept by another version; make the audit again") from error


def sign(draft: Draft, key: Ed25519PrivateKey, write_reports: WriteReports) -> bytes:
    """The signed zip. Raises `MucError` when it is more than a pack holds."""
    public = key.public_key()
    reports = write_reports(draft.statement, draft.result, fingerprint(public))
    files = {
        PUBLIC_KEY: write_public_key(public),
        RESULT: draft.result.model_dump_json(indent=1).encode(),
        VECTORS: draft.vectors,
        REPORT: reports.html,
        REPORT_PDF: reports.pdf,
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = Manifest(**dict(draft.statement), report_form=reports.form, files=digests)
    files[MANIFEST] = manifest.model_dump_json(indent=1).encode()
    files[SIGNATURE] = key.sign(files[MANIFEST])
    return write_container(files)


def versions() -> dict[str, str]:
    """Versions of what computes the numbers and sets the report."""
    return installed_versions() | {name: version(name) for name in TYPESETTING}


def _pictures(ids: tuple[str, ...], digests: list[str]) -> tuple[Picture, ...]:
    return tuple(Picture(id=item_id, digest=digest) for item_id, digest in zip(ids, digests, strict=True))
