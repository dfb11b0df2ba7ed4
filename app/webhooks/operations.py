"""Writes of tenants: endpoints, secrets, and repeated deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.errors import Conflict
from app.core.ids import new_id
from app.webhooks.models import DeliveryStatus
from app.webhooks.queries import DeliveryNotFound, EndpointNotFound
from app.webhooks.secrets import Vault, new_secret

ENDPOINTS_MAX = 50
OVERLAP_HOURS = 24


class TooManyEndpoints(Conflict):
    """409: the tenant has ENDPOINTS_MAX endpoints already."""

    code = "too_many_webhook_endpoints"

    def __init__(self) -> None:
        super().__init__(f"a tenant may have {ENDPOINTS_MAX} webhook endpoints; delete one first")


class EndpointDisabled(Conflict):
    """409: nothing is delivered to a disabled endpoint."""

    code = "webhook_endpoint_disabled"

    def __init__(self) -> None:
        super().__init__("the webhook endpoint is disabled; enable it first")


class DeliveryUnderWay(Conflict):
    """409: an attempt of the delivery is in progress."""

    code = "delivery_under_way"

    def __init__(self) -> None:
        super().__init__("an attempt of this delivery is under way")


class _Sealed(NamedTuple):
    """An encrypted secret, as stored."""

    id: UUID
    sealed: bytes


class _Status(NamedTuple):
    """The status of a delivery. disabled: its target is disabled."""

    status: str
    disabled: bool


_SQL = SqlFolder(__file__)
_IS_ENABLED = _SQL.query("is_enabled", bool)
_LOCK_TENANT = _SQL.command("lock_tenant")
_COUNT_ENDPOINTS = _SQL.query("count_endpoints", int)
_CREATE_ENDPOINT = _SQL.command("create_endpoint")
_UPDATE_ENDPOINT = _SQL.command("update_endpoint")
_ENABLE_ENDPOINT = _SQL.command("enable_endpoint")
_DISABLE_ENDPOINT = _SQL.command("disable_endpoint")
_DELETE_ENDPOINT = _SQL.command("delete_endpoint")
_ADD_SECRET = _SQL.command("add_secret")
_FIND_NEWEST_SECRET = _SQL.query("find_newest_secret", _Sealed)
_RETIRE_SECRETS = _SQL.query("retire_secrets", datetime)
_END_SECRETS = _SQL.command("end_secrets")
_LOCK_SECRETS = _SQL.query("lock_secrets", _Sealed)
_RESEAL_SECRETS = _SQL.command("reseal_secrets")
_FIND_DELIVERY_STATUS = _SQL.query("find_delivery_status", _Status)
_REDELIVER = _SQL.query("redeliver", UUID)
_RECOVER_ENDPOINT = _SQL.query("recover_endpoint", int)


async def _is_enabled(session: Session, *, tenant_id: UUID, endpoint_id: UUID) -> bool:
    """Whether the endpoint is enabled. Raises EndpointNotFound."""
    enabled = await session.find_value(_IS_ENABLED, endpoint_id=endpoint_id, tenant_id=tenant_id)
    if enabled is None:
        raise EndpointNotFound
    return enabled


async def create_endpoint(
    session: Session, *, vault: Vault, tenant_id: UUID, url: str, events: Sequence[str], description: str = ""
) -> tuple[UUID, bytes]:
    """Create an endpoint. Returns its id and its secret, which is shown only now. Raises TooManyEndpoints."""
    await session.run(_LOCK_TENANT, tenant_id=tenant_id)
    if await session.get_value(_COUNT_ENDPOINTS, tenant_id=tenant_id) >= ENDPOINTS_MAX:
        raise TooManyEndpoints
    endpoint_id = new_id()
    await session.run(
        _CREATE_ENDPOINT, endpoint_id=endpoint_id, tenant_id=tenant_id, url=url, events=list(events),
        description=description,
    )  # fmt: skip
    return endpoint_id, await _add_secret(session, vault=vault, tenant_id=tenant_id, endpoint_id=endpoint_id)


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
    """Change the values that are not None. Enabling resets the health. Raises EndpointNotFound."""
    changed = await session.run(
        _UPDATE_ENDPOINT, endpoint_id=endpoint_id, tenant_id=tenant_id, url=url,
        events=None if events is None else list(events), description=description,
    )  # fmt: skip
    if not changed:
        raise EndpointNotFound
    if enabled is not None:
        await session.run(_ENABLE_ENDPOINT if enabled else _DISABLE_ENDPOINT, endpoint_id=endpoint_id)


async def delete_endpoint(session: Session, *, tenant_id: UUID, endpoint_id: UUID) -> None:
    """Delete an endpoint: nothing more is delivered to it. Its deliveries stay listed. Raises EndpointNotFound."""
    if not await session.run(_DELETE_ENDPOINT, endpoint_id=endpoint_id, tenant_id=tenant_id):
        raise EndpointNotFound
    await session.run(_DISABLE_ENDPOINT, endpoint_id=endpoint_id)
    await session.run(_END_SECRETS, endpoint_id=endpoint_id)


# Secrets


async def _add_secret(session: Session, *, vault: Vault, tenant_id: UUID, endpoint_id: UUID | None) -> bytes:
    row_id, secret = new_id(), new_secret()
    sealed = vault.seal(row_id, secret)
    await session.run(_ADD_SECRET, secret_id=row_id, tenant_id=tenant_id, endpoint_id=endpoint_id, sealed=sealed)
    return secret


async def ensure_secret(session: Session, *, vault: Vault, tenant_id: UUID) -> bytes:
    """The newest secret for the own webhook URLs of the tenant's jobs. Creates the first one."""
    row = await session.find_row(_FIND_NEWEST_SECRET, tenant_id=tenant_id, endpoint_id=None)
    if row is None:
        await _add_secret(session, vault=vault, tenant_id=tenant_id, endpoint_id=None)
        row = await session.get_row(_FIND_NEWEST_SECRET, tenant_id=tenant_id, endpoint_id=None)
    return vault.open(row.id, row.sealed)


