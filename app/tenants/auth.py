"""Authentication: finds the tenant of the API key in a request."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Generic, TypeVar
from uuid import UUID

from app.core.clock import monotonic
from app.core.database.db import Database
from app.core.errors import Forbidden, StoreUnavailable, Unauthorized
from app.core.process.batch import Batcher, Overloaded
from app.tenants.decide import Rate
from app.tenants.keys import hash_key, parse_key
from app.tenants.models import Scope
from app.tenants.queries import KnownKey, list_known_keys
from app.web.parse_budget import Allowance

BELIEVED_SECONDS = 3.0
"""How long an answer of the database is cached, from the start of its query."""

LOOKUP_SECONDS = 4.0
"""Timeout of one look-up. A revoked key is refused within the longer of the two times; the contract says 5 s."""

KNOWN_MAX = 10_000
UNKNOWN_MAX = 10_000
LOOKUP_ROWS_MAX = 200
LINGER_SECONDS = 0.01
"""How long a look-up of a key not known to be valid waits for others: random keys cause at most 100 statements a second."""
SEEN_SECONDS = 3_600.0
"""For how long after it was found valid a key is looked up without this wait."""
WAITING_MAX = 10_000

MISSING = "no API key: send it as `x-api-key`, or as `Authorization: Bearer`"
MALFORMED = "malformed API key: it is incomplete or mistyped"
REFUSED = "invalid API key: unknown, expired or revoked"


class ScopeMissing(Forbidden):
    """403: the key does not have the scope."""

    code = "scope_missing"

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this API key lacks the scope {scope}", extra={"scope": str(scope)})


class TenantSuspended(Forbidden):
    """403: the tenant is suspended. It may read, but not write."""

    code: ClassVar[str] = "tenant_suspended"

    def __init__(self) -> None:
        super().__init__("this tenant is suspended: it may read, but not write")


@dataclass(frozen=True, slots=True)
class Principal:
    """The tenant and key of a request."""

    tenant_id: UUID
    tenant_name: str
    key_id: UUID
    scopes: frozenset[Scope]
    suspended: bool
    rate: Rate
    key_rate: Rate | None = None
    """The key's own limit, in addition to its tenant's. None: only its tenant's."""
    models: frozenset[str] | None = None
    """Slugs of the models that it may use. None: any."""
    max_price_micro: int | None = None
    """The highest price of a job that it may submit, in micro-credits. None: any."""
    default_price_micro: int | None = None
    """The price of models without a price, in micro-credits. None: the one in the settings."""
    refused_per_minute: int | None = None
    """How many submits may be refused in a minute. None: ten times the rate."""

    @property
    def allowance(self) -> Allowance:
        """The parse budget of its tenant."""
        return Allowance(self.tenant_id, self.rate.per_minute)

    def require(self, scope: Scope, *, writes: bool = False) -> None:
        """Raises ScopeMissing, or TenantSuspended if the request `writes`. All requests with jobs:write write."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)
        if self.suspended and (writes or scope is Scope.JOBS_WRITE):
            raise TenantSuspended


Value = TypeVar("Value")


class _Recent(Generic[Value]):
    """A cache of answers by digest, each until its own instant. Above `size_max` it drops the least recently used."""

    __slots__ = ("_answers", "_size_max")

    def __init__(self, size_max: int) -> None:
        self._answers: OrderedDict[bytes, tuple[Value, float]] = OrderedDict()
        self._size_max = size_max

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, digest: bytes) -> Value | None:
        answer = self._answers.get(digest)
        if answer is None:
            return None
        if answer[1] <= monotonic():
            del self._answers[digest]
            return None
        self._answers.move_to_end(digest)
        return answer[0]

    def keep(self, digest: bytes, value: Value, until: float) -> None:
        self._answers[digest] = (value, until)
        self._answers.move_to_end(digest)
        if len(self._answers) > self._size_max:
            self._answers.popitem(last=False)


class Keyring:
    """Authenticates requests, with a cache. The cache contains digests, so a memory dump shows no key.

    No comparison needs constant time: a key is found by equality of its hash, which a caller without SECRET_KEY cannot choose,
    and how many bytes of two hashes are equal says nothing about the key.
    """

    def __init__(self, database: Database, *, secrets: Sequence[bytes]) -> None:
        self._database = database
        self._secrets = tuple(secrets)
        self._known: _Recent[Principal] = _Recent(KNOWN_MAX)
        # a separate cache, so that many random keys cannot displace known ones
        self._unknown: _Recent[bool] = _Recent(UNKNOWN_MAX)
        # valid lately: looked up again without waiting behind random keys
        self._seen: _Recent[bool] = _Recent(KNOWN_MAX)
        self._asked: dict[bytes, asyncio.Future[Principal | None]] = {}
        self._again: Batcher[tuple[bytes, str], Principal | None] = Batcher(
            self._look_up, size_max=LOOKUP_ROWS_MAX, waiting_max=WAITING_MAX
        )
        self._first: Batcher[tuple[bytes, str], Principal | None] = Batcher(
            self._look_up, size_max=LOOKUP_ROWS_MAX, waiting_max=WAITING_MAX, linger_seconds=LINGER_SECONDS
        )

    async def authenticate(self, *, x_api_key: str | None, authorization: str | None) -> Principal:
        """Returns the principal for the headers of a request. Raises Unauthorized, StoreUnavailable."""
        text = x_api_key or _bearer(authorization)
        if not text:
            raise Unauthorized(MISSING)
        digest = sha256(text.encode()).digest()
        principal = self._known.find(digest)
        if principal is not None:
            return principal
        if parse_key(text) is None:
            raise Unauthorized(MALFORMED)
        if self._unknown.find(digest) is None:
            principal = await self._ask(digest, text)
        if principal is None:
            raise Unauthorized(REFUSED)
        return principal

    async def _ask(self, digest: bytes, text: str) -> Principal | None:
        """Look up a key in the database. Concurrent callers with the same key share one look-up."""
        asked = self._asked.get(digest)
        if asked is None:
            batcher = self._first if self._seen.find(digest) is None else self._again
            try:
                asked = batcher.post((digest, text))
            except Overloaded:
                raise StoreUnavailable from None
            self._asked[digest] = asked
            asked.add_done_callback(lambda done: self._answered(digest, done))
        # shielded: a caller that disconnects must not cancel the look-up of the others
        return await asyncio.shield(asked)

    def _answered(self, digest: bytes, asked: asyncio.Future[Principal | None]) -> None:
        del self._asked[digest]
        if not asked.cancelled():
            asked.exception()  # else asyncio logs an error that no caller retrieved

    async def _look_up(self, wanted: Sequence[tuple[bytes, str]]) -> list[Principal | None]:
        """Look up a group of keys with one statement, each hashed with every SECRET_KEY in use."""
        hashes = [[hash_key(secret, text) for secret in self._secrets] for _, text in wanted]
        asked_at = monotonic()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS), self._database.snapshot() as session:
                rows = await list_known_keys(session, hashes=[hash_ for each in hashes for hash_ in each])
        except TimeoutError as error:
            raise StoreUnavailable from error
        known = {row.hash: row for row in rows}
        answers: list[Principal | None] = []
        for (digest, _), tried in zip(wanted, hashes, strict=True):
            row = next((known[hash_] for hash_ in tried if hash_ in known), None)
            answers.append(self._learn(digest, row, asked_at))
        return answers

    def _learn(self, digest: bytes, row: KnownKey | None, asked_at: float) -> Principal | None:
        if row is None:
            self._unknown.keep(digest, True, asked_at + BELIEVED_SECONDS)
            return None
        principal = Principal(
            tenant_id=row.tenant_id,
            tenant_name=row.tenant_name,
            key_id=row.key_id,
            scopes=row.scopes,
            suspended=row.suspended,
            rate=row.rate,
            key_rate=row.key_rate,
            models=row.models,
            max_price_micro=row.max_price_micro,
            default_price_micro=row.default_price_micro,
            refused_per_minute=row.refused_per_minute,
        )
        # never cached beyond its expiry, by the clock of the database
        left_seconds = BELIEVED_SECONDS if row.left_seconds is None else min(BELIEVED_SECONDS, row.left_seconds)
        self._known.keep(digest, principal, asked_at + left_seconds)
        self._seen.keep(digest, True, asked_at + SEEN_SECONDS)
        return principal


def _bearer(authorization: str | None) -> str | None:
    if authorization is None or authorization[:7].lower() != "bearer ":
        return None
    return authorization[7:].strip()
