"""Compares what a process knows of the database with it, on each new connection, before anything is sent.

This costs no job a round trip: the check is one statement for each connection, it uses heartbeats and attempts that are
written anyway, and Redis is updated once a second.
"""

import asyncio
from collections import deque
from uuid import UUID

import asyncpg

from app.books.decide import Found, ProcessKnowledge, doubt_of
from app.books.models import WORDS, Doubt
from app.books.operations import adopt_books, find_books, settle_if_vouched, stop_sending, vouch
from app.books.witness_store import WitnessStore
from app.core.database.db import Database
from app.core.database.session import Session
from app.core.errors import StoreUnavailable, WrongConnection
from app.core.ids import new_id
from app.core.logs.log import get_logger

log = get_logger(__name__)

KEEP_SECONDS = 1.0
ATTEMPTS_MAX = 16
"""How many of the last attempts are remembered: groups of them may be committed in another order than they are reported."""
NOT_MIGRATED = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)


class Witness:
    """The witness of one process. `check` is passed to `Database.open`. `sends`: whether the process sends jobs."""

    def __init__(self, witness_store: WitnessStore, *, process_id: UUID, lease_seconds: float, sends: bool) -> None:
        self._witness_store = witness_store
        self._process_id = process_id
        self._lease_seconds = lease_seconds
        self._sends = sends
        self._books_id: UUID | None = None
        self._recoveries = 0
        self._beats: int | None = None
        self._attempts: deque[tuple[UUID, int]] = deque(maxlen=ATTEMPTS_MAX)
        self._recalled: list[ProcessKnowledge] = []
        self._written: ProcessKnowledge | None = None
        self.doubted = False
        """Whether sending was stopped at the last check by this process."""

    async def recall(self) -> None:
        """Load the witnesses of other processes from Redis. Call it before the first connection."""
        self._recalled = await self._witness_store.recall()

    def beaten(self, beats: int) -> None:
        """Remember a heartbeat that is in the database. `beats`: its number."""
        self._beats = beats

    def opened(self, job_id: UUID, attempt: int) -> None:
        """Remember an attempt that is in the database and will be sent."""
        self._attempts.append((job_id, attempt))

    async def check(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Stop sending if the database may be older than what was sent. Raises WrongConnection if its identity is another."""
        session = Session(connection)
        ours = self._books_id  # another connection that opens concurrently may set it meanwhile
        try:
            found = await self._find(session)
        except NOT_MIGRATED:
            return  # nothing can be claimed before the migration
        if found.server is None:
            return
        if ours is not None and found.books_id != ours:
            raise WrongConnection(
                "the database is not the one that this process has worked with: expected database identity"
                f" {ours}; check WAYSTATION_DATABASE_URL, and restart the processes that should use this database"
            )
        doubt = Doubt.OLDER if found.missing else None
        if not found.stopped:
            witnesses = [one for one in self._recalled if one.books_id == found.books_id]
            doubt = doubt_of(found, witnesses=witnesses, first=ours is None, sends=self._sends)
        if doubt is not None and doubt is not found.doubt:
            async with connection.transaction():
                await stop_sending(session, doubt=doubt)
            log.error("books.doubted", doubt=doubt, why=WORDS[doubt], mend="waystation recover")
        elif not found.stopped and (found.books_id is None or found.stamped != found.server):
            self._books_id = await adopt_books(session, books_id=new_id())
        self._books_id = self._books_id or found.books_id
        self.doubted = self.doubted or found.stopped or doubt is not None

    async def _find(self, session: Session) -> Found:
        known = [*self._recalled, *filter(None, [self._known()])]
        found = await find_books(session, process_id=self._process_id, lease_seconds=self._lease_seconds, known=known)
        if found.recoveries > self._recoveries and not found.stopped:
            # the recovery has handled what was known before it
            self._recoveries = found.recoveries
            if self._books_id is not None:
                self._attempts.clear()
                self._beats = None
        return found

    def _known(self, *, ended: bool = False) -> ProcessKnowledge | None:
        if self._books_id is None:
            return None
        return ProcessKnowledge(
            self._books_id, self._process_id, self._recoveries, self._beats, tuple(self._attempts), ended=ended
        )

    async def keep(self, database: Database) -> None:
        """Every KEEP_SECONDS keep a changed witness in Redis, and check whether a doubt is over; until cancelled."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            known = self._known()
            if known is not None and known != self._written and await self._witness_store.keep(known):
                self._written = known
            if not self.doubted:
                continue
            try:
                await self._review(database)
            except (StoreUnavailable, *NOT_MIGRATED) as error:
                log.debug("books.recheck_failed", cause=repr(error))

    async def _review(self, database: Database) -> None:
        recalled = await self._witness_store.recall()
        async with database.transaction() as session:
            self._recalled = recalled
            found = await self._find(session)
            settled = False
            if found.stopped and found.missing and found.doubt is not Doubt.OLDER:
                await stop_sending(session, doubt=Doubt.OLDER)
            elif found.stopped and not found.missing and found.doubt is Doubt.MOVED and self._sends:
                await vouch(session, process_id=self._process_id)
                settled = await settle_if_vouched(
                    session, process_id=self._process_id, lease_seconds=self._lease_seconds
                )
        if settled:
            log.warning("books.doubt_ended")
        self.doubted = found.stopped and not settled

    async def leave(self) -> None:
        """Store that the process has ended normally, and disconnect from Redis."""
        known = self._known(ended=True)
        if known is not None:
            await self._witness_store.keep(known)
        await self._witness_store.close()
