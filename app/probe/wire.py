"""The calls of a probe. Each returns the whole exchange, without our secrets."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from app.core.clock import monotonic
from app.core.logs.redaction import redacted_body, redacted_headers
from app.http_client.caller import Called, Caller, Limits
from app.upstream.classify import Exchange
from app.upstream.history import PATH
from app.upstream.history_rows import PER_PAGE

CLOCKS: Final = timedelta(hours=1)
"""The days around a probe are asked for by the upstream's clock."""
ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
_SUBMIT: Final = Limits(5, 30, 30, 1024 * 1024)
_READ: Final = Limits(5, 15, 60, ANSWER_BYTES_MAX)


class ProbeWire:
    """The upstream, for one probe. Created in its event loop. Only `submit` starts anything, and it is called once."""

    def __init__(self, *, url: str, history_url: str, api_key: str, proxy: str | None) -> None:
        """`history_url` may be empty: then there is no history."""
        headers = {"x-api-key": api_key}

        def caller(base: str, limits: Limits, *, keep_alive: bool) -> Caller:
            return Caller(base, headers=headers, connections_max=1, keep_alive=keep_alive, limits=limits, proxy=proxy)

        self.has_history = bool(history_url)
        self._submits = caller(url, _SUBMIT, keep_alive=False)
        self._reads = caller(url, _READ, keep_alive=True)
        self._history = caller(history_url or url, _READ, keep_alive=True)

    async def submit(self, *, model: str, body: bytes, before_send: Callable[[], Awaitable[None]]) -> Exchange:
        """Send the probe. Raises only what `before_send` raises, and then nothing was sent."""
        began_at = monotonic()
        called = await self._submits.call("POST", f"/v2/{model}", body=body, before_send=before_send)
        return await _exchange(called, began_at)

    async def status(self, upstream_id: str) -> Exchange:
        """Ask for its state."""
        return await _get(self._reads, f"/v2/requests/{quote(upstream_id, safe='')}/status")

    async def result(self, upstream_id: str) -> Exchange:
        """Ask for its result, which it may not have yet."""
        return await _get(self._reads, f"/v2/requests/{quote(upstream_id, safe='')}")

    async def history(self, *, model: str, since: datetime, until: datetime) -> Exchange:
        """Read the newest requests of the model in the days of this window."""
        asked = {
            "page": "1", "per_page": str(PER_PAGE), "from_date": (since - CLOCKS).date().isoformat(),
            "to_date": (until + CLOCKS).date().isoformat(), "model_name": model, "sort_by": "model_created",
            "sort_order": "desc",
        }  # fmt: skip
        return await _get(self._history, f"{PATH}?{urlencode(asked)}")

    async def history_of(self, upstream_id: str) -> Exchange:
        """Read its row alone."""
        return await _get(self._history, f"{PATH}/{quote(upstream_id, safe='')}")

    async def close(self) -> None:
        """Close every connection."""
        for caller in (self._submits, self._reads, self._history):
            await caller.close()


async def _get(caller: Caller, target: str) -> Exchange:
    began_at = monotonic()
    return await _exchange(await caller.call("GET", target), began_at)


async def _exchange(called: Called, began_at: float) -> Exchange:
    headers = redacted_headers(called.headers)
    return Exchange(
        sent=called.sent,
        status_code=called.status_code,
        duration_seconds=monotonic() - began_at,
        body=await redacted_body(called.body),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in headers},
        failure=called.failure,
    )
