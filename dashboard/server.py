"""What `make run` serves: the pages, with headers that tell a browser what it must not do with them.

    streamlit run dashboard/server.py

The pages alone, `streamlit run dashboard/streamlit_app.py`, work as well and send none of these headers.
"""

import hashlib
import re
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnected

INDEX = Path(st.__file__).with_name("static") / "index.html"
"""Streamlit's own page, the same for all of ours."""


def _inline_scripts(page: str) -> list[str]:
    """What allows the scripts that are in a page, and no others: their digests."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return [f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts]


# Streamlit's front end and st.html write styles into the page; scripts come from files, but for one in its page. Plotly
# compiles what it draws by WebGL: without eval, charts of many points hear no pointer.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        " ".join(("script-src 'self' 'unsafe-eval'", *_inline_scripts(INDEX.read_text(encoding="utf-8")))),
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "frame-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SecurityHeaders:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class ClosedTabs:
    """Takes it that a browser may go while it is sent to.

    Streamlit then closes the connection once more, and the log would show a traceback of what is nobody's fault.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(WebSocketDisconnected):
            await self._app(scope, receive, send)


app = st.App(
    Path(__file__).with_name("streamlit_app.py"), middleware=[Middleware(SecurityHeaders), Middleware(ClosedTabs)]
)
