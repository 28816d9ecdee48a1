"""Batches, what is remembered, refused items, costs, cancellation: the encoder around the client."""

import re
import sqlite3
import threading
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.responses import JSONResponse
from PIL import Image

from muc_core.audit.audit import AuditSettings
from muc_core.auditing import audit_encoders, most_asked
from muc_core.encoders.decoys import draw_decoys
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.encoders.remote.cache import VectorCache, cache_folder
from muc_core.encoders.remote.client import Client
from muc_core.encoders.remote.connect import connect, remote_manifest
from muc_core.encoders.remote.dialects.base import Body
from muc_core.encoders.remote.encoder import GIVE_UP_AFTER, Cost, RemoteEncoder
from muc_core.encoders.remote.faults import EndpointFault
from muc_core.encoders.remote.pictures import encode
from muc_core.encoders.remote.settings import PictureFormat, RemoteSettings
from muc_core.errors import Cancelled, MissingTextTower, MucError
from muc_core.workspace import Workspace
from tests import tiny
from tests.unit.encoders.remote import servers
from tests.unit.encoders.remote.servers import Service


def encoder(settings: RemoteSettings, folder: Path | None = None) -> RemoteEncoder:
    cache = None if folder is None else VectorCache(folder)
    return RemoteEncoder("far", "0", settings, client=Client(settings), cache=cache)


class Steps:
    """Remembers what was reported; cancels at a step, or as soon as these words are said."""

    def __init__(self, cancel_at: int | None = None, *, words: str | None = None) -> None:
        self.seen: list[tuple[int, int]] = []
        self.messages: list[str] = []
        self.cancel_at = cancel_at
        self.words = words

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.seen.append((step, total))
        self.messages.append(message)
        if self.cancel_at is not None and step >= self.cancel_at:
            raise Cancelled
        if self.words is not None and self.words in message:
            raise Cancelled


def test_whole_sets_go_through_it_like_through_any_encoder(service: Service, url: str) -> None:
    remote = encoder(servers.settings(url, image_size=48))
    data = tiny.dataset(70)
    torch.testing.assert_close(
        embed_images(remote, data, batch_size=50), servers.expected(data.images(48)), rtol=0, atol=1e-6
    )
    assert embed_texts(remote, [text or "" for text in data.texts]).dtype == torch.float32
    assert [len(seen.body["input"]) for seen in service.seen] in ([32, 18, 20, 32, 32, 6], [18, 32, 20, 32, 32, 6]) or (
        sorted(len(seen.body["input"]) for seen in service.seen) == [6, 18, 20, 32, 32, 32]
    )


def test_pictures_of_another_size_are_resized_before_they_are_sent(service: Service, url: str) -> None:
    flat = torch.full((2, 3, 50, 50), 77, dtype=torch.uint8)
    remote = encoder(servers.settings(url))
    torch.testing.assert_close(remote.encode_images(flat), servers.expected(flat[..., :16, :16]))
    (picture,) = servers.items_of("/v1/embeddings", service.seen[0].body)[:1]
    assert isinstance(picture, torch.Tensor)
    assert picture.shape == (3, 16, 16)


def test_png_keeps_every_pixel_and_jpeg_nearly(service: Service, url: str) -> None:
    (image,) = servers.pictures(1, size=33)
    kinds: tuple[PictureFormat, ...] = ("png", "jpeg")
    for kind in kinds:
        picture = encode(image, kind)
        decoded = Image.open(BytesIO(picture.content))
        assert (picture.media_type, decoded.format) == (f"image/{kind}", kind.upper())
        difference = np.abs(np.asarray(decoded, dtype=int) - image.permute(1, 2, 0).numpy().astype(int))
        assert difference.max() == 0 if kind == "png" else 0 < difference.max() < 60
    images = servers.pictures(1)
    jpeg = encoder(servers.settings(url, picture_format="jpeg")).encode_images(images)
    torch.testing.assert_close(jpeg, servers.expected(images), rtol=0, atol=0.05)
    assert not torch.equal(jpeg, encoder(servers.settings(url)).encode_images(images))


def test_no_picture_and_no_text_cost_no_request(service: Service, url: str) -> None:
    remote = encoder(servers.settings(url))
    assert remote.encode_images(torch.empty(0, 3, 16, 16, dtype=torch.uint8)).shape == (0, servers.DIMENSION)
    assert remote.encode_texts([]).shape == (0, servers.DIMENSION)
    assert service.seen == []


def test_texts_for_an_encoder_without_them_are_refused(service: Service, url: str) -> None:
    with pytest.raises(MissingTextTower, match="no text tower"):
        encoder(servers.settings(url, has_text=False)).encode_texts(["a"])
    assert service.seen == []


