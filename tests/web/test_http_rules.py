"""Paths as they are written, and which methods they have."""

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from app.web.server.rules import allowed_methods, plain_path


@pytest.mark.parametrize(
    ("written", "path"),
    [
        (b"/v2/model", "/v2/model"),
        (b"/v2/m%6Fdel", "/v2/model"),
        (b"/v2/caf%C3%A9", "/v2/caf\u00e9"),
        (b"/a%20b%25", "/a b%"),
        (b"/a%2520", "/a%20"),
        (b"/v2/..", "/v2/.."),
        (b"//v2/model", "//v2/model"),
        (b"/%zz%", "/%zz%"),
    ],
)
def test_escapes_of_plain_text_are_decoded(written: bytes, path: str) -> None:
    assert plain_path(written) == path


@pytest.mark.parametrize(
    "written",
    [
        *(b"/v2/model%0a", b"/v2/model%0A", b"/v2/model%0d", b"/v2/model%00", b"/v2/%7f", b"/v2/%1f", b"/v2/a%C2%85"),
        *(b"/v2%2fmodel", b"/v2/a%2Fb", b"/v2/..%2f..", b"/v2/%ff", b"/v2/%c3", b"/v2/%c0%af", b"/v2/%ed%a0%80"),
    ],
)
def test_other_escapes_stay_as_they_are(written: bytes) -> None:
    assert plain_path(written) == written.decode()


async def _nothing(_request: Request) -> Response:
    return Response()


def test_allow_is_of_all_routes_that_have_the_path() -> None:
    routes = [
        Route("/a", _nothing, methods=["POST"]),
        Route("/a", _nothing, methods=["GET"]),
        Route("/{any}", _nothing, methods=["DELETE"]),
        Mount("/m", routes=[Route("/a", _nothing, methods=["PATCH"])]),
        Route("/b/c", _nothing, methods=["PUT"]),
    ]
    allowed = {path: allowed_methods(routes, {"path": path}) for path in ("/a", "/x", "/b/c", "/b")}
    assert allowed == {"/a": "GET, HEAD, POST, DELETE", "/x": "DELETE", "/b/c": "PUT", "/b": "DELETE"}
