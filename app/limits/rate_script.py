"""The rate limits of all processes, in Redis. One call checks and charges all submits that a process has gathered.

A bucket is a string `used at`, in units and microseconds of the Redis clock. It expires when it is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from redis.asyncio import Redis

from app.limits.buckets import TOKEN, Level, Standing, most_of, room_of
from app.tenants.auth import Principal
from app.tenants.decide import Rate

_CHARGE = Path(__file__).with_name("charge_rates.lua").read_text(encoding="utf-8")
_RETURN = Path(__file__).with_name("note_return.lua").read_text(encoding="utf-8")

PREFIX = "waystation:rate:"
_RETURN_KEY = PREFIX + "found"


@dataclass(frozen=True, slots=True)
class Bucket:
    """One rate limit: its kind (`policy`: `tenant`, `key`, `refused`, `address`) and its rate."""

    policy: str
    key: str
    """The name of the bucket in Redis."""
    rate: Rate
    afterwards: bool = False
    """Whether it is charged for what has already happened. Then it may be overdrawn by as much as it holds."""

    @property
    def most(self) -> int:
        """The highest level, in units."""
        return most_of(self.rate, afterwards=self.afterwards)


def limits_of(tenant_id: UUID, rate: Rate, key_id: UUID, key_rate: Rate | None) -> tuple[Bucket, ...]:
    """The tenant's limit, and the key's own if it has one."""
    tenant = Bucket("tenant", f"{PREFIX}{tenant_id.hex}", rate)
    return (tenant,) if key_rate is None else (tenant, Bucket("key", f"{PREFIX}{key_id.hex}", key_rate))


def buckets_of(principal: Principal) -> tuple[Bucket, ...]:
    """The limits on a caller's submits: the tenant's, and the key's own if it has one."""
    return limits_of(principal.tenant_id, principal.rate, principal.key_id, principal.key_rate)


@dataclass(frozen=True, slots=True)
class Charge:
    """A number of submits for one or two buckets, all or none. Negative: gives submits back. 0: only reads."""

    buckets: tuple[Bucket, ...]
    count: int

    @property
    def afterwards(self) -> bool:
        """Whether it is charged even if the bucket is full. Such a charge has one bucket."""
        return self.count > 0 and self.buckets[0].afterwards


@dataclass(frozen=True, slots=True)
class ChargeOutcome:
    """Whether a charge was made, and how full its buckets are after it."""

    made: bool
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class KnownUsage:
    """What a process knows of a bucket, in units. `counts`: also if Redis has the bucket, because it was charged elsewhere."""

    used: int
    counts: bool


class RateScript:
    """Runs the scripts on one Redis. Raises what redis-py raises."""

    def __init__(self, redis: "Redis") -> None:
        self._charge = redis.register_script(_CHARGE)
        self._return = redis.register_script(_RETURN)

    async def charge(self, charges: Sequence[Charge], known: dict[str, KnownUsage]) -> list[ChargeOutcome]:
        """Make these charges in order, and return one verdict for each. `known`: by the bucket's name in Redis."""
        places: dict[str, int] = {}
        limits: list[int] = []
        told: list[int] = []
        for charge in charges:
            at = [0, -1 if charge.afterwards else 0]
            for side, bucket in enumerate(charge.buckets):
                if bucket.key not in places:
                    places[bucket.key] = len(places) + 1
                    what = known.get(bucket.key)
                    used, counts = (what.used, int(what.counts)) if what is not None else (0, 0)
                    limits += (bucket.rate.per_minute, bucket.most, used, counts)
                at[side] = places[bucket.key]
            told += (charge.count * TOKEN, *at)
        answer: list[int] = await self._charge(keys=list(places), args=[*limits, *told])
        return [
            ChargeOutcome(
                made=bool(answer[3 * number]),
                standings=tuple(
                    Standing(bucket.policy, bucket.rate, answer[3 * number + 1 + side], room_of(bucket.rate))
                    for side, bucket in enumerate(charge.buckets)
                ),
            )
            for number, charge in enumerate(charges)
        ]

    async def micros_since_found(self, *, forget_micros: int) -> int:
        """The microseconds since the first process found Redis again; forgotten after `forget_micros`. The script
        writes, so that a Redis that accepts only reads counts as unavailable."""
        now, found_at = await self._return(keys=[_RETURN_KEY], args=[forget_micros // 1000])
        return int(now - found_at)


def levels_of(charges: Sequence[Charge], verdicts: Sequence[ChargeOutcome], now: int) -> dict[str, Level]:
    """How full these charges left each bucket, by the bucket's name in Redis."""
    return {
        bucket.key: Level(standing.used, now)
        for charge, verdict in zip(charges, verdicts, strict=True)
        for bucket, standing in zip(charge.buckets, verdict.standings, strict=True)
    }
