"""Bodies of the native surface about money: strings of credits with six decimals, never numbers."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.core.clock import rfc3339
from app.core.credits import show_credits
from app.core.db import Row
from app.core.ids import show_id
from app.ledger.models import Kind


class BalanceOut(BaseModel):
    """What the tenant has; available = granted - held - posted."""

    granted: str = Field(examples=["1000.000000"])
    held: str = Field(description="set apart for jobs that have not ended")
    posted: str = Field(description="charged")
    available: str
    overdraft: str = Field(description="how far below nothing `available` may go")


class TransferOut(BaseModel):
    """One movement of credits."""

    id: str
    kind: Kind
    amount: str = Field(description="of an adjustment: what was gained, below nothing what was lost")
    job_id: str | None
    reference: str | None = Field(description="of a grant: its own name")
    note: str | None
    expires_at: datetime | None = Field(description="of a grant")
    created_at: datetime


class TransferPage(BaseModel):
    """One page of transfers, newest first."""

    items: list[TransferOut]
    next_cursor: str | None


class UsageItem(BaseModel):
    """Jobs that ended, of one model, key or day of UTC."""

    model: str | None = Field(None, description="with `by=model`")
    key_id: str | None = Field(None, description="with `by=key`")
    day: str | None = Field(None, description="with `by=day`")
    completed: int
    failed: int
    canceled: int
    charged: str
    run_seconds: float = Field(description="of the completed ones, summed")


class UsageOut(BaseModel):
    """What was used in whole hours of UTC, from that of `since` on."""

    by: Literal["model", "key", "day"]
    since: datetime
    until: datetime
    items: list[UsageItem]


def balance_body(row: Row) -> dict[str, str]:
    """The JSON of a balance."""
    return {name: show_credits(row[name]) for name in BalanceOut.model_fields}


def transfer_item(row: Row) -> dict[str, Any]:
    """The JSON of a transfer."""
    return {
        "id": show_id("trf", row["id"]),
        "kind": row["kind"],
        "amount": show_credits(row["amount"]),
        "job_id": None if row["job_id"] is None else show_id("job", row["job_id"]),
        "reference": row["reference"],
        "note": row["note"],
        "expires_at": rfc3339(row["expires_at"]),
        "created_at": rfc3339(row["created_at"]),
    }


def usage_item(by: str, row: Row) -> dict[str, Any]:
    """The JSON of one model's, key's or day's use."""
    name = row["name"]
    shown = None if name is None else show_id("key", name) if by == "key" else str(name)
    named = {{"model": "model", "key": "key_id", "day": "day"}[by]: shown}
    return {
        **named,
        "completed": row["completed"],
        "failed": row["failed"],
        "canceled": row["canceled"],
        "charged": show_credits(row["charged_micro"]),
        "run_seconds": round(row["run_seconds"], 3),
    }
