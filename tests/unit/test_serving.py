"""Serving an encoder: three dialects, limits, keys, hostile pictures; and the same audit near and far."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import SecretStr
from torch import Tensor
from typer.testing import CliRunner

from muc_core.cli import app as muc_app
from muc_core.comparison import Comparison, compare
from muc_core.data.decode import decode_image, to_square_tensor
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.base import Encoder
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.remote.address import ALLOW_VARIABLE
from muc_core.encoders.remote.connect import connect, remote_manifest
from muc_core.encoders.remote.faults import EndpointFault
from muc_core.encoders.remote.numbers import NumberType
from muc_core.encoders.remote.settings import RemoteSettings
from muc_core.errors import BadImage, MissingTextTower, MucError
from muc_core.serving import Limits, serve
from muc_core.similarity import Similarity
from muc_core.workspace import Workspace
from tests import hostile, tiny
from tests.unit.encoders.remote.servers import KEY, running

DIALECTS = ("openai-image", "jina", "data-uri")


class Means:
    """Embeds a picture as the mean of each colour, a text as its length."""

    name, family, digest, image_size, dimension = "means", "test", "0", 8, 3
    interpolation: Interpolation = "bicubic"

    def __init__(self, *, has_text: bool = True, spoil: float | None = None) -> None:
        self.has_text = has_text
        self.spoil = spoil

    def encode_images(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 8, 8)
        vectors = images.float().mean(dim=(2, 3))
        if self.spoil is not None:
            vectors[-1] = self.spoil
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        if not self.has_text:
            raise MissingTextTower("no text")
        return torch.tensor([[float(len(text)), 0, 0] for text in texts])


def png(colour: tuple[int, int, int] = (10, 20, 30), size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def uri(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(serve(Means(), limits=Limits(items=4, body_bytes=2**20, picture_bytes=2**17))) as url:
        yield url


def ask(address: str, body: Any, **more: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | more.pop("headers", {})
    return httpx.post(f"{address}/v1/embeddings", content=content, headers=headers, trust_env=False, timeout=30)


def vectors_of(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert [entry["index"] for entry in answer.json()["data"]] == list(range(len(answer.json()["data"])))
    return [entry["embedding"] for entry in answer.json()["data"]]


# dialects


@pytest.mark.parametrize(
    "body",
    [
        {"modality": "image", "input": [uri(png()), uri(png((1, 2, 3)))], "model": "means"},
        {"input": [{"image": base64.b64encode(png()).decode()}, {"image": uri(png((1, 2, 3)))}]},
        {"input": [uri(png()), uri(png((1, 2, 3)))], "encoding_format": "float", "user": "me"},
    ],
    ids=DIALECTS,
)
def test_pictures_come_in_three_dialects(address: str, body: dict[str, Any]) -> None:
    assert vectors_of(ask(address, body)) == [[10, 20, 30], [1, 2, 3]]
    kind = "embedding_type" if "image" in str(body["input"][0]) and isinstance(body["input"][0], dict) else None
    packed = vectors_of(ask(address, body | {kind or "encoding_format": "base64"}))
    assert np.frombuffer(base64.b64decode(packed[0]), dtype="<f4").tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    "body",
    [
        {"modality": "text", "input": ["four", "data:image/png;base64,"]},
        {"input": [{"text": "four"}, {"text": "data:image/png;base64,"}]},
        {"input": ["four", "data: 22 letters of it"]},
    ],
    ids=DIALECTS,
)
def test_texts_come_in_three_dialects(address: str, body: dict[str, Any]) -> None:
    assert vectors_of(ask(address, body)) == [[4, 0, 0], [22, 0, 0]]


def test_pictures_and_texts_keep_their_order(address: str) -> None:
    mixed = [{"text": "four"}, {"image": uri(png())}, {"text": "seven.."}]
    assert vectors_of(ask(address, {"input": mixed})) == [[4, 0, 0], [10, 20, 30], [7, 0, 0]]
    assert vectors_of(ask(address, {"input": "four"})) == [[4, 0, 0]]


def test_pictures_are_cut_and_resized_as_files_are(address: str) -> None:
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = (50, 60, 70)
    buffer = BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    assert vectors_of(ask(address, {"input": [uri(buffer.getvalue())]})) == [[50, 60, 70]]


def test_the_model_and_its_health_can_be_asked_for(address: str) -> None:
    (model,) = httpx.get(f"{address}/v1/models").json()["data"]
    assert (model["id"], model["dimension"], model["image_size"], model["has_text"]) == ("means", 3, 8, True)
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}
    assert httpx.get(f"{address}/docs").status_code == 404


# refusals


def bomb() -> bytes:
    """A PNG of 40,000 x 40,000 pixels in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    side = (40_000).to_bytes(4, "big")
    parts = (
        chunk(b"IHDR", side + side + b"\x08\x02\x00\x00\x00") + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + parts


HOSTILE = {
    "empty": b"",
    "text": b"not a picture",
    "cut short": png(size=(64, 64))[:60],
    "bomb": bomb(),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "too small": png(size=(2, 2)),
    "pickle": b"\x80\x04cposix\nsystem\n",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_hostile_picture_is_refused_and_named(address: str, dialect: str, content: bytes) -> None:
    good, bad = uri(png()), uri(content)
    bodies: dict[str, dict[str, Any]] = {
        "openai-image": {"modality": "image", "input": [good, bad]},
        "jina": {"input": [{"image": good}, {"image": bad}]},
        "data-uri": {"input": [good, bad]},
    }
    answer = ask(address, bodies[dialect])
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "input[1]"
    assert error["message"].startswith("input[1]")
    assert "Traceback" not in answer.text


@pytest.fixture(scope="module")
def roomy() -> Iterator[str]:
    with running(serve(Means())) as url:
        yield url


@pytest.mark.parametrize("case", hostile.hostile_cases())
def test_odd_files_are_read_or_refused_as_from_a_disk(roomy: str, case: str) -> None:
    _, content = hostile.hostile_upload(case)
    answer = ask(roomy, {"input": [{"image": base64.b64encode(content).decode()}]})
    refusal, expected = None, None
    try:
        picture = to_square_tensor(decode_image(content, "input[0]").image, 8)
        expected = Means().encode_images(picture[None]).tolist()
    except BadImage as error:
        refusal = str(error)
    if refusal is not None:
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == refusal
    else:
        assert vectors_of(answer) == expected


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "cannot be read"),
        (b"{", 400, "cannot be read"),
        (b"[" * 100_000, 400, "cannot be read"),
        ({}, 400, "input: Field required"),
        ({"input": []}, 400, "at least 1 item"),
        ({"input": [3]}, 400, "input"),
        ({"input": ["a"], "model": "other"}, 404, "no model 'other' here"),
        ({"input": ["a"], "modality": "sound"}, 400, "modality"),
        ({"input": ["a"], "encoding_format": "int8"}, 400, "encoding_format"),
        ({"input": ["a"] * 5}, 413, "at most 4"),
        ({"input": ["a" * 10_001]}, 400, "more than 10,000 characters"),
        ({"input": [uri(b"0" * 2**17 + b"1")]}, 413, "smaller picture"),
        ({"input": ["a" * 2**20]}, 413, "more than 1 MB"),
        ({"input": ["https://a.example/cat.png"], "modality": "image"}, 400, "addresses are not fetched"),
        ({"input": ["data:image/png,raw"]}, 400, "not a data URI in base64"),
        ({"input": ["data:image/png;base64,***"]}, 400, "not valid base64"),
        ({"input": [{"image": "***"}]}, 400, "not valid base64"),
        ({"input": [{"image": "AAAA", "text": "a"}]}, 400, "input"),
    ],
)
def test_other_requests_are_refused_with_a_sentence(address: str, body: Any, status: int, said: str) -> None:
    answer = ask(address, body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]


