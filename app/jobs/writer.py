"""The submit writer: one per API process, an edge of its own. It groups concurrent submits into one statement.

One tenant's submits would otherwise wait for each other's disk flush one by one. Each submission of a group is stored
or refused on its own.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core import clock
from app.core.batch import Batcher, Overloaded
from app.core.crash import crash_point
from app.core.db import Database, Row
from app.core.errors import Refusal, StoreFull, StoreUnavailable
from app.jobs.operations import Submission, find_twins, submit_jobs

GROUP_MAX = 50
WAITING_MAX = 5_000
UNREACHED_SECONDS = 3.0
"""How long a submit waits for a store that has not been asked yet, or has no room, before it is refused."""
IN_DOUBT_SECONDS = 15.0
"""How long it waits when the store was asked and the answer was lost: it may be stored, and a refusal would be a lie."""


class IdempotencyKeyReused(Refusal):
    """422: the key names another request of this tenant."""

    status = 422
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("this idempotency key was used before with another model or input")


class Busy(Refusal):
    """503: more submits wait to be stored than we are willing to hold."""

    status = 503
    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("too many submits at once; try again", retry_after_seconds=1)


class InDoubt(StoreUnavailable):
    """503: the store was lost while it wrote the job, and has not come back to say whether it did."""

    code = "store_in_doubt"

    def __init__(self) -> None:
        super().__init__(
            "the store was lost while storing this job, which may exist; an idempotency key makes it safe to ask again"
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A job that is in Postgres: newly, or as the job this idempotency key led to before."""

    job_id: UUID
    created_at: datetime
    replayed: bool


class SubmitWriter:
    """Hands submissions to Postgres in groups and tells each what became of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[Submission, Stored] = Batcher(
            self._flush, size_max=GROUP_MAX, waiting_max=WAITING_MAX, lanes=2
        )

    async def submit(self, submission: Submission) -> Stored:
        """Store it; raises IdempotencyKeyReused, Busy, StoreUnavailable, InDoubt. When it returns, the job is committed."""
        try:
            return await self._batcher.put(submission)
        except Overloaded:
            raise Busy from None

    async def drained(self) -> None:
        """Wait until every submit has its answer."""
        await self._batcher.drained()

    async def _flush(self, group: Sequence[Submission]) -> Sequence[Stored | Exception]:
        """Written again until the store says what is there: the ids are ours, so a second time changes nothing."""
        started_at = clock.monotonic()
        in_doubt = False
        while True:
            asked = answered = False
            try:
                async with self._database.statement() as session:
                    asked = True
                    crash_point("submit.before_store")
                    stored = await submit_jobs(session, submissions=group)
                    answered = True
                    left = [submission for submission in group if submission.id not in stored]
                    twins = await find_twins(session, submissions=left) if left else {}
                crash_point("submit.after_store")
                return [_verdict(one, twins.get(one.id), new=one.id in stored) for one in group]
            except StoreUnavailable as error:
                in_doubt = in_doubt or answered or (asked and not isinstance(error, StoreFull))
                patience = IN_DOUBT_SECONDS if in_doubt else UNREACHED_SECONDS
                if clock.monotonic() - started_at > patience:
                    raise (InDoubt() if in_doubt else error) from error
                await asyncio.sleep(0.1)


def _verdict(submission: Submission, twin: Row | None, *, new: bool) -> Stored | Exception:
    if new or (twin is not None and twin["id"] == submission.id):
        return Stored(submission.id, submission.created_at, replayed=False)
    if twin is None:  # whoever had the key has vanished between two statements; the caller may try again
        return StoreUnavailable()
    if twin["fingerprint"] != submission.fingerprint:
        return IdempotencyKeyReused()
    return Stored(twin["id"], twin["created_at"], replayed=True)
