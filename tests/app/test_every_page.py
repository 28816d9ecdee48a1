"""The contract of all pages: each runs with encoders, and without any says in a sentence what to do."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

DASHBOARD = Path(__file__).parents[2] / "dashboard"
PAGES = sorted(path.name for path in (DASHBOARD / "app_pages").glob("*.py") if path.name != "__init__.py")
WITHOUT_ENCODERS = ("evidence.py", "jobs.py", "settings.py")
"""Pages that have something to show before there is any encoder."""


def visit(app: AppTest, page: str) -> AppTest:
    return app.run().switch_page(f"app_pages/{page}").run()


def test_every_page_is_in_the_router() -> None:
    router = (DASHBOARD / "streamlit_app.py").read_text(encoding="utf-8")
    assert PAGES
    assert [page for page in PAGES if f'("{page.removesuffix(".py")}", ' not in router] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_with_encoders(app: AppTest, page: str) -> None:
    shown = visit(app, page)
    assert [(error.message, error.stack_trace) for error in shown.exception] == []
    assert [error.value for error in shown.error] == []
    assert len(shown.title) == 1


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_encoders_says_what_to_do(empty_app: AppTest, page: str) -> None:
    shown = visit(empty_app, page)
    assert [(error.message, error.stack_trace) for error in shown.exception] == []
    if page in WITHOUT_ENCODERS:
        assert [error.value for error in shown.error] == []
        return
    said = [notice.value for kind in (shown.error, shown.warning, shown.info) for notice in kind]
    assert [text for text in said if "our fault" in text] == []
    assert [text for text in said if "encoder" in text and ("muc demo build" in text or "muc train" in text)], said
