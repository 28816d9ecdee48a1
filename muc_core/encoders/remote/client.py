"""One request after another to an endpoint: waits and tries again where that helps, and says what is wrong where not.

Answers that may be different a moment later (429, 5xx, a broken connection, a timeout) are asked for again with
exponential back-off and jitter; `Retry-After` and rate-limit headers are honoured by all threads together. Redirects
are not followed. The key is in one header and nowhere else; every text that leaves this module is free of it.
"""

import json
import random
import re
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Self

import httpx
from pydantic import JsonValue, SecretStr

from muc_core import __version__
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.dialects.base import Body
from muc_core.encoders.remote.faults import BadAnswer, EndpointFault, UnknownHost
from muc_core.encoders.remote.key import read_key
from muc_core.encoders.remote.settings import RemoteSettings
from muc_core.encoders.remote.transport import GuardedTransport
from muc_core.errors import Cancelled

MAX_ANSWER_BYTES = 256 * 2**20
CONNECT_TIMEOUT_S = 10.0
FIRST_WAIT_S = 0.5

_FOR_NOW = frozenset((408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))
_ABOUT_ITEMS = frozenset((400, 413, 415, 422))


class RequestRejected(EndpointFault):
    """The endpoint refused what was sent (400, 413, 415, 422), perhaps because of one item.

    Attributes:
        reason: what the endpoint said.
    """

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(f"{endpoint} refused the request: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: httpx.Headers
    content: bytes


class _ForNow(Exception):
    """A failure that may pass: what happened, and for how long the endpoint wants to be left alone, in seconds."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        self.reason = reason
        self.wait_s = wait_s


class Client:
    """Sends requests to the endpoint of `settings`; may be used by several threads.

    Args:
        settings: where and how.
        seed: of the jitter in the pauses between tries.

    Nothing is read or sent before the first request, so that what is remembered can be used without key and network.
    """

    def __init__(self, settings: RemoteSettings, *, seed: int = 0) -> None:
        self.settings = settings
        self.endpoint = settings.endpoint
        self.requests = 0
        self._lock = threading.Lock()
        self._jitter = random.Random(seed)
        self._not_before = 0.0
        self._http = httpx.Client(
            transport=GuardedTransport(allow_private=settings.allow_private, connections=settings.concurrency),
            timeout=httpx.Timeout(settings.timeout_s, connect=min(CONNECT_TIMEOUT_S, settings.timeout_s)),
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": f"muc-audit/{__version__}", "Accept": "application/json"},
        )
        # Encoders are kept and dropped by whoever caches them; nobody closes one.
        weakref.finalize(self, self._http.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pause_s(self) -> float:
        """For how much longer the endpoint wants to be left alone, in seconds; 0 when it does not."""
        with self._lock:
            return max(0.0, self._not_before - time.monotonic())

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @cached_property
    def _key(self) -> SecretStr | None:
        return read_key(self.settings)

    def post(self, body: Body, stop: threading.Event) -> JsonValue:
        """The answer to one request, parsed.

        Args:
            body: sent as JSON.
            stop: ends pauses and further tries when set.

        Raises:
            RequestRejected: the endpoint refused this body; another may be welcome.
            EndpointFault: it refuses everything, or failed too often.
            BadAnswer: it answered with something that is not JSON.
            PrivateAddress: its name leads to an address that may not be contacted.
            MucError: the key that the settings name is not there.
            Cancelled: `stop` was set.
        """
        content = json.dumps(body).encode()
        tries = self.settings.retries + 1
        last = ""
        for number in range(tries):
            self._wait(stop)
            try:
                return self._try(content)
            except _ForNow as failure:
                last, asked = failure.reason, failure.wait_s
            wait = self._back_off(number) if asked is None else asked
            if wait > self.settings.longest_wait_s:
                raise EndpointFault(f"{self.endpoint} wants to be left alone for {wait:.0f} s ({last}); try again then")
            if number + 1 < tries:
                self._pause(wait, everyone=asked is not None, stop=stop)
        raise EndpointFault(f"{self.endpoint} failed {tries} times, at last because {last}; try again later")

    def _try(self, content: bytes) -> JsonValue:
        try:
            answer = self._send(content)
        except httpx.TimeoutException:
            raise _ForNow(f"it gave no answer within {self.settings.timeout_s:g} s") from None
        except UnknownHost as error:
            raise _ForNow(str(error)) from None
        except httpx.TransportError as error:
            raise _ForNow(self._clean(f"the connection failed ({error or type(error).__name__})")) from None
        if 200 <= answer.status < 300:
            self._heed_limits(answer.headers)
            return self._parse(answer)
        reason = self._reason(answer)
        if answer.status in _FOR_NOW:
            raise _ForNow(reason, _wait_asked(answer.headers))
        if answer.status in _ABOUT_ITEMS:
            raise RequestRejected(self.endpoint, reason)
        raise EndpointFault(f"{self.endpoint} {self._advice(answer)} ({reason})")

    def _send(self, content: bytes) -> _Answer:
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        with self._lock:
            self.requests += 1
        deadline = time.monotonic() + self.settings.timeout_s
        received = bytearray()
        with self._http.stream("POST", self.endpoint, content=content, headers=headers) as response:
            for part in response.iter_bytes():
                received += part
                if len(received) > MAX_ANSWER_BYTES:
                    raise BadAnswer(f"{self.endpoint} gave an answer of more than {MAX_ANSWER_BYTES // 2**20} MB")
                # The timeout of httpx is for each read; a trickle of bytes would never end.
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("")
        return _Answer(response.status_code, response.headers, bytes(received))

    def _parse(self, answer: _Answer) -> JsonValue:
        try:
            parsed: JsonValue = json.loads(answer.content)
        except (ValueError, RecursionError):
            what = "a web page" if _is_page(answer) else f"{self._clean(_text(answer.content)) or 'nothing'!r}"
            raise BadAnswer(
                f"{self.endpoint} answered with {what}; expected JSON with vectors, so the address or the dialect "
                f"({self.settings.dialect}) is not right"
            ) from None
        if isinstance(parsed, dict) and parsed.get("error"):
            raise EndpointFault(f"{self.endpoint} answered with an error: {self._clean(_message(parsed))}")
        return parsed

    def _reason(self, answer: _Answer) -> str:
        try:
            said = _message(json.loads(answer.content))
        except (ValueError, RecursionError):
            said = "a web page" if _is_page(answer) else _text(answer.content)
        return self._clean(f"{answer.status}: {said}" if said else f"status {answer.status}")

    def _advice(self, answer: _Answer) -> str:
        status = answer.status
        if status in (401, 403):
            return (
                "does not accept the key; check it and its rights"
                if self._key
                else "wants a key; name an environment variable that holds one"
            )
        if 300 <= status < 400:
            target = self._clean(answer.headers.get("location", "nowhere"))
            return f"answers with a redirect to {target}, which is not followed; give the final address"
        if status in (404, 405):
            dialect = DIALECTS.get(self.settings.dialect)
            return f"is not there; {dialect.name} expects {dialect.path} and a model that the service has"
        return "refuses requests"

    def _clean(self, text: str) -> str:
        """At most 300 characters in one line, without the key."""
        if self._key is not None:
            text = text.replace(self._key.get_secret_value(), "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= 300 else f"{line[:300]}…"

    def _back_off(self, number: int) -> float:
        with self._lock:
            factor = self._jitter.uniform(0.5, 1)
        longest: float = min(FIRST_WAIT_S * 2**number, self.settings.longest_wait_s)
        return longest * factor

    def _heed_limits(self, headers: Mapping[str, str]) -> None:
        if (wait := _wait_until_reset(headers)) is not None:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + min(wait, self.settings.longest_wait_s))

    def _pause(self, wait_s: float, *, everyone: bool, stop: threading.Event) -> None:
        """Wait before the next try; `everyone`: the endpoint asked for it, so no other thread may ask either."""
        if everyone:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + wait_s)
        elif stop.wait(wait_s):
            raise Cancelled

    def _wait(self, stop: threading.Event) -> None:
        while True:
            with self._lock:
                left = self._not_before - time.monotonic()
            if stop.is_set() or (left > 0 and stop.wait(left)):
                raise Cancelled
            if left <= 0:
                return


def _is_page(answer: _Answer) -> bool:
    return "html" in answer.headers.get("content-type", "") or answer.content.lstrip()[:1] == b"<"


def _text(content: bytes) -> str:
    return content[:2000].decode("utf-8", "replace")


def _message(parsed: JsonValue) -> str:
    """What an error object says: `error.message`, `error`, `message`, `detail`, else all of it."""
    if isinstance(parsed, dict):
        for name in ("error", "message", "detail"):
            if parsed.get(name):
                return _message(parsed[name])
    return parsed if isinstance(parsed, str) else json.dumps(parsed)[:2000]


def _wait_asked(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: `Retry-After`, else the reset of an exhausted limit; None: nothing said."""
    asked = headers.get("retry-after", "").strip()
    if asked:
        try:
            return max(0.0, float(asked))
        except ValueError:
            pass
        try:
            moment = parsedate_to_datetime(asked)
            # by the service's clock, which need not agree with ours
            now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
            return max(0.0, (moment - now).total_seconds())
        except (TypeError, ValueError):  # no date, or one without a time zone beside one with
            return None
    return _wait_until_reset(headers)


def _wait_until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit that is used up (`x-ratelimit-remaining-... : 0`) is renewed; None when none is."""
    waits = []
    for name, value in headers.items():
        kind = re.fullmatch(r"(?:x-)?ratelimit-remaining(-\w+)?", name.lower())
        if kind and value.strip() == "0":
            prefix = name.lower().split("ratelimit-")[0]
            waits.append(_seconds(headers.get(f"{prefix}ratelimit-reset{kind[1] or ''}", "")))
    known = [wait for wait in waits if wait is not None]
    return max(known) if known else None


def _seconds(text: str) -> float | None:
    """A duration as services write it: "12", "1.5s", "6m0s", "20ms", or a moment in seconds since 1970."""
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        number = float(text)
        return max(0.0, number - time.time()) if number > 1e9 else number
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(map("".join, parts)) != text:
        return None
    return sum(float(number) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[unit] for number, unit in parts)
