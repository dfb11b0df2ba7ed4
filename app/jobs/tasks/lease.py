"""What this process holds, and until when it may believe that it does."""

from uuid import UUID

from app.core import clock
from app.core.db import Database
from app.jobs.claims import hand_back, renew_leases

MARGIN = 0.1
"""Share of a lease that is kept as distance between the last moment we send and the first at which another may act."""


class Leases:
    """Claims of this process by job id, each with the monotonic instant until which it holds.

    An instant is taken before the claiming statement is sent, so it is never later than the database's own.
    """

    def __init__(self, database: Database, *, owner: UUID, lease_seconds: float) -> None:
        self._database = database
        self.owner = owner
        self.lease_seconds = lease_seconds
        self._held: dict[UUID, float] = {}

    def hold(self, job_id: UUID, *, asked_at: float) -> None:
        """A claim asked for at this monotonic instant was given."""
        self._held[job_id] = asked_at + self.lease_seconds

    def let_go(self, job_id: UUID) -> None:
        """The claim has been recorded or given up."""
        self._held.pop(job_id, None)

    def holds(self, job_id: UUID) -> bool:
        """Whether it is still safe to act on the claim: false for a process that was paused for too long."""
        until = self._held.get(job_id)
        return until is not None and clock.monotonic() < until - MARGIN * self.lease_seconds

    async def renew(self) -> None:
        """Lengthen what would run out before long; what has run out is not ours any more."""
        asked_at = clock.monotonic()
        soon = [job_id for job_id, until in self._held.items() if until < asked_at + 0.7 * self.lease_seconds]
        if not soon:
            return
        async with self._database.statement() as session:
            renewed = await renew_leases(session, owner=self.owner, job_ids=soon, lease_seconds=self.lease_seconds)
        for job_id in renewed & self._held.keys():
            self._held[job_id] = asked_at + self.lease_seconds

    async def hand_back(self) -> None:
        """Give back everything that was not sent, so that nobody has to wait for the leases to run out."""
        async with self._database.statement() as session:
            await hand_back(session, owner=self.owner)
