"""Writes of what tenants decide: endpoints, secrets, what is to be delivered again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.core.db import Session
from app.core.errors import Conflict
from app.core.ids import new_id
from app.webhooks.models import DeliveryStatus
from app.webhooks.queries import DeliveryNotFound, EndpointNotFound
from app.webhooks.secrets import Vault, new_secret

ENDPOINTS_MAX = 50
OVERLAP_HOURS = 24


class TooManyEndpoints(Conflict):
    """409: the tenant has as many endpoints as it may."""

    code = "too_many_webhook_endpoints"

    def __init__(self) -> None:
        super().__init__(f"a tenant may have {ENDPOINTS_MAX} webhook endpoints; delete one first")


class EndpointDisabled(Conflict):
    """409: nothing is delivered to a disabled endpoint."""

    code = "webhook_endpoint_disabled"

    def __init__(self) -> None:
        super().__init__("the webhook endpoint is disabled; enable it first")


class DeliveryUnderWay(Conflict):
    """409: an attempt is on the wire just now."""

    code = "delivery_under_way"

    def __init__(self) -> None:
        super().__init__("an attempt of this delivery is under way just now")


_IS_ENABLED = """
SELECT target.disabled_at IS NULL FROM webhook_endpoints AS endpoint JOIN webhook_targets AS target ON target.id = endpoint.id
WHERE endpoint.id = $1 AND endpoint.tenant_id = $2 AND endpoint.deleted_at IS NULL
"""


async def _is_enabled(session: Session, *, tenant_id: UUID, endpoint_id: UUID) -> bool:
    """Raises EndpointNotFound."""
    enabled: bool | None = await session.fetchval(_IS_ENABLED, endpoint_id, tenant_id)
    if enabled is None:
        raise EndpointNotFound
    return enabled


_CREATE = """
WITH endpoint AS (
    INSERT INTO webhook_endpoints (id, tenant_id, url, events, description) VALUES ($1, $2, $3, $4, $5)
)
INSERT INTO webhook_targets (id, tenant_id, kind) VALUES ($1, $2, 'endpoint')
"""


async def create_endpoint(
    session: Session, *, vault: Vault, tenant_id: UUID, url: str, events: Sequence[str], description: str = ""
) -> tuple[UUID, bytes]:
    """A new endpoint's id and its secret, which is shown this once. Raises TooManyEndpoints."""
    await session.execute("SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE", tenant_id)
    count = "SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1 AND deleted_at IS NULL"
    if await session.fetchval(count, tenant_id) >= ENDPOINTS_MAX:
        raise TooManyEndpoints
    endpoint_id = new_id()
    await session.execute(_CREATE, endpoint_id, tenant_id, url, list(events), description)
    return endpoint_id, await _add_secret(session, vault=vault, tenant_id=tenant_id, endpoint_id=endpoint_id)


_UPDATE = """
UPDATE webhook_endpoints SET
    url = coalesce($3, url), events = coalesce($4::text[], events), description = coalesce($5, description)
WHERE id = $1 AND tenant_id = $2 AND deleted_at IS NULL
"""

_ENABLE = """
UPDATE webhook_targets SET
    disabled_at = NULL, disabled_reason = NULL, failures = 0, slow_failures = 0, spell_failures = 0, open_until = NULL,
    failed_since = NULL, failing_since = NULL
WHERE id = $1
"""

_DISABLE = """
UPDATE webhook_targets SET disabled_at = now(), disabled_reason = 'tenant' WHERE id = $1 AND disabled_at IS NULL
"""


