"""Connections that lead where the guard looked: the name is resolved, checked, and the checked address is dialled."""

import logging
import ssl
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpcore
import httpx

from muc_core.encoders.remote.address import resolve

# Its debug log has the headers of answers, where a service may quote the key it was given.
logging.getLogger("httpcore").setLevel(logging.INFO)


@cache
def _tls() -> ssl.SSLContext:
    """One for all: reading the certificates of the authorities takes a while."""
    return httpx.create_ssl_context()


class GuardedBackend(httpcore.NetworkBackend):
    """Opens TCP connections to checked addresses only. TLS still verifies the name, not the address."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        *others, last = resolve(host, port, self._allow_private)
        for address in others:
            try:
                return self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # a name may have IPv6 addresses where the network has none
        return self._plain.connect_tcp(last, port, timeout, local_address, socket_options)


class GuardedTransport(httpx.HTTPTransport):
    """httpx's own transport over `GuardedBackend`.

    Proxies of the environment are not used: behind one, the address that is contacted could not be checked.
    """

    def __init__(self, *, allow_private: bool, connections: int) -> None:
        super().__init__(verify=_tls())
        # httpx has no argument for the network backend; its pool takes one.
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_connections=connections,
            network_backend=GuardedBackend(allow_private),
        )
