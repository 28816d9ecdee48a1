"""Who did what in a workspace: a line of JSON for each deed, chained so that a changed or missing line is found.

    log.jsonl   the entries, oldest first; nothing but appending is ever done to it
    log.head    number and digest of the last entry, so that missing last lines are found as well

An entry's digest is the SHA-256 of all else in its line, the digest of the entry before it included. An entry is
written before the deed: nothing is done that has no entry, but what fails afterwards has one too. Pictures, captions
and keys are never in it. There is no rotation: an entry takes some 300 bytes.

Whoever may write to the workspace can begin the whole chain anew: note the last digest elsewhere from time to time, and
ask for it later (`check`).
"""

import getpass
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from muc_core.encoders.manifest import Moment, utc_now
from muc_core.errors import MucError
from muc_core.workspace.files import write_file, writing

Deed = Literal[
    "login",
    "logout",
    "refusal",
    "audit",
    "job started",
    "job resumed",
    "job cancelled",
    "encoder added",
    "encoder renamed",
    "encoder removed",
    "run removed",
    "watch removed",
    "evidence pack",
    "key made",
    "uploads deleted",
    "pictures sent",
    "half a line removed",
]
DEEDS: tuple[Deed, ...] = get_args(Deed)

LONGEST = 300
"""Signs of a name in an entry."""

LONGEST_LINE = 64 * 1024
LOCK_WITHIN_S = 30.0
NOTHING = "0" * 64
"""The digest before the first entry."""


class Entry(BaseModel):
    """A deed.

    Attributes:
        number: from 1.
        when: ISO 8601, UTC.
        who: "system:NAME" for somebody at this machine, "login:NAME" for somebody who logged in.
        what: was done.
        which: what it was done to: names, ids and digests.
        previous: digest of the entry before.
        digest: of all the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    number: int = Field(ge=1)
    when: Moment
    who: str
    what: Deed
    which: dict[str, str]
    previous: str
    digest: str = ""

    def computed_digest(self) -> str:
        """What `digest` must be."""
        return hashlib.sha256(_packed(self.model_dump(exclude={"digest"}))).hexdigest()

    def line(self) -> bytes:
        """Its line, without the end of line."""
        return _packed(self.model_dump())


class Head(BaseModel):
    """The last entry, as `log.head` keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    number: int = Field(ge=0)
    digest: str


@dataclass(frozen=True)
class Reading:
    """What a log says.

    Attributes:
        entries: those that can be read, oldest first.
        faults: what was changed or is missing, a sentence each; none when the chain is whole.
        half: what is after the last whole line, a sentence; None when nothing is. A process that is killed while it
            writes leaves it, and the next entry removes it.
    """

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]
    half: str | None

    @property
    def digest(self) -> str:
        """Of the last entry."""
        return self.entries[-1].digest if self.entries else NOTHING


