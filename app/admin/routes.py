"""`/admin/v1`: tenants and their keys, for operators."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, Security
from fastapi.security import HTTPBearer

from app.admin.auth import OperatorRoute
from app.admin.schemas import KeyCreate, ListQuery, TenantCreate, TenantPatch
from app.core.db import Database
from app.core.errors import Malformed, StoreUnavailable, Unauthorized
from app.core.ids import find_id
from app.core.paging import Page, cut_page, parse_cursor
from app.core.problems import documented
from app.tenants import operations
from app.tenants.operations import TenantExists
from app.tenants.queries import KeyNotFound, TenantNotFound, get_tenant, list_keys, list_tenants
from app.tenants.schemas import IssuedKeyOut, KeyOut, TenantOut

SECURITY = [Security(HTTPBearer(scheme_name="operator", auto_error=False))]
"""Checks nothing, and documents the header: OperatorRoute has checked it."""

router = APIRouter(prefix="/admin/v1", tags=["admin"], route_class=OperatorRoute, dependencies=SECURITY)

PageQuery = Annotated[ListQuery, Query()]


def database_of(request: Request) -> Database:
    """The API process's database."""
    database: Database = request.app.state.database
    return database


@router.post("/tenants", status_code=201, responses=documented(Malformed, Unauthorized, TenantExists, StoreUnavailable))
async def create_tenant(request: Request, body: TenantCreate) -> TenantOut:
    """Make a tenant."""
    async with database_of(request).transaction() as session:
        tenant = await operations.create_tenant(session, name=body.name)
    return TenantOut.of(tenant)


@router.get("/tenants", responses=documented(Malformed, Unauthorized, StoreUnavailable))
async def read_tenants(request: Request, query: PageQuery) -> Page[TenantOut]:
    """Tenants, in the order they were made."""
    after = parse_cursor("ten", query.cursor)
    async with database_of(request).snapshot() as session:
        found = await list_tenants(session, after=after, limit=query.limit + 1)
    return cut_page([TenantOut.of(tenant) for tenant in found], limit=query.limit, cursor_of=lambda tenant: tenant.id)


@router.get("/tenants/{tenant}", responses=documented(Unauthorized, TenantNotFound, StoreUnavailable))
async def read_tenant(request: Request, tenant: str) -> TenantOut:
    """One tenant, by its id or its name."""
    async with database_of(request).snapshot() as session:
        return TenantOut.of(await get_tenant(session, name_or_id=tenant))


@router.patch(
    "/tenants/{tenant}",
    responses=documented(Malformed, Unauthorized, TenantNotFound, TenantExists, StoreUnavailable),
)
async def patch_tenant(request: Request, tenant: str, body: TenantPatch) -> TenantOut:
    """Rename a tenant, suspend it, or let it go on."""
    changes = body.model_dump(exclude_unset=True)
    async with database_of(request).transaction() as session:
        tenant_id = (await get_tenant(session, name_or_id=tenant)).id
        changed = await operations.update_tenant(session, tenant_id=tenant_id, **changes)
    return TenantOut.of(changed)


@router.post(
    "/tenants/{tenant}/keys",
    status_code=201,
    responses=documented(Malformed, Unauthorized, TenantNotFound, StoreUnavailable),
)
async def create_key(request: Request, tenant: str, body: KeyCreate) -> IssuedKeyOut:
    """Make a key; `key` is shown here and never again."""
    async with database_of(request).transaction() as session:
        key, text = await operations.create_key(
            session,
            tenant_id=(await get_tenant(session, name_or_id=tenant)).id,
            secret=request.app.state.settings.secrets[0],
            name=body.name,
            scopes=body.scopes,
            expires_at=body.expires_at,
        )
    return IssuedKeyOut.issued(key, text=text)


@router.get("/tenants/{tenant}/keys", responses=documented(Malformed, Unauthorized, TenantNotFound, StoreUnavailable))
async def read_keys(request: Request, tenant: str, query: PageQuery) -> Page[KeyOut]:
    """A tenant's keys in the order they were made, the expired and revoked ones too."""
    after = parse_cursor("key", query.cursor)
    async with database_of(request).snapshot() as session:
        tenant_id = (await get_tenant(session, name_or_id=tenant)).id
        found = await list_keys(session, tenant_id=tenant_id, after=after, limit=query.limit + 1)
    return cut_page([KeyOut.of(key) for key in found], limit=query.limit, cursor_of=lambda key: key.id)


@router.delete("/keys/{key}", status_code=204, responses=documented(Unauthorized, KeyNotFound, StoreUnavailable))
async def delete_key(request: Request, key: str) -> Response:
    """Revoke a key: within five seconds it opens nothing. Its row stays, with `revoked_at`."""
    key_id = find_id("key", key)
    if key_id is None:
        raise KeyNotFound("no such key")
    async with database_of(request).transaction() as session:
        await operations.revoke_key(session, key_id=key_id)
    return Response(status_code=204)
