"""Answers that the connection itself gives, and the transport of an answer to a request that is not whole."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import orjson

RESPONSE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer: no cache keeps what a tenant or an operator was shown, and no browser guesses what it is."""


def last_answer(status: int, code: str, words: str, *, retry: int | None = None) -> bytes:
    """A whole refusal, after which the connection ends; its body has the members of both surfaces' errors. `retry`: seconds."""
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
    """Writes as the connection's own transport does; `ended` is called where that one would be closed."""

    def __init__(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._ended = ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._transport.is_closing()

    def close(self) -> None:
        """The answer is whole."""
        self._ended()