# what is remembered


def test_asking_again_costs_no_request_even_without_network_and_key(
    service: Service, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(servers.KEY_VARIABLE, servers.KEY)
    settings = servers.settings(url, key_environment=servers.KEY_VARIABLE)
    workspace = Workspace(tmp_path)
    workspace.add_encoder(*remote_manifest("far", settings, connect(settings)))
    images = servers.pictures(40)
    first = workspace.load("far").encode_images(images)
    texts = workspace.load("far").encode_texts(["a", "b"])
    count = len(service.seen)
    monkeypatch.delenv(servers.KEY_VARIABLE)
    again = workspace.load("far")
    assert torch.equal(again.encode_images(images.flip(0)), first.flip(0))
    assert torch.equal(again.encode_texts(["b", "a"]), texts.flip(0))
    assert len(service.seen) == count
    assert (tmp_path / "cache" / "remote" / "vectors.sqlite").exists()
    with pytest.raises(MucError, match="is not set"):
        again.encode_images(servers.pictures(1, seed=5))


def test_only_what_is_new_is_sent_and_each_picture_once(service: Service, url: str, tmp_path: Path) -> None:
    remote = encoder(servers.settings(url), tmp_path)
    images = servers.pictures(4)
    remote.encode_images(images[:2])
    twice = images[[0, 2, 2, 3, 1, 3]]
    torch.testing.assert_close(remote.encode_images(twice), servers.expected(twice), rtol=0, atol=1e-6)
    assert [len(seen.body["input"]) for seen in service.seen] == [2, 2]


def test_other_settings_remember_apart(service: Service, url: str, tmp_path: Path) -> None:
    images = servers.pictures(2)
    encoder(servers.settings(url), tmp_path).encode_images(images)
    encoder(servers.settings(url, number_type="base64"), tmp_path).encode_images(images)
    encoder(servers.settings(url, dialect="data-uri"), tmp_path).encode_images(images)
    encoder(servers.settings(url, timeout_s=11), tmp_path).encode_images(images)
    assert len(service.seen) == 3


def test_probes_ask_again_for_each_item(service: Service, url: str, tmp_path: Path) -> None:
    remote = encoder(servers.settings(url), tmp_path)
    image = servers.pictures(1)
    remote.encode_images(image)
    fresh = remote.uncached()
    fresh.encode_images(torch.cat([image, image]))
    fresh.encode_images(image)
    assert [len(seen.body["input"]) for seen in service.seen] == [1, 2, 1]
    assert (fresh.name, fresh.digest, fresh.dimension) == (remote.name, remote.digest, remote.dimension)


def test_together_all_of_a_batch_is_asked_or_none_of_it(service: Service, url: str, tmp_path: Path) -> None:
    remote = encoder(servers.settings(url), tmp_path)
    images = servers.pictures(4)
    remote.encode_images(images[:2])
    together = remote.together().reporting_to(Steps())
    for _ in range(2):
        torch.testing.assert_close(together.encode_images(images), servers.expected(images), rtol=0, atol=1e-6)
    assert [len(seen.body["input"]) for seen in service.seen] == [2, 4]


def test_an_audit_by_url_with_decoys_finds_what_it_finds_without(service: Service, url: str, tmp_path: Path) -> None:
    mine, controls, others = tiny.dataset(8, seed=1), tiny.dataset(20, seed=2), tiny.dataset(30, seed=3)
    decoys = draw_decoys(others, len(mine), per_picture=2, seed=0)
    found, sent = [], []
    for name, hidden in (("plain", None), ("hidden", decoys)):
        service.seen.clear()
        after = encoder(servers.settings(url, image_size=16), tmp_path / name)
        result = audit_encoders(
            after, mine, controls, views=2, decoys=hidden, settings=AuditSettings(permutations=99), mode="two-view"
        )
        found.append(result.model_copy(update={"warnings": ()}))
        sent.append(sum(len(seen.body["input"]) for seen in service.seen))
    assert found[0] == found[1]
    assert sent[0] < sent[1] <= sum(most_asked(len(mine), len(controls), decoys=2, views=2))


def test_vectors_answered_before_a_failure_are_remembered(service: Service, url: str, tmp_path: Path) -> None:
    settings = servers.settings(url, most_items=2, concurrency=1, retries=0)
    # all later ones fail too: the next request may be on its way before the first failure is known
    service.faults.extend([None, None, *[JSONResponse({}, status_code=500)] * 3])
    remote = encoder(settings, tmp_path)
    with pytest.raises(EndpointFault):
        remote.encode_images(servers.pictures(10))
    assert remote.cost(servers.pictures(10)).cached == 4


def test_answers_under_way_while_another_request_fails_are_remembered(
    service: Service, url: str, tmp_path: Path
) -> None:
    settings = servers.settings(url, most_items=1, concurrency=4, retries=0)
    service.faults.extend([JSONResponse({}, status_code=500)])
    remote = encoder(settings, tmp_path)
    with pytest.raises(EndpointFault):
        remote.encode_images(servers.pictures(4))
    assert remote.cost(servers.pictures(4)).cached == len(service.seen) - 1


def test_the_accepted_half_of_a_refused_request_is_remembered(service: Service, url: str, tmp_path: Path) -> None:
    settings = servers.settings(url, most_items=4, concurrency=1, retries=0)
    service.faults.extend([JSONResponse({}, status_code=413), None, JSONResponse({}, status_code=500)])
    remote = encoder(settings, tmp_path)
    with pytest.raises(EndpointFault):
        remote.encode_images(servers.pictures(4))
    assert remote.cost(servers.pictures(4)).cached == 2


def test_several_threads_may_remember_at_once(tmp_path: Path) -> None:
    begin = threading.Barrier(4)

    def work(number: int) -> None:
        begin.wait()
        for step in range(20):
            key = f"{number}-{step}"
            VectorCache(tmp_path).put({key: np.full(3, number, dtype=np.float32)})
            assert VectorCache(tmp_path).get([key])[key][0] == number

    failed: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(VectorCache(tmp_path).get([f"{n}-{s}" for n in range(4) for s in range(20)])) == 80


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    (tmp_path / "vectors.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(MucError, match=r"vectors\.sqlite.*delete the file") as caught:
        VectorCache(tmp_path).get(["a"])
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_the_memory_lies_in_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder(tmp_path / "encoders" / "far") == tmp_path / "cache" / "remote"
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / "cache" / "remote"
    monkeypatch.delenv("MUC_HOME")
    assert cache_folder().name == "remote"
    assert "muc-audit" in str(cache_folder())


# refused items


def test_every_refused_picture_is_told_with_its_position(service: Service, url: str, tmp_path: Path) -> None:
    images = servers.pictures(70)
    bad = [0, 31, 32, 69]
    images[bad] = torch.tensor([255, 250, 245, 240], dtype=torch.uint8)[:, None, None, None]
    service.refuse = lambda image: bool(image.min() >= 240)
    remote = encoder(servers.settings(url), tmp_path)
    vectors, rejected = remote.encode_images_partially(images)
    assert [index for index, _ in rejected] == bad
    kept = [index for index in range(70) if index not in bad]
    torch.testing.assert_close(vectors, servers.expected(images[kept]), rtol=0, atol=1e-6)
    count = len(service.seen)
    remote.encode_images_partially(images)
    assert len(service.seen) > count  # refusals are not remembered: the service may have changed its mind
    assert remote.cost(images).cached == 66


def test_a_service_with_a_smaller_limit_is_served_smaller_requests(service: Service, url: str) -> None:
    service.most = 5
    images = servers.pictures(20)
    torch.testing.assert_close(
        encoder(servers.settings(url)).encode_images(images), servers.expected(images), rtol=0, atol=1e-6
    )


def test_an_endpoint_that_refuses_everything_is_not_asked_for_ever(service: Service, url: str) -> None:
    service.refuse = lambda image: True
    with pytest.raises(EndpointFault, match=r"refused the first 16 items.*cannot identify"):
        encoder(servers.settings(url, concurrency=1)).encode_images(servers.pictures(200))
    # until the refusal is known in this thread, each of the other requests may be taken up and halved down to one item
    assert len(service.seen) < 5 * GIVE_UP_AFTER


def test_a_single_refused_picture_alone_is_a_rejection(service: Service, url: str) -> None:
    service.refuse = lambda image: True
    vectors, rejected = encoder(servers.settings(url)).encode_images_partially(servers.pictures(1))
    assert vectors.shape == (0, servers.DIMENSION)
    assert [index for index, _ in rejected] == [0]


def test_a_refused_text_is_named(service: Service, url: str) -> None:
    service.knows_text = False
    with pytest.raises(EndpointFault, match=r"refused the text 'a bird'.*no text tower"):
        encoder(servers.settings(url)).encode_texts(["a bird"])


# cost


def test_the_cost_is_known_before_and_is_what_is_sent(service: Service, url: str, tmp_path: Path) -> None:
    remote = encoder(servers.settings(url), tmp_path)
    images = servers.pictures(40)
    remote.encode_images(images[:3])
    service.seen.clear()
    cost = remote.cost(images, ["a", "b"])
    assert service.seen == []
    assert (cost.requests, cost.cached) == (3, 3)
    remote.encode_images(images)
    remote.encode_texts(["a", "b"])
    assert len(service.seen) == cost.requests
    lengths = sum(int(seen.headers["content-length"]) for seen in service.seen)
    assert lengths <= cost.bytes <= lengths + 3 * 500
    assert remote.cost(images, ["a", "b"]) == Cost(0, 0, 42)


@pytest.mark.parametrize("dialect", ["openai-image", "messages", "cohere"])
@pytest.mark.parametrize("size", [16, 64, 224])
def test_the_estimate_from_numbers_alone_is_an_upper_bound(dialect: str, size: int) -> None:
    remote = encoder(servers.settings("https://a.example", dialect, image_size=size))
    noise = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8)
    bound, exact = remote.estimate(5, 2), remote.cost(noise, ["a bird", "a cup"])
    assert bound.requests == exact.requests
    assert exact.bytes <= bound.bytes <= 1.5 * exact.bytes + 2000
    assert remote.estimate(0) == Cost(0, 0, 0)


# progress


@pytest.fixture
def no_word_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress only says what was done, however slow the machine is."""
    monkeypatch.setattr("muc_core.encoders.remote.encoder.REPORT_EVERY_S", 60)


@pytest.mark.usefixtures("no_word_of_waiting")
def test_progress_is_reported_after_each_request(service: Service, url: str) -> None:
    steps = Steps()
    remote = encoder(servers.settings(url, most_items=2, concurrency=1)).reporting_to(steps)
    remote.encode_images(servers.pictures(5))
    assert steps.seen[0] == (0, 5)
    assert steps.seen[-1] == (5, 5)
    assert len(steps.seen) == 4


@pytest.mark.usefixtures("no_word_of_waiting")
def test_whoever_embeds_a_set_is_told_within_a_batch(service: Service, url: str) -> None:
    steps = Steps()
    remote = encoder(servers.settings(url, image_size=48, most_items=4, concurrency=1))
    embed_images(remote, tiny.dataset(14), batch_size=8, progress=steps)
    assert [step for step, _ in steps.seen] == [0, 4, 8, 8, 8, 12, 14, 14]
    assert {total for _, total in steps.seen} == {14}
    assert steps.messages[1] == f"pictures through far: requests to {remote.client.endpoint}"


def test_after_a_pause_that_the_service_asked_for_it_goes_on(service: Service, url: str) -> None:
    service.faults.append(JSONResponse({}, status_code=429, headers={"Retry-After": "1"}))
    steps = Steps()
    encoder(servers.settings(url, concurrency=1)).reporting_to(steps).encode_images(servers.pictures(2))
    assert steps.seen[-1] == (2, 2)


def test_a_pause_that_the_service_asked_for_is_said_and_can_be_given_up_at_once(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muc_core.encoders.remote.encoder.REPORT_EVERY_S", 0.1)
    service.faults.append(JSONResponse({}, status_code=429, headers={"Retry-After": "60"}))
    steps = Steps(words="asked to be left alone")
    began = time.monotonic()
    with pytest.raises(Cancelled):
        encoder(servers.settings(url, concurrency=1)).reporting_to(steps).encode_images(servers.pictures(2))
    assert time.monotonic() - began < 30
    assert re.search(r"asked to be left alone for [3-6]\d s more", steps.messages[-1])


def test_cancelling_stops_between_requests_and_keeps_what_was_paid_for(
    service: Service, url: str, tmp_path: Path
) -> None:
    settings = servers.settings(url, most_items=1, concurrency=2)
    remote = encoder(settings, tmp_path).reporting_to(Steps(cancel_at=3))
    post = remote.client.post

    def patiently(body: Body, stop: threading.Event) -> object:
        """Not faster than the thread that is told of the answers."""
        if len(service.seen) > 3:
            stop.wait(1)
        return post(body, stop)

    remote.client.post = patiently  # type: ignore[method-assign, assignment]
    with pytest.raises(Cancelled):
        remote.encode_images(servers.pictures(60))
    assert len(service.seen) < 30
    assert remote.cost(servers.pictures(60)).cached >= 3


def test_no_more_requests_are_under_way_than_asked_for(service: Service, url: str) -> None:
    remote = encoder(servers.settings(url, most_items=1, concurrency=3))
    running, most = 0, 0
    lock = threading.Lock()
    send = remote.client._send

    def counting(content: bytes) -> object:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return send(content)
        finally:
            with lock:
                running -= 1

    remote.client._send = counting  # type: ignore[method-assign, assignment]
    remote.encode_images(servers.pictures(30))
    assert 2 <= most <= 3
