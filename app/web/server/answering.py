"""Answers of the connection itself, and the transport for an answer to an incomplete request."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import orjson

RESPONSE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer: no cache stores the data of a tenant or an operator, and no browser guesses the type."""


def last_answer(status: int, code: str, words: str, *, retry: int | None = None) -> bytes:
    """Return a complete refusal, after which the connection is closed. Its body has the members of both surfaces' errors.
    `retry`: seconds."""
    phrase = HTTPStatus(status).phrase
    problem = {"type": "about:blank", "title": phrase, "status": status, "detail": words, "code": code}
    body = orjson.dumps({"error": words, **problem, "errors": []})
    fixed = "".join(f"{name}: {value}\r\n" for name, value in RESPONSE_HEADERS.items())
    again = "" if retry is None else f"retry-after: {retry}\r\n"
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"{fixed}{again}connection: close\r\n\r\n"
    )
    return head.encode() + body


class Answering(asyncio.Transport):
    """Writes to the connection's transport. Instead of closing it, it calls `ended`."""

    def __init__(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._ended = ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Return whether the connection is closed or closing."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Handle the end of the answer."""
        self._ended()
