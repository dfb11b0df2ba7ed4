"""Create and revoke operators. `by`: who acts, as named in the audit log."""

from app.admin.decide import checked_operator_name
from app.admin.models import Role
from app.admin.queries import Operator, get_operator
from app.audit.operations import record_audit
from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.errors import Conflict
from app.core.ids import new_id, show_id
from app.tenants.keys import OPERATOR_MARK, hash_key, issue_key

_SQL = SqlFolder(__file__)
_CREATE = _SQL.query("create_operator", Operator)
_REVOKE = _SQL.query("revoke_operator", Operator)


class OperatorExists(Conflict):
    """409: an operator has, or had, this name. The audit log could not distinguish the two."""

    code = "operator_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"the operator name {name} is already used; names of revoked operators cannot be used again")


async def create_operator(session: Session, *, by: str, name: str, role: Role, secret: bytes) -> tuple[Operator, str]:
    """Create an operator. Return it and the text of its key, which is not stored. `secret`: the first SECRET_KEY. Raises
    Malformed, OperatorExists."""
    key = issue_key(OPERATOR_MARK)
    operator = await session.find_row(
        _CREATE,
        operator_id=new_id(),
        name=checked_operator_name(name),
        role=role,
        prefix=key.prefix,
        hash=hash_key(secret, key.text),
    )
    if operator is None:
        raise OperatorExists(name)
    await record_audit(
        session,
        by=by,
        action="operator.create",
        target=show_id("opr", operator.id),
        detail={"name": name, "role": role},
    )
    return operator, key.text


async def revoke_operator(session: Session, *, by: str, name_or_id: str) -> Operator:
    """Revoke an operator: the next request with its key is refused. A second revocation keeps the first instant. Raises
    OperatorNotFound."""
    operator = await get_operator(session, name_or_id=name_or_id)
    revoked = await session.get_row(_REVOKE, operator_id=operator.id)  # never None: operators are never deleted
    target = show_id("opr", operator.id)
    await record_audit(session, by=by, action="operator.revoke", target=target, detail={"name": operator.name})
    return revoked