async def rotate_secret(
    session: Session, *, vault: Vault, tenant_id: UUID, endpoint_id: UUID | None
) -> tuple[bytes, datetime]:
    """Create a secret. Returns it, and until when the previous one also signs. Older ones stop signing immediately.

    Raises EndpointNotFound.
    """
    if endpoint_id is None:
        await ensure_secret(session, vault=vault, tenant_id=tenant_id)
    else:
        await _is_enabled(session, tenant_id=tenant_id, endpoint_id=endpoint_id)
    await session.run(_LOCK_TENANT, tenant_id=tenant_id)
    retired = await session.values(_RETIRE_SECRETS, tenant_id=tenant_id, endpoint_id=endpoint_id, hours=OVERLAP_HOURS)
    secret = await _add_secret(session, vault=vault, tenant_id=tenant_id, endpoint_id=endpoint_id)
    return secret, max(retired)


async def reencrypt_secrets(session: Session, *, vault: Vault) -> tuple[int, int]:
    """Encrypt all secrets with the first key. Returns how many there are, and how many were encrypted again.

    Raises SecretUnreadable before anything is changed.
    """
    secrets = await session.rows(_LOCK_SECRETS)
    moved = [_Sealed(secret.id, vault.seal(secret.id, vault.open(secret.id, secret.sealed)))
             for secret in secrets if not vault.is_current(secret.sealed)]  # fmt: skip
    await session.run(_RESEAL_SECRETS, **columns_of(_Sealed, moved))
    return len(secrets), len(moved)


# Repeated deliveries


async def redeliver(session: Session, *, tenant_id: UUID, delivery_id: UUID) -> None:
    """Make a delivery due now, and restart its schedule.

    Raises DeliveryNotFound, DeliveryUnderWay, EndpointDisabled.
    """
    found = await session.find_row(_FIND_DELIVERY_STATUS, delivery_id=delivery_id, tenant_id=tenant_id)
    if found is None:
        raise DeliveryNotFound
    if found.disabled:
        raise EndpointDisabled
    moved = await session.find_value(_REDELIVER, delivery_id=delivery_id, tenant_id=tenant_id)
    if found.status == DeliveryStatus.SENDING or moved is None:
        raise DeliveryUnderWay


async def recover_endpoint(session: Session, *, tenant_id: UUID, endpoint_id: UUID, since: datetime) -> int:
    """Deliver the events since then that the endpoint missed: exhausted, or without a delivery. Returns how many. Raises
    EndpointNotFound, EndpointDisabled."""
    if not await _is_enabled(session, tenant_id=tenant_id, endpoint_id=endpoint_id):
        raise EndpointDisabled
    return await session.get_value(_RECOVER_ENDPOINT, tenant_id=tenant_id, endpoint_id=endpoint_id, since=since)
