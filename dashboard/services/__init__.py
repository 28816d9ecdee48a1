"""The only place that caches: everything the pages ask of `muc_core`.

Streamlit hashes large arrays by a sample and would return wrong hits, so every cache is keyed by content digests and
the objects themselves are passed with a leading underscore, which keeps them out of the key.
"""

import base64
import hashlib
import io
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import open_clip
import streamlit as st
from PIL import Image

import muc_core.encoders.load  # noqa: F401  (registers the families)
from muc_core.audit.alignment import diagonal_of, image_text_factors, view_factors
from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.result import AuditResult
from muc_core.auditing import Audited, audit_encoders, most_asked, some_retained
from muc_core.comparison import Comparison, Mode, ModeChoice, OrderChoice, compare
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.ingest import Ingest, ingest_files
from muc_core.data.sets import SetInfo, list_sets, load_dataset, resolve_ids, resolve_items
from muc_core.data.splits import DataSplit
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.decoys import MOST as MOST_DECOYS
from muc_core.encoders.decoys import draw_decoys
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.probes import PICTURE_BATCHES, TEXT_BATCHES
from muc_core.encoders.remote.address import lock_private_addresses
from muc_core.encoders.remote.connect import RemoteInfo
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.encoder import FAMILY as REMOTE
from muc_core.encoders.remote.encoder import Cost, RemoteEncoder
from muc_core.encoders.remote.settings import SETTINGS_FILE, RemoteSettings, read_settings
from muc_core.errors import MucError
from muc_core.jobs import Job, JobTable, submit
from muc_core.jobs.tasks import audit as audit_task
from muc_core.jobs.tasks.audit import AuditJob, PictureSet, SavedAudit
from muc_core.jobs.tasks.check_encoder import check
from muc_core.jobs.tasks.import_encoder import ImportEncoderSettings, add, look
from muc_core.progress import SILENT, Progress
from muc_core.workspace import AuditRecord, EncoderRecord, Workspace
from muc_core.workspace.files import TEMPORARY, sweep, write_file, writing
from muc_core.workspace.importing import RecognitionReport
from muc_core.workspace.index import MANIFEST

_Kept = TypeVar("_Kept")

MOST_CELLS = 60
"""Cells along a side of a heatmap on a page: each can be clicked; more could not be told apart or drawn quickly."""

VIEWS = 8
"""Random views of each picture where pictures are compared with changed copies of themselves."""


def workspace() -> Workspace:
    """The user's workspace, opened once per server and MUC_HOME."""
    return _workspace(os.environ.get("MUC_HOME"))


@st.cache_resource(show_spinner=False)
def _workspace(home: str | None) -> Workspace:
    # Whoever opens the page must not reach through an encoder's URL what only this machine can reach.
    lock_private_addresses()
    return _PageWorkspace()


class _PageWorkspace(Workspace):
    """A workspace that reads its encoders again only when their folders changed: a page asks for them many times."""

    _known: tuple[object, list[EncoderRecord]] | None = None

    def encoders(self) -> list[EncoderRecord]:
        state = [_state(folder) for folder in (self.encoders_folder, self.shipped_folder)]
        if self._known is None or self._known[0] != state:
            self._known = state, super().encoders()
        return list(self._known[1])


def _state(parent: Path) -> list[tuple[str, int, int]]:
    """Changes whenever an encoder is added, removed, renamed or written anew."""
    if not parent.is_dir():
        return []
    found = []
    for folder in sorted(parent.iterdir()):
        for path in (folder, folder / MANIFEST):
            try:
                status = path.stat()
            except OSError:  # being removed at this moment, or not an encoder
                continue
            found.append((str(path), status.st_mtime_ns, status.st_ino))
    return found


def encoder_records() -> list[EncoderRecord]:
    """All encoders, the shipped ones first; those that a job has added since are among them."""
    return workspace().encoders()


def encoder(name: str) -> Encoder:
    """A loaded encoder. Raises `MucError`."""
    return _encoder(name, workspace().encoder(name).manifest.content_digest)


