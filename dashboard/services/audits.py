"""Audits: how one can be made, making it here or by a job, and those that were made."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from dashboard.services.encoders import VIEWS, encoder, size_of, workspace
from dashboard.services.jobs import jobs, made_by
from dashboard.services.pairs import PairData, pair_data
from dashboard.services.people import current_user
from dashboard.services.uploads import Files, keep_upload
from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.result import AuditResult
from muc_core.auditing import Audited, audit_encoders, most_asked, some_retained
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder
from muc_core.encoders.decoys import MOST as MOST_DECOYS
from muc_core.encoders.decoys import draw_decoys
from muc_core.encoders.remote.encoder import FAMILY as REMOTE
from muc_core.encoders.remote.encoder import RemoteEncoder
from muc_core.errors import MucError
from muc_core.jobs import Job, submit
from muc_core.jobs.tasks import audit as audit_task
from muc_core.jobs.tasks.audit import AuditJob, PictureSet, SavedAudit
from muc_core.progress import Progress
from muc_core.workspace import AuditRecord, EncoderRecord

_Kept = TypeVar("_Kept")


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """An audit that can be made, and how.

    Attributes:
        before: None when it cannot be compared with the encoder after.
        retained: what is looked at for collateral beside the controls; None where the data are not known, or would be
            sent to an encoder behind a URL.
        key: digest of everything that decides the result.
        long: whether it takes long enough to be made by a job.
    """

    before: str | None
    after: str
    owner: ImageTextDataset
    controls: ImageTextDataset
    retained: ImageTextDataset | None
    key: str
    long: bool

    @property
    def encoders(self) -> list[Encoder]:
        return [encoder(name) for name in (self.before, self.after) if name is not None]


LONG_WORK = 20e9
"""Bytes of weights times the share of their pictures' size in the demo's times pictures: above, an audit is a job."""


MOST_AT_ONCE = 1_000
"""Pictures of an audit that a page makes itself: the owner's, controls and retained ones."""


def plan_audit(before: str, after: str, owner: ImageTextDataset, controls: ImageTextDataset | None) -> AuditPlan:
    """How the pictures can be audited. Raises `MucError`: too few pictures or controls."""
    if controls is None:
        raise MucError("the encoders' data hold no pictures back that could be controls; upload some of your own")
    check_counts(owner.ids, [f"{item_id} (control)" for item_id in controls.ids])
    comparable = encoder(before).dimension == encoder(after).dimension
    names = [before, after] if comparable else [after]
    records = [workspace().encoder(name) for name in names]
    far = any(record.manifest.family == REMOTE for record in records)
    retained = _retained(before, after, owner) if comparable and not far else None
    pictures = [owner, controls] if retained is None else [owner, controls, retained]
    parts = ["2", *(record.manifest.content_digest for record in records), *(part.digest() for part in pictures)]
    key = hashlib.sha256("/".join([*parts, str(VIEWS)]).encode()).hexdigest()
    count = sum(map(len, pictures))
    long = far or takes_long(records, count)
    return AuditPlan(before if comparable else None, after, owner, controls, retained, key, long)


def takes_long(records: Sequence[EncoderRecord], pictures: int) -> bool:
    """Whether embedding the views of so many pictures by each of these encoders is too much for a page."""
    work = sum(pictures * size_of(one) * (encoder(one.manifest.name).image_size / 48) ** 2 for one in records)
    return work > LONG_WORK or pictures > MOST_AT_ONCE


def _retained(before: str, after: str, owner: ImageTextDataset) -> ImageTextDataset | None:
    """Some of the pictures that both encoders were to keep; None where nobody knows what they were trained on."""
    if all(workspace().encoder(name).manifest.data is None for name in (before, after)):
        return None
    data = pair_data(before, after)
    return some_retained(data.dataset, data.split, owner, seed=AuditSettings().seed)


@st.cache_resource(show_spinner=False, scope="session")
def _audits() -> dict[str, AuditResult | str]:
    """Results by key, and why there is none; the latest few."""
    return {}


def known_audit(plan: AuditPlan) -> AuditResult | None:
    """The result of an audit made in this session, or by a job. Raises `MucError` when it was refused."""
    found = _audits().get(plan.key)
    if isinstance(found, str):
        raise MucError(found)
    if found is None and plan.long and (saved := saved_audit(plan.key)) is not None:
        return saved.result
    return found


def make_audit(plan: AuditPlan, progress: Progress, *, first_look: bool = False) -> AuditResult:
    """Audit now; a first look has two views of each picture and no probes. Raises `MucError`."""
    both = plan.encoders
    key = f"{plan.key}/first" if first_look else plan.key
    if not first_look:
        workspace().note_audit(
            before=plan.before, after=plan.after, owner=plan.owner.digest(), controls=plan.controls.digest()
        )
    try:
        result = audit_encoders(
            both[-1],
            plan.owner,
            plan.controls,
            before=both[0] if plan.before is not None else None,
            retained=None if first_look else plan.retained,
            views=2 if first_look else VIEWS,
            probes=not first_look,
            settings=AuditSettings(permutations=999) if first_look else AuditSettings(),
            keep=None if first_look else lambda audited: _keep_latest(_audited(), plan.key, audited, MOST_AUDITED),
            progress=progress,
        )
    except MucError as refusal:
        _keep_audit(plan.key, str(refusal))
        raise
    _keep_audit(key, result)
    return result