class Log:
    """The log of the workspace in the folder `home`."""

    def __init__(self, home: Path) -> None:
        self.path = home / "log.jsonl"
        self.head = home / "log.head"
        self._lock = home / "log.lock"

    def append(self, who: str, what: Deed, which: Mapping[str, str]) -> Entry:
        """Write an entry to the disk. Raises `MucError` when it cannot be written; the log is then as it was."""
        with writing(self.path):
            try:
                with FileLock(self._lock, timeout=LOCK_WITHIN_S):
                    half = self._remove_half_a_line()
                    if half is not None:
                        self._write(system_user(), "half a line removed", half)
                    return self._write(who, what, which)
            except Timeout:
                raise MucError(
                    f"{self.path} is kept busy by another process for more than {LOCK_WITHIN_S:.0f} s; try again in a "
                    "moment"
                ) from None

    def read(self) -> Reading:
        """All of it, checked. Raises `MucError` when the file cannot be read."""
        # The head first: what is appended between the two readings must not look like an entry too few.
        head = self._read_head()
        content = self._content()
        *lines, rest = content.split(b"\n")
        entries: list[Entry] = []
        faults: list[str] = []
        number = 0
        previous: str | None = NOTHING
        for place, line in enumerate(lines, start=1):
            entry = _entry_of(line)
            if entry is None:
                faults.append(f"line {place} of {self.path} is not as it was written")
                previous = None
                continue
            if previous is not None and (entry.number, entry.previous) != (number + 1, previous):
                faults.append(f"line {place} of {self.path} does not follow the one before it: lines are missing there")
            entries.append(entry)
            number, previous = entry.number, entry.digest
        faults += self._faults_of_head(head, entries, bool(content))
        half = f"the last line of {self.path} is unfinished ({len(rest)} bytes): a process was ended while it wrote"
        return Reading(tuple(entries), tuple(faults), half if rest else None)

    def _faults_of_head(self, head: Head | None, entries: list[Entry], any_content: bool) -> list[str]:
        if head is None:
            missing = any_content or self.head.exists()
            return (
                [f"{self.head} is missing or damaged: whether last lines are missing is not known"] if missing else []
            )
        if (head.number, head.digest) in {(entry.number, entry.digest) for entry in entries}:
            return []
        return [f"entry {head.number} of {self.path}, the last one that {self.head.name} knows, is missing or changed"]

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise MucError(f"{self.path} cannot be read ({error.strerror})") from error

    def _read_head(self) -> Head | None:
        try:
            return Head.model_validate_json(self.head.read_bytes())
        except (OSError, ValidationError):
            return None

    def _remove_half_a_line(self) -> dict[str, str] | None:
        """Cut what a killed process left unfinished; what it was."""
        if not self.path.exists():
            return None
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LONGEST_LINE))
            rest = file.read().rpartition(b"\n")[2]
            if not rest:
                return None
            file.truncate(size - len(rest))
        return {"bytes": str(len(rest)), "sha256": hashlib.sha256(rest).hexdigest()}

    def _write(self, who: str, what: Deed, which: Mapping[str, str]) -> Entry:
        before = self._last()
        entry = Entry(
            number=before.number + 1,
            when=utc_now(),
            who=_shown(who),
            what=what,
            which={_shown(name): _shown(value) for name, value in which.items()},
            previous=before.digest,
        )
        entry = entry.model_copy(update={"digest": entry.computed_digest()})
        line = entry.line() + b"\n"
        assert len(line) < LONGEST_LINE  # or what is unfinished could not be told from what was
        with self.path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                if file.write(line) < len(line):
                    raise OSError("only a part could be written")
                os.fsync(file.fileno())
                write_file(self.head, Head(number=entry.number, digest=entry.digest).model_dump_json().encode())
            except (OSError, MucError):
                file.truncate(size)
                raise
        return entry

    def _last(self) -> Head:
        """What the next entry follows. The head is believed, so that missing last lines are missed for ever, unless
        one entry more is there: a process was killed between the two."""
        head, entry = self._read_head(), self._last_entry()
        last = None if entry is None else Head(number=entry.number, digest=entry.digest)
        if head is None:
            return last or Head(number=0, digest=NOTHING)
        return last if last and entry and entry.previous == head.digest else head

    def _last_entry(self) -> Entry | None:
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE))
            lines = file.read().splitlines()
        return _entry_of(lines[-1]) if lines else None


def system_user() -> str:
    """Who runs this program, as entries name them."""
    try:
        return f"system:{getpass.getuser()}"
    except (OSError, KeyError):  # a container without a name for its user
        return f"system:{os.getuid()}" if hasattr(os, "getuid") else "system:unknown"


def _entry_of(line: bytes) -> Entry | None:
    """The entry of a line; None when it is not byte by byte as it was written."""
    try:
        entry = Entry.model_validate_json(line)
    except ValidationError:
        return None
    return entry if entry.line() == line and entry.computed_digest() == entry.digest else None


def _shown(text: str) -> str:
    clean = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return clean if len(clean) <= LONGEST else f"{clean[:LONGEST]}..."


def _packed(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