@st.cache_resource(show_spinner="Loading the encoder ...", max_entries=8)
def _encoder(name: str, weights_digest: str) -> Encoder:
    return workspace().load(name)


def has_text(manifest: EncoderManifest) -> bool:
    """Whether an encoder reads captions. A family that is trained here says it, any other encoder must be loaded."""
    if manifest.family in FAMILIES.names():
        return FAMILIES.get(manifest.family).has_text
    return encoder(manifest.name).has_text


@dataclass(frozen=True)
class Facts:
    """What only a loaded encoder knows of itself.

    Attributes:
        dimension: length of its vectors.
        has_text: whether it reads captions.
        image_size: side of its pictures in pixels.
        preparation: what is done to a picture, a sentence without its full stop.
        size_bytes: of its files.
        service: what is sent where, for an encoder behind a URL.
    """

    dimension: int
    has_text: bool
    image_size: int
    preparation: str
    size_bytes: int
    service: str | None = None


LARGE_BYTES = 300 * 2**20
"""Larger files are not loaded for a list, which then leaves out what only the loaded encoder knows."""


def size_of(record: EncoderRecord) -> int:
    """Bytes of an encoder's files."""
    return sum((record.folder / name).stat().st_size for name in record.manifest.files)


def facts(record: EncoderRecord) -> Facts:
    """What the loaded encoder says of itself. Raises `MucError` when it cannot be loaded."""
    manifest, size = record.manifest, size_of(record)
    if manifest.family == REMOTE:
        settings = read_settings(record.folder / SETTINGS_FILE)
        sent = f"{settings.image_size} x {settings.image_size} pixels, {settings.interpolation}, sent as "
        sent += f"{settings.picture_format.upper()}; the rest is up to the service"
        title = DIALECTS.get(settings.dialect).title
        origin = origin_of_key(settings)
        key_from = "no key" if origin is None else f"key from {origin}"
        service = f"{settings.endpoint}, {title}, {settings.number_type} numbers, {key_from}"
        return Facts(settings.dimension or 0, settings.has_text, settings.image_size, sent, size, service)
    key = [manifest.content_digest]
    if manifest.family in FAMILIES.names():  # all encoders of an architecture are alike in this
        key = [manifest.family, manifest.architecture, str(manifest.preprocessing), str(manifest.output)]
    return replace(_facts("/".join(key), manifest.name), size_bytes=size)


def origin_of_key(settings: RemoteSettings) -> str | None:
    """Where the key of an encoder behind a URL comes from, in words; None when it needs none."""
    if settings.key_environment is not None:
        return f"the environment variable {settings.key_environment}"
    if settings.key_keyring is not None:
        return f"the system's keyring, {settings.key_keyring.service} / {settings.key_keyring.user}"
    return None


@st.cache_data(show_spinner="Looking at the encoders ...", max_entries=256)
def _facts(key: str, name: str) -> Facts:
    loaded = workspace().load(name)
    preprocessing = getattr(loaded, "preprocessing", None)
    side = loaded.image_size
    preparation = f"{side} x {side} pixels" if preprocessing is None else str(preprocessing)
    return Facts(loaded.dimension, loaded.has_text, side, preparation, 0)


def keep_upload(name: str, content: bytes) -> Path:
    """A copy of an uploaded weight file, as jobs read files; it is removed after a day. Raises `MucError`."""
    folder = workspace().uploads_folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        path = folder / f"{TEMPORARY}{hashlib.sha256(content).hexdigest()[:32]}{Path(name).suffix.lower()}"
        if not path.exists():
            write_file(path, content)
    _kept().add(path)
    return path


@st.cache_resource(show_spinner=False, scope="session")
def _kept() -> set[Path]:
    """Files that this session's uploads were written to, for jobs."""
    return set()


