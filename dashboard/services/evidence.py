"""Evidence packs for the pages: making them of an audit, the key that signs them, and checking one from anyone."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.services import (
    AuditPlan,
    Files,
    computed_from,
    known_audit,
    read_files,
    saved_audits,
    takes_long,
    workspace,
)
from dashboard.services.people import current_user
from muc_core.errors import MucError
from muc_core.evidence.container import MAX_BYTES, read_container
from muc_core.evidence.keys import read_public_key
from muc_core.evidence.manifest import MANIFEST, EncoderIdentity, Manifest, Role, read_manifest
from muc_core.evidence.pack import Draft, sign, take_down
from muc_core.evidence.verify import PicturesMeant, Verification, pictures_meant, verify_pack
from muc_core.jobs.tasks.audit import kept_draft, question
from muc_core.jobs.tuning.bench import Bench, Subject
from muc_core.jobs.tuning.evidence import measured_draft
from muc_core.reports.evidence import write_reports
from muc_core.workspace import AuditRecord
from muc_core.workspace.evidence import (
    KeptPack,
    fingerprint_of,
    is_locked,
    keep_pack,
    kept_packs,
    key_file,
    make_key,
    open_key,
    public_file,
)

MOST_LISTED = 50


@dataclass(frozen=True, eq=False)
class Evidence:
    """What can be signed of an audit on a page.

    Attributes:
        key: tells several audits apart.
        take_draft: what the audit was computed from. Raises `MucError` when it is not there any more.
    """

    key: str
    take_draft: Callable[[], Draft]


def evidence_of_plan(plan: AuditPlan) -> Evidence:
    """Of an audit of this session, or of one that a job made of the same."""
    return Evidence(plan.key, lambda: _draft_of_plan(plan))


def evidence_of_kept(record: AuditRecord) -> Evidence:
    """Of an audit that a job kept."""
    return Evidence(record.manifest.id, lambda: kept_draft(record))


def evidence_of_measured(bench: Bench, name: str) -> Evidence:
    """Of the audit of a saved encoder among others that were measured alike. Raises `UnknownName`."""
    return Evidence(bench.key(Subject(workspace().encoder(name))), lambda: _draft_of_measured(bench, name))


def _draft_of_measured(bench: Bench, name: str) -> Draft:
    pictures = len(bench.material.forget) + len(bench.material.controls)
    if takes_long([bench.original, workspace().encoder(name)], pictures):
        raise MucError(
            f"making the audit of {name!r} again takes too long for a page; audit it on Check my pictures or with "
            "`muc audit --evidence`"
        )
    return measured_draft(bench, name)


def _draft_of_plan(plan: AuditPlan) -> Draft:
    found, result = computed_from(plan), known_audit(plan)
    if found is not None and result is not None:
        roles: dict[Role, str | None] = {"before": plan.before, "after": plan.after}
        here = workspace()
        return take_down(
            found.inputs,
            result,
            title=question(plan.after, result.n_items),
            owner=found.owner,
            controls=found.controls,
            encoders={
                role: EncoderIdentity.of(here.encoder(name).manifest)
                for role, name in roles.items()
                if name is not None
            },
        )
    record = next((one for one in saved_audits() if one.manifest.settings.get("key") == plan.key), None)
    if record is None:
        raise MucError("what this audit was computed from is not kept any more; load the page anew to make it again")
    return kept_draft(record)


@dataclass(frozen=True)
class SigningKey:
    """The workspace's key.

    Attributes:
        fingerprint: of its public part, None when the file of that is not there.
        public: the PEM file of its public part.
        locked: whether it asks for a passphrase.
    """

    fingerprint: str | None
    public: Path
    locked: bool


def signing_key() -> SigningKey | None:
    """The key that signs here; None until there is one. Raises `MucError` when it cannot be read."""
    file = key_file(workspace())
    if not file.exists():
        return None
    public = public_file(file)
    return SigningKey(fingerprint_of(file) if public.exists() else None, public, is_locked(file))


def make_pack(draft: Draft, passphrase: str | None) -> Path:
    """A signed pack, kept in the workspace; the key is made when there is none.

    Args:
        passphrase: of the key; None for one without.

    Raises:
        MucError: a wrong passphrase, more than a pack holds, or a full disk.
    """
    file = key_file(workspace())
    if not file.exists():
        make_key(workspace(), file, passphrase)
    path = keep_pack(workspace(), sign(draft, open_key(file, passphrase or ""), write_reports))
    _made().add(path)
    return path


@st.cache_resource(show_spinner=False, scope="session")
def _made() -> set[Path]:
    """Packs that were made in this session."""
    return set()


@dataclass(frozen=True)
class ListedPack:
    """A pack that was made here, with its manifest; None when it cannot be read any more."""

    pack: KeptPack
    manifest: Manifest | None


def packs() -> list[ListedPack]:
    """Packs that were made here, newest first; the latest `MOST_LISTED`. An engineer sees all of them, anybody else
    those that she made since the page was opened."""
    kept, user = kept_packs(workspace()), current_user()
    found = [pack for pack in kept if user.is_engineer or pack.path in _made()][:MOST_LISTED]
    return [ListedPack(pack, _manifest_of(str(pack.path), pack.size)) for pack in found]


@st.cache_data(show_spinner=False, max_entries=MOST_LISTED)
def _manifest_of(path: str, size: int) -> Manifest | None:
    try:
        return read_manifest(read_container(Path(path).read_bytes()).files[MANIFEST])
    except (MucError, OSError, KeyError):
        return None


def check_pack(content: bytes, public_key: tuple[str, bytes] | None) -> Verification:
    """Check a pack from anyone.

    Args:
        public_key: name and content of the file of whoever must have signed.

    Raises:
        MucError: the key's file holds none.
    """
    if len(content) > MAX_BYTES:
        raise MucError(f"this file has more than {MAX_BYTES / 2**20:.0f} MB; no evidence pack is that large")
    digest = hashlib.sha256(content).hexdigest()
    return _check_pack(digest, public_key, _content=content)


@st.cache_data(show_spinner="Checking the evidence ...", scope="session", max_entries=4)
def _check_pack(digest: str, public_key: tuple[str, bytes] | None, *, _content: bytes) -> Verification:
    key = None if public_key is None else read_public_key(public_key[1], public_key[0])
    return verify_pack(_content, public_key=key, write_reports=write_reports)


def meant(manifest: Manifest, files: Files) -> PicturesMeant:
    """Which of some uploaded pictures an audit was about. Raises `MucError` when none of them can be used."""
    dataset = read_files(files, guess_captions=False).dataset
    if dataset is None:
        raise MucError("none of these files is a picture; PNG, JPEG, WebP or a zip of them are accepted")
    return pictures_meant(manifest, dataset)


def report_of(found: Verification) -> bytes:
    """The PDF report of a verified pack, set anew from what was verified."""
    assert found.manifest is not None
    assert found.result is not None
    return write_reports(found.manifest, found.result, found.signer or "").pdf
