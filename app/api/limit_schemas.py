"""HTTP schemas of a tenant's limits."""

from typing import Self

from pydantic import BaseModel, Field

from app.core.credits import show_credits
from app.jobs.places import Limits
from app.limits.buckets import Standing
from app.web.fields import Number


class _BucketOut(BaseModel):
    per_minute: int
    burst: int
    remaining: int
    reset_seconds: int = Field(
        description="until there is another one, or until all are there again where some are left"
    )

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """The schema of a bucket's current standing."""
        return cls(
            per_minute=standing.rate.per_minute,
            burst=standing.rate.burst,
            remaining=standing.remaining,
            reset_seconds=standing.reset_seconds,
        )


class RateOut(_BucketOut):
    """How often it may submit. A batch of n counts as n, a refused submit not at all."""

    burst: int = Field(description="submits at once, after a rest")
    remaining: int = Field(description="submits that would be taken at this moment")


class RefusedOut(_BucketOut):
    """How many of its submits may be refused, for whatever reason, but for those that are our own fault."""

    per_minute: int = Field(description="beyond that every submit is refused: 429 too_many_refused")
    burst: int = Field(description="refused submits at once, after a rest")
    remaining: int = Field(description="refused submits that are still free at this moment")


class PlacesOut(BaseModel):
    """How many jobs may be in one state, and how many are."""

    limit: int | None = Field(description="null: only the tenant's")
    used: int


class KeyLimitsOut(BaseModel):
    """Limits of this key alone, beside its tenant's."""

    rate: RateOut | None
    in_flight: PlacesOut | None
    queued: PlacesOut | None


class LimitsOut(BaseModel):
    """What a tenant may do, and how far it has gone."""

    rate: RateOut
    refused: RefusedOut
    in_flight: PlacesOut = Field(description="jobs at the upstream; more wait")
    queued: PlacesOut = Field(description="jobs that wait; more are refused")
    weight: Number = Field(description="its share of what all may spend upstream, beside the others'")
    max_price: str | None = Field(description="the dearest job it may ask for; null: any")
    models: list[str] | None = Field(description="slugs of the models it may ask for; null: any")
    key: KeyLimitsOut | None = Field(description="of this key alone; null: it has none")

    @classmethod
    def of(cls, row: Limits, standings: tuple[Standing, ...], refused: Standing) -> Self:
        """The schema of a row of `jobs.places`. `standings`: of the tenant's rate limit, and of the key's if it has its own.
        `refused`: of the limit of refused submits."""
        rates = {standing.policy: RateOut.of(standing) for standing in standings}
        own = KeyLimitsOut(
            rate=rates.get("key"),
            in_flight=_own_places(row.key_max_in_flight, row.key_in_flight),
            queued=_own_places(row.key_max_queued, row.key_queued),
        )
        return cls(
            rate=rates["tenant"],
            refused=RefusedOut.of(refused),
            in_flight=PlacesOut(limit=row.max_in_flight, used=row.in_flight),
            queued=PlacesOut(limit=row.max_queued, used=row.queued),
            weight=row.weight,
            max_price=None if row.max_price_micro is None else show_credits(row.max_price_micro),
            models=row.models,
            key=own if own.rate or own.in_flight or own.queued else None,
        )


def _own_places(limit: int | None, used: int | None) -> PlacesOut | None:
    return None if limit is None else PlacesOut(limit=limit, used=used or 0)
