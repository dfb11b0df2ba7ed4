"""Postgres' disk is full: submits are refused in order, and when there is room again all goes on by itself."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.disk import SmallDisk, small_disk
from tests.chaos.form import Form
from tests.chaos.load import CUT, CUT_WITHIN, Load
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Plan, Stack, running, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DISK_MEGABYTES = 400
LOG_SEGMENT_MEGABYTES = 16
FULL_SECONDS = 3.0


@pytest.fixture(scope="module")
def disk_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="waystation-chaos-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def disk(disk_directory: Path) -> Iterator[SmallDisk]:
    """Under Postgres alone: the simulator's book must tell the truth whatever happens."""
    with small_disk(disk_directory / "data" / "postgres", megabytes=DISK_MEGABYTES) as disk:
        yield disk


@pytest.fixture(scope="module")
async def whole(disk: SmallDisk, disk_directory: Path) -> AsyncIterator[Stack]:
    async with running(Plan(), disk_directory) as stack:
        yield stack


async def test_a_full_disk_costs_nothing_that_was_acknowledged(
    victim: Stack, load: Load, disk: SmallDisk, form: Form
) -> None:
    rounds, crashed = form.pick(1, 6), 0
    await load.submit_many(20)
    for number in range(rounds):
        async with victim.database() as connection:  # there is no room for new ones
            flow = asyncio.create_task(load.run(seconds=FULL_SECONDS + 3, per_second=60))
            await asyncio.sleep(1)
            await _full(disk, load, seconds=FULL_SECONDS)
            if (rounds - number) % 2:  # the last one among them
                crashed += await _cannot_write_its_log(connection, disk)
                await asyncio.sleep(1)
            disk.free()
        await flow
        await load.submit_many(20)
        await settled(victim, unknown=False)
    statuses = Counter(status for submit in load.submits for status in submit.statuses)
    # a connection that lies idle for five seconds is closed by the server, maybe as a request comes
    assert set(statuses) <= {200, 503} | CUT | CUT_WITHIN, statuses
    assert crashed == (rounds + 1) // 2
    figures = await prove(victim, load)
    assert set(figures["states"]) == {"completed"}
    print(f"{rounds} times full, {crashed} times down for it, {statuses[503]} answers 503, 0 acknowledged missing")


async def _full(disk: SmallDisk, load: Load, *, seconds: float) -> None:
    """For so long, and until clients have been told."""
    refused = _refused(load)
    until_at = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until_at:
        disk.fill()
        await asyncio.sleep(0.1)
    await until(lambda: _refused(load) > refused, "submits are refused")


def _refused(load: Load) -> int:
    return sum(status == 503 for submit in load.submits for status in submit.statuses)


async def _cannot_write_its_log(connection: "asyncpg.Connection[asyncpg.Record]", disk: SmallDisk) -> bool:
    """Let Postgres need more room for its write-ahead log than there is: whether it went down of that."""
    try:
        for _ in range(2 * DISK_MEGABYTES // LOG_SEGMENT_MEGABYTES):
            disk.fill()
            await connection.execute("SELECT pg_switch_wal(), pg_log_standby_snapshot()")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return True
    return False
