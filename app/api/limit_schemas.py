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
        description="seconds until the next submit is possible if none remains, else until the full burst is available"
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
    """The rate limit on submits. A batch of n jobs counts as n submits; a refused submit does not count."""

    burst: int = Field(description="submits that may be made at once")
    remaining: int = Field(description="submits that would be accepted now")


class RefusedOut(_BucketOut):
    """The limit on refused submits. Submits that fail with a 5xx do not count."""

    per_minute: int = Field(
        description="refused submits that are allowed in a minute; then every submit is refused: 429 too_many_refused"
    )
    burst: int = Field(description="refused submits that are allowed at once")
    remaining: int = Field(description="refused submits that are still allowed now")


class PlacesOut(BaseModel):
    """A limit on jobs, and how many jobs count towards it now."""

    limit: int | None = Field(description="null: only the tenant's limit")
    used: int


class KeyLimitsOut(BaseModel):
    """The key's own limits, in addition to the tenant's."""

    rate: RateOut | None
    in_flight: PlacesOut | None
    queued: PlacesOut | None


class LimitsOut(BaseModel):
    """A tenant's limits and what is used of them."""

    rate: RateOut
    refused: RefusedOut
    in_flight: PlacesOut = Field(description="jobs in flight; further jobs stay queued")
    queued: PlacesOut = Field(description="queued jobs; further submits are refused")
    weight: Number = Field(description="its share of the upstream's capacity, relative to the weights of other tenants")
    max_price: str | None = Field(description="highest price of a job, in credits; null: no limit")
    models: list[str] | None = Field(description="slugs of the models that it may use; null: all")
    key: KeyLimitsOut | None = Field(description="the key's own limits; null: it has none")

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
