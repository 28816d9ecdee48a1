"""The warning where other machines can reach the dashboard."""

import logging

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from dashboard.components.exposure import is_exposed


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_is_not_exposed(address: str) -> None:
    assert not is_exposed(address)


@pytest.mark.parametrize(
    "address", [None, "0.0.0.0", "::", "192.168.1.5", "fe80::1", "example.org", "127.0.0.1.evil.org"]
)
def test_all_else_is(address: str | None) -> None:
    assert is_exposed(address)


def _page() -> None:
    from dashboard.components.exposure import warn_if_exposed

    warn_if_exposed()


def test_page_and_terminal_say_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    address = config.get_option("server.address")
    assert address == "127.0.0.1", "the project's own settings serve this machine only"
    try:
        page = AppTest.from_function(_page, default_timeout=60).run()
        assert not page.sidebar.warning
        config.set_option("server.address", "0.0.0.0")
        with caplog.at_level(logging.WARNING, "dashboard.components.exposure"):
            page.run()
            page.run()
        assert "asks nobody for a name" in page.sidebar.warning[0].value
        said = [record.getMessage() for record in caplog.records if record.name == "dashboard.components.exposure"]
        assert [text[:34] for text in said] == ["The dashboard listens on 0.0.0.0: "]
    finally:
        config.set_option("server.address", address)
