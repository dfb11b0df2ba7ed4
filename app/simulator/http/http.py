"""Requests and answers as plain values, for the connection and for the code that makes answers."""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Literal

import orjson

JSON = b"application/json"
HTML = b"text/html; charset=utf-8"

REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
    302: "Found", 303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request",
    401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 409: "Conflict", 410: "Gone", 413: "Content Too Large", 422: "Unprocessable Entity",
    425: "Too Early", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


@dataclass(slots=True)
class Request:
    """One complete request."""

    method: str
    path: str
    query: str
    host: str
    key: str
    bearer: bool
    """Whether an Authorization header was sent."""
    content_type: bytes
    body: bytes
    too_large: bool = False


@dataclass(slots=True)
class Answer:
    """One complete answer."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[str, str], ...] = ()
    close_idle_seconds: float | None = None
    """The connection is closed this many seconds after the answer, even if it is in use."""

    def head(self, now: float) -> bytes:
        """The bytes before the body. `now`: for the Date, in seconds since 1970."""
        lines = b"HTTP/1.1 %d %b\r\n" % (self.status, REASONS.get(self.status, "Unknown").encode())
        given = {name.lower() for name, _ in self.headers}
        if "date" not in given:
            lines += _date(int(now))
        if "content-type" not in given:
            lines += b"content-type: %b\r\n" % self.content_type
        if "content-length" not in given and "transfer-encoding" not in given:
            lines += b"content-length: %d\r\n" % len(self.body)
        for name, value in self.headers:
            lines += f"{name}: {value}\r\n".encode("latin-1")
        return lines + b"\r\n"


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return b"date: %b\r\n" % formatdate(seconds, usegmt=True).encode()


@dataclass(slots=True)
class Cut:
    """The connection ends (or sends nothing more) after a part of the answer."""

    how: Literal["close", "reset", "hang"]
    after: Literal["nothing", "header", "body"] = "nothing"
    """Nothing, half of the header, or the header and half of the body."""
    answer: Answer | None = None


@dataclass(slots=True)
class Later:
    """The answer is made `seconds` from now, even if the client is gone."""

    seconds: float
    make: Callable[[], "Answer | Cut | Later"]


Reply = Answer | Cut | Later


def error(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """The upstream's error: `{"error": "<words for people>"}`."""
    return Answer(status, orjson.dumps({"error": text}), headers=headers)


def html(status: int) -> Answer:
    """The answer of a server in front of the upstream."""
    title = f"{status} {REASONS.get(status, 'Unknown')}"
    page = f"<!doctype html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Answer(status, page.encode(), HTML)
