"""What the processes cost while nobody asks for anything: `python -m bench.idle`.

CPU as a share of one core, statements sent to Postgres (as its log has them) and commands to Redis (as it counts them, of
all processes together), in a minute, as so many a day.
"""

import argparse
import asyncio
from collections import Counter
from pathlib import Path

import uvloop
from redis.asyncio import Redis

from bench.quiet_server import quiet_server
from bench.stand import Stand, query, stand_on
from bench.table import Table

HEADINGS = ("process", "CPU % of a core", "statements/day", "commands/day")
SETTLE_SECONDS = 90.0
"""Sweeps slow down step by step while there is nothing to do."""
MARK = "bench-idle:"


def _statements(log: Path, begin: int) -> Counter[str]:
    """By application, of what was logged from that byte on."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    marked = [line.split(MARK)[1] for line in lines if line.startswith(MARK)]
    # a fetch and its like come as one execute each; what asyncpg parses beforehand is not counted twice
    return Counter(line.partition(" ")[0] for line in marked if " execute " in line or " statement: " in line)


async def _log_statements(on: Stand) -> None:
    for setting in ("log_statement = 'all'", f"log_line_prefix = '{MARK}%a '"):
        await query(on.database_url, f"ALTER SYSTEM SET {setting}")
    await query(on.database_url, "SELECT pg_reload_conf()")


async def _commands(on: Stand) -> int:
    """How many Redis has got so far."""
    async with Redis.from_url(on.redis_url) as redis:
        return int((await redis.info("stats"))["total_commands_processed"])


async def run(given: argparse.Namespace) -> None:
    table = Table(HEADINGS)
    with quiet_server() as (url, pid, _seen):
        async with stand_on(url, pid, apis=given.apis, workers=given.workers) as on:
            await asyncio.sleep(given.settle)
            log = on.directory / "data" / "logs" / "postgres.log"
            await _log_statements(on)
            begin, before, commands = log.stat().st_size, on.usage(), await _commands(on)
            await asyncio.sleep(given.seconds)
            commands = await _commands(on) - commands
            used = on.usage().since(before).parts
            statements = _statements(log, begin)
            processes = {part: len(on.parts[part]) for part in on.parts}
    for part in ("api", "worker", "postgres", "valkey"):
        cells: dict[str, object] = {
            "process": part,
            "CPU % of a core": used[part] / given.seconds / processes[part] * 100,
        }
        if part in ("api", "worker"):
            cells["statements/day"] = statements[f"waystation-{part}"] / given.seconds / processes[part] * 86400
        if part == "valkey":
            cells["commands/day"] = commands / given.seconds * 86400
        table.row(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds of rest before")
    parser.add_argument("--apis", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
