"""`/docs`: the OpenAPI document as a page. The page loads everything from this process, nothing from the internet.

Swagger UI's files come from the package fastapi-offline. The lock file pins them by hash.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

CONTENT_SECURITY_POLICY: Final = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
"""The page runs only our files, calls only this gateway, and cannot be embedded in another page."""

_PAGES: Final = Path(__file__).with_name("static")
_JAVASCRIPT: Final = "text/javascript; charset=utf-8"
_TYPES: Final = {
    "docs.js": _JAVASCRIPT,
    "swagger-ui-bundle.js": _JAVASCRIPT,
    "swagger-ui.css": "text/css; charset=utf-8",
}
"""Explicit types: a system's guess from the suffix may be wrong, and browsers run no script of another type."""


def _swagger_ui() -> Path:
    """Return the folder of Swagger UI's files. The package is not imported, since its code is not used."""
    found = find_spec("fastapi_offline")
    assert found is not None, "a dependency"
    assert found.submodule_search_locations is not None, "a package"
    return Path(found.submodule_search_locations[0]) / "static"


_FILES: Final = {
    "docs.js": _PAGES / "docs.js",
    **{name: _swagger_ui() / name for name in ("swagger-ui-bundle.js", "swagger-ui.css")},
}


async def _page(_request: Request) -> Response:
    return FileResponse(
        _PAGES / "docs.html",
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"},
    )


def _file(name: str) -> Route:
    async def answer(_request: Request) -> Response:
        return FileResponse(_FILES[name], media_type=_TYPES[name])

    return Route(f"/docs/{name}", answer, methods=["GET"], include_in_schema=False)


routes = [Route("/docs", _page, methods=["GET"], include_in_schema=False), *(_file(name) for name in _FILES)]
