"""How often a tenant may submit, over all API processes: counted in Redis, and by each process for itself without it.

With Redis: never more than burst + rate * t in any t minutes, exactly. What a process has heard of a bucket it tells
again where Redis has lost it, so an emptied Redis lets nothing more through.

Without: each process goes on by itself with its share, limit/N and burst/N (one submit at least), from the level that it
last heard of; N are the API processes that lived at its last heartbeat. All together admit as before where the
submits are spread evenly. However they are spread, a change lets through at most one burst in all: each process's own
level counts what it knew, and the rest is its share of the burst. A heartbeat may be `lease_seconds / 2.5` late to tell of a
process that has just begun, which until then has its own share beside the others'.

Back again: every process that finds Redis waits until the same instant by Redis' clock, and raises each bucket there to
what it knows itself, as if the others had done as much as it has.

What is known only afterwards (that a submit was refused) is charged then, without waiting (`charge_afterwards`), and asked
of what this process knows (`find_exhausted`), without Redis. A process hears how the bucket stands over all processes with
each charge of its own. So each lets through what is under way, and one more, after the bucket is full; that is overdrawn,
and has to drain before anybody goes on, so that in the long run the rate is exact.

Where only some processes lose Redis they take their shares beside the others: less than twice the limit, while it lasts.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.clock import monotonic
from app.core.logs.log import get_logger
from app.core.process.batch import Batcher, Overloaded
from app.core.redis.redis_pool import open_redis
from app.limits.buckets import SECOND, TOKEN, Level, Standing, drained, fits, most_of, poured, room_of
from app.limits.rate_headers import RateLimited
from app.limits.rate_script import Bucket, Charge, Known, RateScript, Verdict, levels_of

log = get_logger(__name__)

REDIS_SECONDS = 0.25
"""How long a submit waits for Redis, once: the next one does not ask any more."""
UNREAD_SECONDS = 0.05
PROBE_SECONDS = 0.5
"""How often a lost Redis is looked for."""
GROUP_MAX = 200
WAITING_MAX = 10_000
KNOWN_MAX = 20_000
AWAY = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Taken:
    """Submits that were charged, and how the limits stand after that."""

    charge: Charge
    standings: tuple[Standing, ...]


class RateLimiter:
    """One API process's rate limits. Nothing here waits longer than REDIS_SECONDS, and nothing fails for want of Redis."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = open_redis(url, max_connections=4)
        self._script = RateScript(self._redis)
        self._batcher: Batcher[Charge, Verdict] = Batcher(self._flush, size_max=GROUP_MAX, waiting_max=WAITING_MAX)
        self._shares = 1
        # the least recently used go first: a tenant that is forgotten begins with a full burst, should Redis be away
        self._levels: OrderedDict[str, Level] = OrderedDict()
        self._untold: set[str] = set()
        self._pending: dict[str, int] = {}
        self._seeking: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether this process counts for itself."""
        return self._seeking is not None

    def share_among(self, processes: int) -> None:
        """So many processes share the limits where Redis is away."""
        self._shares = max(1, processes)

    async def take(self, buckets: Sequence[Bucket], count: int = 1) -> Taken:
        """Charge so many submits to all of these, or to none; raises RateLimited."""
        charge = Charge(tuple(buckets), count)
        verdict = await self._judge(charge)
        if not verdict.made:
            raise RateLimited(verdict.standings, count)
        return Taken(charge, verdict.standings)

    async def look(self, buckets: Sequence[Bucket]) -> tuple[Standing, ...]:
        """How these stand; charges nothing."""
        return (await self._judge(Charge(tuple(buckets), 0))).standings

    async def find_refusal(self, buckets: Sequence[Bucket]) -> RateLimited | None:
        """What one submit more would be refused with; charges nothing."""
        standings = await self.look(buckets)
        return None if all(fits(standing, 1) for standing in standings) else RateLimited(standings, 1)

    def give_back(self, taken: Taken) -> None:
        """These submits were refused after all, which do not count. Waits for nothing."""
        charge = Charge(taken.charge.buckets, -taken.charge.count)
        if self._seeking is not None:
            self._judge_alone(charge)
            return
        try:
            self._batcher.post(charge)
        except Overloaded:
            log.warning("rates.refund_failed", submits=taken.charge.count)

    def charge_afterwards(self, bucket: Bucket, count: int = 1) -> None:
        """Charge what is done already, whether there is room or not; the bucket's `afterwards` must be set. Waits for
        nothing."""
        charge = Charge((bucket,), count)
        if self._seeking is None:
            with suppress(Overloaded):
                self._batcher.post(charge)
                self._pending[bucket.key] = self._pending.get(bucket.key, 0) + count
                return
        self._judge_alone(charge)

    def find_exhausted(self, bucket: Bucket) -> Standing | None:
        """How a bucket stands that takes nothing more, by what this process knows; None where it does. Asks nobody."""
        pending = self._pending.get(bucket.key, 0)
        if not pending and bucket.key not in self._levels:
            return None
        standing = self._standing(bucket, _now(), shares=self._shares if self.away else 1)
        standing = replace(standing, used=poured(standing, pending))
        return None if fits(standing, 1) else standing

    async def close(self) -> None:
        """Make the last charges, stop looking for Redis, and disconnect."""
        await self._batcher.drained()
        if self._seeking is not None:
            self._seeking.cancel()
        await self._redis.aclose()

    async def _judge(self, charge: Charge) -> Verdict:
        if self._seeking is not None:
            return self._judge_alone(charge)
        try:
            return await self._batcher.put(charge)
        except Overloaded:
            return self._judge_alone(charge)

    async def _flush(self, group: Sequence[Charge]) -> Sequence[Verdict]:
        verdicts = await self._charge(group)
        for charge in group:
            if charge.afterwards:
                key = charge.buckets[0].key
                self._pending[key] -= charge.count
                if not self._pending[key]:
                    del self._pending[key]
        return verdicts

    async def _charge(self, group: Sequence[Charge]) -> Sequence[Verdict]:
        if self._seeking is None:
            try:
                async with _in_time():
                    verdicts = await self._script.charge(group, self._known(group))
            except AWAY as error:
                self._lose(error)
            else:
                self._learn(group, verdicts)
                return verdicts
        return [self._judge_alone(charge) for charge in group]

    def _known(self, group: Sequence[Charge]) -> dict[str, Known]:
        now = _now()
        return {
            bucket.key: Known(drained(level, bucket.rate, now, room=bucket.most), counts=bucket.key in self._untold)
            for charge in group
            for bucket in charge.buckets
            if (level := self._levels.get(bucket.key)) is not None
        }

    def _learn(self, group: Sequence[Charge], verdicts: Sequence[Verdict]) -> None:
        for key, level in levels_of(group, verdicts, _now()).items():
            self._keep(key, level)
            self._untold.discard(key)

    def _judge_alone(self, charge: Charge) -> Verdict:
        """By this process's own level, as one of so many."""
        now = _now()
        before = [self._standing(bucket, now, shares=self._shares) for bucket in charge.buckets]
        if not charge.afterwards and not all(fits(standing, charge.count) for standing in before):
            return Verdict(False, tuple(before))
        after = tuple(Standing(one.policy, one.rate, poured(one, charge.count), one.room, one.token) for one in before)
        for bucket, standing in zip(charge.buckets, after, strict=True):
            self._keep(bucket.key, Level(standing.used, now))
        return Verdict(True, after)

    def _standing(self, bucket: Bucket, now: int, *, shares: int) -> Standing:
        """How a bucket stands by what this process knows, for one of so many shares of it."""
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
        """Look for Redis until it is there, and go back to it together with all the others that have lost it."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                async with _in_time():
                    since = await self._script.micros_since_found(forget_micros=round(2 * PROBE_SECONDS * SECOND))
            except AWAY as error:
                log.debug("rates.redis_still_away", cause=repr(error))
                continue
            # by then every other one has looked, too
            await asyncio.sleep(max(0.0, PROBE_SECONDS + REDIS_SECONDS - since / SECOND))
            self._untold = set(self._levels)
            self._seeking = None
            log.warning("rates.redis_back")
            return


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """REDIS_SECONDS for what is within; raises TimeoutError. Where this process itself was held up, the answer may be
    there unread: the time is over only after one more look."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as bound:
        last_look = loop.call_later(
            REDIS_SECONDS - UNREAD_SECONDS, lambda: bound.reschedule(loop.time() + UNREAD_SECONDS)
        )
        try:
            yield
        finally:
            last_look.cancel()


def _now() -> int:
    """Microseconds that never jump."""
    return int(monotonic() * SECOND)
