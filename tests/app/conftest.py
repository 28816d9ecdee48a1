"""What the tests of the pages share: a server's environment with two small encoders, and one with none at all."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.pair import write_pair

DASHBOARD = Path(__file__).parents[2] / "dashboard"
PATIENCE_S = 120


@pytest.fixture(autouse=True)
def _nobody_minds_that_no_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most jobs here are only queued; drawing a page may take longer than a worker has to be started."""
    monkeypatch.setattr("muc_core.jobs.table.START_WITHIN_S", 1e9)


@pytest.fixture(scope="session")
def pair_assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assets folder with demo-clip and demo-clip-ac, untrained."""
    assets = tmp_path_factory.mktemp("assets")
    write_pair(assets)
    return assets


@pytest.fixture(scope="session")
def pair_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace for all tests that only look, so that what takes seconds is computed once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def app(pair_assets: Path, pair_home: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The dashboard with two encoders, not run yet; `switch_page` leads to the other pages."""
    monkeypatch.setenv("MUC_ASSETS", str(pair_assets))
    monkeypatch.setenv("MUC_HOME", str(pair_home))
    return AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=PATIENCE_S)


@pytest.fixture
def empty_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The dashboard with an empty workspace and no shipped encoders, not run yet."""
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    return AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=PATIENCE_S)