def test_a_body_of_unstated_length_is_limited_too(address: str) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 2**16

    answer = httpx.post(
        f"{address}/v1/embeddings", content=parts(), headers={"content-type": "application/json"}, timeout=30
    )
    assert answer.status_code == 413


def test_a_form_that_a_foreign_page_could_send_is_refused(address: str) -> None:
    answer = ask(address, {"input": ["a"]}, headers={"content-type": "text/plain"})
    assert answer.status_code == 415


def test_an_encoder_without_texts_says_so() -> None:
    with running(serve(Means(has_text=False))) as url:
        answer = ask(url, {"input": ["four"]})
        assert answer.status_code == 400
        assert "has no text tower" in answer.json()["error"]["message"]


def test_vectors_that_an_endpoint_would_have_compared_by_cosine_are_not_served() -> None:
    curved = Means()
    curved.similarity = Similarity("lorentz", 1.0)  # type: ignore[attr-defined]
    with pytest.raises(MucError, match="compared by lorentz distance, and who asks an endpoint"):
        serve(curved)


def test_numbers_that_are_not_finite_are_not_served() -> None:
    with running(serve(Means(spoil=float("nan")))) as url:
        answer = ask(url, {"input": [uri(png()), uri(png())]})
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == "input[1]"


def test_a_key_is_wanted_where_there_is_one() -> None:
    with running(serve(Means(), key=SecretStr(KEY))) as url:
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": KEY},
            {"authorization": "Bearer é".encode()},
        ):
            answer = ask(url, {"input": ["four"]}, headers=headers)
            assert answer.status_code == 401
            assert KEY not in answer.text
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/health").status_code == 200
        assert vectors_of(ask(url, {"input": ["four"]}, headers={"authorization": f"Bearer {KEY}"})) == [[4, 0, 0]]


# the same audit


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[str]]:
    """Two tiny CLIP encoders in a workspace."""
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    names = ["before", "after"]
    for seed, name in enumerate(names):
        manifest = EncoderManifest(name=name, title=name, family="clip", architecture="muc-tiny")
        workspace.save_encoder(manifest, tiny.clip().build("muc-tiny", seed).state_dict())
    return workspace, names


