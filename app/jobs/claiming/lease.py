"""What this process holds, and until when it may believe that it does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database
from app.jobs.claiming.claims import ClaimedRead, hand_back, renew_leases
from app.jobs.claiming.turns import ClaimedJob

Job = TypeVar("Job", ClaimedJob, ClaimedRead)
Claim = tuple[UUID, int]
"""A job's id and the fence with which it was claimed."""

MARGIN = 0.1
"""Share of a lease that is kept as distance between the last moment we send and the first at which another may act."""


class Leases:
    """Claims of this process by job id and fence, each with the monotonic instant until which it holds.

    An instant is taken before the claiming statement is sent, so it is never later than the database's own.
    """

    def __init__(self, database: Database, *, owner: UUID, lease_seconds: float) -> None:
        self._database = database
        self.owner = owner
        self.lease_seconds = lease_seconds
        self._held: dict[Claim, float] = {}

    def now_held(self) -> frozenset[Claim]:
        """What this process holds, to be asked before it claims; see `fresh`."""
        return frozenset(self._held)

    @staticmethod
    def fresh(rows: Sequence[Job], *, held: frozenset[Claim]) -> list[Job]:
        """Those of the claimed jobs that this process did not hold when it began to claim.

        The same claim comes a second time only where Postgres has died and has forgotten the first one: who works on that goes
        on, and nobody else may. Not even where it has ended since: it may have sent the job, by this second claim.
        """
        return [row for row in rows if (row.id, row.fence) not in held]

    @contextmanager
    def held(self, claim: Claim, *, asked_at: float) -> Iterator[None]:
        """A claim that was asked for at this monotonic instant is ours, and renewed, for the length of the block.

        However the block ends: a claim that nobody works on must run out, or nobody ever would.
        """
        self._held[claim] = asked_at + self.lease_seconds
        try:
            yield
        finally:
            del self._held[claim]

    def holds(self, claim: Claim) -> bool:
        """Whether it is still safe to act on the claim: false for a process that was paused for too long."""
        until = self._held.get(claim)
        return until is not None and clock.monotonic() < until - MARGIN * self.lease_seconds

    async def renew(self) -> None:
        """Lengthen what would run out before long; what has run out is not ours any more."""
        asked_at = clock.monotonic()
        soon = [claim for claim, until in self._held.items() if until < asked_at + 0.7 * self.lease_seconds]
        if not soon:
            return
        crash_point("lease.before_renew")
        async with self._database.statement() as session:
            renewed = await renew_leases(session, owner=self.owner, claims=soon, lease_seconds=self.lease_seconds)
        crash_point("lease.after_renew")
        for claim in renewed & self._held.keys():
            self._held[claim] = asked_at + self.lease_seconds

    async def hand_back(self) -> None:
        """Give back every claim, so that nobody has to wait for the leases to run out."""
        async with self._database.statement() as session:
            await hand_back(session, owner=self.owner)

    async def hand_back_unsent(self) -> None:
        """Give back the jobs that are claimed and not sent; their senders then find the claim lost, and send nothing."""
        async with self._database.statement() as session:
            await hand_back(session, owner=self.owner, unsent_alone=True)
