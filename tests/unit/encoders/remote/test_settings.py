"""What settings accept, where requests go, and that none of it has room for a key."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from muc_core.encoders.load import load_encoder
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.remote.settings import RemoteSettings, read_settings
from muc_core.errors import MucError
from tests.unit.encoders.remote import servers


@pytest.mark.parametrize(
    ("url", "dialect", "endpoint"),
    [
        ("https://a.example", "jina", "https://a.example/v1/embeddings"),
        ("https://a.example/", "jina", "https://a.example/v1/embeddings"),
        ("https://a.example/v1", "jina", "https://a.example/v1/embeddings"),
        ("https://a.example/v1/embeddings/", "jina", "https://a.example/v1/embeddings"),
        ("http://a.example:7997/embeddings", "openai-image", "http://a.example:7997/embeddings"),
        ("https://a.example/proxy/v1", "openai-image", "https://a.example/proxy/v1/embeddings"),
        ("https://a.example/proxy", "openai-image", "https://a.example/proxy/v1/embeddings"),
        ("https://api.cohere.com", "cohere", "https://api.cohere.com/v2/embed"),
        ("https://api.voyageai.com/v1", "voyage", "https://api.voyageai.com/v1/multimodalembeddings"),
        ("http://a.example:51000", "clip-as-service", "http://a.example:51000/post"),
        ("https://[2606:4700::1]:8443/v1", "jina", "https://[2606:4700::1]:8443/v1/embeddings"),
        (" HTTPS://A.example ", "jina", "https://a.example/v1/embeddings"),
    ],
)
def test_the_path_is_completed(url: str, dialect: str, endpoint: str) -> None:
    assert servers.settings(url, dialect).endpoint == endpoint


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "ftp://a.example"}, "http:// or https://"),
        ({"url": "a.example/v1"}, "http:// or https://"),
        ({"url": "https://"}, "name a host"),
        ({"url": "https://a.example:port"}, "is not a URL"),
        ({"url": "https://[::1"}, "is not a URL"),
        ({"url": f"https://me:{servers.KEY}@a.example"}, "user name or password"),
        ({"url": f"https://a.example?key={servers.KEY}"}, r"before \? and #"),
        ({"url": "https://a.example/a b"}, "spaces"),
        ({"dialect": "smoke-signals"}, "there is no dialect"),
        ({"number_type": "int8"}, "float, base64 only"),
        ({"number_type": "complex"}, "Input should be"),
        ({"model": ""}, "needs the name of a model"),
        ({"most_items": 33}, "at most 32 items"),
        ({"image_size": 4}, "greater than or equal to 8"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"key_environment": servers.KEY}, "String should match pattern"),
        ({"key_environment": "A", "key_keyring": {"service": "s", "user": "u"}}, "not from both"),
        ({"url": "http://a.example", "key_environment": "A", "allow_private": False}, "over https only"),
        ({"key": servers.KEY}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_work_is_refused_without_repeating_a_key(changed: dict[str, Any], said: str) -> None:
    values = {"url": "https://a.example", "dialect": "openai-image", "model": "m"} | changed
    with pytest.raises((ValidationError, MucError), match=said) as caught:
        RemoteSettings(**values)
    assert servers.KEY not in str(caught.value)
    assert servers.KEY not in repr(caught.value)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    settings = servers.settings(
        "https://a.example", key_keyring={"service": "s", "user": "u"}, number_type="base64", most_items=3
    )
    path = tmp_path / "remote.json"
    path.write_bytes(settings.to_json())
    assert read_settings(path) == settings


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"url": 3}', b"\xff\xfe"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "remote.json"
    path.write_bytes(content)
    with pytest.raises(MucError, match=r"remote\.json"):
        read_settings(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MucError, match=r"remote\.json cannot be read"):
        read_settings(tmp_path / "remote.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "https://b.example"},
        {"dialect": "data-uri"},
        {"model": "other"},
        {"image_size": 32},
        {"interpolation": "bilinear"},
        {"picture_format": "jpeg"},
        {"number_type": "base64"},
    ],
)
def test_the_identity_changes_with_what_decides_the_vectors(changed: dict[str, Any]) -> None:
    settings = servers.settings("https://a.example")
    assert servers.settings("https://a.example", timeout_s=3, retries=0).identity == settings.identity
    assert RemoteSettings(**settings.model_dump() | changed).identity != settings.identity


def _manifest(**changed: Any) -> EncoderManifest:
    return EncoderManifest(
        **{"name": "far", "title": "far", "family": "remote", "architecture": "m", "weights_digest": "0"} | changed
    )


def test_an_encoder_of_unknown_length_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "remote.json").write_bytes(servers.settings("https://a.example", dimension=None).to_json())
    with pytest.raises(MucError, match="length of the vectors of 'far' is not known"):
        load_encoder(_manifest(), tmp_path)


def test_preprocessing_is_the_service_s_own_and_not_ignored_in_silence(tmp_path: Path) -> None:
    (tmp_path / "remote.json").write_bytes(servers.settings("https://a.example").to_json())
    assert load_encoder(_manifest(), tmp_path).image_size == 16
    with pytest.raises(MucError, match="the service prepares the pictures"):
        load_encoder(_manifest(preprocessing=Preprocessing(size=32)), tmp_path)
