"""The answer of `POST /v1/{model}`: the media itself if the result is a file, else JSON."""

import json
import re

from starlette.responses import Response

from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.core.logs.redaction import redacted_body, redacted_text
from app.core.off_loop import run_sized
from app.http_client.caller import Limits
from app.http_client.guard import Guard
from app.jobs.rows import JobResult
from app.segmind.fetcher import Fetcher, NotFetched
from app.segmind.schemas import credits_number, json_response, shown_result
from app.upstream.json_members import NotAnObject, bytes_of, slices, string_of

log = get_logger(__name__)

MEDIA_BYTES_MAX = 64 * 1024 * 1024
DOWNLOAD_SECONDS = 60.0
DOWNLOADS_MAX = 16
NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
PASSIVE = re.compile(
    r"(?:image|audio|video)/[a-z0-9.-]{1,100}|text/plain|application/(?:json|octet-stream)", re.IGNORECASE
)
"""Media types that a browser does not execute. It would execute HTML, SVG and other XML as pages of the gateway."""
MEDIA_TYPE = re.compile(r"[!-~][ -~]{0,199}")
"""Printable ASCII only, because the text goes into a header."""


class Downloads:
    """Fetches the files of finished jobs, from the upstream's host and port and from addresses that the guard allows."""

    def __init__(self, upstream_url: str, guard: Guard) -> None:
        limits = Limits(
            connect_seconds=5,
            quiet_seconds=DOWNLOAD_SECONDS,
            total_seconds=DOWNLOAD_SECONDS,
            body_bytes_max=MEDIA_BYTES_MAX,
        )
        self._fetcher = Fetcher(guard, limits=limits, at_once=DOWNLOADS_MAX, trusted_url=upstream_url)

    async def find(self, url: str) -> tuple[bytes, str] | None:
        """Returns (bytes, media type), or None if the file may not or cannot be fetched."""
        try:
            fetched = await self._fetcher.get(url)
        except NotFetched as error:
            log.warning("media.not_fetched", cause=error.reason)
            return None
        media_type = redacted_text(fetched.media_type or "")
        if not MEDIA_TYPE.fullmatch(media_type):
            media_type = "application/octet-stream"
        return await redacted_body(fetched.content), media_type


async def media_response(downloads: Downloads, row: JobResult) -> Response:
    """The answer for a COMPLETED job: its file, or the provider's JSON of a language model, or the whole result. Raises
    ResultWithdrawn."""
    shown = show_id("job", row.id)
    body, parts = await run_sized(len(row.body or b""), lambda: _shown_parts(row))
    headers = {
        "x-request-id": shown,
        "x-cost": credits_number(row.charged_micro),
        "x-remaining-credits": credits_number(row.available_micro or 0),
        **_metric_headers(parts.get("metrics")),
    }
    output = string_of(parts.get("output")) or ""
    if output.startswith(("http://", "https://")):
        found = await downloads.find(output)
        if found is not None:
            if not PASSIVE.fullmatch(found[1].partition(";")[0].strip()):
                headers["Content-Disposition"] = "attachment"  # a browser saves it instead of executing it
            return Response(found[0], media_type=found[1], headers=headers)
    return json_response(_provider_json(output) or body, headers=headers)


def _shown_parts(row: JobResult) -> tuple[bytes, dict[str, str]]:
    body = shown_result(row)
    return body, slices(body, "output", "metrics")


def _provider_json(output: str) -> bytes | None:
    """The JSON that the output of a language model contains, as bytes. None if it contains none."""
    if not output.lstrip().startswith(("{", "[")):
        return None
    try:
        json.loads(output)
        return bytes_of(output)
    except (ValueError, RecursionError):  # not JSON, nested too deep, or not encodable as UTF-8
        return None


def _metric_headers(metrics: str | None) -> dict[str, str]:
    names = {"x-generation-time": "inference_time"}
    try:
        found = slices(bytes_of(metrics or "{}"), *names.values())
    except NotAnObject:
        return {}
    return {header: found[name] for header, name in names.items() if NUMBER.fullmatch(found.get(name, ""))}
