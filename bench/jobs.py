"""How many whole jobs a second this machine carries with everything on it: `python -m bench.jobs`.

Fifty tenants offer jobs at a steady mean rate that waits for nobody, through POST /v2/{model}, and fetch each result.
Gateway, Postgres, Valkey, the upstream (our simulator, in memory) and the load generator share the machine. The rate is
stepped up until it is no longer carried: until jobs end less often than they are offered, or wait longer and longer.

    settled       jobs ended a second over the window
    behind        jobs due for more than a second and not looked at, at the end of the window
    CPU us a job  by part; `others` is what foreign processes took of the machine meanwhile, as a share
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from os import cpu_count

import uvloop

from bench.cpu import Usage
from bench.stand import EIGHT_POLLS, SHORT, Load, Runs, Stand, load, query, stand
from bench.table import Table

PARTS = ("api", "worker", "postgres", "valkey", "upstream", "load")
HEADINGS = (
    "design", "offered", "settled", "polls/job", "reads/job", "submit p50", "p99 ms", "late p50", "p99 s", "behind",
    *PARTS, "machine", "others",
)  # fmt: skip
SUSTAINED = 0.95
"""Share of the offered rate that has to be settled for it to count as carried."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is measured, and how to count what it has done. Both queries give one row.

    `settled`: given two instants, `jobs, polls, late_p50, late_p99`. `behind`: `jobs`.
    """

    name: str
    url: str
    database_url: str
    settled: str
    behind: str
    usage: Callable[..., Usage]


OURS_SETTLED = """
SELECT count(*) AS jobs, coalesce(avg(polls), 0)::float AS polls,
    coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY detection_seconds), 0) AS late_p50,
    coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY detection_seconds), 0) AS late_p99
FROM jobs WHERE finished_at >= to_timestamp($1) AND finished_at < to_timestamp($2)
"""
OURS_BEHIND = "SELECT count(*) AS jobs FROM jobs WHERE due_at < now() - interval '1 second' AND state <> 'unknown'"


def ours(on: Stand) -> Design:
    """Waystation as it is."""
    return Design("waystation", on.url, on.database_url, OURS_SETTLED, OURS_BEHIND, on.usage)


@dataclass(frozen=True, slots=True)
class Figures:
    """One window."""

    offered: float
    settled: float
    polls: float
    behind: int
    cpu_ms: float
    """Of a job, by the gateway and its servers: neither the upstream's nor the load generator's."""
    cells: dict[str, object]

    @property
    def carried(self) -> bool:
        """Whether the offered rate was sustained."""
        return self.settled >= SUSTAINED * self.offered and self.behind < self.offered


async def measure(design: Design, generator: Load, *, rate: float, warm_seconds: float, seconds: float) -> Figures:
    """One window at this rate, after `warm_seconds` of it."""
    await generator.tell(rate=rate)
    await asyncio.sleep(warm_seconds)
    await generator.tell(report=True)
    began_at, before = time.time(), design.usage(load=[generator.pid])
    await asyncio.sleep(seconds)
    ended_at, used = time.time(), design.usage(load=[generator.pid]).since(before)
    seen = await generator.tell(report=True)
    took = ended_at - began_at
    row = (await query(design.database_url, design.settled, began_at, ended_at))[0]
    behind = (await query(design.database_url, design.behind))[0]["jobs"]
    jobs = max(1, row["jobs"])
    machine = took * (cpu_count() or 1)
    total = sum(used.parts.values())
    cells: dict[str, object] = {
        "design": design.name,
        "offered": seen["submits"] / took,
        "settled": row["jobs"] / took,
        "polls/job": row["polls"],
        "reads/job": seen["reads"] / max(1, seen["fetched"]),
        "submit p50": seen["submit_p50"] * 1e3,
        "p99 ms": seen["submit_p99"] * 1e3,
        "late p50": row["late_p50"],
        "p99 s": row["late_p99"],
        "behind": behind,
        **{part: used.parts[part] / jobs * 1e6 for part in PARTS},
        "machine": f"{total / machine:.0%}",
        "others": f"{max(0.0, used.machine - total) / machine:.0%}",
    }
    refused = {status: count for status, count in seen["statuses"].items() if status != "200"}
    if refused:
        print(f"  answers other than 200: {refused}")
    cpu_ms = sum(used.parts[part] for part in ("api", "worker", "postgres", "valkey")) / jobs * 1e3
    return Figures(rate, row["jobs"] / took, row["polls"], behind, cpu_ms, cells)


async def steps(
    design: Design, generator: Load, rates: list[float], *, warm_seconds: float, seconds: float, table: Table
) -> Figures | None:
    """Measure rate after rate; the last one that was carried, if any."""
    best = None
    for rate in rates:
        found = await measure(design, generator, rate=rate, warm_seconds=warm_seconds, seconds=seconds)
        table.row(found.cells)
        if not found.carried:
            break
        best = found
    await generator.tell(rate=0)
    return best


@asynccontextmanager
async def _open(runs: Runs, apis: int, workers: int) -> AsyncIterator[tuple[Design, Load]]:
    async with stand(runs, apis=apis, workers=workers) as on, load(on.url, on.keys, runs) as generator:
        yield ours(on), generator


async def run(given: argparse.Namespace) -> None:
    table = Table(HEADINGS)
    for runs in [EIGHT_POLLS, SHORT] if given.short else [EIGHT_POLLS]:
        async with _open(runs, given.apis, given.workers) as (design, generator):
            warm_seconds = given.warm or runs.quantile(2.0)
            best = await steps(
                design, generator, given.rates, warm_seconds=warm_seconds, seconds=given.seconds, table=table
            )
        if best is not None:
            print(f"carried: {best.settled:.0f} jobs/s at {best.polls:.1f} polls a job")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[100, 150, 200, 250, 300, 350, 400, 500])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each window")
    parser.add_argument(
        "--warm", type=float, help="seconds before each window; default: until 98 %% of a run's jobs end"
    )
    parser.add_argument("--apis", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="also with jobs of four seconds and their few polls")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
