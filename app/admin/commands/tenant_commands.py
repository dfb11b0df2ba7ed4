"""`waystation tenant …`.

Each command imports what it needs of the database when it runs, to keep `--help` fast.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, say, say_all, table

if TYPE_CHECKING:
    from app.admin.http.tenant_schemas import TenantOut
    from app.core.database.session import ReadSession
    from app.tenants.queries import Tenant

tenants = typer.Typer(help="Tenants: the teams on whose behalf the gateway calls the upstream.")

TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="Name or ten_… id.")]
Force = Annotated[bool, typer.Option("--force", help="Accept models that are not in the catalogue.")]
SETTINGS = (
    "name, suspended=true|false, max_price, default_price, overdraft, daily_credits, monthly_credits, models=a,b,"
    " weight, rate_per_minute, burst, refused_per_minute, max_in_flight, max_queued"
)


@tenants.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    assignments: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE…]", help=SETTINGS)] = None,
    force: Force = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Create a tenant, with any setting that `tenant set` takes."""
    from app.admin.actions import tenancy
    from app.admin.decide import parse_settings
    from app.admin.names import check_models
    from app.core.commands.local import opened

    settings = parse_settings(assignments or [])

    async def run() -> "TenantOut":
        async with opened(data_dir) as database, database.transaction() as session:
            await check_models(session, settings.get("models") or (), force=force)
            made = await tenancy.create_tenant(session, by=operator_here(), name=name, settings=settings)
            return await _shown(session, made)

    _say("created", asyncio.run(run()), as_json)


@tenants.command("list")
def list_tenants(as_json: AsJson = False, data_dir: DataDir = DATA_DIR) -> None:
    """List tenants, in the order of their creation."""
    from app.admin.http.tenant_schemas import TenantOut
    from app.admin.queries import list_allowances
    from app.core.commands.local import opened
    from app.tenants import queries

    async def run() -> "list[TenantOut]":
        async with opened(data_dir) as database, database.snapshot() as session:
            found = await queries.list_tenants(session)
            allowances = await list_allowances(session, subject_ids=[tenant.id for tenant in found])
            return [TenantOut.of(tenant, allowances[tenant.id]) for tenant in found]

    shown = [tenant.model_dump(mode="json") for tenant in asyncio.run(run())]
    rows = [(each["id"], each["name"], each["created_at"], "yes" if each["suspended"] else "no") for each in shown]
    say_all(table(("ID", "NAME", "CREATED", "SUSPENDED"), rows), value=shown, as_json=as_json)


@tenants.command("set")
def set_tenant(
    tenant: TenantName,
    assignments: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help=SETTINGS)],
    force: Force = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Change a tenant: rename it, suspend it (it may read, but not write), set its prices, budgets, models,
    weight and limits.

    Amounts are credits with at most six decimals; KEY=null removes a setting.
    """
    from app.admin.actions import tenancy
    from app.admin.decide import parse_settings
    from app.admin.names import check_models, tenant_named
    from app.core.commands.local import opened

    settings = parse_settings(assignments)

    async def run() -> "TenantOut":
        async with opened(data_dir) as database, database.transaction() as session:
            found = await tenant_named(session, tenant)
            await check_models(session, settings.get("models") or (), force=force)
            changed = await tenancy.change_tenant(session, by=operator_here(), tenant=found.name, settings=settings)
            return await _shown(session, changed)

    _say("changed", asyncio.run(run()), as_json)


async def _shown(session: "ReadSession", tenant: "Tenant") -> "TenantOut":
    from app.admin.http.tenant_schemas import TenantOut
    from app.admin.queries import list_allowances

    return TenantOut.of(tenant, (await list_allowances(session, subject_ids=[tenant.id]))[tenant.id])


def _say(verb: str, tenant: "TenantOut", as_json: bool) -> None:
    state = ", suspended" if tenant.suspended else ""
    say(f"tenant {tenant.name} ({tenant.id}) {verb}{state}", value=tenant.model_dump(mode="json"), as_json=as_json)
