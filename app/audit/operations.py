"""Write the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from app.core.clock import rfc3339
from app.core.credits import show_credits
from app.core.database.session import Session
from app.core.database.sql import SqlFolder

GATEWAY: Final = "waystation"
"""The `operator` of what a process of ours does by itself."""

AMOUNTS: Final = frozenset(
    {"max_price", "default_price", "overdraft", "daily_credits", "monthly_credits", "amount", "price"}
)
"""Members of `detail` that are micro-credits."""

_RECORD_AUDIT = SqlFolder(__file__).command("record_audit")


async def record_audit(
    session: Session,
    *,
    by: str,
    action: str,
    target: str = "",
    tenant_id: UUID | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Write a row of the audit log, in the transaction of the action. `action`: noun and verb. `detail`: what was requested."""
    await session.run(
        _RECORD_AUDIT, operator=by, action=action, target=target, tenant_id=tenant_id, detail=told(detail or {})
    )


def told(asked: Mapping[str, object]) -> dict[str, object]:
    """Return what was requested, in the form of the audit log: amounts and instants as the API shows them."""
    return {name: _told(name, value) for name, value in asked.items()}


def _told(name: str, value: object) -> object:
    if name in AMOUNTS and isinstance(value, int):
        return show_credits(value)
    return rfc3339(value) if isinstance(value, datetime) else value
