"""The rate limits of all processes, in Redis: one call judges and charges everything that one process has gathered.

A bucket is a string `used at`, in units and microseconds of Redis' own clock, and expires once it is empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from redis.asyncio import Redis

from app.admission.buckets import TOKEN, Level, Standing, most_of, room_of
from app.tenants.auth import Principal
from app.tenants.decide import Rate

# KEYS: the buckets. ARGV: of each bucket its rate a minute, the most it holds, what the caller knows of it, and whether
# that counts beside what is there (1), or only where there is nothing (0). Then the charges: a number of units, and two
# buckets by their places, 0 for none; -1 for the second charges the first one afterwards, also beyond its room. Answers
# for each charge whether it was made, and how full its buckets are then.
_CHARGE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used, rate, room, had, changed = {}, {}, {}, {}, {}
for i, key in ipairs(KEYS) do
    local at = 4 * i - 3
    rate[i], room[i] = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    local known = math.min(room[i], tonumber(ARGV[at + 2]))
    local was, since = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
    local left = was and math.max(0, math.min(room[i], tonumber(was)) - math.max(0, now - since) * rate[i]) or 0
    had[i] = was
    changed[i] = known > left and (not was or ARGV[at + 3] == '1')
    used[i] = changed[i] and known or left
end
local told = {}
for at = 4 * #KEYS + 1, #ARGV, 3 do
    local units, one, two = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local fits = units < 0 or two < 0 or (used[one] + units <= room[one] and (two == 0 or used[two] + units <= room[two]))
    if fits and units ~= 0 then
        used[one] = math.max(0, used[one] + units)
        if two < 0 then
            used[one] = math.min(room[one], used[one])
        end
        changed[one] = true
        if two > 0 then
            used[two] = math.max(0, used[two] + units)
            changed[two] = true
        end
    end
    told[#told + 1] = fits and 1 or 0
    told[#told + 1] = used[one]
    told[#told + 1] = two > 0 and used[two] or 0
end
for i, key in ipairs(KEYS) do
    if changed[i] and used[i] > 0 then
        local left = math.ceil(used[i] / rate[i] / 1000) + 1000
        redis.call('SET', key, string.format('%.0f %.0f', used[i], now), 'PX', string.format('%.0f', left))
    elseif changed[i] and had[i] then
        redis.call('DEL', key)
    end
end
return told
"""

# When some process found Redis again first, and Redis' time now. All of them wait until the same instant after it.
_RETURN = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('SET', KEYS[1], string.format('%.0f', now), 'NX', 'PX', ARGV[1])
return {now, tonumber(redis.call('GET', KEYS[1]))}
"""

PREFIX = "waystation:rate:"
_RETURN_KEY = PREFIX + "found"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A limit: whose (`tenant`, `key`), and how much."""

    policy: str
    key: str
    """Its name in Redis."""
    rate: Rate
    afterwards: bool = False
    """Charged for what is done already, so that it may be overdrawn, by as much as it holds."""

    @property
    def most(self) -> int:
        """Its highest level, in units."""
        return most_of(self.rate, afterwards=self.afterwards)


def limits_of(tenant_id: UUID, rate: Rate, key_id: UUID, key_rate: Rate | None) -> tuple[Bucket, ...]:
    """A tenant's limit, and beside it its key's own where it has one."""
    tenant = Bucket("tenant", f"{PREFIX}{tenant_id.hex}", rate)
    return (tenant,) if key_rate is None else (tenant, Bucket("key", f"{PREFIX}{key_id.hex}", key_rate))


def buckets_of(principal: Principal) -> tuple[Bucket, ...]:
    """The limits on a caller's submits: its tenant's, and its key's own where it has one."""
    return limits_of(principal.tenant_id, principal.rate, principal.key_id, principal.key_rate)


@dataclass(frozen=True, slots=True)
class Charge:
    """So many submits on one bucket or on two, all or nothing; below nothing: gives back, none: only asks."""

    buckets: tuple[Bucket, ...]
    count: int

    @property
    def afterwards(self) -> bool:
        """Made in any case, on one bucket."""
        return self.count > 0 and self.buckets[0].afterwards


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a charge was made, and how its buckets stand after it."""

    made: bool
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What a process knows of a bucket, in units; `counts` also where Redis has it, since it was charged elsewhere."""

    used: int
    counts: bool


class RateScript:
    """The scripts on one Redis. Raises what redis-py raises."""

    def __init__(self, redis: "Redis") -> None:
        self._charge = redis.register_script(_CHARGE)
        self._return = redis.register_script(_RETURN)

    async def charge(self, charges: Sequence[Charge], known: dict[str, Known]) -> list[Verdict]:
        """Make these charges in order. `known` by the bucket's name in Redis."""
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
            Verdict(
                made=bool(answer[3 * number]),
                standings=tuple(
                    Standing(bucket.policy, bucket.rate, answer[3 * number + 1 + side], room_of(bucket.rate))
                    for side, bucket in enumerate(charge.buckets)
                ),
            )
            for number, charge in enumerate(charges)
        ]

    async def micros_since_found(self, *, forget_micros: int) -> int:
        """How long ago some process found Redis again first; it is forgotten after `forget_micros`. Writes, so that a
        Redis that only takes reads counts as away."""
        now, found_at = await self._return(keys=[_RETURN_KEY], args=[forget_micros // 1000])
        return int(now - found_at)


def levels_of(charges: Sequence[Charge], verdicts: Sequence[Verdict], now: int) -> dict[str, Level]:
    """How full each bucket was left by these charges."""
    return {
        bucket.key: Level(standing.used, now)
        for charge, verdict in zip(charges, verdicts, strict=True)
        for bucket, standing in zip(charge.buckets, verdict.standings, strict=True)
    }
