"""Checking an evidence pack: signature, digests, and the statistics computed again from its vectors.

It needs neither a network nor an encoder. A pack may come from anyone: whatever is wrong with it ends in a sentence.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from muc_core.audit.honesty import SINGLED_OUT, singled_out
from muc_core.audit.inputs import AuditInputs
from muc_core.audit.result import AuditResult
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.manifest import explain
from muc_core.errors import MucError
from muc_core.evidence.container import read_container
from muc_core.evidence.keys import Ed25519PublicKey, fingerprint, is_signed, read_public_key
from muc_core.evidence.manifest import (
    DIGESTED,
    MANIFEST,
    PUBLIC_KEY,
    REPORT,
    REPORT_PDF,
    RESULT,
    SIGNATURE,
    VECTORS,
    Manifest,
    read_manifest,
)
from muc_core.evidence.pack import WriteReports
from muc_core.evidence.pictures import merkle_root, picture_digests
from muc_core.evidence.vectors import read_vectors
from muc_core.similarity import COSINE, Similarity

TOLERANCE = 1e-6
"""Relative and absolute: how far figures may differ that another processor computes from the same vectors."""


@dataclass(frozen=True)
class Verification:
    """What became of the check.

    Attributes:
        problems: what is wrong, one sentence each; none: the pack is verified.
        notes: what the check does not say.
        signer: fingerprint of the key in the pack, or of the one that was asked for.
        manifest, result: as far as they could be read.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    signer: str | None = None
    manifest: Manifest | None = None
    result: AuditResult | None = None

    @property
    def verified(self) -> bool:
        return not self.problems


def verify_pack(
    data: bytes, *, public_key: Ed25519PublicKey | None = None, write_reports: WriteReports | None = None
) -> Verification:
    """Check a pack.

    Args:
        data: the zip's bytes, from anyone.
        public_key: who must have signed; None: the key in the pack, which anyone may have put there.
        write_reports: makes the reports anew, to compare them with those in the pack; that is only done where they are
            written as they were when the pack was made.
    """
    try:
        container = read_container(data)
    except MucError as error:
        return Verification((str(error),))
    files, problems = container.files, container.problems
    if problems:
        return Verification(problems)
    try:
        key = public_key or read_public_key(files[PUBLIC_KEY], PUBLIC_KEY)
    except MucError as error:
        return Verification((str(error),))
    signer = fingerprint(key)
    if not is_signed(files[MANIFEST], files[SIGNATURE], key):
        who = "the key in the pack" if public_key is None else "the given public key"
        return Verification(
            (f"the signature in {SIGNATURE} is not that of {who} over {MANIFEST}: one of them was changed",),
            signer=signer,
        )
    try:
        manifest = read_manifest(files[MANIFEST])
    except MucError as error:
        return Verification((str(error),), signer=signer)
    changed = tuple(
        f"{name} was changed: its SHA-256 is not the one that the manifest states"
        for name in DIGESTED
        if hashlib.sha256(files[name]).hexdigest() != manifest.files[name]
    )
    if changed:
        return Verification(changed, signer=signer, manifest=manifest)
    notes = [f"not recomputed, because it takes encoders or pictures: {', '.join(manifest.not_recomputed)}"]
    notes.append("that the vectors are those of the named encoders is the signer's word")
    if public_key is None:
        notes.append(
            "the key came with the pack: compare its fingerprint with what the signer told you, or name the signer's "
            "key with --public-key"
        )
    result: AuditResult | None = None
    try:
        result = _recomputed(manifest, files[RESULT], files[VECTORS])
        if not _reports_compared(manifest, result, signer, files, write_reports):
            notes.append(
                f"{REPORT} and {REPORT_PDF} are as signed; whether they say what {RESULT} says was not compared"
            )
    except MucError as error:
        problems = (str(error),)
    return Verification(problems, tuple(notes), signer, manifest, result)


