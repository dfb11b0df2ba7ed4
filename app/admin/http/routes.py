"""`/admin/v1`: tenants and their keys."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, Security
from fastapi.security import HTTPBearer

from app.admin.actions import tenancy
from app.admin.auth import Operator, OperatorRoute, RoleMissing, TooManyLogins
from app.admin.http.schemas import KeyCreate, KeyPatch, ListQuery, TenantCreate, TenantPatch
from app.admin.http.tenant_schemas import IssuedKeyOut, KeyOut, TenantOut
from app.admin.queries import list_allowances
from app.core.errors import Malformed, StatementTimedOut, StoreUnavailable, Unauthorized
from app.core.ids import find_id
from app.ledger.operations import OverdraftExceeded
from app.tenants.operations import TenantExists
from app.tenants.queries import KeyNotFound, TenantNotFound, get_tenant, list_keys, list_tenants
from app.web.dependencies import TheDatabase
from app.web.paging import Page, cut_page, parse_cursor
from app.web.problems import documented

SECURITY = [Security(HTTPBearer(scheme_name="operator", auto_error=False))]
"""Documents the header. It checks nothing: OperatorRoute has already checked it."""
READS = (Malformed, Unauthorized, TooManyLogins, StoreUnavailable, StatementTimedOut)
"""The refusals that every read may answer."""
WRITES = (Malformed, Unauthorized, TooManyLogins, RoleMissing, StoreUnavailable)
"""The refusals that every write may answer."""

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=OperatorRoute, dependencies=SECURITY)

PageQuery = Annotated[ListQuery, Query()]


async def _key_id(key: str) -> UUID:
    key_id = find_id("key", key)
    if key_id is None:
        raise KeyNotFound("no such key")
    return key_id


KeyId = Annotated[UUID, Depends(_key_id)]


@router.post("/tenants", status_code=201, responses=documented(*WRITES, TenantExists))
async def create_tenant(database: TheDatabase, by: Operator, body: TenantCreate) -> TenantOut:
    """Create a tenant, with any setting that PATCH takes."""
    settings = body.settings()
    del settings["name"]
    async with database.transaction() as session:
        tenant = await tenancy.create_tenant(session, by=by, name=body.name, settings=settings)
        allowances = await list_allowances(session, subject_ids=[tenant.id])
    return TenantOut.of(tenant, allowances[tenant.id])


@router.get("/tenants", responses=documented(*READS))
async def read_tenants(database: TheDatabase, query: PageQuery) -> Page[TenantOut]:
    """Tenants, in the order of their creation."""
    after = parse_cursor("ten", query.cursor)
    async with database.snapshot() as session:
        found = await list_tenants(session, after=after, limit=query.limit + 1)
        allowances = await list_allowances(session, subject_ids=[tenant.id for tenant in found])
    return cut_page(
        [TenantOut.of(tenant, allowances[tenant.id]) for tenant in found],
        limit=query.limit,
        cursor_of=lambda tenant: tenant.id,
    )


@router.get("/tenants/{tenant}", responses=documented(*READS, TenantNotFound))
async def read_tenant(database: TheDatabase, tenant: str) -> TenantOut:
    """One tenant, by its id or its name."""
    async with database.snapshot() as session:
        found = await get_tenant(session, name_or_id=tenant)
        allowances = await list_allowances(session, subject_ids=[found.id])
    return TenantOut.of(found, allowances[found.id])


@router.patch(
    "/tenants/{tenant}",
    responses=documented(*WRITES, TenantNotFound, TenantExists, OverdraftExceeded),
)
async def patch_tenant(database: TheDatabase, by: Operator, tenant: str, body: TenantPatch) -> TenantOut:
    """Change the settings of a tenant that are sent: its name, whether it is suspended, its prices, budgets, overdraft,
    models, weight and limits."""
    settings = body.settings()
    async with database.transaction() as session:
        changed = await tenancy.change_tenant(session, by=by, tenant=tenant, settings=settings)
        allowances = await list_allowances(session, subject_ids=[changed.id])
    return TenantOut.of(changed, allowances[changed.id])


@router.post("/tenants/{tenant}/keys", status_code=201, responses=documented(*WRITES, TenantNotFound))
async def create_key(
    request: Request, database: TheDatabase, by: Operator, tenant: str, body: KeyCreate
) -> IssuedKeyOut:
    """Create a key. `key` is shown only in this answer."""
    async with database.transaction() as session:
        key, text = await tenancy.create_key(
            session,
            by=by,
            tenant=tenant,
            secret=request.app.state.settings.secrets[0],
            name=body.name,
            scopes=body.scopes,
            expires_at=body.expires_at,
        )
    return IssuedKeyOut.issued(key, text=text)


@router.get("/tenants/{tenant}/keys", responses=documented(*READS, TenantNotFound))
async def read_keys(database: TheDatabase, tenant: str, query: PageQuery) -> Page[KeyOut]:
    """A tenant's keys in the order of their creation, with expired and revoked ones."""
    after = parse_cursor("key", query.cursor)
    async with database.snapshot() as session:
        tenant_id = (await get_tenant(session, name_or_id=tenant)).id
        found = await list_keys(session, tenant_id=tenant_id, after=after, limit=query.limit + 1)
        allowances = await list_allowances(session, subject_ids=[key.id for key in found])
    return cut_page(
        [KeyOut.of(key, allowances[key.id]) for key in found], limit=query.limit, cursor_of=lambda key: key.id
    )


@router.patch("/keys/{key}", responses=documented(*WRITES, KeyNotFound))
async def patch_key(database: TheDatabase, by: Operator, key_id: KeyId, body: KeyPatch) -> KeyOut:
    """Change the settings of a key that are sent: its name, expiry, budgets and own limits."""
    async with database.transaction() as session:
        changed = await tenancy.change_key(session, by=by, key_id=key_id, settings=body.settings())
        allowances = await list_allowances(session, subject_ids=[key_id])
    return KeyOut.of(changed, allowances[key_id])


@router.delete("/keys/{key}", status_code=204, responses=documented(*WRITES, KeyNotFound))
async def delete_key(database: TheDatabase, by: Operator, key_id: KeyId) -> Response:
    """Revoke a key. This takes effect within five seconds. The key stays in lists, with `revoked_at`."""
    async with database.transaction() as session:
        await tenancy.revoke_key(session, by=by, key_id=key_id)
    return Response(status_code=204)
