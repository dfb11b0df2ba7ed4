"""The upstream's request history: what it remembers of every request on our key, page by page.

It may lag, list a request once per output, tell a cost later or never, rewrite bodies, or be down.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from ssl import SSLContext
from typing import Final
from urllib.parse import quote, urlencode

from app.http_client.caller import Caller, Limits
from app.upstream.history_rows import PER_PAGE, HistoryPage, HistoryRow, read_page, read_row
from app.upstream.readings import NotRead, get_json

WINDOW_DAYS_MAX: Final = 7
"""The upstream answers at most 31 days at once; deep pages are what is slow, so a call asks for less."""
PAGES_MAX: Final = 10_000
"""Of one window: beyond it, something repeats itself."""
PAGE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bodies are in the rows; where a hundred of them are more, fewer rows are asked for."""
PAGE_SIZES: Final = (PER_PAGE, 10, 1)
TRIES: Final = 4
PATH: Final = "/inference-request/request-history"


class HistoryClient:
    """Reads the history, one call at a time; one per process or command, made in its loop."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        page_seconds: float = 60,
        page_bytes_max: int = PAGE_BYTES_MAX,
        pause_seconds: float = 1.0,
        ssl_context: SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        """`pause_seconds`: before a call is tried again, doubled each time."""
        self._pause_seconds = pause_seconds
        self._caller = Caller(
            url,
            headers={"x-api-key": api_key},
            connections_max=2,
            keep_alive=True,
            limits=Limits(min(page_seconds, 5), page_seconds, page_seconds, page_bytes_max),
            ssl_context=ssl_context,
            proxy=proxy,
        )

    async def find(self, upstream_id: str) -> HistoryRow | None:
        """One request, however old; None where the history does not know it (yet). Raises NotRead."""
        answer = await self._get(f"{PATH}/{quote(upstream_id, safe='')}")
        if answer is None:
            return None
        inner = answer.get("data", answer) if isinstance(answer, dict) else answer
        if isinstance(inner, list):
            inner = inner[0] if inner else None
        row = read_row(inner)
        if row is None or row.upstream_id != upstream_id:
            raise NotRead("another_request", transient=False)
        return row

    async def read(self, *, since: datetime, until: datetime, model: str | None = None) -> AsyncIterator[HistoryPage]:
        """Every page that can hold requests accepted in [since, until), oldest first; whole days of UTC, so others, too.

        A request may be on several pages. Raises NotRead: then the window has not been read to its end.
        """
        day, last = since.date(), until.date()
        while day <= last:
            ends = min(day + timedelta(days=WINDOW_DAYS_MAX - 1), last)
            query = {"from_date": day.isoformat(), "to_date": ends.isoformat()}
            if model is not None:
                query["model_name"] = model
            async for page in self._read_days(query):
                yield page
            day = ends + timedelta(days=1)

    async def _read_days(self, query: dict[str, str]) -> AsyncIterator[HistoryPage]:
        sizes = iter(PAGE_SIZES)
        size, number, before = next(sizes), 1, None
        while number <= PAGES_MAX:
            try:
                page = await self._page(query, number, size)
            except NotRead as error:
                smaller = next(sizes, None)
                if error.detail not in ("body_too_large", "too_many_values") or smaller is None:
                    raise
                # what was read so far is read again where the sizes do not divide: nobody minds a row twice
                number, size, before = (number - 1) * size // smaller + 1, smaller, None
                continue
            if page.rows == before and len({row.upstream_id for row in page.rows}) > 1:
                raise NotRead("page_repeated", transient=False)
            before = page.rows
            yield page
            if not page.more:
                return
            number += 1
        raise NotRead("too_many_pages", transient=False)

    async def _page(self, query: dict[str, str], number: int, size: int) -> HistoryPage:
        asked = {
            "page": str(number), "per_page": str(size), **query, "sort_by": "model_created", "sort_order": "asc",
        }  # fmt: skip
        answer = await self._get(f"{PATH}?{urlencode(asked)}")
        if answer is None:
            raise NotRead("http_404", transient=False)
        return read_page(answer, page=number, per_page=size)

    async def _get(self, target: str) -> object | None:
        pause_seconds = self._pause_seconds
        for left in reversed(range(TRIES)):
            try:
                return await get_json(self._caller, target)
            except NotRead as error:
                if not error.transient or left == 0:
                    raise
                await asyncio.sleep(max(pause_seconds, error.retry_after_seconds or 0.0))
                pause_seconds *= 2
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Close every connection."""
        await self._caller.close()
