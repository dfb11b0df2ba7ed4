"""General rules of HTTP, the same for every route: HEAD, escapes in a path, `Allow`."""

import re
from collections.abc import Awaitable, Sequence
from typing import Final
from urllib.parse import unquote

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""The methods of all routes. Every route with GET also answers HEAD."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class HttpRules:
    """Passes requests to an application: HEAD becomes GET, and escapes in the path are decoded.

    The server still knows the method, so it answers HEAD with headers only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Call the application. This is no coroutine: one more would cost every request a microsecond."""
        if scope["type"] == "http":
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
            raw = scope.get("raw_path", b"")
            if b"%" in raw:
                scope = {**scope, "path": plain_path(raw)}
        return self._app(scope, receive, send)


def plain_path(raw: bytes) -> str:
    """Return the path with decoded escapes, or as written if one means `/`, a control character, or invalid UTF-8.

    Such a path belongs to no route and names no model or job. If it were decoded, `%0a` at its end would be ignored: `$` in
    a route's pattern also matches before a line break.
    """
    written = raw.decode("ascii")
    try:
        path = unquote(written, errors="strict")
    except UnicodeDecodeError:
        return written
    return written if _CONTROL.search(path) or path.count("/") != written.count("/") else path


def allowed_methods(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """Return the value of `Allow` for a request: the methods of all routes with its path."""
    found = []
    for method in METHODS:
        asked = {"type": "http", "path": scope["path"], "method": method, "headers": []}
        if any(route.matches(asked)[0] is Match.FULL for route in routes):
            found += ["GET", "HEAD"] if method == "GET" else [method]
    return ", ".join(found)
