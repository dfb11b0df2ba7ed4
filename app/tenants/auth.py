"""Who is calling: from the key in a request to the tenant it speaks for."""

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
"""How long an answer of the database is believed, counted from when it was asked."""

LOOKUP_SECONDS = 4.0
"""How long one look-up may take. A revoked key is refused within the longer of the two: the contract says 5 s."""

KNOWN_MAX = 10_000
UNKNOWN_MAX = 10_000
LOOKUP_ROWS_MAX = 200
LINGER_SECONDS = 0.01
"""How long a look-up of a key that was never good here waits for others: invented ones make at most 100 statements a second."""
SEEN_SECONDS = 3_600.0
"""For how long after it was good a key is looked up at once."""
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
    """403: the tenant may read, and write nothing."""

    code: ClassVar[str] = "tenant_suspended"

    def __init__(self) -> None:
        super().__init__("this tenant is suspended: it may read, but not write")


@dataclass(frozen=True, slots=True)
class Principal:
    """On whose behalf a request comes, and by which key."""

    tenant_id: UUID
    tenant_name: str
    key_id: UUID
    scopes: frozenset[Scope]
    suspended: bool
    rate: Rate
    key_rate: Rate | None = None
    """Of this key alone, beside its tenant's; None: only that one."""
    models: frozenset[str] | None = None
    """Slugs it may ask for; None: any."""
    max_price_micro: int | None = None
    """The highest price of a job; None: no limit."""
    default_price_micro: int | None = None
    """Of models without a price; None: the settings' own."""
    refused_per_minute: int | None = None
    """Submits that may be refused; None: ten times the rate."""

    @property
    def allowance(self) -> Allowance:
        """What bodies of its tenant may cost."""
        return Allowance(self.tenant_id, self.rate.per_minute)

    def require(self, scope: Scope, *, writes: bool = False) -> None:
        """Raises ScopeMissing; and TenantSuspended where the request `writes`, as all of jobs:write does."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)
        if self.suspended and (writes or scope is Scope.JOBS_WRITE):
            raise TenantSuspended


Value = TypeVar("Value")


class _Recent(Generic[Value]):
    """Answers by digest, each until an instant; the least recently used go first when there are more than `size_max`."""

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
    """The keys one process has seen lately. What it holds is digests: no key can be read from its memory's dump.

    Nothing here compares secrets, so there is nothing to do in constant time: a key is found by equality of a hash
    that a caller without SECRET_KEY cannot aim, and how far two such hashes agree tells nothing about the key.
    """

    def __init__(self, database: Database, *, secrets: Sequence[bytes]) -> None:
        self._database = database
        self._secrets = tuple(secrets)
        self._known: _Recent[Principal] = _Recent(KNOWN_MAX)
        # apart from the known ones, so that a flood of invented keys pushes none of them out
        self._unknown: _Recent[bool] = _Recent(UNKNOWN_MAX)
        # looked up again every few seconds, and never behind invented ones
        self._seen: _Recent[bool] = _Recent(KNOWN_MAX)
        self._asked: dict[bytes, asyncio.Future[Principal | None]] = {}
        self._again: Batcher[tuple[bytes, str], Principal | None] = Batcher(
            self._look_up, size_max=LOOKUP_ROWS_MAX, waiting_max=WAITING_MAX
        )
        self._first: Batcher[tuple[bytes, str], Principal | None] = Batcher(
            self._look_up, size_max=LOOKUP_ROWS_MAX, waiting_max=WAITING_MAX, linger_seconds=LINGER_SECONDS
        )

    async def authenticate(self, *, x_api_key: str | None, authorization: str | None) -> Principal:
        """The principal of a request's headers; raises Unauthorized, StoreUnavailable."""
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
        """What the database says; callers with the same key wait for the same answer."""
        asked = self._asked.get(digest)
        if asked is None:
            batcher = self._first if self._seen.find(digest) is None else self._again
            try:
                asked = batcher.post((digest, text))
            except Overloaded:
                raise StoreUnavailable from None
            self._asked[digest] = asked
            asked.add_done_callback(lambda done: self._answered(digest, done))
        # shielded: one caller that goes away must not cancel the others' answer
        return await asyncio.shield(asked)

    def _answered(self, digest: bytes, asked: asyncio.Future[Principal | None]) -> None:
        del self._asked[digest]
        if not asked.cancelled():
            asked.exception()  # asyncio complains of an error nobody looked at, as when every caller has gone away

    async def _look_up(self, wanted: Sequence[tuple[bytes, str]]) -> list[Principal | None]:
        """One statement for a group of keys, each hashed under every secret in use."""
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
        # never believed beyond its expiry; by the database's clock, which is everybody's
        left_seconds = BELIEVED_SECONDS if row.left_seconds is None else min(BELIEVED_SECONDS, row.left_seconds)
        self._known.keep(digest, principal, asked_at + left_seconds)
        self._seen.keep(digest, True, asked_at + SEEN_SECONDS)
        return principal


def _bearer(authorization: str | None) -> str | None:
    if authorization is None or authorization[:7].lower() != "bearer ":
        return None
    return authorization[7:].strip()
