"""One server for the tests of a file; each test starts with a service that behaves."""

from collections.abc import Iterator

import pytest

from muc_core.encoders.remote import client
from muc_core.encoders.remote.address import ALLOW_VARIABLE
from tests.unit.encoders.remote.servers import Service, running


@pytest.fixture(scope="module")
def _served() -> Iterator[tuple[Service, str]]:
    service = Service()
    with running(service.app) as url:
        yield service, url


@pytest.fixture
def service(_served: tuple[Service, str]) -> Service:
    service, _ = _served
    service.__init__()  # type: ignore[misc]
    return service


@pytest.fixture
def url(_served: tuple[Service, str]) -> str:
    return _served[1]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback may be allowed, and pauses are short."""
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
