"""Limits by address, for requests without a valid key. For a request with a valid key the address is not read."""

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
    """How often one address may fail at one kind of request."""

    name: str
    rate: Rate

    def bucket(self, address: str) -> Bucket:
        """The bucket of this address."""
        return Bucket("address", f"{PREFIX}{self.name}:{address}", self.rate, afterwards=True)


SUBMITS = Limit("strangers", Rate(600, 600))
"""Submits without a valid key."""
LOGINS = Limit("logins", Rate(10, 10))
"""Requests with an invalid operator key."""


class Strangers:
    """The limits by address of one API process. They have their own limiter, so that a flood of invalid keys delays
    no tenant's submits and removes no tenant's level from memory."""

    def __init__(self, redis_url: str, *, trusted: Sequence[Network]) -> None:
        self._rates = RateLimiter(redis_url)
        self._trusted = trusted
        self._look_up = asyncio.Lock()

    def share_among(self, processes: int) -> None:
        """Set how many processes share the limits while Redis is unavailable."""
        self._rates.share_among(processes)

    def address_of(self, request: Request) -> str:
        """The address by which a request is counted, as text."""
        peer = None if request.client is None else request.client.host
        return source_of(peer, request.headers.getlist("x-forwarded-for"), trusted=self._trusted)

    def failed(self, address: str, limit: Limit) -> Standing | None:
        """Count one more failure, and return None. At the limit, return how full it is, and count nothing."""
        bucket = limit.bucket(address)
        standing = self._rates.find_exhausted(bucket)
        if standing is None:
            self._rates.charge_afterwards(bucket)
        return standing

    @asynccontextmanager
    async def looking_up(self, address: str, limit: Limit) -> AsyncIterator[None]:
        """Surround a look-up in the database. The addresses that have reached their limit look up one at a time."""
        if self._rates.find_exhausted(limit.bucket(address)) is None:
            yield
            return
        async with self._look_up:
            yield

    async def close(self) -> None:
        """Send the last charges, and disconnect."""
        await self._rates.close()


async def submitter(request: Request) -> Principal:
    """Return who submits. Raises Unauthorized, StoreUnavailable, and TooManyRefused if the address sent too many invalid keys."""
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
