"""Making an evidence pack of an audit.

pack = make_pack(inputs, result, title=title, report=html, owner=owner, controls=controls, encoders=who, key=key)
"""

import hashlib
import secrets
from collections.abc import Mapping

from muc_core.audit.inputs import AuditInputs
from muc_core.audit.result import AuditResult
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.manifest import installed_versions, utc_now
from muc_core.evidence.container import write_container
from muc_core.evidence.keys import Ed25519PrivateKey, write_public_key
from muc_core.evidence.manifest import (
    MANIFEST,
    PUBLIC_KEY,
    REPORT,
    RESULT,
    SIGNATURE,
    VECTORS,
    EncoderIdentity,
    Manifest,
    Picture,
    Role,
    check_size,
)
from muc_core.evidence.pictures import merkle_root, picture_digests
from muc_core.evidence.vectors import write_vectors


def make_pack(
    inputs: AuditInputs,
    result: AuditResult,
    *,
    title: str,
    report: str,
    owner: ImageTextDataset,
    controls: ImageTextDataset,
    encoders: Mapping[Role, EncoderIdentity],
    key: Ed25519PrivateKey,
    salt: bytes | None = None,
) -> bytes:
    """A signed zip of what an audit was computed from and what it found; pictures stay out.

    Args:
        inputs, result: of the audit; the result must be that of the inputs.
        title: what was asked.
        report: the result for people, HTML.
        owner, controls: the pictures, in the order of the inputs' ids.
        encoders: those that gave the vectors.
        salt: 32 bytes for the pictures' digests; new ones if None.

    Raises:
        MucError: more than a pack holds.
        BadImage: a picture's file that is gone since.
    """
    check_size(len(inputs.owner_ids), len(inputs.control_ids), inputs.settings)
    salt = secrets.token_bytes(32) if salt is None else salt
    first, second = picture_digests(owner, salt), picture_digests(controls, salt)
    files = {
        PUBLIC_KEY: write_public_key(key.public_key()),
        RESULT: result.model_dump_json(indent=1).encode(),
        VECTORS: write_vectors(inputs.vectors),
        REPORT: report.encode(),
    }
    manifest = Manifest(
        title=title,
        created=utc_now(),
        settings=inputs.settings,
        versions=installed_versions(),
        encoders=dict(encoders),
        salt=salt.hex(),
        owner=_pictures(inputs.owner_ids, first),
        controls=_pictures(inputs.control_ids, second),
        merkle_root=merkle_root([*first, *second]),
        warnings=inputs.warnings,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    files[MANIFEST] = manifest.model_dump_json(indent=1).encode()
    files[SIGNATURE] = key.sign(files[MANIFEST])
    return write_container(files)


def _pictures(ids: tuple[str, ...], digests: list[str]) -> tuple[Picture, ...]:
    return tuple(Picture(id=item_id, digest=digest) for item_id, digest in zip(ids, digests, strict=True))
