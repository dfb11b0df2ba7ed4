"""What the stack has done for it by the rooms above it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from app.admin.demo import ensure_demo_tenant
from app.admission.models import What
from app.admission.operations import lock_pauses, set_pause
from app.admission.queries import find_pause
from app.books.decide import Known
from app.books.keeper import Keeper
from app.books.models import WORDS, Doubt
from app.books.operations import find_books, stop_sending
from app.core.db import Database
from app.core.ids import new_id
from app.core.log import get_logger
from app.core.migrate import migrate
from app.core.sql import SqlFolder
from app.stack.plan import Seams
from app.webhooks.receiver import receiving

log = get_logger(__name__)

_IS_WORKER_READY = SqlFolder(__file__).query("is_worker_ready", bool)


async def worker_ready(database_url: str, pid: int) -> bool:
    """Whether the worker with this process id has reported for work."""
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.snapshot() as session:
            return await session.get_value(_IS_WORKER_READY, pid=pid)
    finally:
        await database.close()


async def guard_books(database_url: str, redis_url: str, copied: bool | None) -> None:
    """Where the files of the database are a copy and jobs wait in it, stop sending. Where they are not, be the witness of
    them: Redis may have been emptied, and no process of before runs any more."""
    if copied is None:
        return
    process_id = new_id()
    keeper = Keeper(redis_url)
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.transaction() as session:
            found = await find_books(session, process_id=process_id, lease_seconds=0, known=[])
            # a database that no process has opened yet holds nothing that could have been sent
            stop = copied and found.waiting and found.books_id is not None and not found.stopped
            if stop:
                await stop_sending(session, doubt=Doubt.COPIED)
        if stop:
            log.error("books.doubted", doubt=Doubt.COPIED, why=WORDS[Doubt.COPIED], mend="waystation recover")
        elif not copied and found.books_id is not None:
            await keeper.keep(Known(found.books_id, process_id, found.recoveries, ended=True))
    finally:
        await database.close()
        await keeper.close()


async def pause(database_url: str) -> None:
    """Pause submits to the upstream, unless everything is paused already."""
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.transaction() as session:
            await lock_pauses(session)
            if await find_pause(session, tenant_id=None, model=None) is None:
                await set_pause(
                    session, tenant_id=None, model=None, what=What.SUBMITS, paused_by="waystation up", note="--paused"
                )
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
        guard_books=guard_books,
        pause=pause,
        worker_ready=worker_ready,
        receive_webhooks=receive_webhooks,
    )
