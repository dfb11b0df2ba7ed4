"""A small local receiver for `waystation webhook listen` and the demo: it verifies webhooks and passes them on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from standardwebhooks import Webhook, WebhookVerificationError

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 1024 * 1024
READ_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """One POST. verified: it has a recent signature by a known secret; None if no secret is known."""

    id: str
    body: bytes
    verified: bool | None


Secrets = Callable[[], Sequence[str]]


@asynccontextmanager
async def receiving(
    secrets: Secrets, on_arrival: Callable[[Arrived], None], *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Run the receiver during the block; yields its URL. Answers 204, 401 if the signature is wrong, 405 if not a POST of at
    most BODY_BYTES_MAX."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                arrived = await _read(reader, secrets())
                if arrived is not None:
                    on_arrival(arrived)
                writer.write(_answer(arrived))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            writer.transport.abort()  # a broken request; the sender retries
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port, limit=HEAD_BYTES_MAX)
    async with server:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}/"


async def _read(reader: asyncio.StreamReader, secrets: Sequence[str]) -> Arrived | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    if not first.startswith("POST ") or not 0 <= length <= BODY_BYTES_MAX:
        return None
    body = await reader.readexactly(length)
    return Arrived(headers.get("webhook-id", ""), body, _verified(headers, body, secrets) if secrets else None)


def _verified(headers: dict[str, str], body: bytes, secrets: Sequence[str]) -> bool:
    for secret in secrets:
        try:
            Webhook(secret).verify(body, headers, json_parse=False)
        except (WebhookVerificationError, UnicodeDecodeError, ValueError):
            continue
        return True
    return False


def _answer(arrived: Arrived | None) -> bytes:
    status = "405 Method Not Allowed" if arrived is None else "204 No Content"
    if arrived is not None and arrived.verified is False:
        status = "401 Unauthorized"
    return f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
