"""Which addresses are refused, however they are written and whatever a name resolves to, and when."""

import socket
from typing import Any

import pytest
from fastapi.responses import RedirectResponse

from muc_core.encoders.remote.address import ALLOW_VARIABLE, check_address, check_url, lock_private_addresses
from muc_core.encoders.remote.client import Client
from muc_core.encoders.remote.connect import connect
from muc_core.encoders.remote.encoder import RemoteEncoder
from muc_core.encoders.remote.faults import EndpointFault, PrivateAddress
from tests.unit.encoders.remote import servers
from tests.unit.encoders.remote.servers import Service

PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.1.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%1",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "2002:c0a8:101::",
]
METADATA = ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254"]
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Let names resolve to the given addresses, one list for each time they are asked, the last one for ever."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused_unless_allowed(address: str) -> None:
    with pytest.raises(PrivateAddress, match="--allow-private"):
        check_address(address, "host.example", False)
    check_address(address, "host.example", True)


@pytest.mark.parametrize("address", METADATA)
def test_the_metadata_of_clouds_is_refused_even_then(address: str) -> None:
    for allowed in (False, True):
        with pytest.raises(PrivateAddress, match="secrets"):
            check_address(address, "host.example", allowed)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_let_pass(address: str) -> None:
    check_address(address, "host.example", False)


@pytest.mark.parametrize(
    "url", ["http://localhost", "http://127.1", "http://2130706433", "http://0x7f000001/v1", "http://[::1]:8600"]
)
def test_other_ways_to_write_this_machine_are_seen_through(url: str) -> None:
    with pytest.raises(PrivateAddress):
        check_url(url, allow_private=False)


def test_every_address_of_a_name_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["1.1.1.1", "10.0.0.7"])
    with pytest.raises(PrivateAddress, match=r"mixed\.example leads to 10\.0\.0\.7"):
        check_url("https://mixed.example/v1", allow_private=False)
    resolving(monkeypatch, ["1.1.1.1", "8.8.8.8"])
    assert check_url("https://public.example/v1", allow_private=False) == ("1.1.1.1", "8.8.8.8")


def test_a_name_without_an_address_is_named() -> None:
    with pytest.raises(EndpointFault, match=r"nowhere\.invalid"):
        check_url("https://nowhere.invalid/v1", allow_private=False)


def test_a_deployment_refuses_private_addresses_whatever_an_encoder_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW_VARIABLE)
    check_address("127.0.0.1", "here", True)
    lock_private_addresses()
    with pytest.raises(PrivateAddress, match="MUC_ALLOW_PRIVATE_URLS=1"):
        check_address("127.0.0.1", "here", True)
    monkeypatch.setenv(ALLOW_VARIABLE, "1")
    lock_private_addresses()
    check_address("127.0.0.1", "here", True)
    with pytest.raises(PrivateAddress):
        check_address("127.0.0.1", "here", False)


def test_nothing_is_sent_to_a_private_address(service: Service, url: str) -> None:
    remote = servers.settings(url, allow_private=False)
    with pytest.raises(PrivateAddress):
        connect(remote)
    encoder = RemoteEncoder("r", "0", remote, client=Client(remote), cache=None)
    with pytest.raises(PrivateAddress):
        encoder.encode_images(servers.pictures(1))
    assert service.seen == []


def test_a_name_that_changes_its_address_after_the_check_is_caught(
    monkeypatch: pytest.MonkeyPatch, service: Service, url: str
) -> None:
    port = url.rsplit(":", 1)[1]
    resolving(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    remote = servers.settings(f"http://rebinding.example:{port}", allow_private=False)
    with pytest.raises(PrivateAddress, match=r"rebinding\.example leads to 127\.0\.0\.1"):
        connect(remote)
    assert service.seen == []


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, service: Service, url: str
) -> None:
    port = url.rsplit(":", 1)[1]
    resolving(monkeypatch, ["127.0.0.1"])
    connect(servers.settings(f"http://some.example:{port}"))
    assert {seen.headers["host"] for seen in service.seen} == {f"some.example:{port}"}


def test_the_environment_s_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch, service: Service, url: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert connect(servers.settings(url)).dimension == servers.DIMENSION


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/v1/embeddings"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(service: Service, url: str, target: str, status: int) -> None:
    service.faults.append(RedirectResponse(target, status_code=status))
    with pytest.raises(EndpointFault, match="redirect to http"):
        connect(servers.settings(url))
    assert len(service.seen) == 1
