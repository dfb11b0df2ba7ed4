"""The audit log, and operators themselves. `by` is whoever does it, as the log names them."""

from collections.abc import Mapping
from uuid import UUID

from app.admin.decide import checked_operator_name, told
from app.admin.models import Role
from app.admin.queries import OPERATOR_COLUMNS, Operator, get_operator, operator_of
from app.core.db import Session
from app.core.errors import Conflict
from app.core.ids import new_id, show_id
from app.tenants.keys import OPERATOR_MARK, hash_key, issue_key


class OperatorExists(Conflict):
    """409: there is, or was, an operator of that name; the audit log would take the two for one."""

    code = "operator_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is an operator {name} already, or there was one")


async def record_audit(
    session: Session,
    *,
    by: str,
    action: str,
    target: str = "",
    tenant_id: UUID | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Write down who did what, in the transaction that does it. `action` is noun and verb; `detail` what was asked."""
    await session.execute(
        "INSERT INTO audit (operator, action, target, tenant_id, detail) VALUES ($1, $2, $3, $4, $5)",
        by,
        action,
        target,
        tenant_id,
        told(detail or {}),
    )


async def create_operator(session: Session, *, by: str, name: str, role: Role, secret: bytes) -> tuple[Operator, str]:
    """A new operator and their key's text, which is kept nowhere; `secret` is the first SECRET_KEY. Raises Malformed,
    OperatorExists."""
    key = issue_key(OPERATOR_MARK)
    row = await session.fetchrow(
        "INSERT INTO operators (id, name, role, prefix, hash) VALUES ($1, $2, $3, $4, $5)"  # noqa: S608
        f" ON CONFLICT (name) DO NOTHING RETURNING {OPERATOR_COLUMNS}",
        new_id(),
        checked_operator_name(name),
        role,
        key.prefix,
        hash_key(secret, key.text),
    )
    if row is None:
        raise OperatorExists(name)
    operator = operator_of(row)
    await record_audit(
        session,
        by=by,
        action="operator.create",
        target=show_id("opr", operator.id),
        detail={"name": name, "role": role},
    )
    return operator, key.text


async def revoke_operator(session: Session, *, by: str, name_or_id: str) -> Operator:
    """Their key is good no longer, from the next request on; revoked twice, it keeps the first instant. Raises
    OperatorNotFound."""
    operator = await get_operator(session, name_or_id=name_or_id)
    row = await session.fetchrow(
        "UPDATE operators SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1"  # noqa: S608
        f" RETURNING {OPERATOR_COLUMNS}",
        operator.id,
    )
    assert row is not None, "operators are never deleted"
    target = show_id("opr", operator.id)
    await record_audit(session, by=by, action="operator.revoke", target=target, detail={"name": operator.name})
    return operator_of(row)