def _keep_audit(key: str, result: AuditResult | str) -> None:
    _keep_latest(_audits(), key, result, 16)


def _keep_latest(kept: dict[str, _Kept], key: str, content: _Kept, most: int) -> None:
    kept[key] = content
    while len(kept) > most:
        del kept[next(iter(kept))]


MOST_AUDITED = 4
"""Audits whose vectors stay in a session, for evidence: some 20 MB each."""


@st.cache_resource(show_spinner=False, scope="session")
def _audited() -> dict[str, Audited]:
    """What the latest audits of this session were computed from, by key."""
    return {}


def computed_from(plan: AuditPlan) -> Audited | None:
    """What an audit of this session was computed from; None when it was made elsewhere or is one of many since."""
    return _audited().get(plan.key)


def saved_audit(key: str) -> SavedAudit | None:
    """The newest audit with this key that a job kept. Raises `MucError` when it is damaged."""
    found = next((r for r in saved_audits() if r.manifest.settings.get("key") == key), None)
    return None if found is None else audit_task.read_audit(found)


def saved_audits() -> list[AuditRecord]:
    """Audits that jobs kept, newest first: an engineer's are all, anybody else's those that they asked for."""
    found = audit_task.saved_audits(workspace())
    user = current_user()
    return found if user.is_engineer else [one for one in found if made_by(one.manifest.settings.get("job"), user)]


def most_decoys(plan: AuditPlan, data: PairData) -> int:
    """How many decoys of each picture there can be, drawn from what was to be kept; 0 where no URL is asked."""
    if not any(isinstance(one, RemoteEncoder) for one in plan.encoders):
        return 0
    taken = {*plan.owner.ids, *plan.controls.ids}
    return min(sum(item_id not in taken for item_id in data.split.retain) // len(plan.owner), MOST_DECOYS)


def cost_of_audit(plan: AuditPlan, *, decoys: int) -> tuple[str, ...]:
    """What an audit sends to encoders behind a URL, a sentence for each.

    Args:
        decoys: of each picture.
    """
    pictures, texts = most_asked(len(plan.owner), len(plan.controls), decoys=decoys, views=VIEWS)
    items = pictures // (VIEWS + 6)
    what = f"{items:,}" + (f", {decoys * len(plan.owner):,} of them decoys" if decoys else "")
    costs = []
    for one in plan.encoders:
        if isinstance(one, RemoteEncoder):
            cost = one.estimate(pictures, texts if one.has_text else 0)
            costs.append(
                f"{one.name} is behind {one.settings.endpoint}. The audit sends up to {pictures:,} pictures "
                f"there (views and changed copies of {what}): up to {cost.requests:,} requests and "
                f"{cost.bytes / 2**20:,.1f} MB, which its owner may see and charge for."
            )
    return tuple(costs)


def start_audit(
    plan: AuditPlan, owner: "Files | None", controls: "Files | None", data: PairData, *, decoys: int = 0
) -> Job:
    """Queue the audit; pressing twice does not make two.

    Args:
        decoys: of each picture, see `most_decoys`.
        owner, controls: the files that the pictures came from, None for items of the demo and of `data` each.
    """
    hidden = None
    if decoys:
        kept = data.dataset.subset(data.split.retain, name="retain")
        avoid = {*plan.owner.ids, *plan.controls.ids}
        hidden = draw_decoys(kept, len(plan.owner), per_picture=decoys, seed=AuditSettings().seed, avoid=avoid)
    settings = AuditJob(
        before=plan.before,
        after=plan.after,
        owner=_picture_set(plan.owner, owner, "demo", plan.key),
        controls=_picture_set(plan.controls, controls, data.spec, plan.key),
        retained=None if plan.retained is None else _picture_set(plan.retained, None, data.spec, plan.key),
        decoys=None if hidden is None else _picture_set(hidden.pictures, None, data.spec, plan.key),
        decoys_each=decoys,
        key=plan.key,
        views=VIEWS,
    )
    return submit(workspace(), audit_task.KIND, settings, unique=True)


def _picture_set(dataset: ImageTextDataset, files: "Files | None", data: str, key: str) -> PictureSet:
    source = data if files is None else str(keep_upload("pictures.zip", audit_task.pack(files.content, key=key)))
    return PictureSet(source=source, packed=files is not None, ids=dataset.ids, captions=tuple(dataset.texts))


def audit_jobs() -> list[Job]:
    """Jobs that audit, newest first."""
    return [job for job in jobs(limit=50) if job.kind == audit_task.KIND]


def let_go() -> None:
    """Forget the audits that were made in this session."""
    for held in (_audits, _audited):
        held.clear()