def _reports_compared(
    manifest: Manifest, result: AuditResult, signer: str, files: Mapping[str, bytes], write: WriteReports | None
) -> bool:
    """Whether the reports could be compared. Raises `MucError` when they say something else."""
    if write is None:
        return False
    again = write(manifest, result, signer)
    if again.form != manifest.report_form:
        return False
    for name, content in ((REPORT, again.html), (REPORT_PDF, again.pdf)):
        if content != files[name]:
            raise MucError(f"{name} is not the report of {RESULT}")
    return True


@dataclass(frozen=True)
class PicturesMeant:
    """Which pictures of a folder an audit was about.

    Attributes:
        found: file, id in the pack, and whether it is the owner's or a control.
        missing: ids of the owner's pictures that are not in the folder.
        others: files that the audit was not about, or counted as copies.
    """

    found: tuple[tuple[str, str, str], ...]
    missing: tuple[str, ...]
    others: tuple[str, ...]


def pictures_meant(manifest: Manifest, pictures: ImageTextDataset) -> PicturesMeant:
    """Look pictures up among the digests of a verified manifest. Raises `BadImage` for a file that is damaged."""
    meant = {picture.digest: (picture.id, "control") for picture in manifest.controls}
    meant |= {picture.digest: (picture.id, "owner") for picture in manifest.owner}
    digests = picture_digests(pictures, bytes.fromhex(manifest.salt))
    files, seen = list(zip(pictures.ids, digests, strict=True)), set(digests)
    return PicturesMeant(
        found=tuple((name, *meant[digest]) for name, digest in files if digest in meant),
        missing=tuple(picture.id for picture in manifest.owner if picture.digest not in seen),
        others=tuple(name for name, digest in files if digest not in meant),
    )


def _recomputed(manifest: Manifest, result: bytes, vectors: bytes) -> AuditResult:
    """The stored result, after it was found equal to what the vectors give. Raises `MucError` when it is not."""
    digests = [picture.digest for picture in (*manifest.owner, *manifest.controls)]
    if not digests or merkle_root(digests) != manifest.merkle_root:
        raise MucError("the Merkle root in the manifest is not that of its pictures")
    try:
        stored = AuditResult.model_validate_json(result)
    except ValidationError as error:
        raise MucError(f"{RESULT} is not the result of an audit: {explain(error)[:500]}") from error
    compared: dict[str, Similarity] = {role: manifest.similarities.get(role, COSINE) for role in manifest.encoders}
    known = read_vectors(vectors, compared, stored.mode, len(digests))
    owner, controls = (tuple(picture.id for picture in part) for part in (manifest.owner, manifest.controls))
    inputs = AuditInputs(
        vectors=known,
        owner_ids=owner,
        control_ids=controls,
        settings=manifest.settings,
        checks=stored.checks,
        collateral=stored.collateral,
        warnings=manifest.warnings,
    )
    try:
        with np.errstate(all="ignore"):
            again = inputs.result()
            if any(check.name == SINGLED_OUT for check in stored.checks):
                apart = singled_out(
                    known["after"], known.get("before"), owner + controls, len(owner), seed=manifest.settings.seed
                )
                checks = tuple(apart if check.name == SINGLED_OUT else check for check in stored.checks)
                again = again.model_copy(update={"checks": checks})
    except Exception as error:  # a stranger's numbers: whatever the statistics stumble over, the pack is not verified
        raise MucError(f"the statistics cannot be computed from {VECTORS}: {str(error)[:300]}") from error
    for where, said, found in _differences(stored.model_dump(), again.model_dump(), ""):
        raise MucError(f"{where} in {RESULT} is {said!r:.100}, but the vectors give {found!r:.100}")
    return stored


def _differences(said: object, found: object, where: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(said, dict) and isinstance(found, dict) and said.keys() == found.keys():
        for key in said:
            yield from _differences(said[key], found[key], f"{where}.{key}" if where else str(key))
    elif isinstance(said, tuple) and isinstance(found, tuple) and len(said) == len(found):
        for place, (one, other) in enumerate(zip(said, found, strict=True)):
            yield from _differences(one, other, f"{where}[{place}]")
    elif isinstance(said, float) and isinstance(found, float):
        if not math.isclose(said, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield where, said, found
    elif said != found:
        yield where, said, found
