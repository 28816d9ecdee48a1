"""A kind of job that needs nothing: it notes that it began and ended."""

import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import Progress
from muc_core.workspace import Workspace

KIND = "chaos_note"


class Note(BaseModel):
    """What to note and where; how long it takes in between."""

    model_config = ConfigDict(frozen=True)

    label: str
    folder: Path
    pause_s: float = 0.0


def run(settings: Note, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    _note(settings, "begins")
    time.sleep(settings.pause_s)
    _note(settings, "ends")
    return {"label": settings.label}


def read_notes(folder: Path) -> list[str]:
    """What was noted so far, in order."""
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def _note(settings: Note, what: str) -> None:
    descriptor = os.open(settings.folder / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{settings.label} {what}\n".encode())
    os.close(descriptor)


if KIND not in TASKS.names():
    TASKS.register(KIND, Task(KIND, Note, run))
