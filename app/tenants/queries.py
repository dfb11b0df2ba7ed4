"""Reads of tenants and their keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.core.errors import NotFound
from app.core.ids import find_id
from app.tenants.decide import TENANT_NAME, Rate
from app.tenants.models import Scope

NAMES_MAX = 20_000


class TenantNotFound(NotFound):
    """404: no tenant has this name or id."""

    code = "tenant_not_found"


class KeyNotFound(NotFound):
    """404: no API key has this id."""

    code = "key_not_found"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A row of `tenants`."""

    id: UUID
    name: str
    created_at: datetime
    suspended_at: datetime | None
    max_price_micro: int | None
    default_price_micro: int | None
    models: list[str] | None
    weight: float
    rate_per_minute: int
    burst: int
    refused_per_minute: int | None
    """None: ten times `rate_per_minute`."""
    max_in_flight: int
    max_queued: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A row of `api_keys`, without its hash. A limit of None: no limit of its own."""

    id: UUID
    tenant_id: UUID
    tenant_name: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    rate_per_minute: int | None
    burst: int | None
    max_in_flight: int | None
    max_queued: int | None

    def __post_init__(self) -> None:
        """Convert scopes: Postgres returns texts."""
        object.__setattr__(self, "scopes", tuple(map(Scope, self.scopes)))


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that is valid now, for authentication. `left_seconds`: until it expires; None: never."""

    hash: bytes
    key_id: UUID
    tenant_id: UUID
    tenant_name: str
    scopes: frozenset[Scope]
    suspended: bool
    models: frozenset[str] | None
    max_price_micro: int | None
    default_price_micro: int | None
    rate: Rate
    key_rate: Rate | None
    refused_per_minute: int | None
    left_seconds: float | None


class _KnownKeyRow(NamedTuple):
    """A row of `list_known_keys.sql`: a key and its tenant."""

    hash: bytes
    key_id: UUID
    tenant_id: UUID
    tenant_name: str
    scopes: list[str]
    suspended: bool
    models: list[str] | None
    max_price_micro: int | None
    default_price_micro: int | None
    refused_per_minute: int | None
    rate_per_minute: int
    burst: int
    key_rate_per_minute: int | None
    key_burst: int | None
    left_seconds: float | None


_SQL = SqlFolder(__file__)
_TENANT_BY_ID = _SQL.query("find_tenant_by_id", Tenant)
_TENANT_BY_NAME = _SQL.query("find_tenant_by_name", Tenant)
_TENANT_NAMES = _SQL.query("list_tenant_names", str)
_TENANTS = _SQL.query("list_tenants", Tenant)
_KEYS = _SQL.query("list_keys", ApiKey)
_KEY = _SQL.query("find_key", ApiKey)
_KNOWN_KEYS = _SQL.query("list_known_keys", _KnownKeyRow)


async def find_tenant(session: ReadSession, *, name_or_id: str) -> Tenant | None:
    """The tenant with this name or `ten_…` id."""
    tenant_id = find_id("ten", name_or_id)
    if tenant_id is None and TENANT_NAME.fullmatch(name_or_id) is None:
        return None  # no tenant can have this name, and Postgres does not accept every text
    if tenant_id is None:
        return await session.find_row(_TENANT_BY_NAME, name=name_or_id)
    return await session.find_row(_TENANT_BY_ID, tenant_id=tenant_id)


async def get_tenant(session: ReadSession, *, name_or_id: str) -> Tenant:
    """The tenant with this name or `ten_…` id. Raises TenantNotFound."""
    tenant = await find_tenant(session, name_or_id=name_or_id)
    if tenant is None:
        raise TenantNotFound("no such tenant")
    return tenant


async def list_tenant_names(session: ReadSession) -> list[str]:
    """Names of tenants, at most NAMES_MAX, to suggest one for a mistyped name."""
    return await session.values(_TENANT_NAMES, limit=NAMES_MAX)


async def list_tenants(session: ReadSession, *, after: UUID | None = None, limit: int | None = None) -> list[Tenant]:
    """Tenants in the order of their creation, after the id `after`, at most `limit`."""
    return await session.rows(_TENANTS, after=after, limit=limit)


async def list_keys(
    session: ReadSession, *, tenant_id: UUID | None = None, after: UUID | None = None, limit: int | None = None
) -> list[ApiKey]:
    """Keys in the order of their creation, expired and revoked ones included. Without `tenant_id`: of all tenants."""
    return await session.rows(_KEYS, tenant_id=tenant_id, after=after, limit=limit)


async def get_key(session: ReadSession, *, key_id: UUID) -> ApiKey:
    """The key with this id. Raises KeyNotFound."""
    key = await session.find_row(_KEY, key_id=key_id)
    if key is None:
        raise KeyNotFound("no such key")
    return key


def key_rate(rate: Rate, *, per_minute: int | None, burst: int | None) -> Rate | None:
    """A key's own limit, in addition to its tenant's `rate`, which replaces a missing value. None if both are missing."""
    if per_minute is None and burst is None:
        return None
    return Rate(rate.per_minute if per_minute is None else per_minute, rate.burst if burst is None else burst)


async def list_known_keys(session: ReadSession, *, hashes: Sequence[bytes]) -> list[KnownKey]:
    """The keys with these hashes that are neither revoked nor expired by the clock of the database."""
    return [_known_key(row) for row in await session.rows(_KNOWN_KEYS, hashes=hashes)]


def _known_key(row: _KnownKeyRow) -> KnownKey:
    rate = Rate(row.rate_per_minute, row.burst)
    return KnownKey(
        hash=row.hash,
        key_id=row.key_id,
        tenant_id=row.tenant_id,
        tenant_name=row.tenant_name,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        suspended=row.suspended,
        models=None if row.models is None else frozenset(row.models),
        max_price_micro=row.max_price_micro,
        default_price_micro=row.default_price_micro,
        rate=rate,
        key_rate=key_rate(rate, per_minute=row.key_rate_per_minute, burst=row.key_burst),
        refused_per_minute=row.refused_per_minute,
        left_seconds=row.left_seconds,
    )
