"""`waystation tenant …` and `waystation key …`.

What a command needs of the database is imported when it runs: SQLAlchemy and pydantic take 0.4 s to import, and
`--help` needs neither.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.terminal import DATA_DIR, AsJson, DataDir, say, table

if TYPE_CHECKING:
    from app.tenants.queries import ApiKey, Tenant

tenants = typer.Typer(help="Tenants: the teams on whose behalf we call the upstream.")
keys = typer.Typer(help="Api keys: the secrets that speak for a tenant.")

TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="Name or ten_… id.")]


@tenants.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False, data_dir: DataDir = DATA_DIR
) -> None:
    """Make a tenant."""
    from app.core.local import opened
    from app.tenants import operations

    async def run() -> "Tenant":
        async with opened(data_dir) as database, database.transaction() as session:
            return await operations.create_tenant(session, name=name)

    _say_tenant("created", asyncio.run(run()), as_json)


@tenants.command("list")
def list_tenants(as_json: AsJson = False, data_dir: DataDir = DATA_DIR) -> None:
    """List the tenants, in the order they were made."""
    from app.core.local import opened
    from app.tenants import queries
    from app.tenants.schemas import TenantOut

    async def run() -> "list[Tenant]":
        async with opened(data_dir) as database, database.snapshot() as session:
            return await queries.list_tenants(session)

    shown = [TenantOut.of(tenant).model_dump(mode="json") for tenant in asyncio.run(run())]
    rows = [(each["id"], each["name"], each["created_at"], "yes" if each["suspended"] else "no") for each in shown]
    say(table(("ID", "NAME", "CREATED", "SUSPENDED"), rows), value=shown, as_json=as_json)


@tenants.command("set")
def set_tenant(
    tenant: TenantName,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="name=…, suspended=true|false")],
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Rename a tenant, suspend it (it may read, and write nothing), or let it go on."""
    from app.core.local import opened
    from app.tenants import operations, queries
    from app.tenants.decide import parse_changes

    changes = parse_changes(assignments)

    async def run() -> "Tenant":
        async with opened(data_dir) as database, database.transaction() as session:
            tenant_id = (await queries.get_tenant(session, name_or_id=tenant)).id
            return await operations.update_tenant(session, tenant_id=tenant_id, **changes)

    _say_tenant("changed", asyncio.run(run()), as_json)


@keys.command("create")
def create_key(
    tenant: TenantName,
    name: Annotated[str, typer.Option(help="A label for people.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="jobs:write, jobs:read, webhooks, billing:read; may be given again.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="An RFC 3339 time, or from now: 30d, 12h, 90m.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Make a key for a tenant; it is shown this once. Without --scope it may do everything a tenant may."""
    from app.core.clock import now
    from app.core.local import find_secrets, opened
    from app.tenants import operations, queries
    from app.tenants.decide import parse_expires, parse_scopes
    from app.tenants.schemas import IssuedKeyOut

    scopes = parse_scopes(scope) if scope else None
    expires_at = None if expires is None else parse_expires(expires, now=now())

    async def run() -> "tuple[ApiKey, str]":
        async with opened(data_dir) as database, database.transaction() as session:
            return await operations.create_key(
                session,
                tenant_id=(await queries.get_tenant(session, name_or_id=tenant)).id,
                secret=find_secrets(data_dir)[0],
                name=name,
                scopes=scopes,
                expires_at=expires_at,
            )

    key, text = asyncio.run(run())
    issued = IssuedKeyOut.issued(key, text=text)
    line = f"key {issued.id} of tenant {issued.tenant}, shown this once: {text}"
    say(line, value=issued.model_dump(mode="json"), as_json=as_json)


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Argument(metavar="[TENANT]", help="Name or ten_… id; without it, all.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """List the keys, the expired and revoked ones too; never their secrets."""
    from app.core.local import opened
    from app.tenants import queries
    from app.tenants.schemas import KeyOut

    async def run() -> "list[ApiKey]":
        async with opened(data_dir) as database, database.snapshot() as session:
            tenant_id = None if tenant is None else (await queries.get_tenant(session, name_or_id=tenant)).id
            return await queries.list_keys(session, tenant_id=tenant_id)

    shown = [KeyOut.of(key).model_dump(mode="json") for key in asyncio.run(run())]
    heads = ("ID", "TENANT", "NAME", "PREFIX", "SCOPES", "EXPIRES", "REVOKED")
    rows = [
        (
            each["id"],
            each["tenant"],
            each["name"] or "-",
            each["prefix"],
            ",".join(each["scopes"]),
            each["expires_at"] or "never",
            each["revoked_at"] or "no",
        )
        for each in shown
    ]
    say(table(heads, rows), value=shown, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="key_… id")],
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Revoke a key: within five seconds it opens nothing."""
    from app.core.ids import find_id
    from app.core.local import opened
    from app.tenants import operations, queries
    from app.tenants.schemas import KeyOut

    key_id = find_id("key", key)
    if key_id is None:
        raise queries.KeyNotFound("no such key")

    async def run() -> "ApiKey":
        async with opened(data_dir) as database, database.transaction() as session:
            return await operations.revoke_key(session, key_id=key_id)

    revoked = KeyOut.of(asyncio.run(run()))
    line = f"key {revoked.id} of tenant {revoked.tenant} is revoked"
    say(line, value=revoked.model_dump(mode="json"), as_json=as_json)


def _say_tenant(verb: str, tenant: "Tenant", as_json: bool) -> None:
    from app.tenants.schemas import TenantOut

    shown = TenantOut.of(tenant)
    state = ", suspended" if shown.suspended else ""
    say(f"tenant {shown.name} ({shown.id}) {verb}{state}", value=shown.model_dump(mode="json"), as_json=as_json)