@contextmanager
def far(workspace: Workspace, names: Sequence[str], dialect: str, number_type: NumberType) -> Iterator[list[Encoder]]:
    """The encoders of those names behind URLs, added to the workspace under others."""
    found: list[Encoder] = []
    with running(serve(workspace.load(names[0]))) as one, running(serve(workspace.load(names[1]))) as two:
        for name, url in zip(names, (one, two), strict=True):
            settings = RemoteSettings(
                url=url,
                dialect=dialect,
                model=name,
                image_size=48,
                number_type=number_type,
                allow_private=True,
            )
            manifest, files = remote_manifest(f"{name}-{dialect}-{number_type}", settings, connect(settings))
            workspace.add_encoder(manifest, files)
            found.append(workspace.load(manifest.name))
        yield found


@pytest.mark.parametrize(
    ("dialect", "number_type"),
    [("openai-image", "float"), ("jina", "float"), ("data-uri", "float"), ("jina", "base64")],
)
def test_a_served_encoder_and_its_file_give_the_same_audit(
    pair: tuple[Workspace, list[str]], dialect: str, number_type: NumberType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    workspace, names = pair
    demo, split = load_demo(), demo_split()
    items, controls = demo.subset(split.forget[:9]), demo.subset(split.held_out[:6])

    def audits(before: Encoder, after: Encoder) -> list[Comparison]:
        return [
            compare(before, after, items, controls=controls, mode="image-text"),
            compare(before, after, items, controls=controls, mode="two-view", views=2),
        ]

    near = audits(*(workspace.load(name) for name in names))
    with far(workspace, names, dialect, number_type) as encoders:
        distant = audits(*encoders)
    for one, other in zip(near, distant, strict=True):
        assert other.before_encoder.family == "remote"
        assert other.mode == one.mode
        for side in ("before", "after"):
            mine, theirs = getattr(one, side), getattr(other, side)
            np.testing.assert_allclose(theirs.picture.matrix, mine.picture.matrix, atol=1e-5)
            np.testing.assert_allclose(theirs.items.positive, mine.items.positive, atol=1e-5)
            np.testing.assert_allclose(theirs.items.margin, mine.items.margin, atol=1e-5)
        np.testing.assert_allclose(other.gap.matrix, one.gap.matrix, atol=1e-5)
        np.testing.assert_allclose(other.gap_per_item, one.gap_per_item, atol=1e-5)
        assert one.controls is not None
        assert other.controls is not None
        np.testing.assert_allclose(other.controls.gap, one.controls.gap, atol=1e-5)
        assert other.finding == one.finding
        assert float(np.abs(one.gap.matrix).max()) > 1e-3


def test_first_contact_without_the_key_says_so(
    pair: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    workspace, names = pair
    with running(serve(workspace.load(names[0]), key=SecretStr(KEY))) as url:
        settings = RemoteSettings(url=url, dialect="jina", model=names[0], image_size=48, allow_private=True)
        with pytest.raises(EndpointFault, match="wants a key"):
            connect(settings)


# the command


def test_the_command_serves_until_it_is_stopped(pair: tuple[Workspace, list[str]]) -> None:
    workspace, names = pair
    command = [
        sys.executable,
        "-c",
        "from muc_core.cli import app; app()",
        "serve-encoder",
        names[0],
        "--port",
        "0",
        "--json",
    ]
    environment = os.environ | {"MUC_HOME": str(workspace.home), "OMP_NUM_THREADS": "1", "TEST_SERVE_KEY": KEY}
    with subprocess.Popen(
        [*command, "--key-environment", "TEST_SERVE_KEY"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        while (line := process.stdout.readline()) not in ("}\n", ""):
            lines.append(line)
        told = json.loads("".join(lines) + "}")
        assert (told["model"], told["dimension"], told["wants_key"]) == ("before", 128, True)
        answer = httpx.post(
            told["url"],
            json={"input": ["a bird"], "model": "before"},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=60,
        )
        assert len(vectors_of(answer)[0]) == 128
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert KEY not in rest + errors
    assert "Traceback" not in errors


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    return Workspace()


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(muc_app, ["serve-encoder", *arguments])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return re.sub(r"\s+", " ", result.stderr)


def test_the_command_refuses_what_cannot_be_served(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no encoder 'nobody'" in refused("nobody")
    settings = RemoteSettings(url="https://a.example", dialect="jina", model="m", dimension=3)
    manifest = EncoderManifest(name="far", title="far", family="remote", architecture="m")
    home.add_encoder(manifest, {"remote.json": settings.to_json()})
    assert "is behind a URL itself" in refused("far")
    tiny_manifest = EncoderManifest(name="near", title="near", family="clip", architecture="muc-tiny")
    home.save_encoder(tiny_manifest, tiny.clip().build("muc-tiny", 0).state_dict())
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    assert "NO_SUCH_KEY is not set" in refused("near", "--key-environment", "NO_SUCH_KEY")
    with running(serve(Means())) as url:
        assert "choose another with --port" in refused("near", "--port", url.rsplit(":", 1)[1])