def forget_uploads() -> int:
    """Delete all that is held or was written of this session's uploads; how many files there were.

    Results of audits that were saved stay: they hold figures and no pictures. A job that reads a file just now fails.
    """
    files = [path for path in _kept() if path.exists()]
    with writing(workspace().home):
        for path in files:
            path.unlink(missing_ok=True)
    for held in (_kept, _read_files, with_captions, uploaded_thumbnails, _audits, _audited):
        held.clear()
    return len(files)


def recognised(source: ImportEncoderSettings) -> RecognitionReport:
    """What a file of moderate size is recognised as. Raises `MucError`."""
    status = Path(source.source).stat()
    return _recognised(source.model_dump_json(), status.st_mtime_ns, status.st_size, _source=source)


@st.cache_data(show_spinner="Looking at the file ...", max_entries=16)
def _recognised(asked: str, changed: int, size: int, *, _source: ImportEncoderSettings) -> RecognitionReport:
    return look(_source)


def add_file(settings: ImportEncoderSettings) -> None:
    """Add an encoder from a file of moderate size. Raises `MucError`; nothing of it stays then."""
    add(settings, workspace(), SILENT)


@st.cache_data(show_spinner=False)
def open_clip_names() -> list[str]:
    """Models of open_clip with the weights that it knows for them, as `ARCHITECTURE:WEIGHTS`."""
    return [f"{architecture}:{weights}" for architecture, weights in open_clip.list_pretrained()]


def check_now(name: str) -> None:
    """Check a small encoder at once; what is found is kept, see `read_check`. Raises `MucError`."""
    check(workspace(), name)


