"""Functions that the stack needs from rooms above it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from app.admin.actions.demo import ensure_demo_tenant
from app.books.decide import ProcessKnowledge
from app.books.models import WORDS, Doubt
from app.books.operations import find_books, stop_sending
from app.books.witness_store import WitnessStore
from app.core.database.db import Database
from app.core.database.migrate import migrate
from app.core.database.sql import SqlFolder
from app.core.ids import new_id
from app.core.logs.log import get_logger
from app.pace.models import What
from app.pace.pauses.operations import lock_pauses, set_pause
from app.pace.pauses.queries import find_pause
from app.stack.running.plan import Seams
from app.webhooks.listen.receiver import receiving

log = get_logger(__name__)

_IS_WORKER_READY = SqlFolder(__file__).query("is_worker_ready", bool)


async def worker_ready(database_url: str, pid: int) -> bool:
    """Return whether the worker with this process id has registered itself."""
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.snapshot() as session:
            return await session.get_value(_IS_WORKER_READY, pid=pid)
    finally:
        await database.close()


async def guard_books(database_url: str, redis_url: str, copied: bool | None) -> None:
    """If the database files are a copy in which jobs wait, stop sending. If they are not a copy, store a witness: Redis may
    have been emptied, and no earlier process runs. `copied` None: unknown."""
    if copied is None:
        return
    process_id = new_id()
    witness_store = WitnessStore(redis_url)
    database = await Database.open(database_url, name="up", writers_max=1, readers_max=1)
    try:
        async with database.transaction() as session:
            found = await find_books(session, process_id=process_id, lease_seconds=0, known=[])
            # a database without an identity was never opened by a process, so nothing was sent from it
            stop = copied and found.waiting and found.books_id is not None and not found.stopped
            if stop:
                await stop_sending(session, doubt=Doubt.COPIED)
        if stop:
            log.error("books.doubted", doubt=Doubt.COPIED, why=WORDS[Doubt.COPIED], mend="waystation recover")
        elif not copied and found.books_id is not None:
            await witness_store.keep(ProcessKnowledge(found.books_id, process_id, found.recoveries, ended=True))
    finally:
        await database.close()
        await witness_store.close()


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
    """Run a receiver of webhooks on the loopback; yields its URL."""
    return receiving(secrets, lambda one: on_arrival(one.id, one.verified is True, one.body))


def seams() -> Seams:
    """Return them all."""
    return Seams(
        migrate=migrate,
        ensure_demo_tenant=ensure_demo_tenant,
        guard_books=guard_books,
        pause=pause,
        worker_ready=worker_ready,
        receive_webhooks=receive_webhooks,
    )
