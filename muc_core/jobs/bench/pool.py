"""Works through a bench plan in several processes, originals and Retrains first, evaluations as soon as they can be."""

import logging
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, Literal, ParamSpec, TypeVar

import torch
from threadpoolctl import threadpool_limits

from muc_core.errors import Cancelled, MucError
from muc_core.jobs.bench.plan import ORIGINAL, RETRAIN, Evaluated, Made, needed
from muc_core.jobs.bench.results import Result
from muc_core.jobs.bench.work import UntilDeadline, evaluate, make
from muc_core.progress import Progress
from muc_core.workspace import Workspace

Device = Literal["auto", "cpu", "cuda"]
P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came of a task: nothing when time was over; `error` is a sentence, `defect` the traceback of a defect."""

    stopped: bool = False
    defect: str | None = None
    error: str | None = None
    value: T | None = None


@dataclass
class _Queue:
    """What is to be done, and in which order."""

    evaluations: list[Evaluated]
    home: Path
    made: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    making: list[Made] = field(default_factory=list)

    def __post_init__(self) -> None:
        encoders = {one.name: one for each in self.evaluations for one in needed(each)}
        # an unlearned encoder is made from its original
        originals = {each.made.original for each in self.evaluations}
        self.made = {name for name in {*encoders, *originals} if (self.home / "encoders" / name).exists()}
        self.making = [one for one in encoders.values() if one.name not in self.made]

    def next(self) -> Made | Evaluated | None:
        """The most urgent task that can begin; None when all wait for others, or nothing is left."""
        ready = [one for one in self.making if one.original in self.made or one.method == ORIGINAL]
        ready.sort(key=lambda one: (one.method != ORIGINAL, one.method != RETRAIN, -_epochs(one)))
        if ready and ready[0].method in (ORIGINAL, RETRAIN):
            self.making.remove(ready[0])
            return ready[0]
        for each in self.evaluations:
            if all(one.name in self.made for one in needed(each)):
                self.evaluations.remove(each)
                return each
        if ready:
            self.making.remove(ready[0])
            return ready[0]
        return None

    def give_up(self) -> Iterator[Result]:
        """Results of what can never be evaluated, because an encoder that it needs could not be made."""
        for one in [one for one in self.making if one.original in self.failed]:
            self.making.remove(one)
            self.failed[one.name] = self.failed[one.original]
        for each in list(self.evaluations):
            if reason := next((self.failed[one.name] for one in needed(each) if one.name in self.failed), None):
                self.evaluations.remove(each)
                yield each.result(error=reason)


def work_through(
    evaluations: Sequence[Evaluated],
    home: Path,
    *,
    processes: int,
    device: Device,
    deadline: float | None,
) -> Iterator[Result]:
    """Make the encoders and yield each result as it comes; ends early when the deadline has passed.

    Args:
        home: folder of the workspace with the encoders.
        processes: how many work at a time.
        deadline: in seconds of `time.time()`.

    Raises:
        MucError: a process died.
    """
    if not evaluations:
        return
    queue = _Queue(list(evaluations), home)
    with crew(home, processes=processes, device=device) as pool:
        for task, answer in spread(queue.next, partial(_submit, pool, deadline), processes):
            yield from _take(queue, task, answer)


@contextmanager
def crew(home: Path, *, processes: int, device: Device) -> Iterator[Executor]:
    """Processes that work on the workspace at `home`; with one, this process itself does each task as it is submitted.

    Raises:
        MucError: a process died.
    """
    _open(home)
    threads = max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // processes))
    if processes == 1:
        with _prepared(home, device, threads):
            yield _Here()
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _start, (home, device, threads))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise MucError(
            "a process died, perhaps for want of memory; what was finished is kept: start again with fewer processes"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Here(Executor):
    """Does a task when it is submitted; what it raises is raised at once."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def spread(
    next_task: Callable[[], K | None], submit: Callable[[K], Future[Answer[T]]], processes: int
) -> Iterator[tuple[K, Answer[T]]]:
    """Tasks and what came of them, in the order in which they end, so many at a time; after one stopped none begins.

    Args:
        next_task: the next one; None when all wait for others, or nothing is left.
    """
    running: dict[Future[Answer[T]], K] = {}
    stopped = False
    while True:
        while not stopped and len(running) < processes and (task := next_task()) is not None:
            running[submit(task)] = task
        if not running:
            return
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            task, answer = running.pop(future), future.result()
            stopped = stopped or answer.stopped
            if not answer.stopped:
                yield task, answer


def _submit(pool: Executor, deadline: float | None, task: Made | Evaluated) -> Future[Answer[Result | None]]:
    if isinstance(task, Evaluated):
        return pool.submit(attempt, evaluate, task, deadline)
    return pool.submit(attempt, make, task, deadline)


def _take(queue: _Queue, task: Made | Evaluated, answer: Answer[Result | None]) -> Iterator[Result]:
    if answer.defect is not None:
        # nothing is recorded, so that the next start tries again; the other runs are worth finishing
        _log.error("%s\n%s", task, answer.defect)
        if isinstance(task, Made):
            queue.failed[task.name] = "a defect"
            list(queue.give_up())
    elif isinstance(task, Evaluated):
        yield answer.value or task.result(error=answer.error)
    elif answer.error is None:
        queue.made.add(task.name)
    else:
        queue.failed[task.name] = answer.error
        yield from queue.give_up()


_log = logging.getLogger(__name__)
_CPU = "ACCELERATE_USE_CPU"
_workspaces: dict[Path, Workspace] = {}
_home: list[Path] = []


def _open(home: Path) -> Workspace:
    if home not in _workspaces or not home.exists():
        _workspaces[home] = Workspace(home, assets=home / "none")
    return _workspaces[home]


def _start(home: Path, device: Device, threads: int) -> threadpool_limits:
    """Prepare a process: its workspace, its device, its share of the cores."""
    if device == "cpu":
        os.environ[_CPU] = "true"  # obeyed by accelerate in training and by `compute_device`
    torch.set_num_threads(threads)
    _home[:] = [home]
    return threadpool_limits(threads)


@contextmanager
def _prepared(home: Path, device: Device, threads: int) -> Iterator[None]:
    before = os.environ.get(_CPU), torch.get_num_threads()
    limits = _start(home, device, threads)
    try:
        yield
    finally:
        limits.restore_original_limits()
        torch.set_num_threads(before[1])
        if before[0] is None:
            os.environ.pop(_CPU, None)


def attempt(work: Callable[[K, Workspace, Progress], T], task: K, deadline: float | None) -> Answer[T]:
    """Do a task on the workspace of this process, see `crew`."""
    progress = UntilDeadline(deadline)
    try:
        progress.report(0, 1, "")
        return Answer(value=work(task, _open(_home[0]), progress))
    except Cancelled:
        return Answer(stopped=True)
    except MucError as error:
        return Answer(error=str(error))
    except Exception:
        return Answer(defect=traceback.format_exc())


def _epochs(made: Made) -> int:
    epochs = made.job.settings["epochs"]
    return epochs if isinstance(epochs, int) else 0
