"""Loopback ports that are chosen once and then reused."""

import random
import socket
from pathlib import Path

from app.stack.errors import StackError
from app.stack.files import text_of, write_private

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below the ports of outgoing connections: one of those could take a server's port while it restarts, or connect to itself
there."""
_TRIES = 200


def is_free(port: int) -> bool:
    """Return whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def claim_port(memory: Path) -> int:
    """Return the port stored in `memory` if it is free; else choose and store another. Raises StackError."""
    text = text_of(memory)
    if text is not None and is_free(int(text)):
        return int(text)
    for port in random.sample(_PORTS, _TRIES):
        if is_free(port):
            write_private(memory, str(port))
            return port
    raise StackError(f"no free port on {LOOPBACK}")


def listen(host: str, port: int, *, backlog: int = 2048) -> socket.socket:
    """Return a listening socket (port 0: any free port). Raises StackError if that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise StackError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
