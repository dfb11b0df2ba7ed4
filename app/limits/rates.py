"""How often a tenant may submit, over all API processes. Redis counts; without it each process counts alone.

With Redis: any t minutes admit at most burst + rate * t submits, exactly. If Redis has lost a bucket, a process
sends again what it knows of it, so an emptied Redis admits nothing more.

Without Redis: each process uses its share, limit/N and burst/N (at least one submit), from the last level that it
knows. N is the number of API processes alive at its last heartbeat. If the submits are spread evenly, all together
admit as much as before. However spread, a change admits at most one burst in all: the level of each process counts
what it knew, and the rest is its share of the burst. A new process has its own share in addition to the others',
until their next heartbeat at most `lease_seconds / 2.5` later.

Redis is back: every process that finds it waits until the same instant by the Redis clock. Then it raises each
bucket there to the level that it knows, as if the others had charged as much.

A refusal is known only afterwards. `charge_afterwards` charges it without waiting, and `find_exhausted` judges by
what this process knows, without Redis. Each charge returns the level over all processes. So after the bucket is
full, each process admits the requests in progress and one more. The overdrawn bucket must drain first, so in the
long run the rate is exact.

If only some processes lose Redis, they use their shares in addition: together less than twice the limit.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.clock import monotonic
from app.core.logs.log import get_logger
from app.core.process.batch import Batcher, Overloaded
from app.core.redis.in_time import in_time
from app.core.redis.redis_pool import open_redis
from app.limits.buckets import SECOND, TOKEN, Level, Standing, drained, fits, most_of, poured, room_of
from app.limits.rate_headers import RateLimited
from app.limits.rate_script import Bucket, Charge, ChargeOutcome, KnownUsage, RateScript, levels_of

log = get_logger(__name__)

REDIS_SECONDS = 0.25
"""How long one submit waits for Redis. After a timeout the next ones do not wait."""
PROBE_SECONDS = 0.5
"""How often a process tries to reach a lost Redis."""
GROUP_MAX = 200
WAITING_MAX = 10_000
KNOWN_MAX = 20_000
UNAVAILABLE_ERRORS = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Charged:
    """Submits that were charged, and how full the limits are after that."""

    charge: Charge
    standings: tuple[Standing, ...]


class RateLimiter:
    """The rate limits of one API process. No call waits longer than REDIS_SECONDS or fails because Redis is unavailable."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = open_redis(url, max_connections=4)
        self._script = RateScript(self._redis)
        self._batcher: Batcher[Charge, ChargeOutcome] = Batcher(
            self._flush, size_max=GROUP_MAX, waiting_max=WAITING_MAX
        )
        self._shares = 1
        # The least recently used are removed first. Without Redis, a removed tenant starts with a full burst.
        self._levels: OrderedDict[str, Level] = OrderedDict()
        self._untold: set[str] = set()
        self._pending: dict[str, int] = {}
        self._seeking: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether this process counts without Redis."""
        return self._seeking is not None

    def share_among(self, processes: int) -> None:
        """Set how many processes share the limits while Redis is unavailable."""
        self._shares = max(1, processes)

    async def take(self, buckets: Sequence[Bucket], count: int = 1) -> Charged:
        """Charge `count` submits to all of these buckets or to none. Raises RateLimited."""
        charge = Charge(tuple(buckets), count)
        verdict = await self._judge(charge)
        if not verdict.made:
            raise RateLimited(verdict.standings, count)
        return Charged(charge, verdict.standings)

    async def look(self, buckets: Sequence[Bucket]) -> tuple[Standing, ...]:
        """Return how full these are. Charges nothing."""
        return (await self._judge(Charge(tuple(buckets), 0))).standings

    async def find_refusal(self, buckets: Sequence[Bucket]) -> RateLimited | None:
        """Return the refusal that one more submit would get, or None. Charges nothing."""
        standings = await self.look(buckets)
        return None if all(fits(standing, 1) for standing in standings) else RateLimited(standings, 1)

    def give_back(self, taken: Charged) -> None:
        """Give back submits that were refused later, because these do not count. Waits for nothing."""
        charge = Charge(taken.charge.buckets, -taken.charge.count)
        if self._seeking is not None:
            self._judge_alone(charge)
            return
        try:
            self._batcher.post(charge)
        except Overloaded:
            log.warning("rates.refund_failed", submits=taken.charge.count)

    def charge_afterwards(self, bucket: Bucket, count: int = 1) -> None:
        """Charge what has already happened, even if the bucket is full. Its `afterwards` must be set. Waits for nothing."""
        charge = Charge((bucket,), count)
        if self._seeking is None:
            with suppress(Overloaded):
                self._batcher.post(charge)
                self._pending[bucket.key] = self._pending.get(bucket.key, 0) + count
                return
        self._judge_alone(charge)

    def find_exhausted(self, bucket: Bucket) -> Standing | None:
        """Return how full a bucket is if it accepts no more by what this process knows, else None. Asks no other process."""
        pending = self._pending.get(bucket.key, 0)
        if not pending and bucket.key not in self._levels:
            return None
        standing = self._standing(bucket, _now(), shares=self._shares if self.away else 1)
        standing = replace(standing, used=poured(standing, pending))
        return None if fits(standing, 1) else standing

    async def close(self) -> None:
        """Send the last charges, stop trying to reach Redis, and disconnect."""
        await self._batcher.drained()
        if self._seeking is not None:
            self._seeking.cancel()
        await self._redis.aclose()

    async def _judge(self, charge: Charge) -> ChargeOutcome:
        if self._seeking is not None:
            return self._judge_alone(charge)
        try:
            return await self._batcher.put(charge)
        except Overloaded:
            return self._judge_alone(charge)

    async def _flush(self, group: Sequence[Charge]) -> Sequence[ChargeOutcome]:
        verdicts = await self._charge(group)
        for charge in group:
            if charge.afterwards:
                key = charge.buckets[0].key
                self._pending[key] -= charge.count
                if not self._pending[key]:
                    del self._pending[key]
        return verdicts

    async def _charge(self, group: Sequence[Charge]) -> Sequence[ChargeOutcome]:
        if self._seeking is None:
            try:
                async with in_time(REDIS_SECONDS):
                    verdicts = await self._script.charge(group, self._known(group))
            except UNAVAILABLE_ERRORS as error:
                self._lose(error)
            else:
                self._learn(group, verdicts)
                return verdicts
        return [self._judge_alone(charge) for charge in group]

    def _known(self, group: Sequence[Charge]) -> dict[str, KnownUsage]:
        now = _now()
        return {
            bucket.key: KnownUsage(
                drained(level, bucket.rate, now, room=bucket.most), counts=bucket.key in self._untold
            )
            for charge in group
            for bucket in charge.buckets
            if (level := self._levels.get(bucket.key)) is not None
        }

    def _learn(self, group: Sequence[Charge], verdicts: Sequence[ChargeOutcome]) -> None:
        for key, level in levels_of(group, verdicts, _now()).items():
            self._keep(key, level)
            self._untold.discard(key)

    def _judge_alone(self, charge: Charge) -> ChargeOutcome:
        """Check and charge by this process's own level, against its share."""
        now = _now()
        before = [self._standing(bucket, now, shares=self._shares) for bucket in charge.buckets]
        if not charge.afterwards and not all(fits(standing, charge.count) for standing in before):
            return ChargeOutcome(False, tuple(before))
        after = tuple(Standing(one.policy, one.rate, poured(one, charge.count), one.room, one.token) for one in before)
        for bucket, standing in zip(charge.buckets, after, strict=True):
            self._keep(bucket.key, Level(standing.used, now))
        return ChargeOutcome(True, after)

    def _standing(self, bucket: Bucket, now: int, *, shares: int) -> Standing:
        """How full a bucket is by what this process knows, for one of `shares` processes."""
        most = most_of(bucket.rate, shares=shares, afterwards=bucket.afterwards)
        used = drained(self._levels.get(bucket.key, Level(0, now)), bucket.rate, now, room=most)
        return Standing(bucket.policy, bucket.rate, used, room_of(bucket.rate, shares=shares), shares * TOKEN)

    def _keep(self, key: str, level: Level) -> None:
        self._levels[key] = level
        self._levels.move_to_end(key)
        if len(self._levels) > KNOWN_MAX:
            forgotten, _ = self._levels.popitem(last=False)
            self._untold.discard(forgotten)

    def _lose(self, error: BaseException) -> None:
        if self._seeking is None:
            log.warning("rates.redis_away", cause=repr(error), shares=self._shares)
            self._seeking = asyncio.create_task(self._seek())

    async def _seek(self) -> None:
        """Wait until Redis is back, then use it again at the same instant as all other processes that have lost it."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                async with in_time(REDIS_SECONDS):
                    since = await self._script.micros_since_found(forget_micros=round(2 * PROBE_SECONDS * SECOND))
            except UNAVAILABLE_ERRORS as error:
                log.debug("rates.redis_still_away", cause=repr(error))
                continue
            # By then every other process has tried, too.
            await asyncio.sleep(max(0.0, PROBE_SECONDS + REDIS_SECONDS - since / SECOND))
            self._untold = set(self._levels)
            self._seeking = None
            log.warning("rates.redis_back")
            return


def _now() -> int:
    """Microseconds of a monotonic clock."""
    return int(monotonic() * SECOND)
