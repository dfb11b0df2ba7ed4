"""A scripted DNS server over UDP, and a resolver that asks it: each name has a list of answers, one for each time it is asked."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import cast

A, AAAA = 1, 28
Script = Mapping[str, Sequence[Sequence[str]]]
"""By name: the addresses of the first answer, of the second …; the last is given for ever."""


class _Server(asyncio.DatagramProtocol):
    def __init__(self, script: Script) -> None:
        self._script = script
        self._asked: dict[str, int] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, kind = _question(data)
        answers = self._script.get(name, [[]])
        turn = self._asked[name] = self._asked.get(name, -1) + (kind == A)
        addresses = [ip_address(one) for one in answers[min(max(turn, 0), len(answers) - 1)]]
        wanted = [one.packed for one in addresses if one.version == (4 if kind == A else 6)]
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(one)) + one for one in wanted)
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(wanted), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + data[12:] + records, addr)


def _question(data: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), struct.unpack(">H", data[at + 1 : at + 3])[0]


@asynccontextmanager
async def name_server(script: Script) -> AsyncIterator[int]:
    """Its UDP port on the loopback."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(script), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def lookup(port: int, name: str) -> list[str]:
    """All addresses of a name by the server at this port. Blocks; sends datagrams without connecting."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        for kind in (A, AAAA):
            labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
            question = labels + b"\0" + struct.pack(">HH", kind, 1)
            sock.sendto(b"\x12\x34" + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + question, ("127.0.0.1", port))
            data = sock.recv(4096)
            at = 12 + len(question)
            for _ in range(struct.unpack(">H", data[6:8])[0]):
                length = struct.unpack(">H", data[at + 10 : at + 12])[0]
                found.append(str(ip_address(data[at + 12 : at + 12 + length])))
                at += 12 + length
    return found