def cost_of_check(record: EncoderRecord) -> str:
    """What checking an encoder behind a URL sends, a sentence. Raises `MucError`."""
    settings = read_settings(record.folder / SETTINGS_FILE)
    batches = [*PICTURE_BATCHES, *(TEXT_BATCHES if settings.has_text else ())]
    requests = sum(-(-batch // settings.items_a_request) for batch in batches)
    texts = f" and {sum(TEXT_BATCHES)} texts" if settings.has_text else ""
    return (
        f"A check sends {sum(PICTURE_BATCHES)} pictures{texts} to {settings.endpoint} in {requests} requests, also "
        "those that were sent before."
    )


def cost_of_asking(settings: RemoteSettings, info: RemoteInfo) -> str:
    """What the demo's audit would send to an encoder behind a URL, a sentence: before anything is."""
    count = len(load_demo())
    batches = -(-count // settings.items_a_request)
    if info.has_text:
        what, requests = f"all {count:,} pictures of the demo and their captions", 2 * batches
    else:
        what, requests = (
            f"{VIEWS} views of all {count:,} pictures of the demo",
            -(-VIEWS * count // settings.items_a_request),
        )
    return (
        f"What it costs: up to {settings.items_a_request} pictures go into one request, so {what} would take "
        f"{requests:,}. Every page says what it would send, and asks first."
    )


@dataclass(frozen=True)
class Question:
    """What a page is about to send to somebody else's machine, and for which the user is asked first.

    Attributes:
        key: of the very same question.
        costs: a sentence for each encoder behind a URL.
    """

    key: str
    costs: tuple[str, ...]


class MustAsk(MucError):
    """Going on would send pictures to an encoder behind a URL; the user has not been asked yet."""

    def __init__(self, question: Question) -> None:
        super().__init__(" ".join(question.costs))
        self.question = question


@st.cache_resource(show_spinner=False)
def _agreed() -> set[str]:
    """Keys of the questions answered with yes; what was asked once is remembered and costs nothing again."""
    return set()


def agree(question: Question) -> None:
    """The user wants the pictures to be sent."""
    _agreed().add(question.key)


Looks = Literal["pictures", "image-text", "two-view"]
"""What an encoder is given: pictures, pictures and their captions, or several views of each picture."""


def ask_first(encoders: Iterable[Encoder], parts: Sequence[ImageTextDataset], looks: Looks) -> None:
    """Ask the user before pictures go to an encoder behind a URL. Raises `MustAsk` until the user agreed."""
    remote = {one.digest: one for one in encoders if isinstance(one, RemoteEncoder)}
    if not remote:
        return
    content = "/".join([looks, *remote, *(part.digest() for part in parts)])
    key = hashlib.sha256(content.encode()).hexdigest()
    if key in _agreed():
        return
    costs = [cost for digest in remote if (cost := _cost(digest, key, looks, _asked=remote[digest], _parts=parts))]
    if costs:
        raise MustAsk(Question(key, tuple(costs)))


@st.cache_data(show_spinner="Counting what would be sent ...", ttl=30, max_entries=16)
def _cost(digest: str, key: str, looks: Looks, *, _asked: RemoteEncoder, _parts: Sequence[ImageTextDataset]) -> str:
    """What would be sent, a sentence; empty when all is known already."""
    count = sum(map(len, _parts))
    size, texts = _asked.image_size, looks == "image-text"
    if looks == "two-view":
        what, cost = f"{VIEWS} views of {count:,} pictures", _asked.estimate(VIEWS * count)
    else:
        what = f"{count:,} pictures" + (" and their captions" if texts else "")
        cost = _asked.estimate(count, count if texts else 0)
        first = range(min(32, len(_parts[0])))
        # Only then is it worth packing all pictures to know it exactly.
        if _asked.cost(_parts[0].images(size, first)).cached == len(first):
            every = [
                _asked.cost(part.images(size), [text or "" for text in part.texts] if texts else ()) for part in _parts
            ]
            cost = Cost(sum(one.requests for one in every), sum(one.bytes for one in every), 0)
    if not cost.requests:
        return ""
    return (
        f"{_asked.name} is behind {_asked.settings.endpoint}. To show this, {what} are sent there: up to "
        f"{cost.requests:,} requests and {cost.bytes / 2**20:,.1f} MB, which its owner may see and charge for."
    )


def pair_notes(before: str, after: str) -> tuple[str, ...]:
    """What a reader must know of two encoders that differ in more than what was unlearned, in sentences.

    Raises:
        MucError: one of them cannot be loaded.
    """
    first, second = encoder(before), encoder(after)
    notes = []
    kinds = [workspace().encoder(name).manifest for name in (before, after)]
    if (kinds[0].family, kinds[0].architecture) != (kinds[1].family, kinds[1].architecture):
        notes.append(
            f"These are different models ({kinds[0].family} {kinds[0].architecture} and {kinds[1].family} "
            f"{kinds[1].architecture}): a difference between them need not come from unlearning."
        )
    if first.has_text != second.has_text:
        deaf = before if second.has_text else after
        notes.append(f"{deaf} cannot read captions, so pictures are compared with changed copies of themselves.")
    if first.image_size != second.image_size:
        notes.append(
            f"{before} looks at {first.image_size} × {first.image_size} pixels and {after} at {second.image_size} × "
            f"{second.image_size}: each gets the pictures at its own size."
        )
    if first.dimension != second.dimension:
        notes.append(
            f"Their vectors have {first.dimension:,} and {second.dimension:,} numbers; similarities are taken within "
            "each encoder and can be compared, a joint map cannot be drawn."
        )
    return tuple(notes)


@dataclass(frozen=True)
class PairData:
    """The data behind a pair of encoders and the split that says what the later one was to forget."""

    dataset: ImageTextDataset
    split: DataSplit
    digest: str
    spec: str


def pair_data(before: str, after: str) -> PairData:
    """Data and split of a pair: those of the unlearned encoder, else of the original, else the demo's.

    Raises:
        MucError: the data cannot be loaded.
    """
    for name in (after, before):
        reference = workspace().encoder(name).manifest.data
        if reference is not None and reference.spec != "demo":
            return PairData(
                _dataset(reference.spec, reference.digest), reference.split, reference.digest, reference.spec
            )
        if reference is not None:
            return PairData(load_demo(), reference.split, demo_digest(), "demo")
    return PairData(load_demo(), demo_split(), demo_digest(), "demo")


@st.cache_resource(show_spinner="Loading the pictures ...", max_entries=4)
def _dataset(spec: str, digest: str) -> ImageTextDataset:
    dataset = load_dataset(spec)
    if dataset.digest() != digest:
        raise MucError(f"the data {spec!r} changed since the encoder was trained on it; restore it")
    return dataset


@st.cache_data(show_spinner=False)
def demo_digest() -> str:
    return load_demo().digest()


def sets_of(data: PairData) -> list[SetInfo]:
    """Sets of the data by name, with counts."""
    return list_sets(data.dataset, data.split)


def forget_sets(data: PairData) -> dict[str, int]:
    """Sets that somebody may ask to be forgotten, with how many trained pictures each has."""
    return {info.spec: info.count for info in sets_of(data) if info.spec.startswith(("owner:", "category:"))}


def named_forget_set(specs: Mapping[str, int], data: PairData) -> str | None:
    """Which of these sets is the data's own forget set; None when none is exactly that."""
    wish = set(data.split.forget)
    alike = (spec for spec, count in specs.items() if count == len(wish))
    return next((spec for spec in alike if set(resolve_ids(spec, data.dataset, data.split)) == wish), None)


def items_of(spec: str, data: PairData) -> ImageTextDataset:
    """The items of a set such as owner:artist or held-out. Raises `MucError`."""
    return resolve_items(spec, dataset=data.dataset, split=data.split)


def retain_sample(data: PairData, count: int) -> ImageTextDataset:
    """Up to `count` retained items, drawn at random and the same ones each time: enough to see collateral damage."""
    retain = data.split.retain
    ids = retain if len(retain) <= count else random.Random(data.split.seed).sample(retain, count)
    return data.dataset.subset(ids, name="retain")


def compare_items(
    before: str,
    after: str,
    items: ImageTextDataset,
    controls: ImageTextDataset | None,
    *,
    mode: ModeChoice = "auto",
    order: OrderChoice = "given",
    seed: int = 0,
) -> Comparison:
    """The comparison of two encoders on items and controls, computed once per content.

    Raises:
        MucError: they cannot be compared.
        MustAsk: pictures would be sent to an encoder behind a URL.
    """
    both = encoder(before), encoder(after)
    parts = [items] if controls is None else [items, controls]
    captions = mode != "two-view" and all(one.has_text for one in both) and all(items.texts)
    ask_first(both, parts, "image-text" if captions else "two-view")
    return _compare(
        both[0].digest,
        both[1].digest,
        items.digest(),
        controls.digest() if controls is not None else None,
        (before, after, mode, order, seed),
        _items=items,
        _controls=controls,
    )


@st.cache_data(show_spinner="Comparing the encoders ...", max_entries=64)
def _compare(
    before_digest: str,
    after_digest: str,
    items_digest: str,
    controls_digest: str | None,
    asked: tuple[str, str, ModeChoice, OrderChoice, int],
    *,
    _items: ImageTextDataset,
    _controls: ImageTextDataset | None,
) -> Comparison:
    before, after, mode, order, seed = asked
    return compare(
        encoder(before),
        encoder(after),
        _items,
        controls=_controls,
        mode=mode,
        views=VIEWS,
        order=order,
        seed=seed,
        max_cells=MOST_CELLS,
    )


@dataclass(frozen=True)
class Files:
    """Files that a user uploaded: names and contents, and a digest of both to key caches by."""

    content: tuple[tuple[str, bytes], ...]
    digest: str

    @staticmethod
    def of(content: Iterable[tuple[str, bytes]]) -> "Files":
        files = tuple(content)
        parts = [f"{name!r} {hashlib.sha256(data).hexdigest()}" for name, data in files]
        return Files(files, hashlib.sha256("\n".join(parts).encode()).hexdigest())


def read_files(files: Files, *, guess_captions: bool) -> Ingest:
    """What can be used of uploaded files. Kept for the session only, as all that comes from uploaded pictures."""
    return _read_files(files.digest, guess_captions, _files=files)


@st.cache_resource(show_spinner="Reading your pictures ...", scope="session", max_entries=4)
def _read_files(digest: str, guess_captions: bool, *, _files: Files) -> Ingest:
    return ingest_files(_files.content, name="your pictures", guess_captions=guess_captions)


@st.cache_resource(show_spinner=False, scope="session", max_entries=4)
def with_captions(key: str, captions: tuple[str | None, ...], *, _dataset: ImageTextDataset) -> ImageTextDataset:
    """The same pictures with other captions; `key` stands for the pictures."""
    items = [replace(item, text=text) for item, text in zip(_dataset.items, captions, strict=True)]
    return ImageTextDataset(_dataset.name, items, _dataset.source)


@st.cache_data(show_spinner=False, scope="session", max_entries=4)
def uploaded_thumbnails(key: str, size: int = 64, *, _dataset: ImageTextDataset) -> list[str]:
    """Small data URLs of uploaded pictures, in order; `key` stands for the pictures."""
    return _draw_thumbnails(_dataset, size)


def demo_drawings(count: int) -> ImageTextDataset:
    """Some of the drawings that the demo's artist withdrew, the same ones each time."""
    forget = demo_split().forget
    ids = forget if count >= len(forget) else random.Random(0).sample(forget, count)
    return load_demo().subset(ids, name="drawings of the demo")


def controls_for(items: ImageTextDataset, data: PairData) -> ImageTextDataset | None:
    """The held-out set as controls, without what has the id of an item; None when nothing was held out."""
    taken = set(items.ids)
    ids = [item_id for item_id in data.split.held_out if item_id not in taken]
    return data.dataset.subset(ids, name="held-out") if ids else None


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
    """Audits that jobs kept, newest first."""
    return audit_task.saved_audits(workspace())


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
    return [job for job in JobTable(workspace()).jobs(limit=50) if job.kind == audit_task.KIND]


@dataclass(frozen=True, eq=False)
class SetChange:
    """Own similarity of the items of one set in both encoders: with the own caption, or among the own views.

    Attributes:
        ids: of the items.
        before, after: `[n]` each, in [-1, 1], in the order of `ids`.
    """

    ids: tuple[str, ...]
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]

    @property
    def mean_before(self) -> float:
        return float(self.before.mean())

    @property
    def mean_after(self) -> float:
        return float(self.after.mean())


@dataclass(frozen=True)
class Changes:
    """What changed for whom. The first two sets are None when the split names nothing to forget or to hold out."""

    forget: SetChange | None
    held_out: SetChange | None
    retain: SetChange
    mode: Mode


def changes(before: str, after: str) -> Changes:
    """Own similarity of all of the forget, retain and held-out items, before and after. Raises `MucError`."""
    first, second = (workspace().encoder(name).manifest for name in (before, after))
    data = pair_data(before, after)
    mode = _mode_of([first, second], data)
    ask_first([encoder(name) for name in _behind_a_url(first, second)], [data.dataset], mode)
    return _changes(first, second, data, mode)


def _mode_of(manifests: Sequence[EncoderManifest], data: PairData) -> Mode:
    """Pictures against captions where every encoder reads them and every picture has one."""
    return "image-text" if all(data.dataset.texts) and all(map(has_text, manifests)) else "two-view"


def _behind_a_url(*manifests: EncoderManifest) -> list[str]:
    return list(dict.fromkeys(manifest.name for manifest in manifests if manifest.family == REMOTE))


def _changes(before: EncoderManifest, after: EncoderManifest, data: PairData, mode: Mode) -> Changes:
    both = [
        _own_similarity(manifest.content_digest, data.digest, mode, _name=manifest.name, _data=data)
        for manifest in (before, after)
    ]

    def part(ids: tuple[str, ...]) -> SetChange | None:
        rows = [data.dataset.index_of(item_id) for item_id in ids]
        return SetChange(ids, both[0][rows], both[1][rows]) if ids else None

    retain = part(data.split.retain)
    assert retain is not None  # a split always retains something
    return Changes(part(data.split.forget), part(data.split.held_out), retain, mode)


@st.cache_data(show_spinner="Measuring all pictures ...", max_entries=64)
def _own_similarity(
    weights_digest: str, data_digest: str, mode: Mode, *, _name: str, _data: PairData
) -> npt.NDArray[np.float64]:
    """Positive alignment of every item of the data `[n]`, kept in the workspace: it takes seconds."""
    key = f"own-{hashlib.sha256('/'.join((weights_digest, data_digest, mode)).encode()).hexdigest()[:32]}"
    known = workspace().read_map(key)
    if known is not None and known["positive"].shape == (len(_data.dataset),):
        return known["positive"].astype(np.float64)
    asked = encoder(_name)
    if mode == "two-view":
        views = embed_views(asked, _data.dataset, views=VIEWS).numpy()
        factors = view_factors(views, ids=_data.dataset.ids, similarity=similarity_of(asked))
    else:
        texts = embed_texts(asked, [text or "" for text in _data.dataset.texts])
        images = embed_images(asked, _data.dataset)
        factors = image_text_factors(
            images.numpy(), texts.numpy(), ids=_data.dataset.ids, similarity=similarity_of(asked)
        )
    positive = diagonal_of(factors)
    workspace().write_map(key, {"positive": positive})
    return positive


@dataclass(frozen=True)
class Means:
    """Mean own similarity over whole sets in one encoder, None for a set that does not exist."""

    name: str
    method: str | None
    forget: float | None
    retain: float
    held_out: float | None

    def distance(self, other: "Means") -> float:
        """Mean absolute difference over the sets that both have."""
        pairs = zip(
            (self.forget, self.retain, self.held_out), (other.forget, other.retain, other.held_out), strict=True
        )
        differences = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        return sum(differences) / len(differences)


def means_of_all(before: str, after: str) -> list[Means]:
    """The original and every encoder made from it with the same data and split as `after`, in the order of the list.

    Raises:
        MucError: as `changes`.
    """
    data = pair_data(before, after)
    manifests = {record.manifest.name: record.manifest for record in encoder_records()}
    original, reference = manifests[before], manifests[after].data
    made = [
        manifest
        for manifest in manifests.values()
        if manifest.original == before and manifest.data is not None and manifest.data == reference
    ]
    mode = _mode_of([original, manifests[after], *made], data)
    ask_first([encoder(name) for name in _behind_a_url(original, *made)], [data.dataset], mode)
    means = [_means(original, _changes(original, original, data, mode), "mean_before")]
    for manifest in made:
        means.append(_means(manifest, _changes(original, manifest, data, mode), "mean_after"))
    return means


def _means(manifest: EncoderManifest, change: Changes, moment: Literal["mean_before", "mean_after"]) -> Means:
    forget, held_out = (None if part is None else getattr(part, moment) for part in (change.forget, change.held_out))
    return Means(manifest.name, manifest.method, forget, getattr(change.retain, moment), held_out)


def picture_url(dataset: ImageTextDataset, index: int, size: int = 96) -> str:
    """A picture as a PNG data URL for tables and tooltips."""
    pixels = dataset.images(size, [index])[0].permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnails(dataset: ImageTextDataset, size: int = 48) -> list[str]:
    """Every picture as a small data URL, in order: for charts that show hundreds of them on hover."""
    return _thumbnails(dataset.digest(), size, _dataset=dataset)


@st.cache_data(show_spinner=False, max_entries=16)
def _thumbnails(digest: str, size: int, *, _dataset: ImageTextDataset) -> list[str]:
    return _draw_thumbnails(_dataset, size)


def _draw_thumbnails(dataset: ImageTextDataset, size: int) -> list[str]:
    urls = []
    for pixels in dataset.images(size).permute(0, 2, 3, 1).contiguous().numpy():
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="WEBP", quality=80)
        urls.append("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode())
    return urls
