"""Inbound HTTP/1.1: uvicorn's parser, with a bound on the head of a request, and its own refusals in JSON."""

from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
"""Request line and headers together; the parser itself gathers them without end."""


RESPONSE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer: no cache keeps what a tenant or an operator was shown, and no browser guesses what it is."""


class HeadTooLarge(Exception):
    """The head of a request has outgrown HEAD_BYTES_MAX."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _in_head = True
    _ended = False
    """A message ended in the present read."""
    _came_bytes = 0
    """Of the present head, in whole reads that held nothing else."""
    _head_bytes = 0
    """Of the present head, as far as it is parsed."""

    def data_received(self, data: bytes) -> None:
        """Parse; a header that does not end is not handed on, so what has come is counted, too."""
        self._ended = False
        super().data_received(data)
        if self._in_head and not self._ended and not self.transport.is_closing():
            self._came_bytes += len(data)
            if self._came_bytes > HEAD_BYTES_MAX:
                self.send_400_response("")

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The end of the head."""
        self._in_head = False
        self._came_bytes = self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The end of the body; what comes next is another head."""
        self._in_head = self._ended = True
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            raise HeadTooLarge

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets no route; its answer has the members of both surfaces' errors."""
        if max(self._head_bytes, self._came_bytes) > HEAD_BYTES_MAX:
            status, code, words = 431, "headers_too_large", f"the head of the request has over {HEAD_BYTES_MAX} bytes"
        else:
            status, code, words = 400, "invalid_http", "this is no valid HTTP request"
        phrase = HTTPStatus(status).phrase
        problem = {"type": "about:blank", "title": phrase, "status": status, "detail": words, "code": code}
        body = orjson.dumps({"error": words, **problem, "errors": []})
        fixed = "".join(f"{name}: {value}\r\n" for name, value in RESPONSE_HEADERS.items())
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"{fixed}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
