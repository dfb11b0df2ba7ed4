"""Who the operators are; and what of a tenant is set outside the tenants' own table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.admin.models import Role
from app.core.db import ReadSession, Row
from app.core.errors import NotFound
from app.core.ids import find_id

OPERATOR_COLUMNS = "id, name, role, prefix, created_at, revoked_at"


class OperatorNotFound(NotFound):
    """404: no operator of that name or id."""

    code = "operator_not_found"

    def __init__(self, message: str = "no such operator") -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of `operators`, without its hash."""

    id: UUID
    name: str
    role: Role
    prefix: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a tenant may overdraw, and what it, or a key, may spend in a day and a month, in micro-credits; None: any."""

    overdraft: int = 0
    daily_credits: int | None = None
    monthly_credits: int | None = None


def operator_of(row: Row) -> Operator:
    """The operator in a row of OPERATOR_COLUMNS."""
    return Operator(**{**row, "role": Role(row["role"])})


async def list_operators(session: ReadSession) -> list[Operator]:
    """All, the revoked ones too, in the order they were made."""
    rows = await session.fetch(f"SELECT {OPERATOR_COLUMNS} FROM operators ORDER BY id")  # noqa: S608
    return [operator_of(row) for row in rows]


async def find_known_operator(session: ReadSession, *, hashes: Sequence[bytes]) -> Operator | None:
    """The operator whose key has one of these hashes, unless it is revoked."""
    row = await session.fetchrow(
        f"SELECT {OPERATOR_COLUMNS} FROM operators WHERE hash = ANY($1) AND revoked_at IS NULL",  # noqa: S608
        list(hashes),
    )
    return None if row is None else operator_of(row)


async def find_operator(session: ReadSession, *, name_or_id: str) -> Operator | None:
    """The operator of a name or an `opr_…` id."""
    if not (name_or_id.isascii() and name_or_id.isprintable()):
        return None
    row = await session.fetchrow(
        f"SELECT {OPERATOR_COLUMNS} FROM operators WHERE id = $1 OR name = $2",  # noqa: S608
        find_id("opr", name_or_id),
        name_or_id,
    )
    return None if row is None else operator_of(row)


async def get_operator(session: ReadSession, *, name_or_id: str) -> Operator:
    """The same; raises OperatorNotFound."""
    operator = await find_operator(session, name_or_id=name_or_id)
    if operator is None:
        raise OperatorNotFound
    return operator


_ALLOWANCES = """
SELECT
    subject.id, coalesce(balance.overdraft, 0) AS overdraft,
    day.limit_micro AS daily_credits, month.limit_micro AS monthly_credits
FROM unnest($1::uuid[]) AS subject (id)
LEFT JOIN balances AS balance ON balance.tenant_id = subject.id
LEFT JOIN budgets AS day ON day.subject_id = subject.id AND day.period = 'day'
LEFT JOIN budgets AS month ON month.subject_id = subject.id AND month.period = 'month'
"""


async def list_allowances(session: ReadSession, *, subject_ids: Sequence[UUID]) -> dict[UUID, Allowance]:
    """Of these tenants or keys, what each may spend."""
    rows = await session.fetch(_ALLOWANCES, list(subject_ids))
    return {row["id"]: Allowance(row["overdraft"], row["daily_credits"], row["monthly_credits"]) for row in rows}


async def find_grant(session: ReadSession, *, tenant_id: UUID, reference: str) -> Row | None:
    """Expiry of the tenant's grant of this reference."""
    sql = "SELECT expires_at FROM transfers WHERE tenant_id = $1 AND reference = $2"
    return await session.fetchrow(sql, tenant_id, reference)
