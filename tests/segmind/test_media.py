"""Media of `POST /v1/{model}` that a browser would run: handed out as files."""

from uuid import uuid4

import pytest

from app.http_client.guard import Guard
from app.jobs.rows import JobResult
from app.segmind.media import Downloads, media_response
from tests.doubles.raw_server import Peer, answer, raw_server

BODY = b"<script>alert(1)</script>"
ACTIVE = [
    "text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "application/xml", "text/xml", "application/xhtml+xml",
    "text/javascript", "application/pdf", "multipart/x-mixed-replace;boundary=x", "message/rfc822", "x",
]  # fmt: skip
# without a type it is handed on as bytes, which no browser runs
PASSIVE = [
    "",
    "image/png",
    "image/jpeg",
    "video/mp4",
    "audio/mpeg",
    "text/plain",
    "application/octet-stream",
    "IMAGE/WEBP",
]


@pytest.mark.parametrize("media_type", [*ACTIVE, *PASSIVE])
async def test_what_a_browser_would_run_is_an_attachment(media_type: str) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(answer(BODY, "200 OK", f"content-type: {media_type}"))

    async with raw_server(script) as server:
        row = JobResult(
            id=uuid4(), body=f'{{"output":"{server.url}/x"}}'.encode(), charged_micro=1, available_micro=2,
            state="completed", error_code=None, message=None, withdrawn=False,
        )  # fmt: skip
        found = await media_response(Downloads(server.url, Guard(())), row)
    assert found.body == BODY
    assert found.headers.get("content-disposition") == ("attachment" if media_type in ACTIVE else None)
