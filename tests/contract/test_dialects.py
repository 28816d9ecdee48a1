"""Every dialect against a real server that reads requests as the service's documentation describes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from muc_core.encoders.remote.address import ALLOW_VARIABLE
from muc_core.encoders.remote.client import Client
from muc_core.encoders.remote.connect import connect, remote_manifest
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.encoder import RemoteEncoder
from muc_core.encoders.remote.faults import BadAnswer, RejectedPictures
from muc_core.encoders.remote.settings import RemoteSettings
from muc_core.workspace import Workspace
from tests.unit.encoders.remote import servers
from tests.unit.encoders.remote.servers import Service

ALL = DIALECTS.names()
KINDS = [(dialect.name, kind) for dialect in DIALECTS for kind in dialect.number_types]


@pytest.fixture(scope="module")
def _served() -> Iterator[tuple[Service, str]]:
    service = Service()
    with servers.running(service.app) as url:
        yield service, url


@pytest.fixture
def service(_served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    service, _ = _served
    service.__init__()  # type: ignore[misc]
    return service


@pytest.fixture
def url(_served: tuple[Service, str]) -> str:
    return _served[1]


def encoder(settings: RemoteSettings) -> RemoteEncoder:
    return RemoteEncoder("r", "0", settings, client=Client(settings), cache=None)


def test_the_dialects_are_those_the_services_speak() -> None:
    assert set(ALL) == set(servers.PATHS)
    assert {dialect.name: dialect.path for dialect in DIALECTS} == servers.PATHS


@pytest.mark.parametrize("dialect", ALL)
def test_pictures_arrive_pixel_by_pixel_and_vectors_come_back_in_order(
    dialect: str, service: Service, url: str
) -> None:
    images = servers.pictures(7)
    remote = encoder(servers.settings(url, dialect))
    torch.testing.assert_close(remote.encode_images(images), servers.expected(images), rtol=0, atol=1e-6)
    assert {seen.path for seen in service.seen} == {servers.PATHS[dialect]}
    most = DIALECTS.get(dialect).most_items
    assert len(service.seen) == -(-7 // most)


@pytest.mark.parametrize("dialect", ALL)
def test_texts_are_embedded(dialect: str, service: Service, url: str) -> None:
    texts = ["a bird", "ünïcödé 🐦", "data"]
    vectors = encoder(servers.settings(url, dialect)).encode_texts(texts)
    for text, vector in zip(texts, vectors, strict=True):
        torch.testing.assert_close(vector, torch.from_numpy(servers.text_vector(text)).float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("dialect", "kind"), KINDS)
def test_every_kind_of_numbers_is_read(dialect: str, kind: str, service: Service, url: str) -> None:
    images = servers.pictures(3)
    vectors = encoder(servers.settings(url, dialect, number_type=kind)).encode_images(images)
    wanted = servers.expected(images)
    if kind in ("int8", "uint8"):
        wanted = (wanted * 255).round() - 128
    if kind in ("binary", "ubinary"):
        wanted = (wanted > 0.5).float() * 2 - 1
    torch.testing.assert_close(vectors, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dialect", ALL)
def test_the_first_contact_finds_length_and_texts_and_the_encoder_is_stored(
    dialect: str, service: Service, url: str, tmp_path: Path
) -> None:
    settings = servers.settings(url, dialect, dimension=None, has_text=False)
    info = connect(settings)
    assert (info.dimension, info.has_text, info.number_type) == (servers.DIMENSION, True, "float")
    assert not info.is_normalised
    manifest, files = remote_manifest("far", settings, info)
    workspace = Workspace(tmp_path)
    workspace.add_encoder(manifest, files)
    stored = workspace.load("far")
    assert (stored.dimension, stored.has_text, stored.image_size) == (servers.DIMENSION, True, 16)
    images = servers.pictures(2)
    torch.testing.assert_close(stored.encode_images(images), servers.expected(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dialect", ALL)
def test_one_refused_picture_does_not_sink_the_others(dialect: str, service: Service, url: str) -> None:
    images = servers.pictures(5)
    images[3] = 255
    service.refuse = lambda image: bool(image.min() == 255)
    remote = encoder(servers.settings(url, dialect))
    vectors, rejected = remote.encode_images_partially(images)
    assert [index for index, _ in rejected] == [3]
    assert "cannot identify image file" in rejected[0][1]
    torch.testing.assert_close(vectors, servers.expected(images[[0, 1, 2, 4]]), rtol=0, atol=1e-6)
    with pytest.raises(RejectedPictures, match="refused 1 of 5 pictures") as caught:
        remote.encode_images(images)
    assert caught.value.indices == (3,)


@pytest.mark.parametrize("dialect", ALL)
def test_an_endpoint_without_texts_is_said_to_have_none(dialect: str, service: Service, url: str) -> None:
    service.knows_text = False
    info = connect(servers.settings(url, dialect))
    assert not info.has_text
    assert "no text tower" in (info.text_refusal or "")


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda rows: rows[:-1], r"gave \d vectors for|expected"),
        (lambda rows: [[*rows[0], 0.5], *rows[1:]], "vector of 49 numbers; expected 48"),
        (lambda rows: [["a"] * 48, *rows[1:]], "more than numbers"),
        (lambda rows: [None, *rows[1:]], "gave nothing where a vector was expected"),
        (lambda rows: [[1e39] * 48, *rows[1:]], "not finite"),
        (lambda rows: ["no base64", *rows[1:]], "not base64"),
    ],
    ids=["count", "length", "words", "nothing", "infinite", "text"],
)
def test_answers_that_are_no_vectors_are_refused_by_name(
    dialect: str,
    fault: object,
    said: str,
    service: Service,
    url: str,
) -> None:
    service.spoil = fault  # type: ignore[assignment]
    with pytest.raises(BadAnswer, match=said) as caught:
        encoder(servers.settings(url, dialect)).encode_images(servers.pictures(2))
    assert url + servers.PATHS[dialect] in str(caught.value)


@pytest.mark.parametrize("dialect", ["openai-image", "jina", "data-uri", "voyage"])
def test_an_index_out_of_order_is_sorted(dialect: str, service: Service, url: str) -> None:
    service.shuffle = True
    images = servers.pictures(6)
    vectors = encoder(servers.settings(url, dialect)).encode_images(images)
    torch.testing.assert_close(vectors, servers.expected(images), rtol=0, atol=1e-6)
