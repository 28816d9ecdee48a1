"""Tries, pauses and limits; what is said when it does not work; and that the key is never part of what is said."""

import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import keyring
import pytest
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from muc_core.encoders.remote import client as client_module
from muc_core.encoders.remote.client import Client, RequestRejected
from muc_core.encoders.remote.connect import connect, remote_manifest
from muc_core.encoders.remote.dialects.base import Body
from muc_core.encoders.remote.faults import BadAnswer, EndpointFault
from muc_core.encoders.remote.key import read_key
from muc_core.errors import Cancelled, MucError
from muc_core.workspace import Workspace
from tests.unit.encoders.remote import servers
from tests.unit.encoders.remote.servers import KEY, KEY_VARIABLE, Service

TEXT: Body = {"model": "some-model", "modality": "text", "input": ["a"], "encoding_format": "float"}


def post(url: str, **changed: Any) -> Any:
    with Client(servers.settings(url, **changed)) as client:
        return client.post(dict(TEXT), threading.Event())


def failure(status: int, headers: Mapping[str, str] | None = None, said: str = "busy") -> Response:
    return JSONResponse({"error": {"message": said}}, status_code=status, headers=dict(headers or {}))


# tries


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(service: Service, url: str, status: int) -> None:
    service.faults.extend([failure(status), failure(status)])
    assert len(post(url)["data"]) == 1
    assert len(service.seen) == 3


def test_after_the_last_try_the_endpoint_and_its_reason_are_named(service: Service, url: str) -> None:
    service.faults.extend([failure(500, said="out of memory")] * 3)
    with pytest.raises(EndpointFault, match=r"/v1/embeddings failed 3 times.*500: out of memory"):
        post(url)
    assert len(service.seen) == 3


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_is_about_the_items_is_not_tried_again(service: Service, url: str, status: int) -> None:
    service.faults.append(failure(status, said="bad picture"))
    with pytest.raises(RequestRejected, match="bad picture"):
        post(url)
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "wants a key"), (403, "wants a key"), (404, "expects /v1/embeddings"), (402, "refuses requests")],
)
def test_other_refusals_say_what_to_do(service: Service, url: str, status: int, said: str) -> None:
    service.faults.append(failure(status))
    with pytest.raises(EndpointFault, match=said):
        post(url)
    assert len(service.seen) == 1


def test_the_pauses_grow_and_repeat_under_their_seed() -> None:
    settings = servers.settings("https://a.example")
    one, two, three = (
        [client._back_off(n) for n in range(12)] for client in (Client(settings, seed=s) for s in (1, 1, 2))
    )
    assert one == two != three
    for number, wait in enumerate(one):
        assert 0.005 * 2**number <= wait <= 0.01 * 2**number
    assert max(Client(servers.settings("https://a.example", longest_wait_s=2))._back_off(n) for n in range(30)) <= 2


def test_retry_after_in_seconds_is_waited_for(service: Service, url: str) -> None:
    service.faults.append(failure(429, {"Retry-After": "1"}))
    began = time.monotonic()
    post(url)
    assert time.monotonic() - began >= 1
    assert len(service.seen) == 2


def test_a_service_that_wants_too_long_a_pause_is_left_alone(service: Service, url: str) -> None:
    service.faults.append(failure(429, {"Retry-After": "3600"}))
    with pytest.raises(EndpointFault, match="left alone for 3600 s"):
        post(url)
    assert len(service.seen) == 1


def test_all_threads_heed_a_pause(service: Service, url: str) -> None:
    service.faults.append(failure(429, {"Retry-After": "1"}))
    with Client(servers.settings(url)) as client:
        thread = threading.Thread(target=client.post, args=(dict(TEXT), threading.Event()))
        began = time.monotonic()
        thread.start()
        while len(service.seen) < 1 or client._not_before == 0:
            time.sleep(0.01)
        client.post(dict(TEXT), threading.Event())
        assert time.monotonic() - began >= 1
        thread.join()


def test_a_used_up_limit_delays_the_next_request(service: Service, url: str) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "700ms"}
    service.faults.append(JSONResponse({"data": []}, headers=headers))
    with Client(servers.settings(url)) as client:
        began = time.monotonic()
        client.post(dict(TEXT), threading.Event())
        client.post(dict(TEXT), threading.Event())
        assert time.monotonic() - began >= 0.7


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": format_datetime(datetime.now(UTC) - timedelta(hours=1))}, 0),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "9s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "1h1m1.5s"}, 3661.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000000001"}, 0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "tomorrow"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
    ],
)
def test_headers_are_read_as_services_write_them(headers: dict[str, str], wait: float | None) -> None:
    assert client_module._wait_asked(headers) == (None if wait is None else pytest.approx(wait))


