"""What every page needs: a heading, and errors as sentences instead of tracebacks."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.components.words import plain, sentence
from dashboard.services import MustAsk, Question, agree
from dashboard.services.people import current_user
from muc_core.errors import MucError

log = logging.getLogger(__name__)


def heading(title: str, purpose: str) -> None:
    """Title of a page and one sentence about what it is for."""
    st.title(title, anchor=False)
    st.caption(purpose)


def _without_links(text: str) -> str:
    """A text in which the name of a file cannot be a link, or a picture that the browser fetches from elsewhere."""
    return re.sub(r"[<\[]", r"\\\g<0>", text)


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Show a `MucError` as its sentence; log anything else and say that it is our fault. Streamlit's own control flow
    (stop, rerun) passes, because it does not derive from Exception or is raised outside."""
    try:
        yield
    except MustAsk as asked:
        _ask(asked.question)
    except MucError as error:
        st.error(_without_links(sentence(str(error))), icon=":material/error:")
    except Exception:
        log.exception("a page failed")
        st.error(
            "Something went wrong here that is our fault, not yours. Nothing was lost; the details are in the server's "
            "log.",
            icon=":material/bug_report:",
        )


def _ask(question: Question) -> None:
    """What would be sent to whom, and the button that lets it happen."""
    with st.container(border=True, key=f"ask-{question.key[:12]}"):
        st.markdown("**Ask the encoder behind the URL?**")
        for cost in question.costs:
            st.markdown(plain(cost))
        if not current_user().may("pictures sent", {}):
            st.caption("Whether they are sent is for an engineer or an owner to say.")
            return
        st.caption(
            "Vectors that come back are kept, so that the same pictures are not sent again. No decoys are sent with "
            "them."
        )
        st.button("Send the pictures", type="primary", icon=":material/send:", on_click=agree, args=(question,))


def is_dark() -> bool:
    """Whether the page is shown in the dark theme. Light until the browser has told."""
    return st.context.theme.type == "dark"
