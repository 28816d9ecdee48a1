"""Which addresses may be contacted: none inside a private network unless that was allowed, a cloud's metadata never.

A page that fetches whatever URL it is given lets its users reach what only the server can reach (request forgery).
Every address that a name resolves to is checked here, before a request and again at each connection (see `transport`),
so that a name cannot answer with a public address first and a private one later.
"""

import ipaddress
import os
import socket
from urllib.parse import urlsplit

from muc_core.encoders.remote.faults import PrivateAddress, UnknownHost

ALLOW_VARIABLE = "MUC_ALLOW_PRIVATE_URLS"
"""1: private addresses may be allowed; anything else: never; not set: the encoder's own setting decides."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
"""Where clouds tell a machine its secrets: AWS, Google and Azure; ECS; Alibaba; Azure's host; Oracle; AWS over IPv6."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def lock_private_addresses() -> None:
    """Refuse private addresses in this process and those it starts, unless its owner set MUC_ALLOW_PRIVATE_URLS=1.

    For a served deployment, whose users must not reach what the server can reach.
    """
    os.environ.setdefault(ALLOW_VARIABLE, "0")


def private_allowed(asked: bool) -> bool:
    """Whether private addresses may be contacted: it was asked for, and this process does not forbid it."""
    return asked and os.environ.get(ALLOW_VARIABLE, "1") == "1"


def check_url(url: str, *, allow_private: bool) -> tuple[str, ...]:
    """Resolve the host of a URL and check every address it has.

    Args:
        url: http or https.
        allow_private: as the user asked; see `private_allowed`.

    Returns:
        The addresses, as text.

    Raises:
        PrivateAddress: one of them may not be contacted.
        UnknownHost: the name has no address.
    """
    parts = urlsplit(url)
    return resolve(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), allow_private)


def resolve(host: str, port: int, allow_private: bool) -> tuple[str, ...]:
    """As `check_url`, for a host (a name or an address) and a port."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnknownHost(f"the name {host!r} has no address; check the spelling and the network") from None
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    for text in addresses:
        check_address(text, host, allow_private)
    return addresses


def check_address(text: str, host: str, allow_private: bool) -> None:
    """Check one address that `host` resolved to. Raises `PrivateAddress`."""
    for address in _meant(ipaddress.ip_address(text)):
        if address in _METADATA:
            raise PrivateAddress(f"{host} leads to {text}, where a cloud keeps the secrets of its machines; refused")
        if address.is_multicast or not address.is_global:
            if private_allowed(allow_private):
                continue
            how = (
                f"this server's owner can allow it with {ALLOW_VARIABLE}=1"
                if allow_private
                else "allow private addresses (--allow-private) if that is meant"
            )
            raise PrivateAddress(
                f"{host} leads to {text}, an address inside a private network or on this machine; {how}"
            )


def _meant(address: Address) -> tuple[Address, ...]:
    """The address, and the IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    inner: list[Address] = [address]
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner.extend(address.teredo)
    if address in _NAT64:
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    return tuple(inner)
