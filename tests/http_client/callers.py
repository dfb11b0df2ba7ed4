"""A caller for the tests of outbound HTTP, which leaves no call and no connection behind."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

from app.http_client.caller import Called, Caller, Limits
from app.http_client.exchange import BeforeSend


class Http:
    """Calls the server of a test at `/`."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def get(self, target: str = "/", **given: Any) -> Called:
        return await self.caller.call("GET", target, **given)

    async def post(self, body: bytes = b"x", *, before_send: BeforeSend | None = None, **given: Any) -> Called:
        return await self.caller.call("POST", "/", body=body, before_send=before_send, **given)

    @property
    def busy(self) -> int:
        """How many calls are on."""
        return len(self.caller._exchanges)

    @property
    def idle(self) -> int:
        """How many connections wait for another call."""
        connector: Any = self.caller._session.connector
        return sum(len(kept) for kept in connector._conns.values())


@contextlib.asynccontextmanager
async def calling(
    url: str,
    *,
    keep_alive: bool = True,
    connections_max: int = 4,
    connect_seconds: float = 30,
    quiet_seconds: float = 30,
    total_seconds: float = 60,
    idle_seconds: float = 15,
    body_bytes_max: int = 10_000,
    ssl_context: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    **given: Any,
) -> AsyncIterator[Http]:
    made = Caller(
        url,
        headers=headers or {},
        connections_max=connections_max,
        keep_alive=keep_alive,
        limits=Limits(connect_seconds, quiet_seconds, total_seconds, body_bytes_max),
        idle_seconds=idle_seconds,
        ssl_context=ssl_context,
        **given,
    )
    try:
        yield Http(made)
        assert made._exchanges == set(), "a call was left behind"
    finally:
        await made.close()
