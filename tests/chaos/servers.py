"""The streamlit server killed while somebody looks at its pages, and two servers and workers on one workspace."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

import dashboard
import dashboard.components.job_details
import dashboard.components.job_view  # both loaded once for all servers
from muc_core.encoders.remote.address import ALLOW_VARIABLE
from muc_core.jobs import JobTable, submit
from muc_core.workspace import Workspace
from tests.chaos import notes
from tests.chaos.forks import Fork
from tests.chaos.scene import PATIENCE_S, DoesNotHold, Row, Scene, check_whole, done, ended, start
from tests.ports import free_port

APP = Path(dashboard.__file__).with_name("streamlit_app.py")


def killed(scene: Scene) -> Row:
    """A server that is killed while a page is drawn takes no job with it; the next one shows what happened."""
    workspace = scene.workspace("served")
    row = Row("kill -9 of the streamlit server while it draws Jobs", "its job ends well; the next server lists it")
    for trial in range(scene.trials):
        label = f"job {trial}"
        job = start(workspace, notes.KIND, notes.Note(label=label, folder=workspace.home, pause_s=0.5))
        with row.trial(label), served(workspace) as (server, port):
            if job.id not in page(port, "jobs"):
                raise DoesNotHold(f"the page does not list {label}")
            after_s = scene.random.uniform(0, 0.3)
            with connect(_address(port), max_size=None) as socket_:
                socket_.send(_visit("jobs"))
                time.sleep(after_s)
                server.kill()
            server.wait()
            done(workspace, job.id)
            check_whole(workspace)
    return row


def two_of_each(scene: Scene) -> Row:
    """Two servers, each with its own process that queues jobs: none is lost, none runs twice, all pages tell of all."""
    workspace = scene.workspace("two")
    row = Row("two servers and two workers on one workspace", "every job runs once, one at a time; both list all")
    each = max(2, scene.trials // 10)

    def queue(who: int) -> int:
        mine = Workspace(workspace.home, assets=workspace.home / "none")
        for number in range(each):
            note = notes.Note(label=f"{who}-{number}", folder=workspace.home, pause_s=0.05)
            submit(mine, notes.KIND, note, task_modules=[notes.__name__])
        return 0

    with row.trial("two that queue"), served(workspace) as (_, first), served(workspace) as (_, second):
        both = [Fork(lambda who=who: queue(who)) for who in range(2)]  # type: ignore[misc]
        for _ in range(3):
            page(first, "jobs"), page(second, "jobs")
        ended(both)
        jobs = JobTable(workspace).jobs()
        if len(jobs) != 2 * each:
            raise DoesNotHold(f"{len(jobs)} jobs of {2 * each} are in the table")
        for job in jobs:
            done(workspace, job.id)
        seen = notes.read_notes(workspace.home)
        begun = [line.removesuffix(" begins") for line in seen[::2]]
        if seen[1::2] != [f"{label} ends" for label in begun] or len(set(begun)) != 2 * each:
            raise DoesNotHold(f"the jobs did not run one after the other, once each: {seen}")
        for port in (first, second):
            shown = page(port, "jobs")
            if missing := [job.id for job in jobs[:20] if job.id not in shown]:
                raise DoesNotHold(f"a page does not list {missing[0]}")
        check_whole(workspace)
    return row


@contextmanager
def served(workspace: Workspace) -> Iterator[tuple[Fork, int]]:
    """The dashboard on a free port, until the block ends."""
    port = free_port()
    server = Fork(lambda: _serve(workspace.home, port))
    try:
        _wait_until_it_answers(port)
        yield server, port
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        server.wait()


def page(port: int, name: str) -> str:
    """All that a page says, once it was drawn; where it begins anew, as Jobs does when a job has ended, to the end."""
    said = []
    with connect(_address(port), max_size=None) as socket_:
        socket_.send(_visit(name))
        while True:
            content = socket_.recv(timeout=PATIENCE_S)
            assert isinstance(content, bytes)
            message = ForwardMsg.FromString(content)
            said.append(str(message))
            begun_anew = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
            if message.WhichOneof("type") == "script_finished" and not begun_anew:
                return "\n".join(said)


def _serve(home: Path, port: int) -> int:
    from streamlit.web import bootstrap

    os.environ.update({"MUC_HOME": str(home), "MUC_ASSETS": str(home / "none")})
    os.environ.pop(ALLOW_VARIABLE, None)
    sys.argv = ["streamlit", str(APP)]
    options = {
        "server_port": port,
        "server_address": "127.0.0.1",
        "server_headless": True,
        "server_fileWatcherType": "none",
        "browser_gatherUsageStats": False,
    }
    bootstrap.load_config_options(options)
    bootstrap.run(str(APP), False, [], options)
    return 0


def _address(port: int) -> str:
    return f"ws://127.0.0.1:{port}/_stcore/stream"


def _visit(name: str) -> bytes:
    message = BackMsg()
    message.rerun_script.page_name = name
    return bytes(message.SerializeToString())


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with connect(_address(port), max_size=None):
                return
        except (OSError, WebSocketException):
            if time.monotonic() > deadline:
                raise DoesNotHold("the server does not answer") from None
            time.sleep(0.05)
