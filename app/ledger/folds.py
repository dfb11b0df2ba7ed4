"""What the transfers come to, beside what the balances say."""

from dataclasses import dataclass
from uuid import UUID

from app.core.db import ReadSession

DIFFERING = """
SELECT
    balance.tenant_id AS id,
    balance.granted - balance.posted - balance.held AS balance,
    coalesce(fold.granted - fold.posted, 0) - coalesce(unresolved.amount, 0) AS fold
FROM balances AS balance
LEFT JOIN (
    SELECT
        tenant_id,
        sum(CASE
            WHEN kind = 'grant' THEN amount WHEN kind = 'expire' THEN -amount
            WHEN kind = 'adjust' AND job_id IS NULL THEN amount ELSE 0
        END)::bigint AS granted,
        sum(CASE
            WHEN kind = 'post' THEN amount WHEN kind = 'adjust' AND job_id IS NOT NULL THEN -amount ELSE 0
        END)::bigint AS posted
    FROM transfers GROUP BY tenant_id
) AS fold ON fold.tenant_id = balance.tenant_id
LEFT JOIN (
    SELECT hold.tenant_id, sum(hold.amount)::bigint AS amount
    FROM transfers AS hold
    LEFT JOIN transfers AS resolution ON resolution.hold_id = hold.id AND resolution.kind IN ('post', 'release')
    WHERE hold.kind = 'hold' AND resolution.id IS NULL
    GROUP BY hold.tenant_id
) AS unresolved ON unresolved.tenant_id = balance.tenant_id
WHERE balance.granted <> coalesce(fold.granted, 0) OR balance.posted <> coalesce(fold.posted, 0)
    OR balance.held <> coalesce(unresolved.amount, 0)
"""
"""Balances that are not the sum of their transfers: (id, balance, fold), what is available by the one and by the other."""


@dataclass(frozen=True, slots=True)
class Differing:
    """A balance that is not the sum of its transfers; micro-credits available by the one and by the other."""

    tenant_id: UUID
    balance: int
    fold: int


async def list_differing(session: ReadSession) -> list[Differing]:
    """One statement, which reads all transfers, and sees one snapshot of them."""
    return [Differing(row["id"], row["balance"], row["fold"]) for row in await session.fetch(DIFFERING)]
