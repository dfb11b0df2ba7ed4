"""What `POST /v1/{model}` answers with: the media itself where the result is a file, else JSON."""

import json
import re
from urllib.parse import urlsplit

from starlette.responses import Response

from app.core.db import Row
from app.core.http import ExchangeError, open_client
from app.core.ids import show_id
from app.core.log import get_logger
from app.core.redaction import redacted_body, redacted_text
from app.segmind.schemas import credits_number, json_response, shown_result
from app.upstream.wire import NotAnObject, bytes_of, slices, string_of

log = get_logger(__name__)

MEDIA_BYTES_MAX = 64 * 1024 * 1024
DOWNLOAD_SECONDS = 60.0
DOWNLOADS_MAX = 16
NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
UNSAFE = re.compile(r"[^\x21-\x7e]")


class Downloads:
    """Fetches finished files, from the upstream's own hosts alone: any other address could be one of our network's."""

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        self._own = (parts.scheme, parts.netloc)
        labels = (parts.hostname or "").split(".")
        named = len(labels) > 2 and not labels[-1].isdigit()
        self._family = "." + ".".join(labels[1:]) if named else None
        self._client = open_client(
            connections_max=DOWNLOADS_MAX,
            keep_alive=False,
            connect_seconds=5,
            read_seconds=DOWNLOAD_SECONDS,
            total_seconds=DOWNLOAD_SECONDS,
            body_bytes_max=MEDIA_BYTES_MAX,
            wait_seconds=DOWNLOAD_SECONDS,
        )

    def allowed(self, url: str) -> bool:
        """The upstream's own host and port, or over https a sibling of it: api.example.com and images.example.com."""
        if UNSAFE.search(url):
            return False
        try:
            parts = urlsplit(url)
            if (parts.scheme, parts.netloc) == self._own:
                return True
            plain = parts.scheme == "https" and parts.port in (None, 443) and parts.username is None
        except ValueError:
            return False
        return plain and self._family is not None and (parts.hostname or "").endswith(self._family)

    async def find(self, url: str) -> tuple[bytes, str] | None:
        """(bytes, media type), or None where it may not or cannot be had."""
        if not self.allowed(url):
            return None
        try:
            answer = await self._client.get(url)
        except ExchangeError as error:
            log.warning("media.not_fetched", cause=repr(error))
            return None
        if answer.status_code != 200:
            log.warning("media.not_fetched", status=answer.status_code)
            return None
        media_type = redacted_text(answer.headers.get("content-type", "application/octet-stream"))
        return await redacted_body(answer.content), media_type

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


async def media_response(downloads: Downloads, row: Row) -> Response:
    """The answer for a COMPLETED job: its file, the provider's own JSON of a language model, or the whole result."""
    shown = show_id("job", row["id"])
    body = shown_result(row)
    parts = slices(body, "output", "metrics")
    headers = {
        "x-request-id": shown,
        "x-cost": credits_number(row["charged_micro"]),
        "x-remaining-credits": credits_number(row["available_micro"]),
        **_metric_headers(parts.get("metrics")),
    }
    output = string_of(parts.get("output")) or ""
    if output.startswith(("http://", "https://")):
        found = await downloads.find(output)
        if found is not None:
            return Response(found[0], media_type=found[1], headers=headers)
    return json_response(_provider_json(output) or body, headers=headers)


def _provider_json(output: str) -> bytes | None:
    """The output of a language model as the JSON it holds, None where it holds none."""
    if not output.lstrip().startswith(("{", "[")):
        return None
    try:
        json.loads(output)
        return bytes_of(output)
    except (ValueError, RecursionError):  # no JSON, or nothing that has a UTF-8
        return None


def _metric_headers(metrics: str | None) -> dict[str, str]:
    names = {"x-generation-time": "inference_time"}
    try:
        found = slices(bytes_of(metrics or "{}"), *names.values())
    except NotAnObject:
        return {}
    return {header: found[name] for header, name in names.items() if NUMBER.fullmatch(found.get(name, ""))}
