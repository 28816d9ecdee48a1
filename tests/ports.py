"""Ports for servers that are started after their address is known."""

import random
import socket
from contextlib import suppress

PORTS = range(20_000, 29_000)
"""Below those that the system hands out: one of these could be given to another program before the server has it."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
