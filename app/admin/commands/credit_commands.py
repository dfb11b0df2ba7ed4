"""`waystation credits …`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.admin.commands.tenant_commands import TenantName
from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, say

if TYPE_CHECKING:
    from app.admin.http.money_schemas import TransferOut

credits_ = typer.Typer(
    help="Grant credits to tenants and correct balances. 1 credit is 1 USD of the upstream's list price."
)


@credits_.command("grant")
def grant(
    tenant: TenantName,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Credits, with at most six decimals.")],
    reference: Annotated[str, typer.Option(help="Identifies the grant: a repeated reference makes no second grant.")],
    expires: Annotated[str | None, typer.Option(help="An RFC 3339 time, or from now: 30d, 12h, 90m.")] = None,
    note: Annotated[str | None, typer.Option(help="A note for operators.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Grant credits to a tenant. A repeated reference makes no second grant, and the expiry of the first stays.

    A repeated reference with another amount is refused.
    """
    from app.admin.actions.money import grant_credits
    from app.admin.decide import checked_amount
    from app.admin.http.money_schemas import TransferOut
    from app.admin.names import tenant_named
    from app.core.clock import now, rfc3339
    from app.core.commands.local import opened
    from app.tenants.decide import parse_expires

    micro = checked_amount(amount, field="amount")
    expires_at = None if expires is None else parse_expires(expires, now=now())

    async def run() -> "tuple[TransferOut, bool]":
        async with opened(data_dir) as database, database.transaction() as session:
            found, transfer, new = await grant_credits(
                session,
                by=operator_here(),
                tenant=(await tenant_named(session, tenant)).name,
                amount=micro,
                reference=reference,
                note=note,
                expires_at=expires_at,
            )
        return TransferOut.of(found, transfer), new

    transfer, new = asyncio.run(run())
    verb = "granted" if new else "were already granted"
    line = f"{transfer.amount} credits {verb} to tenant {transfer.tenant}, reference {transfer.reference}"
    if transfer.expires_at is not None:
        line += f"; they expire at {rfc3339(transfer.expires_at)}"
    elif expires is not None:
        line += "; they do not expire: the first grant had no expiry"
    say(line, value={**transfer.model_dump(mode="json"), "new": new}, as_json=as_json)


@credits_.command("adjust", context_settings={"ignore_unknown_options": True})
def adjust(
    tenant: TenantName,
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="Credits that the tenant gains; -AMOUNT: that it loses.")
    ],
    note: Annotated[str, typer.Option(help="The reason.")],
    job: Annotated[
        str | None, typer.Option(help="job_… id: its charge is lowered by this amount; possible once.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Correct a tenant's balance, with a reason."""
    from app.admin.actions.money import adjust_credits
    from app.admin.decide import checked_amount
    from app.admin.http.money_schemas import TransferOut
    from app.admin.names import parse_id, tenant_named
    from app.core.commands.local import opened

    job_id = None if job is None else parse_id("job", job)
    micro = checked_amount(amount, field="amount", signed=job is None)

    async def run() -> "TransferOut":
        async with opened(data_dir) as database, database.transaction() as session:
            found = await tenant_named(session, tenant)
            done = await adjust_credits(
                session, by=operator_here(), tenant=found.name, amount=micro, note=note, job_id=job_id
            )
            return TransferOut.of(*done)

    transfer = asyncio.run(run())
    line = f"balance of tenant {transfer.tenant} adjusted by {transfer.amount} credits"
    say(line, value=transfer.model_dump(mode="json"), as_json=as_json)
