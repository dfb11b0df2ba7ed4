"""Parse requests that offer another protocol (`Upgrade: h2c`). We support only HTTP/1.1, so we read their bodies.

The parser stops after the head of such a request, as if the other protocol began there. If the body were then parsed as the
next request, it would get an answer. Behind a proxy that shares connections, answers would reach the wrong clients.
"""

from collections.abc import Iterable

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


def framing_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the header lines that give a body's length, or nothing. Names are in lower case."""
    return b"".join(b"%b: %b\r\n" % header for header in headers if header[0] in _FRAMING)


def parser_within_body(protocol: object, framing: bytes) -> httptools.HttpRequestParser:
    """Return a parser that continues where such a body begins. `protocol` must ignore the callbacks of the repeated head."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
    return parser
