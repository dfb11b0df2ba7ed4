"""`waystation operator …`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, say, say_all, table

if TYPE_CHECKING:
    from app.admin.queries import Operator

operators = typer.Typer(
    help="Operators: people who run the gateway, each with their own key. The audit log names them."
)


@operators.command("create")
def create_operator(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    role: Annotated[str, typer.Option(help="admin, or viewer: may only read.")],
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Create an operator. The key is shown only once."""
    from app.admin import operations
    from app.admin.decide import checked_role
    from app.admin.http.tenant_schemas import IssuedOperatorOut
    from app.core.commands.local import find_secrets, opened

    wanted = checked_role(role)

    async def run() -> "tuple[Operator, str]":
        async with opened(data_dir) as database, database.transaction() as session:
            secret = find_secrets(data_dir)[0]
            return await operations.create_operator(session, by=operator_here(), name=name, role=wanted, secret=secret)

    operator, text = asyncio.run(run())
    issued = IssuedOperatorOut.issued(operator, text=text)
    line = f"operator {issued.name} ({issued.id}), {issued.role}; key, shown only once: {text}"
    say(line, value=issued.model_dump(mode="json"), as_json=as_json)


@operators.command("list")
def list_operators(as_json: AsJson = False, data_dir: DataDir = DATA_DIR) -> None:
    """List operators, with revoked ones, without their keys."""
    from app.admin import queries
    from app.admin.http.tenant_schemas import OperatorOut
    from app.core.commands.local import opened

    async def run() -> "list[Operator]":
        async with opened(data_dir) as database, database.snapshot() as session:
            return await queries.list_operators(session)

    shown = [OperatorOut.of(operator).model_dump(mode="json") for operator in asyncio.run(run())]
    rows = [
        (each["id"], each["name"], each["role"], each["prefix"], each["created_at"], each["revoked_at"] or "no")
        for each in shown
    ]
    say_all(table(("ID", "NAME", "ROLE", "PREFIX", "CREATED", "REVOKED"), rows), value=shown, as_json=as_json)


@operators.command("revoke")
def revoke_operator(
    operator: Annotated[str, typer.Argument(metavar="OPERATOR", help="Name or opr_… id.")],
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Revoke an operator's key. This takes effect at once. The name cannot be used again."""
    from app.admin import operations
    from app.admin.http.tenant_schemas import OperatorOut
    from app.admin.names import operator_named
    from app.core.commands.local import opened

    async def run() -> "Operator":
        async with opened(data_dir) as database, database.transaction() as session:
            found = await operator_named(session, operator)
            return await operations.revoke_operator(session, by=operator_here(), name_or_id=found)

    revoked = OperatorOut.of(asyncio.run(run()))
    say(f"operator {revoked.name} is revoked", value=revoked.model_dump(mode="json"), as_json=as_json)