def test_a_date_to_come_back_at_is_understood() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=100))
    asked = client_module._wait_asked({"retry-after": moment})
    assert asked is not None
    assert 90 < asked <= 100


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=-400), timedelta(days=400)])
def test_a_date_to_come_back_at_is_meant_by_the_clock_of_the_service(ahead: timedelta) -> None:
    now = datetime.now(UTC) + ahead
    headers = {"date": format_datetime(now), "retry-after": format_datetime(now + timedelta(seconds=60))}
    assert client_module._wait_asked(headers) == 60
    assert client_module._wait_asked({**headers, "date": "yesterday"}) is None


def test_a_pause_ends_when_the_work_is_cancelled(service: Service, url: str) -> None:
    service.faults.append(failure(429, {"Retry-After": "100"}))
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with Client(servers.settings(url)) as client, pytest.raises(Cancelled):
        client.post(dict(TEXT), stop)
    assert time.monotonic() - began < 20


# connections and answers


def wait_until_it_arrived(service: Service) -> None:
    """A request that was given up may arrive later; it must not take an answer that is meant for the next test."""
    while not service.seen:
        time.sleep(0.01)


def test_a_service_that_is_too_slow_is_given_up(service: Service, url: str) -> None:
    async def late() -> Any:
        import asyncio

        await asyncio.sleep(3)
        yield b"{}"

    service.faults.append(StreamingResponse(late(), media_type="application/json"))
    with pytest.raises(EndpointFault, match=r"no answer within 0\.3 s"):
        post(url, timeout_s=0.3, retries=0)
    wait_until_it_arrived(service)


def test_a_trickle_of_bytes_does_not_hold_for_ever(service: Service, url: str) -> None:
    async def trickle() -> Any:
        import asyncio

        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.05)

    service.faults.append(StreamingResponse(trickle(), media_type="application/json"))
    began = time.monotonic()
    with pytest.raises(EndpointFault, match="no answer within"):
        post(url, timeout_s=0.5, retries=0)
    assert time.monotonic() - began < 4
    wait_until_it_arrived(service)


def test_an_endless_answer_is_cut(service: Service, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 2**20)
    service.faults.append(PlainTextResponse("0" * 3 * 2**20))
    with pytest.raises(BadAnswer, match="more than 1 MB"):
        post(url)


@contextmanager
def hanging_up(times: int, *, then_answer: bool) -> Iterator[str]:
    """Closes so many connections after the request; one more gets an answer."""
    content = b'{"data": [{"index": 0, "embedding": [1, 2]}]}'
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"

    def work() -> None:
        for number in range(times + then_answer):
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as request:
                length = 0
                while (line := request.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                request.read(length)
                if number == times:
                    connection.sendall(head.encode() + content)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def test_a_closed_connection_is_tried_again() -> None:
    with hanging_up(2, then_answer=True) as broken:
        assert len(post(broken)["data"]) == 1
    with (
        hanging_up(2, then_answer=False) as broken,
        pytest.raises(EndpointFault, match=r"failed 2 times.*connection failed"),
    ):
        post(broken, retries=1)


def test_an_answer_that_breaks_off_is_tried_again(service: Service, url: str) -> None:
    service.faults.append(Response("{", headers={"content-length": "1000"}, media_type="application/json"))
    assert len(post(url)["data"]) == 1
    assert len(service.seen) == 2


def test_where_nobody_listens_the_address_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EndpointFault, match=rf"127\.0\.0\.1:{port}/v1/embeddings failed 2 times.*connection failed"):
        post(f"http://127.0.0.1:{port}", retries=1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HTMLResponse("<!doctype html><title>Welcome</title>"), "answered with a web page; expected JSON"),
        (PlainTextResponse("hello"), "answered with 'hello'; expected JSON"),
        (PlainTextResponse(""), "answered with 'nothing'"),
        (PlainTextResponse("[" * 100_000), "expected JSON"),
    ],
    ids=["page", "text", "nothing", "nested"],
)
def test_what_is_no_json_is_named(service: Service, url: str, answer: Response, said: str) -> None:
    service.faults.append(answer)
    with pytest.raises(BadAnswer, match=said):
        post(url)


def test_an_error_object_with_a_good_status_is_an_error(service: Service, url: str) -> None:
    service.faults.append(failure(200, said="the model is loading"))
    with pytest.raises(EndpointFault, match="answered with an error: the model is loading"):
        post(url)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "without 'data'"),
        ([], "without 'data'"),
        ({"data": 3}, "not a list of objects"),
        ({"data": [3]}, "not a list of objects"),
        ({"data": [{}]}, "without 'embedding'"),
        ({"data": [{"embedding": [1.0], "index": 1}]}, "each index from 0 once"),
        ({"data": [{"embedding": [1.0], "index": "0"}]}, "each index from 0 once"),
        ({"data": [{"embedding": [[1.0]], "index": 0}]}, "more than numbers"),
        ({"data": [{"embedding": [[1.0], [1.0, 2.0]], "index": 0}]}, "more than numbers"),
        ({"data": [{"embedding": {}, "index": 0}]}, "an object where a vector"),
        ({"data": [{"embedding": [], "index": 0}]}, "an empty list"),
        ({"data": [{"embedding": [True, False], "index": 0}]}, "more than numbers"),
        ({"data": [{"embedding": [10**400], "index": 0}]}, "more than numbers"),
        ({"data": [{"embedding": "AAAAAAA=", "index": 0}]}, "not base64 of float32"),
    ],
)
def test_json_of_another_form_is_named(service: Service, url: str, answer: Any, said: str) -> None:
    service.faults.append(JSONResponse(answer))
    with pytest.raises(BadAnswer, match=said):
        connect(servers.settings(url))


