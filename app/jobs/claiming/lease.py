"""The claims of this process, and how long each is valid."""

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
"""Share of a lease between the last instant at which we send and the first at which another process may claim the job."""


class Leases:
    """The claims of this process by job id and fence, each with the monotonic instant until which it is valid.

    The lease counts from an instant before the claim was sent, so it never ends later here than in the database.
    """

    def __init__(self, database: Database, *, owner: UUID, lease_seconds: float) -> None:
        self._database = database
        self.owner = owner
        self.lease_seconds = lease_seconds
        self._held: dict[Claim, float] = {}

    def now_held(self) -> frozenset[Claim]:
        """Return the claims of this process. Call it before a new claim; see `fresh`."""
        return frozenset(self._held)

    @staticmethod
    def fresh(rows: Sequence[Job], *, held: frozenset[Claim]) -> list[Job]:
        """Return those of the claimed jobs that this process did not hold when it began to claim.

        The same claim is returned twice only if Postgres crashed and lost the first one. The second one is dropped, even if the
        work on the first has ended since: it may have sent the job.
        """
        return [row for row in rows if (row.id, row.fence) not in held]

    @contextmanager
    def held(self, claim: Claim, *, asked_at: float) -> Iterator[None]:
        """Hold a claim that was requested at this monotonic instant, and let `renew` renew it, until the block ends.

        The claim is always dropped then: renewed without work on it, it would block the job for ever.
        """
        self._held[claim] = asked_at + self.lease_seconds
        try:
            yield
        finally:
            del self._held[claim]

    def holds(self, claim: Claim) -> bool:
        """Return whether it is still safe to act on the claim. False after the process was suspended for too long."""
        until = self._held.get(claim)
        return until is not None and clock.monotonic() < until - MARGIN * self.lease_seconds

    async def renew(self) -> None:
        """Renew the leases that end soon. A lease that has already ended stays lost."""
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
        """Release every claim, so that no process must wait for the leases to end."""
        async with self._database.statement() as session:
            await hand_back(session, owner=self.owner)

    async def hand_back_unsent(self) -> None:
        """Release the jobs that are claimed and not sent. Their senders then find the claim lost, and send nothing."""
        async with self._database.statement() as session:
            await hand_back(session, owner=self.owner, unsent_alone=True)
