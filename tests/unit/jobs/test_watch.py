"""Watches: what is kept, when a look is due, and how it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from muc_core.errors import MucError, UnknownName
from muc_core.jobs.watch import store
from muc_core.jobs.watch.look import moved
from muc_core.jobs.watch.schedule import first_wait, seconds, steady_clock, turns
from muc_core.jobs.watch.spec import Look, WatchSpec
from muc_core.jobs.watch.tell import check_webhook, junit, line, post
from muc_core.workspace import Workspace

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VECTORS = np.arange(12.0).reshape(1, 3, 4)


def spec(**changed: object) -> WatchSpec:
    asked: dict[str, object] = {
        "name": "artist",
        "after": "mine",
        "before": None,
        "forget": "owner:artist",
        "controls": "held-out",
        "match": None,
        "data": None,
        "mode": "auto",
        "views": 2,
        "looks": 3,
        "alpha": 0.05,
        "spending": "pocock",
        "seed": 0,
        "probes": False,
        "owner_digest": "a",
        "controls_digest": "b",
    }
    return WatchSpec.model_validate(asked | changed)


def look(number: int, **changed: object) -> Look:
    found: dict[str, object] = {
        "number": number,
        "moment": NOW.isoformat(),
        "encoders": {"mine": "d"},
        "verdict": "cannot tell",
        "rule": "Because.",
        "p": 0.4,
        "level": 0.02,
        "effect": 0.1,
        "fair": True,
        "can_alarm": True,
        "moved": None,
        "alerts": (),
        "sentence": f"Look {number}.",
    }
    return Look.model_validate(found | changed)


def test_looks_are_kept_one_by_one_and_the_watch_ends_with_the_last(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    watch = store.register(workspace, spec())
    assert watch.canaries() is None
    for number in (1, 2, 3):
        assert watch.next_number == number
        watch = store.keep(watch, look(number), VECTORS + number)
        again = store.read(workspace, "artist")
        assert again == watch
        kept = again.canaries()
        assert kept is not None
        assert np.array_equal(kept, VECTORS + number)
    assert watch.next_number is None
    assert not watch.found_a_trace
    assert store.names(workspace) == ["artist"]
    store.delete(workspace, "artist")
    with pytest.raises(UnknownName, match="there is no watch 'artist'; known: none"):
        store.read(workspace, "artist")


def test_a_trace_ends_a_watch_and_a_changed_model_does_not(tmp_path: Path) -> None:
    watch = store.register(Workspace(tmp_path), spec())
    watch = store.keep(watch, look(1, alerts=("model",)), VECTORS)
    assert watch.next_number == 2
    watch = store.keep(watch, look(2, alerts=("trace",)), VECTORS)
    assert watch.found_a_trace
    assert watch.next_number is None


def test_a_look_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    watch = store.keep(store.register(workspace, spec()), look(1), VECTORS)
    (watch.folder / "looks" / "00002.npy").write_bytes(b"half")  # the JSON would have come next
    again = store.read(workspace, "artist")
    assert again.next_number == 2
    assert again.canaries() is not None


def test_damage_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    watch = store.register(workspace, spec())
    for number in (1, 2):
        watch = store.keep(watch, look(number), VECTORS)
    with pytest.raises(MucError, match="already"):
        store.register(workspace, spec())
    with pytest.raises(MucError, match="cannot be the name"):
        store.register(workspace, spec(name="../up"))
    (watch.folder / "looks" / "00002.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(MucError, match=r"00002.npy cannot be read"):
        store.read(workspace, "artist").canaries()
    (watch.folder / "looks" / "00001.json").unlink()
    with pytest.raises(MucError, match="looks are missing"):
        store.read(workspace, "artist")
    (watch.folder / "watch.json").write_text("{}")
    with pytest.raises(MucError, match=r"watch.json is not as it was written"):
        store.read(workspace, "artist")


def test_two_processes_do_not_look_at_once(tmp_path: Path) -> None:
    watch = store.register(Workspace(tmp_path), spec())
    with store.alone(watch), pytest.raises(MucError, match="another process is watching 'artist'"), store.alone(watch):
        pass
    with store.alone(watch):
        pass


def test_permutations_are_enough_to_reach_the_level_of_a_look() -> None:
    assert spec().permutations(1) == 10_000
    many = spec(looks=365)
    for number in (1, 180, 365):
        assert 1 / (many.permutations(number) + 1) <= many.level(number) / 13
    assert spec(looks=100, spending="obrien-fleming").permutations(1) == 200_000
    assert sum(spec().level(number) for number in (1, 2, 3)) == pytest.approx(0.05)


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("1d", 86_400)])
def test_intervals(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "1", "d", "0d", "-1d", "1.5h", "1w", "9999999s"])
def test_what_is_no_interval_is_said(text: str) -> None:
    with pytest.raises(MucError, match="such as 30m, 12h or 1d"):
        seconds(text)


@pytest.mark.parametrize(
    ("ago", "wait"),
    [
        (timedelta(0), 3600),
        (timedelta(minutes=20), 2400),
        (timedelta(hours=1), 0),
        (timedelta(days=400), 0),  # the clock jumped ahead: one look, not thousands
        (timedelta(days=-400), 3600),  # it was set back: an interval at most
    ],
)
def test_the_first_wait_stays_within_an_interval_whatever_the_clock_says(ago: timedelta, wait: float) -> None:
    assert first_wait(look(1, moment=(NOW - ago).isoformat()), 3600, NOW) == wait


def test_a_new_watch_begins_at_once() -> None:
    assert first_wait(None, 3600, NOW) == 0


class _Clock:
    """Seconds that pass only by sleeping, and by what looks take."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, length: float) -> None:
        assert 0 < length <= 60
        self.now += length


