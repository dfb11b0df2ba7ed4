"""What the stack has done for it by the rooms above it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from app.admin.demo import ensure_demo_tenant
from app.core.db import Database
from app.core.migrate import migrate
from app.stack.plan import Seams
from app.webhooks.receiver import receiving


async def worker_ready(database_url: str, pid: int) -> bool:
    """Whether the worker with this process id has reported for work."""
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.snapshot() as session:
            sql = "SELECT EXISTS (SELECT FROM processes WHERE kind = 'worker' AND pid = $1 AND stopped_at IS NULL)"
            return bool(await session.fetchval(sql, pid))
    finally:
        await database.close()


def receive_webhooks(
    secrets: Callable[[], Sequence[str]], on_arrival: Callable[[str, bool, bytes], None]
) -> AbstractAsyncContextManager[str]:
    """A receiver of webhooks on the loopback, by its URL."""
    return receiving(secrets, lambda one: on_arrival(one.id, one.verified is True, one.body))


def seams() -> Seams:
    """Put together."""
    return Seams(
        migrate=migrate,
        ensure_demo_tenant=ensure_demo_tenant,
        worker_ready=worker_ready,
        receive_webhooks=receive_webhooks,
    )
