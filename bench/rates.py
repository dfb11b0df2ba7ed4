"""What a submit's rate limit costs: `python -m bench.rates`.

One process takes from one tenant's limit and its key's, with so many callers at once, each of which asks again when it is
answered: with Valkey, on a socket of its own, and without it.
"""

import argparse
import asyncio
import time

import uvloop

from app.core.ids import new_id
from app.core.logs.log import configure_logging
from app.limits.rate_headers import rate_headers
from app.limits.rate_script import limits_of
from app.limits.rates import RateLimiter
from app.tenants.decide import Rate
from bench.table import Table
from bench.valkey import kill, own_valkey

HEADINGS = ("valkey", "callers", "submits/s", "us each")
WIDE = Rate(10_000_000, 10_000_000)


async def measure(table: Table, limiter: RateLimiter, callers: int, seconds: float, *, what: str) -> None:
    """One row."""
    buckets = limits_of(new_id(), WIDE, new_id(), WIDE)
    until, taken = time.perf_counter() + seconds, 0

    async def call() -> None:
        nonlocal taken
        while time.perf_counter() < until:
            rate_headers((await limiter.take(buckets)).standings)
            taken += 1
            if limiter.away:
                await asyncio.sleep(0)

    began_at, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(call() for _ in range(callers)))
    elapsed, used = time.perf_counter() - began_at, time.process_time() - cpu
    table.row({"valkey": what, "callers": callers, "submits/s": taken / elapsed, "us each": used / taken * 1e6})


async def run(given: argparse.Namespace) -> None:
    configure_logging(format="console", level="ERROR")
    table = Table(HEADINGS)
    async with own_valkey() as valkey:
        limiter = RateLimiter(valkey.url)
        for callers in given.callers:
            await measure(table, limiter, callers, given.seconds, what="there")
        assert not limiter.away
        await kill(valkey)
        for callers in given.callers:
            await measure(table, limiter, callers, given.seconds, what="away")
        await limiter.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