async def update_endpoint(
    session: Session,
    *,
    tenant_id: UUID,
    endpoint_id: UUID,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> None:
    """Change what is not None. Enabled, it begins with a clean sheet. Raises EndpointNotFound."""
    wanted = None if events is None else list(events)
    if not await session.execute(_UPDATE, endpoint_id, tenant_id, url, wanted, description):
        raise EndpointNotFound
    if enabled is not None:
        await session.execute(_ENABLE if enabled else _DISABLE, endpoint_id)


async def delete_endpoint(session: Session, *, tenant_id: UUID, endpoint_id: UUID) -> None:
    """From now on nothing is delivered to it; what it was sent stays listed. Raises EndpointNotFound."""
    gone = "UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1 AND tenant_id = $2 AND deleted_at IS NULL"
    if not await session.execute(gone, endpoint_id, tenant_id):
        raise EndpointNotFound
    await session.execute(_DISABLE, endpoint_id)
    await session.execute("UPDATE webhook_secrets SET expires_at = now() WHERE endpoint_id = $1", endpoint_id)


# Secrets


async def _add_secret(session: Session, *, vault: Vault, tenant_id: UUID, endpoint_id: UUID | None) -> bytes:
    row_id, secret = new_id(), new_secret()
    await session.execute(
        "INSERT INTO webhook_secrets (id, tenant_id, endpoint_id, sealed) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING",
        row_id,
        tenant_id,
        endpoint_id,
        vault.seal(row_id, secret),
    )
    return secret


_NEWEST = """
SELECT id, sealed FROM webhook_secrets
WHERE tenant_id = $1 AND endpoint_id IS NOT DISTINCT FROM $2 AND expires_at IS NULL
"""


async def ensure_secret(session: Session, *, vault: Vault, tenant_id: UUID) -> bytes:
    """The newest secret for URLs of the tenant's jobs; it is made when somebody first needs it."""
    row = await session.fetchrow(_NEWEST, tenant_id, None)
    if row is None:
        await _add_secret(session, vault=vault, tenant_id=tenant_id, endpoint_id=None)
        row = await session.fetchrow(_NEWEST, tenant_id, None)
        assert row is not None
    return vault.open(row["id"], row["sealed"])


_RETIRE = """
UPDATE webhook_secrets SET
    expires_at = CASE WHEN expires_at IS NULL THEN now() + make_interval(hours => $3) ELSE least(expires_at, now()) END
WHERE tenant_id = $1 AND endpoint_id IS NOT DISTINCT FROM $2
RETURNING expires_at
"""


async def rotate_secret(
    session: Session, *, vault: Vault, tenant_id: UUID, endpoint_id: UUID | None
) -> tuple[bytes, datetime]:
    """A new secret, and until when the one before it signs, too. At most two sign: one older than that ends at once.

    Raises EndpointNotFound.
    """
    if endpoint_id is None:
        await ensure_secret(session, vault=vault, tenant_id=tenant_id)
    else:
        await _is_enabled(session, tenant_id=tenant_id, endpoint_id=endpoint_id)
    await session.execute("SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE", tenant_id)
    retired = await session.fetch(_RETIRE, tenant_id, endpoint_id, OVERLAP_HOURS)
    secret = await _add_secret(session, vault=vault, tenant_id=tenant_id, endpoint_id=endpoint_id)
    return secret, max(row["expires_at"] for row in retired)


async def reencrypt_secrets(session: Session, *, vault: Vault) -> tuple[int, int]:
    """All secrets at rest under the first key; gives how many there are, and how many were moved.

    Raises SecretUnreadable, and then nothing is changed.
    """
    rows = await session.fetch("SELECT id, sealed FROM webhook_secrets ORDER BY id FOR NO KEY UPDATE")
    moved = [(row["id"], vault.seal(row["id"], vault.open(row["id"], row["sealed"])))
             for row in rows if not vault.is_current(row["sealed"])]  # fmt: skip
    await session.execute(
        "UPDATE webhook_secrets AS secret SET sealed = asked.sealed"
        " FROM unnest($1::uuid[], $2::bytea[]) AS asked (id, sealed) WHERE secret.id = asked.id",
        [row_id for row_id, _ in moved],
        [sealed for _, sealed in moved],
    )
    return len(rows), len(moved)


# What is to be delivered again

_REDELIVER = """
UPDATE webhook_deliveries SET status = 'pending', due_at = now(), step = 0
WHERE id = $1 AND tenant_id = $2 AND status <> 'sending'
RETURNING id
"""


async def redeliver(session: Session, *, tenant_id: UUID, delivery_id: UUID) -> None:
    """Begin a delivery's schedule anew, whatever came of it before.

    Raises DeliveryNotFound, DeliveryUnderWay, EndpointDisabled.
    """
    row = await session.fetchrow(
        "SELECT delivery.status, target.disabled_at IS NOT NULL AS disabled"
        " FROM webhook_deliveries AS delivery JOIN webhook_targets AS target ON target.id = delivery.target_id"
        " WHERE delivery.id = $1 AND delivery.tenant_id = $2",
        delivery_id,
        tenant_id,
    )
    if row is None:
        raise DeliveryNotFound
    if row["disabled"]:
        raise EndpointDisabled
    moved = await session.fetchval(_REDELIVER, delivery_id, tenant_id)
    if row["status"] == DeliveryStatus.SENDING or moved is None:
        raise DeliveryUnderWay


# What did this endpoint miss? What was given up, and what happened while it was switched off.
_RECOVER = """
WITH wanted AS (
    SELECT event.id, event.job_id, event.type
    FROM webhook_events AS event JOIN webhook_endpoints AS endpoint ON endpoint.id = $2
    WHERE event.tenant_id = $1 AND event.created_at >= greatest($3, endpoint.created_at)
        AND event.type = ANY (endpoint.events)
), again AS (
    UPDATE webhook_deliveries AS delivery SET status = 'pending', due_at = now(), step = 0
    FROM wanted
    WHERE delivery.event_id = wanted.id AND delivery.target_id = $2 AND delivery.status = 'exhausted'
    RETURNING delivery.id
), missed AS (
    INSERT INTO webhook_deliveries (id, tenant_id, event_id, target_id, job_id, due_at, type, status)
    SELECT gen_random_uuid(), $1, id, $2, job_id, now(), type, 'pending' FROM wanted
    ON CONFLICT (event_id, target_id) DO NOTHING
    RETURNING id
)
SELECT (SELECT count(*) FROM again) + (SELECT count(*) FROM missed)
"""


async def recover_endpoint(session: Session, *, tenant_id: UUID, endpoint_id: UUID, since: datetime) -> int:
    """Deliver what the endpoint has missed since then; gives how many. Raises EndpointNotFound, EndpointDisabled."""
    if not await _is_enabled(session, tenant_id=tenant_id, endpoint_id=endpoint_id):
        raise EndpointDisabled
    missed: int = await session.fetchval(_RECOVER, tenant_id, endpoint_id, since)
    return missed
