"""Limits by address, on requests whose key is missing or bad. A request with a good key is never asked for its address."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from app.core.addresses import Network, source_of
from app.core.errors import Unauthorized
from app.limits.buckets import Standing
from app.limits.rate_script import PREFIX, Bucket
from app.limits.rates import RateLimiter
from app.limits.refused import TooManyRefused
from app.tenants.auth import Principal
from app.tenants.decide import Rate


@dataclass(frozen=True, slots=True)
class Limit:
    """What one address may fail at."""

    name: str
    rate: Rate

    def bucket(self, address: str) -> Bucket:
        """The limit of this address."""
        return Bucket("address", f"{PREFIX}{self.name}:{address}", self.rate, afterwards=True)


SUBMITS = Limit("strangers", Rate(600, 600))
"""Submits without a good key."""
LOGINS = Limit("logins", Rate(10, 10))
"""Operators' keys that are none."""


class Strangers:
    """One API process's limits by address. They have a limiter of their own, so that a flood of strangers delays no
    tenant's submits and pushes no tenant's level out of memory."""

    def __init__(self, redis_url: str, *, trusted: Sequence[Network]) -> None:
        self._rates = RateLimiter(redis_url)
        self._trusted = trusted
        self._look_up = asyncio.Lock()

    def share_among(self, processes: int) -> None:
        """So many processes share the limits where Redis is away."""
        self._rates.share_among(processes)

    def address_of(self, request: Request) -> str:
        """Where a request comes from, as it is counted."""
        peer = None if request.client is None else request.client.host
        return source_of(peer, request.headers.getlist("x-forwarded-for"), trusted=self._trusted)

    def failed(self, address: str, limit: Limit) -> Standing | None:
        """Count one more failure. Where the limit is reached already: how it stands, and nothing is counted."""
        bucket = limit.bucket(address)
        standing = self._rates.find_exhausted(bucket)
        if standing is None:
            self._rates.charge_afterwards(bucket)
        return standing

    @asynccontextmanager
    async def looking_up(self, address: str, limit: Limit) -> AsyncIterator[None]:
        """Around a look-up in the database: one at a time of all addresses that have reached their limit."""
        if self._rates.find_exhausted(limit.bucket(address)) is None:
            yield
            return
        async with self._look_up:
            yield

    async def close(self) -> None:
        """Make the last charges, and disconnect."""
        await self._rates.close()


async def submitter(request: Request) -> Principal:
    """Who submits; raises Unauthorized, StoreUnavailable, and TooManyRefused for an address with too many bad keys."""
    state = request.app.state
    strangers: Strangers = state.strangers
    try:
        principal: Principal = await state.keyring.authenticate(
            x_api_key=request.headers.get("x-api-key"), authorization=request.headers.get("authorization")
        )
    except Unauthorized:
        standing = strangers.failed(strangers.address_of(request), SUBMITS)
        if standing is not None:
            raise TooManyRefused(standing) from None
        raise
    return principal
