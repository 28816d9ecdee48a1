"""Deleting uploads: what the session holds, and what was written for jobs, by request and by age."""

import os
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

SETTINGS = str(Path(__file__).parents[2] / "dashboard" / "app_pages" / "settings.py")


def _two_uploads() -> None:
    import streamlit as st

    from dashboard.components.uploads import delete_uploads
    from dashboard.services import keep_upload

    if st.button("keep"):
        st.write(str(keep_upload("a.pt", b"weights")))
    st.button("delete", on_click=delete_uploads)


def test_a_session_deletes_its_own_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    page = AppTest.from_function(_two_uploads, default_timeout=60).run()
    page.button[1].click().run()  # all sessions of these tests are one, which may hold another test's file
    page.button[0].click().run()
    assert not page.exception
    kept = Path(page.markdown[0].value)
    others = kept.with_name(".tmp-of-another.pt")
    others.write_bytes(b"x")
    assert kept.read_bytes() == b"weights"
    page.session_state["my_files"] = "what was uploaded"
    page.button[1].click().run()
    assert not page.exception
    assert not kept.exists()
    assert others.exists()
    assert page.session_state["my_files"] is None
    assert "one file on the disk" in page.toast[0].value


def test_uploads_of_yesterday_are_gone_when_the_program_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    folder = tmp_path / "cache" / "uploads"
    folder.mkdir(parents=True)
    old, new = folder / ".tmp-old.zip", folder / ".tmp-new.zip"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    page = AppTest.from_file(SETTINGS, default_timeout=120).run()
    assert not page.exception
    assert "Delete my uploads" in [button.label for button in page.button]
    assert (old.exists(), new.exists()) == (False, True)


def _failing_page() -> None:
    from dashboard.components.page import errors_as_sentences
    from muc_core.errors import MucError

    with errors_as_sentences():
        raise MucError("![x](http://example.org/beacon.png) [y](javascript:alert(1)) <b>.png is no picture")


def test_what_a_file_is_called_is_no_link_on_a_page() -> None:
    page = AppTest.from_function(_failing_page, default_timeout=60).run()
    assert (
        page.error[0].value == r"!\[x](http://example.org/beacon.png) \[y](javascript:alert(1)) \<b>.png is no picture."
    )
