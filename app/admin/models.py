"""Roles of operators, rows of the audit log, and exposure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Role(StrEnum):
    """What an operator may do. A viewer only reads. An admin also writes."""

    ADMIN = "admin"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit log."""

    id: int
    at: datetime
    operator: str
    action: str
    target: str
    tenant: str | None
    tenant_id: UUID | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the upstream may have charged that no tenant pays; `amount` in micro-credits."""

    id: int
    at: datetime
    job_id: UUID
    tenant: str
    tenant_id: UUID
    reason: str
    amount: int
    upstream_id: str | None
