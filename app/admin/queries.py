"""Read operators, and those settings of tenants and keys that the ledger stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.admin.models import Role
from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.core.errors import NotFound
from app.core.ids import find_id


class OperatorNotFound(NotFound):
    """404: no operator has this name or id."""

    code = "operator_not_found"

    def __init__(self, message: str = "no such operator") -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of `operators`, without the hash of the key."""

    id: UUID
    name: str
    role: Role
    prefix: str
    created_at: datetime
    revoked_at: datetime | None

    def __post_init__(self) -> None:
        """Postgres returns text."""
        object.__setattr__(self, "role", Role(self.role))


@dataclass(frozen=True, slots=True)
class Allowance:
    """The overdraft of a tenant, and the daily and monthly budget of a tenant or key, in micro-credits. None means no budget."""

    overdraft: int = 0
    daily_credits: int | None = None
    monthly_credits: int | None = None


class Grant(NamedTuple):
    """What callers need of a grant."""

    expires_at: datetime | None


class _AllowanceRow(NamedTuple):
    """A row of `list_allowances.sql`: one tenant or key."""

    id: UUID
    overdraft: int
    daily_credits: int | None
    monthly_credits: int | None


_SQL = SqlFolder(__file__)
_OPERATORS = _SQL.query("list_operators", Operator)
_KNOWN_OPERATOR = _SQL.query("find_known_operator", Operator)
_OPERATOR = _SQL.query("find_operator", Operator)
_ALLOWANCES = _SQL.query("list_allowances", _AllowanceRow)
_GRANT = _SQL.query("find_grant", Grant)


async def list_operators(session: ReadSession) -> list[Operator]:
    """Return all operators, also revoked ones, in the order of creation."""
    return await session.rows(_OPERATORS)


async def find_known_operator(session: ReadSession, *, hashes: Sequence[bytes]) -> Operator | None:
    """Return the operator, not revoked, whose key has one of these hashes."""
    return await session.find_row(_KNOWN_OPERATOR, hashes=hashes)


async def find_operator(session: ReadSession, *, name_or_id: str) -> Operator | None:
    """Return the operator with this name or `opr_…` id."""
    if not (name_or_id.isascii() and name_or_id.isprintable()):
        return None
    return await session.find_row(_OPERATOR, operator_id=find_id("opr", name_or_id), name=name_or_id)


async def get_operator(session: ReadSession, *, name_or_id: str) -> Operator:
    """Like find_operator, but raises OperatorNotFound."""
    operator = await find_operator(session, name_or_id=name_or_id)
    if operator is None:
        raise OperatorNotFound
    return operator


async def list_allowances(session: ReadSession, *, subject_ids: Sequence[UUID]) -> dict[UUID, Allowance]:
    """Return the overdraft and budgets of these tenants or keys."""
    rows = await session.rows(_ALLOWANCES, subject_ids=subject_ids)
    return {row.id: Allowance(row.overdraft, row.daily_credits, row.monthly_credits) for row in rows}


async def find_grant(session: ReadSession, *, tenant_id: UUID, reference: str) -> Grant | None:
    """Return the tenant's grant with this reference."""
    return await session.find_row(_GRANT, tenant_id=tenant_id, reference=reference)
