"""A fresh server and a watched page for each browser test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import PATIENCE_MS, ROOT, Server, Watch, launch_arguments, serve


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Takes the place of pytest-playwright's: the system's browser instead of one that playwright downloads."""
    return launch_arguments()


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    return {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A dashboard with an empty workspace and the shipped demo, whose log must show no traceback and no deprecation."""
    with serve(tmp_path / "home", tmp_path / "server.log") as running:
        yield running
        said = running.log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in said, said
        assert "deprecat" not in said.lower(), said


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """A page on which nothing may go wrong."""
    watch = Watch(page)
    page.set_default_timeout(PATIENCE_MS)
    yield page
    assert not watch.problems, "\n".join(watch.problems)


@pytest.fixture
def pictures_folder() -> Path:
    """Where screenshots go."""
    return ROOT / "test-results"
