"""The folder through which the worker of a job and the processes that do it speak, on whichever hosts they are.

    jobs/ID.launch/ATTEMPT/
        order.json       what is to be done; written before the processes are started
        alive            its time of change: a sign of life of the worker
        cancel           there when the processes are to end
        reports.jsonl    what the first process reports, a line each
        heard            its time of change: a sign of life of the first process
        end-RANK.json    what became of the work in each process, unless it was killed

Nobody compares times of change with a clock, for no two hosts' clocks agree: a change is a sign.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from muc_core.errors import MucError
from muc_core.jobs.ends import End
from muc_core.workspace.files import write_file, writing

Report = tuple[int, int, str, dict[str, float] | None]
"""Step, total, message and values, as `Progress.report` takes them."""


class Order(BaseModel):
    """What the processes are to do.

    Attributes:
        home: of the workspace.
        job: its id.
        who: asked for it, as the workspace's log names them.
        kind, settings: of the job.
        log: where what is printed goes.
        task_modules: further modules that register tasks.
        pid: of the worker, where the processes are on its host.
    """

    model_config = ConfigDict(frozen=True)

    home: Path
    job: str
    who: str | None
    kind: str
    settings: dict[str, JsonValue]
    log: Path
    task_modules: tuple[str, ...]
    pid: int | None


class Board:
    """One attempt at one job. Raises `MucError` where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read = 0

    # the worker's side

    def begin(self, order: Order) -> None:
        """Call off whatever an earlier attempt may have left running, and write the order."""
        with writing(self.folder):
            if self.folder.parent.is_dir():
                for earlier in self.folder.parent.iterdir():
                    Board(earlier).cancel()
            self.folder.mkdir(parents=True)
            self._alive.touch()
        write_file(self._order, order.model_dump_json().encode())

    def beat(self) -> None:
        """The worker's sign of life."""
        with writing(self._alive):
            os.utime(self._alive)

    def cancel(self) -> None:
        """Have the processes end."""
        with writing(self._cancel):
            self._cancel.touch()

    def new_reports(self) -> list[Report]:
        """What was reported since last asked."""
        try:
            with self._reports.open("rb") as file:
                file.seek(self._read)
                lines = file.read().split(b"\n")[:-1]  # the last one is empty or not yet whole
        except FileNotFoundError:
            return []
        self._read += sum(len(line) + 1 for line in lines)
        return [(step, total, message, values) for step, total, message, values in map(json.loads, lines)]

    def ends(self) -> dict[int, End]:
        """What became of the work in each process, by its number, the first to end first."""
        found = {}
        for path in sorted(self.folder.glob("end-*.json"), key=lambda path: path.stat().st_mtime_ns):
            with suppress(OSError, ValidationError):
                found[int(path.stem.removeprefix("end-"))] = End.model_validate_json(path.read_bytes())
        return found

    def last_heard(self) -> int | None:
        """Changes with each sign of life of the first process; None before the first."""
        return _changed(self._heard)

    # the side of the processes

    def order(self) -> Order:
        """What is to be done."""
        try:
            return Order.model_validate_json(self._order.read_bytes())
        except (OSError, ValidationError) as error:
            raise MucError(f"{self._order} cannot be read; do all hosts see this folder under this name?") from error

    def is_called_off(self) -> bool:
        """Whether the processes are to end; a folder that is gone says so, too."""
        return self._cancel.exists() or not self._order.exists()

    def last_beat(self) -> int | None:
        """Changes with each sign of life of the worker."""
        return _changed(self._alive)

    def report(self, reports: Sequence[Report]) -> None:
        """Of the first process: what is new, perhaps nothing, and a sign of life."""
        lines = "".join(json.dumps(report) + "\n" for report in reports)
        with writing(self._reports), self._reports.open("ab", buffering=0) as file:
            file.write(lines.encode())
        self._heard.touch()

    def end(self, rank: int, end: End) -> None:
        """What became of the work in one process."""
        write_file(self.folder / f"end-{rank}.json", end.model_dump_json().encode())

    @property
    def _order(self) -> Path:
        return self.folder / "order.json"

    @property
    def _alive(self) -> Path:
        return self.folder / "alive"

    @property
    def _cancel(self) -> Path:
        return self.folder / "cancel"

    @property
    def _reports(self) -> Path:
        return self.folder / "reports.jsonl"

    @property
    def _heard(self) -> Path:
        return self.folder / "heard"


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def as_report(step: int, total: int, message: str, values: Mapping[str, float] | None) -> Report:
    return step, total, message, None if values is None else {name: float(value) for name, value in values.items()}
