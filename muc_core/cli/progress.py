"""A progress bar on stderr that library code can report to."""

from collections.abc import Mapping
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from muc_core.cli.output import console


class Bar:
    """Shows the step, the message and the values of what it is told; fits `muc_core.progress.Progress`."""

    def __init__(self, *, quiet: bool) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}", markup=False),
            console=console(stderr=True),
            disable=quiet,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        figures = "  ".join(f"{name} {value:.3g}" for name, value in (values or {}).items())
        if self._task is None:
            self._task = self._bar.add_task(message, values=figures)
        # A total of 0 means that it is not known yet; rich shows a moving bar for None.
        self._bar.update(self._task, completed=step, total=total or None, description=message, values=figures)
