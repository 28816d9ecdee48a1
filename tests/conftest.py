"""What every test needs."""

import os
from collections.abc import Iterator

import pytest

from muc_core.encoders.remote.address import ALLOW_VARIABLE
from muc_core.workspace.place import VARIABLE as DATABASE_VARIABLE
from tests import postgres


@pytest.fixture(autouse=True)
def _private_addresses_as_before() -> Iterator[None]:
    """A page locks private addresses for its whole process; the next test starts without that lock."""
    before = os.environ.get(ALLOW_VARIABLE)
    yield
    if before is None:
        os.environ.pop(ALLOW_VARIABLE, None)
    else:
        os.environ[ALLOW_VARIABLE] = before


@pytest.fixture(autouse=True)
def _index_in_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the person who runs the tests uses."""
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A real server, started when the first test asks for it."""
    with postgres.served() as server:
        yield server


BACKENDS = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is tested with it runs with its index in SQLite and with its index in an empty database of the server."""
    if request.param == "postgres":
        server: postgres.Server = request.getfixturevalue("postgres_server")
        monkeypatch.setenv(DATABASE_VARIABLE, server.emptied_database())
    return str(request.param)
