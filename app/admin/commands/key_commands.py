"""`waystation key …`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.admin.commands.tenant_commands import TenantName
from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, say, say_all, table

if TYPE_CHECKING:
    from app.admin.http.tenant_schemas import KeyOut
    from app.tenants.queries import ApiKey

SETTINGS = "name, expires_at, daily_credits, monthly_credits, rate_per_minute, burst, max_in_flight, max_queued"

keys = typer.Typer(help="API keys: the secrets that authenticate a tenant.")


@keys.command("create")
def create_key(
    tenant: TenantName,
    name: Annotated[str, typer.Option(help="A label.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="jobs:write, jobs:read, webhooks or billing:read; may be repeated. Default: all."),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="An RFC 3339 time, or from now: 30d, 12h, 90m.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Create a key for a tenant. It is shown only once. Without --scope it has all scopes."""
    from app.admin.actions import tenancy
    from app.admin.http.tenant_schemas import IssuedKeyOut
    from app.admin.names import tenant_named
    from app.core.clock import now
    from app.core.commands.local import find_secrets, opened
    from app.tenants.decide import parse_expires, parse_scopes

    scopes = parse_scopes(scope) if scope else None
    expires_at = None if expires is None else parse_expires(expires, now=now())

    async def run() -> "tuple[ApiKey, str]":
        async with opened(data_dir) as database, database.transaction() as session:
            return await tenancy.create_key(
                session,
                by=operator_here(),
                tenant=(await tenant_named(session, tenant)).name,
                secret=find_secrets(data_dir)[0],
                name=name,
                scopes=scopes,
                expires_at=expires_at,
            )

    key, text = asyncio.run(run())
    issued = IssuedKeyOut.issued(key, text=text)
    line = f"key {issued.id} of tenant {issued.tenant}, shown only once: {text}"
    say(line, value=issued.model_dump(mode="json"), as_json=as_json)


@keys.command("list")
def list_keys(
    tenant: Annotated[
        str | None, typer.Argument(metavar="[TENANT]", help="Name or ten_… id. Default: keys of all tenants.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """List keys, with expired and revoked ones, without their secrets."""
    from app.admin.http.tenant_schemas import KeyOut
    from app.admin.names import tenant_named
    from app.admin.queries import list_allowances
    from app.core.commands.local import opened
    from app.tenants import queries

    async def run() -> "list[KeyOut]":
        async with opened(data_dir) as database, database.snapshot() as session:
            tenant_id = None if tenant is None else (await tenant_named(session, tenant)).id
            found = await queries.list_keys(session, tenant_id=tenant_id)
            allowances = await list_allowances(session, subject_ids=[key.id for key in found])
            return [KeyOut.of(key, allowances[key.id]) for key in found]

    shown = [key.model_dump(mode="json") for key in asyncio.run(run())]
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
    say_all(table(heads, rows), value=shown, as_json=as_json)


@keys.command("set")
def set_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="key_… id, or a UUID")],
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help=SETTINGS)],
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Change a key: its label, expiry and budgets, and its own limits in addition to the tenant's.

    KEY=null removes a setting.
    """
    from app.admin.actions import tenancy
    from app.admin.decide import parse_key_settings
    from app.admin.http.tenant_schemas import KeyOut
    from app.admin.names import parse_id
    from app.admin.queries import list_allowances
    from app.core.commands.local import opened

    key_id = parse_id("key", key)
    settings = parse_key_settings(assignments)

    async def run() -> "KeyOut":
        async with opened(data_dir) as database, database.transaction() as session:
            changed = await tenancy.change_key(session, by=operator_here(), key_id=key_id, settings=settings)
            return KeyOut.of(changed, (await list_allowances(session, subject_ids=[key_id]))[key_id])

    changed = asyncio.run(run())
    line = f"key {changed.id} of tenant {changed.tenant} is changed"
    say(line, value=changed.model_dump(mode="json"), as_json=as_json)


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="key_… id, or a UUID")],
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Revoke a key. This takes effect within five seconds."""
    from app.admin.actions import tenancy
    from app.admin.http.tenant_schemas import KeyOut
    from app.admin.names import parse_id
    from app.admin.queries import list_allowances
    from app.core.commands.local import opened

    key_id = parse_id("key", key)

    async def run() -> "KeyOut":
        async with opened(data_dir) as database, database.transaction() as session:
            revoked = await tenancy.revoke_key(session, by=operator_here(), key_id=key_id)
            return KeyOut.of(revoked, (await list_allowances(session, subject_ids=[key_id]))[key_id])

    revoked = asyncio.run(run())
    line = f"key {revoked.id} of tenant {revoked.tenant} is revoked"
    say(line, value=revoked.model_dump(mode="json"), as_json=as_json)
