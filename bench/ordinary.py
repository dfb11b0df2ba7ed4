"""Ours against the ordinary design, in one run on one machine: `python -m bench.ordinary`.

`ordinary_app` shares Postgres and Valkey with ours (in databases of its own), is offered the same jobs by the same load
generator, polls the same upstream as often a job as ours did in this run (at even gaps), and runs in as many processes.
The ratio is that of the highest rates each carried.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from bench.cpu import Usage, usage
from bench.jobs import HEADINGS, OURS_SETTLED, Design, ours, steps
from bench.ordinary_app import Base, Tenant, hash_of
from bench.stand import EIGHT_POLLS, Runs, Stand, load, process, query, stand
from bench.table import Table

BEHIND = """
SELECT count(*) AS jobs FROM jobs WHERE status = 'QUEUED' AND created_at < now() - interval '1 second'
"""
KEYS = [f"ordinary-{number}" for number in range(50)]


def _sqlalchemy_url(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(scheme="postgresql+asyncpg"))


async def _schema(owner_url: str) -> str:
    """A database of its own beside ours; its URL."""
    connection = await asyncpg.connect(owner_url)
    await connection.execute("CREATE DATABASE ordinary")
    await connection.close()
    url = urlunsplit(urlsplit(owner_url)._replace(path="/ordinary"))
    engine = create_async_engine(_sqlalchemy_url(url))
    async with engine.begin() as created:
        await created.run_sync(Base.metadata.create_all)
        for key in KEYS:
            await created.execute(Tenant.__table__.insert().values(key_hash=hash_of(key)))  # type: ignore[attr-defined]
    await engine.dispose()
    return url


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _answering(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


@asynccontextmanager
async def ordinary(on: Stand, poll_seconds: float) -> AsyncIterator[Design]:
    """The ordinary design beside ours."""
    url, port = await _schema(on.database_url), _free_port()
    settings = {
        "database_url": _sqlalchemy_url(url),
        "redis_url": on.redis_url.removesuffix("/0") + "/5",
        "upstream_url": on.upstream_url,
        "port": port,
        "poll_seconds": poll_seconds,
    }
    told = json.dumps(settings)
    async with (
        process("bench.ordinary_app", "api", BENCH_ORDINARY=told) as api,
        process("bench.ordinary_app", "worker", quiet=True, BENCH_ORDINARY=told) as worker,
    ):
        await _answering(port)

        def used(**more: Sequence[int]) -> Usage:
            shared = {name: on.parts[name] for name in ("postgres", "valkey", "upstream")}
            return usage({"api": [api.pid], "worker": [worker.pid], **shared, **more})

        yield Design("ordinary", f"http://127.0.0.1:{port}", url, OURS_SETTLED, BEHIND, used)


async def run(given: argparse.Namespace, runs: Runs) -> None:
    table = Table(HEADINGS)
    warm_seconds = given.warm or runs.quantile(2.0)
    async with stand(runs) as on:
        async with load(on.url, on.keys, runs) as generator:
            best = await steps(
                ours(on), generator, given.rates, warm_seconds=warm_seconds, seconds=given.seconds, table=table
            )
        if best is None:
            print("ours did not carry even the lowest rate")
            return
        await _ended(on)
        poll_seconds = runs.mean_seconds / best.polls
        async with ordinary(on, poll_seconds) as design, load(design.url, KEYS, runs) as generator:
            other = await steps(
                design, generator, given.ordinary, warm_seconds=warm_seconds, seconds=given.seconds, table=table
            )
    if other is not None:
        print(
            f"carried: ours {best.settled:.0f} jobs/s, ordinary {other.settled:.0f}: {best.settled / other.settled:.1f} times"
        )
        print(
            f"CPU a job: ours {best.cpu_ms:.1f} ms, ordinary {other.cpu_ms:.1f}: {other.cpu_ms / best.cpu_ms:.1f} times"
        )


async def _ended(on: Stand) -> None:
    """Wait until ours has nothing left to do, so that it costs the other one next to nothing."""
    for _ in range(300):
        rows = await query(on.database_url, "SELECT count(*) AS jobs FROM jobs WHERE finished_at IS NULL")
        if rows[0]["jobs"] < 20:
            break
        await asyncio.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[150, 200, 250, 300, 350, 400])
    parser.add_argument("--ordinary", type=float, nargs="+", default=[20, 30, 40, 50, 60])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each window")
    parser.add_argument(
        "--warm", type=float, help="seconds before each window; default: until 98 %% of a run's jobs end"
    )
    uvloop.run(run(parser.parse_args(), EIGHT_POLLS))


if __name__ == "__main__":
    main()