def test_numbers_that_are_not_finite_are_refused(service: Service, url: str) -> None:
    service.faults.append(PlainTextResponse('{"data": [{"index": 0, "embedding": [NaN, 1]}]}'))
    with pytest.raises(BadAnswer, match="not finite"):
        connect(servers.settings(url))


# keys


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return KEY_VARIABLE


def test_the_key_is_sent_as_a_bearer(service: Service, url: str, key: str) -> None:
    service.key = KEY
    connect(servers.settings(url, key_environment=key))
    assert all(seen.headers["authorization"] == f"Bearer {KEY}" for seen in service.seen)
    assert KEY not in str([seen.body for seen in service.seen])


def test_without_a_key_none_is_sent(service: Service, url: str, key: str) -> None:
    connect(servers.settings(url))
    assert not any("authorization" in seen.headers for seen in service.seen)


def test_the_key_is_in_no_file_log_error_or_repr(
    service: Service, url: str, key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    service.key = KEY
    settings = servers.settings(url, key_environment=key)
    info = connect(settings)
    workspace = Workspace(tmp_path / "home")
    workspace.add_encoder(*remote_manifest("far", settings, info))
    encoder = workspace.load("far")
    encoder.encode_images(servers.pictures(3))
    said = [str(settings), repr(settings), str(info), repr(vars(encoder)), settings.model_dump_json()]

    service.key = "another"  # the service now quotes the key it was given
    for faults in (
        [],
        [failure(500, said=f"bad {KEY}")] * 9,
        [PlainTextResponse(f"<p>{KEY}")],
        [Response(status_code=307, headers={"location": f"https://b.example/{KEY}"})],
    ):
        service.faults.clear()
        service.faults.extend(faults)
        with pytest.raises(MucError) as caught:
            encoder.encode_images(servers.pictures(3, seed=1))
        error: BaseException | None = caught.value
        while error is not None:
            said += [str(error), repr(error), repr(error.args)]
            error = error.__cause__ or error.__context__
    service.faults.clear()
    with pytest.raises(MucError, match=r"does not accept the key.*\*\*\*"):
        connect(settings)

    assert len(said) >= 5 + 4 * 3
    assert "401 Unauthorized" in caplog.text
    assert not [text for text in (*said, caplog.text, *capsys.readouterr()) if KEY in text]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"manifest.json", "remote.json", "vectors.sqlite"} <= {path.name for path in files}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY_VARIABLE.encode() in (workspace.encoder("far").folder / "remote.json").read_bytes()


def test_a_missing_key_is_named_before_anything_is_sent(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(MucError, match=f"variable {KEY_VARIABLE} is not set"):
        connect(servers.settings(url, key_environment=KEY_VARIABLE))
    assert service.seen == []


@pytest.mark.parametrize("value", [f"{KEY}\nX-Evil: 1", f"{KEY}é", f"{KEY} {KEY}", f"{KEY}\x00"[:-1] + "\x7f"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(MucError, match="characters that no key has") as caught:
        read_key(servers.settings("https://a.example", key_environment=KEY_VARIABLE))
    assert KEY not in str(caught.value)


class Drawer(KeyringBackend):
    """A keyring with one key."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return KEY if (service, username) == ("embeddings", "me") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.fixture
def restored_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


def test_the_keyring_is_asked(restored_keyring: None) -> None:
    keyring.set_keyring(Drawer())  # type: ignore[no-untyped-call]
    entry = {"service": "embeddings", "user": "me"}
    found = read_key(servers.settings("https://a.example", key_keyring=entry))
    assert found is not None
    assert found.get_secret_value() == KEY
    with pytest.raises(MucError, match="keyring set embeddings you"):
        read_key(servers.settings("https://a.example", key_keyring=entry | {"user": "you"}))


def test_a_machine_without_a_keyring_says_so(restored_keyring: None) -> None:
    keyring.set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    with pytest.raises(MucError, match=r"keyring cannot be read \(NoKeyringError\).*environment variable"):
        read_key(servers.settings("https://a.example", key_keyring={"service": "s", "user": "u"}))
