"""Reads the upstream's request history, page by page. It lists every request on our key.

The history may lag, list a request once for each output, show a cost late or never, change bodies, or be unavailable.
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
"""The upstream answers at most 31 days in one request. Deep pages are slow, so a call asks for fewer days."""
PAGES_MAX: Final = 10_000
"""The most pages of one window. More pages mean that something repeats."""
REPEATS_MAX: Final = 5
"""So many pages in a row may equal the one before, if the newest come first."""
PAGE_BYTES_MAX: Final = 32 * 1024 * 1024
"""The rows contain the bodies. If a hundred are larger than this, fewer rows are requested."""
PAGE_SIZES: Final = (PER_PAGE, 10, 1)
TRIES: Final = 4
PATH: Final = "/inference-request/request-history"


class HistoryClient:
    """Reads the history, one call at a time. A process or command has one, created in its event loop."""

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
        """`pause_seconds`: the wait before a call is retried. It doubles each time."""
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
        """Return one request of any age, or None if the history does not have it (yet). Raises NotRead."""
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
        """Yield every page that can have requests accepted in [since, until), oldest first; also others, as it reads
        whole days of UTC.

        A request may be on several pages. Raises NotRead: then the window was not read to its end.
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

    async def read_newest(self, *, since: datetime, until: datetime) -> AsyncIterator[HistoryPage]:
        """Yield the pages of requests accepted in [since, until] and others, the newest first, until one is older than `since`.

        Requests that are accepted meanwhile move others to later pages, so that some come twice. Raises NotRead.
        """
        query = {"from_date": since.date().isoformat(), "to_date": until.date().isoformat()}
        async for page in self._read_days(query, newest_first=True):
            yield page
            if any(row.created_at is not None and row.created_at < since for row in page.rows):
                return

    async def _read_days(self, query: dict[str, str], *, newest_first: bool = False) -> AsyncIterator[HistoryPage]:
        sizes = iter(PAGE_SIZES)
        size, number, before, repeated = next(sizes), 1, None, 0
        query = {**query, "sort_by": "model_created", "sort_order": "desc" if newest_first else "asc"}
        while number <= PAGES_MAX:
            try:
                page = await self._page(query, number, size)
            except NotRead as error:
                smaller = next(sizes, None)
                if error.detail not in ("body_too_large", "too_many_values") or smaller is None:
                    raise
                # If the sizes do not divide evenly, some rows are read twice. Callers accept that.
                number, size, before = (number - 1) * size // smaller + 1, smaller, None
                continue
            again = page.rows == before and len({row.upstream_id for row in page.rows}) > 1
            repeated = repeated + 1 if again else 0
            # a page may repeat if as many requests as it holds were accepted since the one before
            if repeated > (REPEATS_MAX if newest_first else 0):
                raise NotRead("page_repeated", transient=False)
            before = page.rows
            yield page
            if not page.more:
                return
            number += 1
        raise NotRead("too_many_pages", transient=False)

    async def _page(self, query: dict[str, str], number: int, size: int) -> HistoryPage:
        asked = {"page": str(number), "per_page": str(size), **query}
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
