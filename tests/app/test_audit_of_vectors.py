"""Check my pictures without pictures: a file of vectors, its verdict, and what is said of files that are none."""

import io
import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from muc_core.evidence.embeddings import Embeddings, write_embeddings
from tests.unit.evidence.pack import inputs


def vectors(made_with: str = "") -> bytes:
    known = inputs()
    return write_embeddings(Embeddings(known.vectors, known.owner_ids, known.control_ids, made_with=made_with))


@pytest.fixture
def page(empty_app: AppTest) -> AppTest:
    """In a workspace without encoders: none is asked."""
    empty_app.query_params["bring"] = "vectors"
    return empty_app.switch_page("app_pages/check_my_pictures.py").run()


def send(page: AppTest, name: str, content: bytes) -> None:
    page.file_uploader[0].set_value((name, content, "application/octet-stream")).run()


def text(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.info, page.error, page.warning)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_a_file_of_vectors_gets_a_verdict_that_says_what_was_not_checked(page: AppTest) -> None:
    assert not page.exception
    send(page, "mine.safetensors", vectors())
    assert not page.exception
    found = text(page)
    assert "8 pictures of yours and 24 controls" in found
    assert "the verdict here is never “forgotten”" in found
    sureness = next(element.label for element in page.expander if "How sure" in element.label)
    assert "controls not looked at" in sureness
    assert "2 probes not made" in sureness
    assert "is the word of whoever wrote the file" in found
    assert len(page.get("download_button")) == 3
    assert len([json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]) >= 3


def test_another_file_is_refused_in_a_sentence_and_can_be_put_away(page: AppTest) -> None:
    stream = io.BytesIO()
    np.savez(stream, ids=np.array(["=1+1"]), roles=np.array(["[x](http://example.org)"]))
    send(page, "evil](x).npz", stream.getvalue())
    assert not page.exception
    assert "No verdict" in page.error[0].value
    assert "](http" not in page.error[0].value.replace("\\]\\(", "")
    next(button for button in page.button if button.label == "Start anew").click()
    page.run()
    assert not page.error
    assert not page.session_state["my_vectors"]


def test_more_than_a_page_takes_is_left_to_the_command(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.services.vectors.MOST_WORK", 1000)
    send(page, "mine.safetensors", vectors("one that no other test has sent"))
    assert "more by muc audit" in page.error[0].value.replace("\\", "")
