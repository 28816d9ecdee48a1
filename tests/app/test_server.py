"""What is served sends headers that tell a browser what it must not do, on every answer."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnected
from streamlit.web.server.app_discovery import discover_asgi_app

from dashboard import server

ROOT = Path(server.__file__).parents[1]


def test_streamlit_serves_it_as_an_app() -> None:
    assert discover_asgi_app(Path(server.__file__)).import_string == "server:app"
    assert server.app.script_path == Path(server.__file__).with_name("streamlit_app.py")
    assert [str(one.cls) for one in server.app._user_middleware] == [
        str(server.SecurityHeaders),
        str(server.ClosedTabs),
    ]


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_it_is_what_is_started(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert "dashboard/server.py" in text
    assert "dashboard/streamlit_app.py" not in text


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/framed", 200), ("/nowhere", 404)])
def test_every_answer_has_the_headers_once(path: str, status: int) -> None:
    def page(request: Request) -> Response:
        return PlainTextResponse("hello")

    def framed(request: Request) -> Response:
        return PlainTextResponse("hello", headers={"X-Frame-Options": "ALLOWALL"})

    app = Starlette(
        routes=[Route("/", page), Route("/framed", framed)], middleware=[Middleware(server.SecurityHeaders)]
    )
    answer = TestClient(app).get(path)
    assert answer.status_code == status
    for name, value in server.HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    assert server.HEADERS["X-Frame-Options"] == "DENY"
    assert server.HEADERS["X-Content-Type-Options"] == "nosniff"


def test_a_browser_that_went_while_it_was_sent_to_is_no_fault() -> None:
    async def send_once_more(connection: WebSocket) -> None:
        await connection.accept()
        await connection.close()
        await connection.close()

    routes = [WebSocketRoute("/", send_once_more)]
    with pytest.raises(WebSocketDisconnected), TestClient(Starlette(routes=routes)).websocket_connect("/"):
        pass
    app = Starlette(routes=routes, middleware=[Middleware(server.ClosedTabs)])
    with TestClient(app).websocket_connect("/"):
        pass


def test_no_script_runs_but_those_of_files_and_the_one_in_streamlits_page() -> None:
    rules = dict(rule.split(" ", 1) for rule in server.CONTENT_SECURITY_POLICY.split("; "))
    page = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    (inline,) = re.findall(r"<script>([^<]*)</script>", page)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert rules["script-src"] == f"'self' 'unsafe-eval' 'sha256-{digest}'"
    assert rules["default-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["object-src"] == "'none'"
