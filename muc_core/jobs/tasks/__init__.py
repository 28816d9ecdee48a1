"""Kinds of jobs, one file each.

A file here called KIND.py registers the task of that name, so that only the file of the wanted kind is imported:

    TASKS.register("my_kind", Task("my_kind", MySettings, run))
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, JsonValue

from muc_core.errors import UnknownName
from muc_core.progress import Progress
from muc_core.registry import Registry
from muc_core.workspace import Workspace

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class Task(Generic[S]):
    """What a job of one kind does.

    Attributes:
        kind: its name.
        settings: model of its settings.
        run: does the work in the worker process and returns what JSON can hold. It reports often and lets `Cancelled`
            pass; a `MucError` is shown to the user, anything else counts as a defect.
        joint: several processes can do it together (`encoders.parallel`), each of which calls `run`; the first alone
            is told of progress, writes to the workspace, and returns what is kept.
    """

    kind: str
    settings: type[S]
    run: Callable[[S, Workspace, Progress], dict[str, JsonValue]]
    joint: bool = False


TASKS: Registry[Task[Any]] = Registry("kind of job")


def task_kinds() -> tuple[str, ...]:
    """The kinds that come with the program, and those registered besides."""
    files = [module.name for module in pkgutil.iter_modules(__path__)]
    return tuple(dict.fromkeys([*files, *TASKS.names()]))


def find_task(kind: str, task_modules: Sequence[str] = ()) -> Task[Any]:
    """The task of a kind; imports its file, and `task_modules` first. Raises `UnknownName`, which lists the kinds."""
    for module in task_modules:
        importlib.import_module(module)
    if kind not in TASKS.names():
        if kind not in task_kinds():
            raise UnknownName(f"there is no kind of job {kind!r}; known: {', '.join(task_kinds())}")
        importlib.import_module(f"{__name__}.{kind}")
    return TASKS.get(kind)
