"""HTTP's general rules about requests, the same for every route: HEAD, escapes in a path, `Allow`."""

import re
from collections.abc import Awaitable, Sequence
from typing import Final
from urllib.parse import unquote

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Of all routes; HEAD is answered wherever GET is."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class HttpRules:
    """Hands requests on to an application, HEAD as GET and with a plain path.

    The server still knows the method: it sends the headers of the answer to HEAD, and no body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine of its own: that would cost every request a microsecond."""
        if scope["type"] == "http":
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
            raw = scope.get("raw_path", b"")
            if b"%" in raw:
                scope = {**scope, "path": plain_path(raw)}
        return self._app(scope, receive, send)


def plain_path(raw: bytes) -> str:
    """The path without its escapes; as it was written where one stands for `/`, a control character or no UTF-8.

    Such a path belongs to no route and names no model or job. With the escapes decoded, `%0a` at its end would be
    overlooked: `$` in the pattern of a route matches before a line break, too.
    """
    written = raw.decode("ascii")
    try:
        path = unquote(written, errors="strict")
    except UnicodeDecodeError:
        return written
    return written if _CONTROL.search(path) or path.count("/") != written.count("/") else path


def allowed_methods(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """The value of `Allow` for the path of a request: the methods of all routes that have it."""
    found = []
    for method in METHODS:
        asked = {"type": "http", "path": scope["path"], "method": method, "headers": []}
        if any(route.matches(asked)[0] is Match.FULL for route in routes):
            found += ["GET", "HEAD"] if method == "GET" else [method]
    return ", ".join(found)
