"""Where encoders, runs and audits live on disk.

    encoders/NAME/  manifest.json, and weights.safetensors or the files of an encoder from elsewhere
    runs/ID/        manifest.json, history.jsonl, checkpoints/STEP.safetensors
    audits/ID/      manifest.json and the files of the audit
    maps/KEY.npz    a cache, may be deleted
    measurements/   figures of encoders and of strengths between them, a cache, may be deleted
    jobs/ID.log     what a job printed
    cache/          of compilers, may be deleted
    log.jsonl       who did what, see `log`
    index.sqlite    index of the above and the table of jobs
    index.json      where these are instead, see `place`

The folders are the truth; all writing is atomic (see `files`). The demo encoders that come with the program are listed
beside the workspace's own and are never written.
"""

import hashlib
import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from platformdirs import user_data_dir
from pydantic import JsonValue

from muc_core.encoders.manifest import (
    WEIGHTS,
    AuditManifest,
    DataReference,
    EncoderManifest,
    RunManifest,
    check_name,
    installed_versions,
)
from muc_core.errors import MucError, UnknownName
from muc_core.workspace import index
from muc_core.workspace.database import Database
from muc_core.workspace.files import new_file, new_folder, remove_folder, sweep, write_file, writing
from muc_core.workspace.index import AUDITS, ENCODERS, MANIFEST, RUNS
from muc_core.workspace.log import Deed, Log, system_user
from muc_core.workspace.opening import open_index
from muc_core.workspace.runs import CHECKPOINTS, RunRecord, RunWriter
from muc_core.workspace.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from torch import Tensor

    from muc_core.encoders.base import Encoder


JOBS_WAIT_S = 60.0
"""A job waits so long for a database server that is restarted; who looks at a page is told at once."""

ASSETS = Path(__file__).parents[2] / "assets"
"""What comes with the program, the demo encoders in its folder encoders; MUC_ASSETS names another place."""


def chosen_home(home: Path | None = None) -> Path:
    """The folder of the workspace, see `Workspace`."""
    chosen = home or os.environ.get("MUC_HOME") or user_data_dir("muc-audit", appauthor=False)
    return Path(chosen).expanduser().absolute()


@dataclass(frozen=True)
class EncoderRecord:
    """An encoder on disk. `shipped`: it comes with the program and cannot be changed or deleted."""

    manifest: EncoderManifest
    folder: Path
    shipped: bool

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS


