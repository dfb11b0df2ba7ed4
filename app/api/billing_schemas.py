"""HTTP schemas of balance, ledger and usage. Credits are strings with six decimals, never numbers."""

from typing import Self

from pydantic import BaseModel, Field

from app.core.credits import show_credits
from app.core.database.session import Row
from app.core.ids import show_id
from app.ledger.listing import UsageBy
from app.ledger.models import TransferKind
from app.ledger.queries import BalanceRow
from app.web.fields import At


class BalanceOut(BaseModel):
    """The tenant's balance; available = granted - held - posted."""

    granted: str = Field(examples=["1000.000000"])
    held: str = Field(description="reserved for jobs that have not ended")
    posted: str = Field(description="charged")
    available: str
    overdraft: str = Field(description="how far below zero `available` may go")

    @classmethod
    def of(cls, balance: BalanceRow) -> Self:
        """The schema of a balance."""
        return cls(**{name: show_credits(getattr(balance, name)) for name in cls.model_fields})


class TransferOut(BaseModel):
    """One transfer of the ledger."""

    id: str
    kind: TransferKind
    amount: str = Field(description="credits; of an adjustment: positive for a gain, negative for a loss")
    job_id: str | None
    reference: str | None = Field(description="of a grant: its reference")
    note: str | None
    expires_at: At | None = Field(description="of a grant: when its credits expire")
    created_at: At

    @classmethod
    def of(cls, row: Row) -> Self:
        """The schema of a row of `ledger.listing.list_transfers`."""
        shown = {
            "id": show_id("trf", row["id"]),
            "amount": show_credits(row["amount"]),
            "job_id": row["job_id"] and show_id("job", row["job_id"]),
        }
        return cls(**{**row, **shown})


class UsageItem(BaseModel):
    """Jobs that ended, of one model, key or day (UTC)."""

    model: str | None = Field(None, description="with `by=model`")
    key_id: str | None = Field(None, description="with `by=key`")
    day: str | None = Field(None, description="with `by=day`")
    completed: int
    failed: int
    canceled: int
    charged: str
    run_seconds: float = Field(description="sum over the completed jobs")

    @classmethod
    def of(cls, by: UsageBy, row: Row) -> Self:
        """The schema of a row of `ledger.listing.list_usage`. Only the name that `by` selects is set."""
        name = row["name"]
        shown = None if name is None else show_id("key", name) if by == "key" else str(name)
        return cls(
            **{"key_id" if by == "key" else by: shown},
            completed=row["completed"],
            failed=row["failed"],
            canceled=row["canceled"],
            charged=show_credits(row["charged_micro"]),
            run_seconds=round(row["run_seconds"], 3),
        )


class UsageOut(BaseModel):
    """Usage in whole hours (UTC), from the hour of `since`."""

    by: UsageBy
    since: At
    until: At
    items: list[UsageItem]