def test_looks_begin_an_interval_apart_and_missed_ones_are_not_made_up_for() -> None:
    clock, began = _Clock(), []
    takes = iter([10.0, 400.0, 0.0, 0.0])
    for _ in islice(turns(30, 100, clock=clock, sleep=clock.sleep), 4):
        began.append(clock.now)
        clock.now += next(takes)
    assert began == [30, 130, 530, 630]
    first = steady_clock()
    assert steady_clock() >= first


def test_how_far_vectors_moved_is_told_in_typical_distances() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 16, 8))
    assert moved(vectors, vectors * 7) == pytest.approx(0, abs=1e-12)  # length carries no meaning
    other = rng.normal(size=(2, 16, 8))
    assert 0.5 < (moved(vectors, other) or 0) < 2
    one = np.stack([vectors[0], other[1]])  # only the captions
    assert moved(vectors, one) == moved(vectors[1:], other[1:])
    assert moved(vectors, vectors[..., :4]) is None
    assert moved(vectors, vectors[:1]) is None


def test_a_line_is_one_line_of_json() -> None:
    told = line(spec(), look(2, alerts=("trace",), sentence="First.\nSecond."))
    assert "\n" not in told
    content = json.loads(told)
    assert (content["watch"], content["number"], content["of"], content["alerts"]) == ("artist", 2, 3, ["trace"])


@pytest.mark.parametrize(
    ("changed", "failed", "skipped"),
    [
        ({}, [], []),
        ({"alerts": ("trace",)}, ["no trace of the pictures"], []),
        ({"alerts": ("trace", "model")}, ["no trace of the pictures", "the same encoder"], []),
        ({"fair": False}, [], ["no trace of the pictures"]),
    ],
)
def test_junit_has_a_case_for_the_trace_and_one_for_the_model(
    changed: dict[str, object], failed: list[str], skipped: list[str]
) -> None:
    suite = ElementTree.fromstring(junit(spec(), look(1, **changed)))
    found = {
        kind: [case.get("name") for case in suite if case.find(kind) is not None] for kind in ("failure", "skipped")
    }
    assert found == {"failure": failed, "skipped": skipped}
    assert suite.get("failures") == str(len(failed))
    assert suite.get("skipped") == str(len(skipped))


class _Hook(BaseHTTPRequestHandler):
    received: list[bytes]
    status = 200

    def do_POST(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.status)
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hooked(status: int = 200) -> Iterator[tuple[str, list[bytes]]]:
    """An address that takes what is posted, and what it was given."""
    received: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Hook", (_Hook,), {"received": received, "status": status}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/secret", received
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "fault"), [(200, None), (500, "answered 500"), (302, "answered 302")])
def test_a_webhook_is_told_once_and_its_fault_is_a_sentence_without_its_path(status: int, fault: str | None) -> None:
    with hooked(status) as (address, received):
        said = post(address, '{"a": 1}')
    assert received == [b'{"a": 1}']
    assert (said is None) if fault is None else (said is not None and fault in said and "secret" not in said)


def test_a_webhook_that_is_not_there_is_a_sentence() -> None:
    said = post("http://127.0.0.1:9/secret", "{}")
    assert said is not None
    assert "could not be told" in said
    assert "secret" not in said
    for wrong in ("", "file:///etc/passwd", "https://", "example.org"):
        with pytest.raises(MucError, match="begins with https"):
            check_webhook(wrong)
