"""A small OpenID provider on loopback: one asks it who somebody is, and it lets the browser's user say."""

import base64
import hashlib
import html
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.ports import free_port

CLIENT, SECRET = "muc", "the client's secret"
PEOPLE: Mapping[str, str] = {
    "ann@example.org": "Ann Artist",
    "eve@example.org": "Eve Engineer",
    "zoe@example.org": "Zoe Nobody",
}


@dataclass
class Provider:
    """The provider's state.

    Attributes:
        url: of itself.
        codes: what a code stands for, once.
        ended: how often somebody logged out here.
        stop: ends it.
    """

    url: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "1", "use": "sig", "alg": "ES256"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    ended: int = 0
    stop: Callable[[], None] = lambda: None

    @property
    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "end_session_endpoint": f"{self.url}/end",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
        }


def app_of(provider: Provider) -> FastAPI:
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    def configuration() -> dict[str, Any]:
        return provider.metadata

    @app.get("/jwks")
    def jwks() -> dict[str, Any]:
        return {"keys": [provider.key.as_dict(private=False)]}

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    @app.get("/authorize")
    def authorize(
        client_id: str, redirect_uri: str, state: str, nonce: str, code_challenge: str, scope: str
    ) -> HTMLResponse:
        if client_id != CLIENT or "openid" not in scope.split():
            raise HTTPException(400, "no client of ours")
        links = []
        for email, name in PEOPLE.items():
            code = secrets.token_urlsafe()
            provider.codes[code] = {"email": email, "nonce": nonce, "challenge": code_challenge, "to": redirect_uri}
            address = f"{redirect_uri}?{urlencode({'code': code, 'state': state})}"
            links.append(f'<p><a href="{html.escape(address)}">{html.escape(name)}</a></p>')
        return HTMLResponse(f"<!doctype html><html lang=en><title>Who are you?</title>{''.join(links)}</html>")

    @app.post("/token")
    def token(
        grant_type: Annotated[str, Form()],
        code: Annotated[str, Form()],
        code_verifier: Annotated[str, Form()],
        redirect_uri: Annotated[str, Form()],
    ) -> dict[str, Any]:
        asked = provider.codes.pop(code, None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        if asked is None or asked["challenge"] != challenge or asked["to"] != redirect_uri:
            raise HTTPException(400, "no code of ours")
        assert grant_type == "authorization_code"
        now = int(time.time())
        claims = {
            "iss": provider.url,
            "aud": CLIENT,
            "sub": f"id of {asked['email']}",
            "iat": now,
            "exp": now + 600,
            "nonce": asked["nonce"],
            "email": asked["email"],
            "email_verified": True,
            "name": PEOPLE[asked["email"]],
        }
        id_token = jwt.encode({"alg": "ES256", "kid": "1"}, claims, provider.key)
        return {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": id_token}

    @app.get("/end")
    def end(client_id: str, post_logout_redirect_uri: str) -> RedirectResponse:
        assert client_id == CLIENT
        provider.ended += 1
        return RedirectResponse(post_logout_redirect_uri)

    return app


@contextmanager
def provided() -> Iterator[Provider]:
    """A provider that answers until the block ends."""
    port = free_port()
    provider = Provider(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(app_of(provider), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)

    def stop() -> None:
        server.should_exit = True
        thread.join(10)

    provider.stop = stop
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield provider
    finally:
        stop()


def secrets_toml(provider: Provider) -> str:
    """The secrets of a dashboard whose people log in here; nobody is told what Zoe may do."""
    return f"""
[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "{secrets.token_urlsafe(48)}"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
server_metadata_url = "{provider.url}/.well-known/openid-configuration"

[roles]
contact = "Ben at ben@example.org"
owner = ["ann@example.org"]
engineer = ["eve@example.org"]
"""
