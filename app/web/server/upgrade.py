"""Requests that offer another protocol (`Upgrade: h2c`). We speak HTTP/1.1 alone, so their bodies are read as any other.

The parser stops behind the head of such a request, as if the other protocol began there. Taken for the next request, a body
would be answered as one: behind a proxy that shares its connections, the answers would reach the wrong clients.
"""

from collections.abc import Iterable

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


def framing_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The header lines that say how long a body is; empty where there is none. Names are in lower case."""
    return b"".join(b"%b: %b\r\n" % one for one in headers if one[0] in _FRAMING)


def parser_within_body(protocol: object, framing: bytes) -> httptools.HttpRequestParser:
    """A parser that goes on where such a body begins; `protocol` must ignore what it calls meanwhile."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
    return parser