@dataclass(frozen=True)
class AuditRecord:
    """A saved audit on disk."""

    manifest: AuditManifest
    folder: Path

    def read(self, name: str) -> bytes:
        """A file of the audit. Raises `MucError` when it is missing or not as it was saved."""
        if name not in self.manifest.files:
            raise MucError(f"the audit {self.manifest.id} has no file {name!r}; it has {_listed(self.manifest.files)}")
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MucError(f"{path} cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != self.manifest.files[name]:
            raise MucError(f"{path} is not as it was saved; save the audit again")
        return content


class Workspace:
    """The folder with everything the user made.

    Args:
        home: the folder, created when missing. None: the environment variable MUC_HOME, otherwise a folder "muc-audit"
            where the user's programs keep their data.
        job: id of the job this process works on; runs begun here carry it.
        assets: where the shipped demo encoders are. None: MUC_ASSETS, otherwise the folder that comes with the program.
        index: file of the index. None: that of the folder, or the database that MUC_DATABASE_URL names. A process that
            works with others on one job, perhaps on another host, has one of its own: SQLite does not stand several
            hosts.

    Raises:
        MucError: the folder cannot be created or written, or the database that MUC_DATABASE_URL names cannot be used.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        job: str | None = None,
        assets: Path | None = None,
        index: Path | None = None,
    ) -> None:
        self.home = chosen_home(home)
        self.job = job
        self._assets = Path(assets or os.environ.get("MUC_ASSETS") or ASSETS)
        with writing(self.home):
            for folder in (self.encoders_folder, self.runs_folder, self.audits_folder, self.maps_folder):
                folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.jobs_folder, self.numba_folder):
                folder.mkdir(parents=True, exist_ok=True)
            sweep(self.home)
        self.database: Database = (
            open_index(self.home, patience_s=JOBS_WAIT_S if job else 0.0) if index is None else SqliteDatabase(index)
        )
        self.log = Log(self.home)
        self._who: str | None = None

    # who does what

    def who(self) -> str:
        """For whom this workspace is used, as the log names them."""
        return self._who or system_user()

    def act_for(self, who: str | None) -> None:
        """From now on whoever asked for it, such as for a job; None: who runs this program."""
        self._who = who

    def note(self, what: Deed, which: Mapping[str, str]) -> None:
        """Log a deed just before it is done. Raises `MucError` when it cannot be logged, and is not to be done."""
        self.log.append(self.who(), what, {**which, **({"job": self.job} if self.job else {})})

    @property
    def encoders_folder(self) -> Path:
        return self.home / "encoders"

    @property
    def runs_folder(self) -> Path:
        return self.home / "runs"

    @property
    def audits_folder(self) -> Path:
        return self.home / "audits"

    @property
    def maps_folder(self) -> Path:
        return self.home / "maps"

    @property
    def jobs_folder(self) -> Path:
        return self.home / "jobs"

    @property
    def uploads_folder(self) -> Path:
        """Files from browsers that jobs are to read, all called as unfinished ones are, so that they go after a day."""
        return self.home / "cache" / "uploads"

    @property
    def numba_folder(self) -> Path:
        return self.home / "cache" / "numba"

    @property
    def shipped_folder(self) -> Path:
        """Where the demo encoders are; may be missing."""
        return self._assets / "encoders"

    def note_audit(self, *, before: str | None, after: str, owner: str, controls: str) -> None:
        """Log an audit of two encoders that is about to be made; digests of the pictures. Raises `MucError`."""
        names = {"before": before, "after": after}
        known = {role: self.encoder(name).manifest for role, name in names.items() if name is not None}
        digests = {f"{role} digest": manifest.content_digest for role, manifest in known.items()}
        named = {role: manifest.name for role, manifest in known.items()}
        self.note("audit", {**named, **digests, "owner": owner, "controls": controls})

    # encoders

    def encoders(self) -> list[EncoderRecord]:
        """The shipped demo encoders by name, then the workspace's own, oldest first. Damaged ones: see `problems`."""
        index.bring_up_to_date(self.database, self.encoders_folder, ENCODERS)
        own = index.manifests(self.database, ENCODERS)
        taken = {manifest.name for manifest in own}
        shipped, _ = self._shipped()
        return [
            *(record for record in shipped if record.manifest.name not in taken),
            *(EncoderRecord(manifest, self.encoders_folder / manifest.name, False) for manifest in own),
        ]

    def encoder(self, name: str) -> EncoderRecord:
        """One encoder. Raises `UnknownName` listing the known ones; `MucError` when this one is damaged."""
        known = {record.manifest.name: record for record in self.encoders()}
        if name in known:
            return known[name]
        for parent in (self.encoders_folder, self.shipped_folder):
            if parent / name in index.folders(parent):
                index.read_entry(parent / name, ENCODERS)
        raise UnknownName(f"there is no encoder {name!r}; known: {_listed(known)}")

    def load(self, name: str) -> "Encoder":
        """Build an encoder from its weights. Raises `UnknownName`; `MucError` when the weights are not those saved."""
        return load_record(self.encoder(name))

    def check_new_name(self, name: str) -> str:
        """The name itself; ask before long work. Raises `MucError` when it cannot name an encoder or is taken."""
        check_name(name)
        if (self.encoders_folder / name).exists() or (self.shipped_folder / name).exists():
            raise _taken(name)
        return name

    def save_encoder(
        self, manifest: EncoderManifest, tensors: Mapping[str, "Tensor"], *, float16: bool = True
    ) -> EncoderRecord:
        """Add an encoder.

        Args:
            manifest: its digests are filled in.
            tensors: its weights by name.
            float16: store floating-point tensors in half the size; otherwise as they are.

        Raises:
            MucError: the name is not allowed or taken, or the disk is full; nothing half-written stays.
        """
        self.check_new_name(manifest.name)
        folder, saved = write_encoder(
            self.encoders_folder, manifest, tensors, float16=float16, before=self._note_encoder
        )
        return EncoderRecord(saved, folder, shipped=False)

    def add_encoder(self, manifest: EncoderManifest, files: Mapping[str, bytes | Path]) -> EncoderRecord:
        """Add an encoder whose files are ready: their content or where to copy it from, by the name they get.

        Raises:
            MucError: as `save_encoder`, or a file cannot be read.
        """
        return self._add(manifest, files, self._note_encoder)

    def _note_encoder(self, manifest: EncoderManifest) -> None:
        self.note("encoder added", {"encoder": manifest.name, "digest": manifest.content_digest})

    def _add(
        self, manifest: EncoderManifest, files: Mapping[str, bytes | Path], before: Callable[[EncoderManifest], None]
    ) -> EncoderRecord:
        self.check_new_name(manifest.name)

        def write(folder: Path) -> None:
            for name, content in files.items():
                if isinstance(content, bytes):
                    (folder / name).write_bytes(content)
                else:
                    shutil.copyfile(content, folder / name)

        folder, saved = _write_encoder(self.encoders_folder, manifest, write, before)
        return EncoderRecord(saved, folder, shipped=False)

    def rename_encoder(self, old: str, new: str) -> EncoderRecord:
        """Give one of the workspace's own encoders another name; what was made from it follows. Raises `MucError`."""
        record = self.encoder(old)
        if record.shipped:
            raise MucError(f"the encoder {old!r} comes with the program and cannot be renamed")
        self.check_new_name(new)
        renamed = record.manifest.model_copy(update={"name": new})
        added = self._add(
            renamed,
            {name: record.folder / name for name in record.manifest.files},
            lambda manifest: self.note(
                "encoder renamed", {"encoder": old, "to": new, "digest": manifest.content_digest}
            ),
        )
        for other in self.encoders():
            if not other.shipped and other.manifest.original == old:
                content = other.manifest.model_copy(update={"original": new}).model_dump_json(indent=1)
                write_file(other.folder / MANIFEST, content.encode())
        remove_folder(record.folder)
        return added

    def delete_encoder(self, name: str) -> None:
        """Delete one of the workspace's own encoders, a damaged one too. Raises `UnknownName`, `MucError`."""
        if self.encoders_folder / name in index.folders(self.encoders_folder):
            self.note("encoder removed", {"encoder": name})
            remove_folder(self.encoders_folder / name)
        elif (self.shipped_folder / name) in index.folders(self.shipped_folder):
            raise MucError(f"the encoder {name!r} comes with the program and cannot be deleted")
        else:
            known = [folder.name for folder in index.folders(self.encoders_folder)]
            raise UnknownName(f"there is no encoder {name!r} in the workspace; known: {_listed(known)}")

    def problems(self) -> tuple[str, ...]:
        """What could not be listed and why, one sentence each."""
        index.bring_up_to_date(self.database, self.encoders_folder, ENCODERS)
        index.bring_up_to_date(self.database, self.runs_folder, RUNS)
        index.bring_up_to_date(self.database, self.audits_folder, AUDITS)
        own = [self.database.problem] if self.database.problem else []
        return (*own, *index.problems(self.database), *self._shipped()[1])

    def _shipped(self) -> tuple[list[EncoderRecord], list[str]]:
        found, wrong = [], []
        for folder in index.folders(self.shipped_folder):
            try:
                found.append(EncoderRecord(index.read_entry(folder, ENCODERS), folder, shipped=True))
            except MucError as problem:
                wrong.append(str(problem))
        return found, wrong

    # runs

    def new_run(
        self,
        *,
        kind: str,
        title: str,
        family: str,
        architecture: str,
        method: str | None = None,
        original: str | None = None,
        settings: Mapping[str, JsonValue],
        seeds: Mapping[str, int],
        data: DataReference | None,
    ) -> RunWriter:
        """Begin a run; the fields are those of `RunManifest`. Raises `MucError` when it cannot be written."""
        manifest = RunManifest(
            id=new_id(),
            kind=kind,
            title=title,
            family=family,
            architecture=architecture,
            method=method,
            original=original,
            settings=dict(settings),
            seeds=dict(seeds),
            data=data,
            versions=installed_versions(),
            job=self.job,
        )
        target = self.runs_folder / manifest.id
        with new_folder(target) as folder:
            (folder / CHECKPOINTS).mkdir()
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        return RunWriter(manifest, target)

    def resume_run(self, run_id: str) -> RunWriter:
        """Go on with a run that did not end well. Raises `UnknownName`; `MucError` when it is done or being written."""
        record = self.run(run_id)
        if record.manifest.state == "done":
            raise MucError(f"the run {run_id} is done; there is nothing to resume")
        return RunWriter.resume(record, job=self.job)

    def runs(
        self, *, original: str | None = None, method: str | None = None, family: str | None = None
    ) -> list[RunRecord]:
        """Runs, newest first; only those of an original encoder, a method, a family when given."""
        index.bring_up_to_date(self.database, self.runs_folder, RUNS)
        asked = {"original": original, "method": method, "family": family}
        where = {column: value for column, value in asked.items() if value is not None}
        found = index.manifests(self.database, RUNS, where=where)
        return [RunRecord(manifest, self.runs_folder / manifest.id) for manifest in reversed(found)]

    def run(self, run_id: str) -> RunRecord:
        """One run. Raises `UnknownName`; `MucError` when it is damaged."""
        folder = self.runs_folder / run_id
        if folder not in index.folders(self.runs_folder):
            known = [record.manifest.id for record in self.runs()[:10]]
            raise UnknownName(f"there is no run {run_id!r}; the latest: {_listed(known)}")
        return RunRecord(index.read_entry(folder, RUNS), folder)

    def delete_run(self, run_id: str) -> None:
        """Delete a run with its checkpoints. Raises `UnknownName`; `MucError` while it is being written."""
        if self.run(run_id).state == "running":
            raise MucError(f"the run {run_id} is still going on; cancel it first")
        self.note("run removed", {"run": run_id})
        remove_folder(self.runs_folder / run_id)

    # audits

    def save_audit(
        self,
        *,
        title: str,
        before: str,
        after: str,
        settings: Mapping[str, JsonValue],
        digests: Mapping[str, str],
        files: Mapping[str, bytes],
    ) -> AuditRecord:
        """Keep an audit; the fields are those of `AuditManifest`, `files` their content by name. Raises `MucError`."""
        for name in files:
            if Path(name).name != name or name.startswith(".") or name == MANIFEST:
                raise ValueError(f"{name!r} cannot be a file of an audit")
        manifest = AuditManifest(
            id=new_id(),
            title=title,
            before=before,
            after=after,
            settings=dict(settings),
            digests=dict(digests),
            files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            versions=installed_versions(),
        )
        target = self.audits_folder / manifest.id
        with new_folder(target) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
            self.note("audit", {"audit": manifest.id, "before": before, "after": after, **digests})
        return AuditRecord(manifest, target)

    def audits(self) -> list[AuditRecord]:
        """Saved audits, newest first."""
        index.bring_up_to_date(self.database, self.audits_folder, AUDITS)
        found = index.manifests(self.database, AUDITS)
        return [AuditRecord(manifest, self.audits_folder / manifest.id) for manifest in reversed(found)]

    def audit(self, audit_id: str) -> AuditRecord:
        """One audit. Raises `UnknownName`; `MucError` when it is damaged."""
        folder = self.audits_folder / audit_id
        if folder not in index.folders(self.audits_folder):
            raise UnknownName(f"there is no audit {audit_id!r}")
        return AuditRecord(index.read_entry(folder, AUDITS), folder)

    # maps

    def read_map(self, key: str) -> dict[str, npt.NDArray[np.generic]] | None:
        """Arrays of a cached map by name; None when it has not been computed (or its file is damaged)."""
        path = self.maps_folder / f"{key}.npz"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            return None

    def write_map(self, key: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Path:
        """Cache a map. Raises `MucError` when it cannot be written."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
        path = self.maps_folder / f"{key}.npz"
        with new_file(path) as temporary:
            temporary.write_bytes(buffer.getvalue())
        return path


def encoder_in(folder: Path) -> EncoderRecord:
    """The encoder of a folder as workspaces have them, wherever that is. Raises `MucError` when it holds none."""
    return EncoderRecord(index.read_entry(folder, ENCODERS), folder, shipped=False)


def load_record(record: EncoderRecord) -> "Encoder":
    """Build an encoder from its weights. Raises `MucError` when the files are not those that its manifest describes."""
    from muc_core.encoders.checkpoint import file_digest
    from muc_core.encoders.load import load_encoder

    for file, digest in record.manifest.files.items():
        if file_digest(record.folder / file) != digest:
            raise MucError(
                f"{record.folder / file} is not the file that its {MANIFEST} describes (another SHA-256); restore "
                "it or delete the encoder"
            )
    return load_encoder(record.manifest, record.folder)


def write_encoder(
    parent: Path,
    manifest: EncoderManifest,
    tensors: Mapping[str, "Tensor"],
    *,
    float16: bool = True,
    before: Callable[[EncoderManifest], None] | None = None,
) -> tuple[Path, EncoderManifest]:
    """Write `parent/NAME/` with manifest.json and weights.safetensors, whole or not at all.

    Args:
        before: is told the manifest, digests filled in, just before the encoder is there; nothing stays when it raises.

    Returns:
        The folder, and the manifest with its digests filled in.

    Raises:
        MucError: the name is taken, the disk is full, the folder cannot be written.
    """
    # Imported here so that listing a workspace needs no torch.
    from muc_core.encoders.checkpoint import half, save_weights

    def write(folder: Path) -> None:
        save_weights(folder / WEIGHTS, half(tensors) if float16 else tensors)

    return _write_encoder(parent, manifest, write, before)


def _write_encoder(
    parent: Path,
    manifest: EncoderManifest,
    write: Callable[[Path], None],
    before: Callable[[EncoderManifest], None] | None,
) -> tuple[Path, EncoderManifest]:
    from muc_core.encoders.checkpoint import file_digest

    target = parent / check_name(manifest.name)
    if target.exists():
        raise _taken(manifest.name)
    try:
        with new_folder(target) as folder:
            write(folder)
            saved = manifest.with_files({path.name: file_digest(path) for path in sorted(folder.iterdir())})
            (folder / MANIFEST).write_text(saved.model_dump_json(indent=1), encoding="utf-8")
            if before is not None:
                before(saved)
    except FileExistsError:
        raise _taken(manifest.name) from None
    return target, saved


def new_id() -> str:
    """An id that sorts by age: UTC to the microsecond and four random letters."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"


def _taken(name: str) -> MucError:
    return MucError(f"there is an encoder {name!r} already; choose another name or delete that one first")


def _listed(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(names) or "none"
