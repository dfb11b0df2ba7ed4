"""Any sequence of what may happen to jobs leaves them, their histories and their queues where a plain model has them."""

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core import clock
from app.core.database.db import Database
from app.core.database.session import Row
from app.jobs.admin.pausing import park_paused_jobs, pause_jobs, resume_jobs
from app.jobs.admin.recover import forget_queued, forget_sending, free_running
from app.jobs.admin.resolve import adopt_submission, release_submission
from app.jobs.claiming.claims import claim_running, release_claims
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import PollRecord, SubmitRecord, record_late, record_polls, record_submits
from app.jobs.claiming.turns import ClaimedJob, claim_queued
from app.jobs.engine.sweeps import expire_sending, expire_waiting, promote, release_expired_claims
from app.jobs.models import ErrorCode, State
from app.jobs.operations import JobFinished, request_cancel
from app.jobs.places import open_places
from app.ops.invariants import OF_JOBS
from app.ops.queue_invariants import OF_QUEUES
from app.pace.models import What
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine
from tests.jobs.life_model import FINAL, Due, Job, Model

STEPS = int(os.environ.get("LIVES_STEPS", "5000" if os.environ.get("CHAOS_LONG") else "300"))
SEED = int(os.environ.get("LIVES_SEED", str(random.randrange(2**32))))
HOUR = 3600.0
UNFINISHED_MAX = 15

_SEEN = """
SELECT
    id, state, ready, owner IS NOT NULL AS held, takeovers, revision, attempt,
    ARRAY(SELECT ARRAY[from_state, to_state, reason] FROM job_events WHERE job_id = jobs.id ORDER BY seq) AS events
FROM jobs WHERE id = ANY ($1::uuid[])
"""
_TOLD = {
    "accepted": (OutcomeKind.ACCEPTED, Step(State.RUNNING, "accepted", 0.0, upstream_state=UpstreamState.QUEUED)),
    "unknown": (OutcomeKind.UNKNOWN, Step(State.UNKNOWN, "maybe_sent", HOUR)),
    "again": (OutcomeKind.NOT_SENT, Step(State.QUEUED, "not_sent", 0.0)),
    "throttled": (OutcomeKind.THROTTLED, Step(State.QUEUED, "throttled", HOUR)),
    "rejected": (OutcomeKind.REJECTED, Step(State.FAILED, "rejected", None, ErrorCode.UPSTREAM_REJECTED, "no")),
}
_SAID = {
    "still": Step(State.RUNNING, "polled", 0.0),
    "progress": Step(State.RUNNING, "progress", 0.0, upstream_state=UpstreamState.PROCESSING),
    "completed": Step(State.COMPLETED, "completed", None, body=b"{}"),
    "failed": Step(State.FAILED, "failed", None, ErrorCode.UPSTREAM_FAILED, "so it is"),
}


class Lives:
    """Two tenants, one with a key that has a limit; one worker's hand."""

    def __init__(self, database: Database, draw: random.Random) -> None:
        self.database = database
        self.engine = Engine(database)
        self.draw = draw
        self.model = Model()
        self.told: Counter[tuple[str | None, str]] = Counter()

    async def begin(self) -> None:
        self.callers = [await make_caller(self.database) for _ in range(2)]
        self.limited = self.callers[1].key.id
        await self.write(open_places, tenant_id=self.callers[1].tenant.id, key_id=self.limited)
        await self.sql("UPDATE api_keys SET max_in_flight = 2 WHERE id = $1", self.limited)

    async def write(self, operation: Any, **named: Any) -> Any:
        """An operation in a transaction of its own."""
        async with self.database.transaction() as session:
            return await operation(session, **named)

    async def sql(self, text: str, *args: object) -> list[Row]:
        async with self.database.statement() as session:
            return await session.fetch(text, *args)

    def those(self, *states: str, held: bool | None = None) -> list[Job]:
        return self.model.those(lambda job: job.state in states and held in (None, job.held))

    async def fence(self, job: Job) -> int:
        return int((await self.sql("SELECT fence FROM jobs WHERE id = $1", job.id))[0]["fence"])

    def seldom(self) -> bool:
        return self.draw.random() < 0.15

    async def step(self) -> str:
        """Something that may happen now; gives its name."""
        tenants: dict[str, Callable[[], Awaitable[None]]] = {
            "submit": self.submit, "claim": self.claim, "open": self.open, "claim_reads": self.claim_reads,
            "let_run_out": self.let_run_out, "pass_time": self.pass_time, "sweep": self.sweep,
            "hand_back": self.hand_back, "pause": self.pause, "set_aside": self.park_paused_jobs, "resume": self.resume,
            "recover": self.recover,
        }  # fmt: skip
        often = ("submit", "claim", "claim", "open", "open", "claim_reads", "claim_reads", "resume", "sweep")
        jobs: list[tuple[str, Callable[[Job], Awaitable[None]], list[Job]]] = [
            ("release", self.release, self.those("queued", held=True)),
            *(("record", self.record, self.those("sending", "unknown")),) * 3,
            *(("poll", self.poll, self.those("running", held=True)),) * 3,
            ("cancel", self.cancel, self.those(*State)),
            ("adopt", self.adopt, self.those("unknown")),
            ("release_unknown", self.release_unknown, self.those("unknown")),
        ]
        name, happens, found = self.draw.choice([
            *((name, happens, None) for name, happens in tenants.items()),
            *((name, tenants[name], None) for name in often),
            *(one for one in jobs if one[2]),
        ])  # fmt: skip
        await (happens() if found is None else happens(self.draw.choice(found)))  # type: ignore[operator]
        return name

    async def submit(self) -> None:
        if len(self.model.those(lambda job: job.state not in FINAL)) > UNFINISHED_MAX:
            return
        caller: Caller = self.draw.choice(self.callers)
        later, late, number = self.seldom(), self.seldom(), self.draw.randint(1, 3)
        fields: dict[str, object] = {"deadline_at": clock.now() - timedelta(seconds=1)} if late else {}
        if later:
            fields["not_before"] = clock.now() + timedelta(seconds=HOUR)
        for job_id in await self.engine.submit(caller, number, **fields):
            due = Due.LATER if later else Due.NOW
            self.model.jobs[job_id] = Job(job_id, caller.tenant.id, caller.key.id, due, late, ready=not later)

    async def claim(self) -> None:
        most = self.draw.randint(1, 6)
        await self.engine.fill_budget()
        claimed = await self.write(claim_queued, owner=self.engine.owner, jobs_max=most, lease_seconds=HOUR)
        for row in claimed.rows:
            job = self.model.jobs[row.id]
            assert (job.state, job.ready, job.held, job.late) == ("queued", True, False, False)
            assert job.tenant_id not in self.model.paused
            job.held = True
        # which jobs of a limited key are parked, and which come back, is the choice's: its own tests say which
        for seen in await self.sql("SELECT id, ready FROM jobs WHERE state = 'queued' AND due_at <> $1", clock.now()):
            job = self.model.jobs[seen["id"]]
            if job.key_id == self.limited and job.due is not Due.LATER and job.ready != seen["ready"]:
                job.ready, job.due = seen["ready"], Due.NOW if seen["ready"] else Due.ASIDE

    async def open(self) -> None:
        held = self.model.those(lambda job: job.state == "queued" and job.held)
        claims = [ClaimedJob(job.id, job.tenant_id, await self.fence(job), "m", 0, 0, b"") for job in held]
        await self.engine.open(claims, HOUR)
        for job in held:
            if job.lapsed:
                continue
            if job.tenant_id in self.model.paused:
                job.let_go()
                job.takeovers = 0
                continue
            job.goes("sending", "sending")
            job.held, job.attempt = True, job.attempt + 1

    async def release(self, job: Job) -> None:
        later = self.seldom()
        row = (job.id, await self.fence(job), HOUR if later else 0.0, "refused", 0.1)
        await self.write(release_claims, owner=self.engine.owner, rows=[row])
        job.let_go()
        job.ready, job.takeovers, job.due = not later, 0, Due.LATER if later else Due.NOW

    async def record(self, job: Job) -> None:
        told, stale = self.draw.choice(["accepted", *sorted(_TOLD)]), self.seldom()
        kind, step = _TOLD[told]
        outcome = Outcome(kind, 200, 0.1, "told", upstream_id=f"up-{job.id.hex}" if told == "accepted" else None)
        record = SubmitRecord(job.id, job.attempt - stale, step, outcome)
        settled = await self.write(record_submits, records=[record])
        if settled.late:
            await self.write(record_late, worker=self.engine.owner, records=settled.late)
        if stale or job.state == step.to_state:
            return
        job.due = Due.LATER if step.due_seconds else Due.NOW
        if step.to_state in (State.QUEUED, State.FAILED):
            job.ends(step.to_state, step.reason)
        else:
            job.goes(step.to_state, step.reason)
        job.ready, job.takeovers = job.state == "queued" and job.due is Due.NOW, 0
        job.upstream_state = step.upstream_state

    async def claim_reads(self) -> None:
        await self.engine.fill_budget()
        most = self.draw.randint(1, 6)
        taken = await self.write(claim_running, owner=self.engine.owner, reads_max=most, lease_seconds=HOUR)
        for row in taken.rows:
            job = self.model.jobs[row.id]
            assert (job.state, job.due) == ("running", Due.NOW)
            assert not job.held or job.lapsed
            assert row.takeovers == job.takeovers + job.lapsed
            job.held, job.lapsed, job.takeovers = True, False, row.takeovers

    async def poll(self, job: Job) -> None:
        said, stale = self.draw.choice(sorted(_SAID)), self.seldom()
        step = _SAID[said]
        if said == "still" and job.upstream_state is not None:
            step = Step(State.RUNNING, "polled", 0.0, upstream_state=UpstreamState(job.upstream_state))
        fence = await self.fence(job) - stale
        await self.write(record_polls, records=[PollRecord(job.id, fence, step, 1.0, 0.1, None, 0, ())])
        if stale:
            return
        if step.to_state is not State.RUNNING:
            job.ends(step.to_state, step.reason)
        elif step.upstream_state != job.upstream_state:
            job.goes("running", step.reason)
        job.let_go()
        job.due, job.takeovers, job.upstream_state = Due.NOW, 0, step.upstream_state or job.upstream_state

    async def cancel(self, job: Job) -> None:
        asked = {"tenant_id": job.tenant_id, "job_id": job.id}
        if job.state in FINAL:
            with pytest.raises(JobFinished):
                await self.write(request_cancel, **asked)
            return
        await self.write(request_cancel, **asked)
        if job.state == "queued":
            job.goes("canceled", "cancel_requested")
        elif not job.asked:
            job.events.append((job.state, job.state, "cancel_requested"))
        job.asked = True

    async def let_run_out(self) -> None:
        await self.engine.let_run_out()
        for job in self.model.those(lambda job: job.held):
            job.lapsed = True

    async def pass_time(self) -> None:
        """What was to wait is due."""
        await self.sql("UPDATE jobs SET due_at = now() WHERE state = 'queued' AND NOT ready AND due_at < 'infinity'")
        for job in self.model.those(lambda job: job.state == "queued" and job.due is Due.LATER):
            job.due = Due.NOW

    async def sweep(self) -> None:
        await self.write(expire_sending, unknown_max_seconds=HOUR)
        for job in self.model.those(lambda job: job.state == "sending" and job.lapsed):
            job.goes("unknown", "lease_expired")
        await self.write(expire_waiting, lease_seconds=HOUR)
        for job in self.model.those(lambda job: job.state == "queued" and job.late):
            job.ends("failed", "deadline_exceeded")
        poison = self.model.those(lambda job: job.state in ("queued", "running") and job.lapsed and job.takeovers >= 2)
        for job in poison:
            job.ends("failed", "canceled" if job.asked else "poison")
        await self.write(release_expired_claims, lease_seconds=HOUR)
        for job in self.model.those(lambda job: job.state == "queued" and job.lapsed):
            job.let_go()
            job.takeovers += 1
        await self.write(promote)
        for job in self.model.those(lambda job: job.state == "queued" and job.due is Due.NOW):
            job.ready = True

    async def hand_back(self) -> None:
        await self.engine.hand_back()
        for job in self.model.those(lambda job: job.state in ("queued", "running")):
            job.let_go()

    async def pause(self) -> None:
        tenant_id, what = self.draw.choice(self.callers).tenant.id, self.draw.choice(list(What))
        await self.write(pause_jobs, tenant_id=tenant_id, model=None, what=what, paused_by="me", note="")
        self.model.paused[tenant_id] = what is What.ALL
        self.model.put_back_running()
        self.model.park_paused_jobs()

    async def park_paused_jobs(self) -> None:
        await self.write(park_paused_jobs)
        self.model.park_paused_jobs()

    async def resume(self) -> None:
        tenant_id = self.draw.choice(self.callers).tenant.id
        await self.write(resume_jobs, tenant_id=tenant_id, model=None)
        self.model.paused.pop(tenant_id, None)
        self.model.put_back()

    async def adopt(self, job: Job) -> None:
        await self.write(adopt_submission, job_id=job.id, upstream_id=f"up-{job.id.hex}")
        job.goes("running", "adopted")
        job.due, job.takeovers, job.upstream_state = Due.NOW, 0, UpstreamState.QUEUED

    async def release_unknown(self, job: Job) -> None:
        await self.write(release_submission, job_id=job.id)
        job.ends("failed", "released")

    async def recover(self) -> None:
        """Seldom: all that is queued is unknown afterwards."""
        if not self.seldom():
            return
        now = clock.now() + timedelta(seconds=1)
        await self.write(forget_queued, before=now, unknown_max_seconds=HOUR)
        for job in self.model.those(lambda job: job.state == "queued" and job.due is not Due.LATER):
            job.goes("unknown", "recovered")
            job.due, job.takeovers, job.attempt = Due.LATER, 0, job.attempt + 1
        await self.write(forget_sending, before=now, unknown_max_seconds=HOUR)
        for job in self.model.those(lambda job: job.state == "sending"):
            job.goes("unknown", "recovered")
        await self.write(free_running, before=now, after=UUID(int=0))
        for job in self.model.those(lambda job: job.state == "running"):
            job.let_go()
            job.takeovers = 0

    async def check(self) -> None:
        """Jobs, their histories and their queues are where the model has them, and `verify` finds nothing."""
        rows = {row["id"]: row for row in await self.sql(_SEEN, list(self.model.jobs))}
        [row] = await self.sql("SELECT count(*) AS number FROM jobs WHERE finished_at IS NULL")
        assert row["number"] == sum(job.state not in FINAL for job in self.model.jobs.values())
        for job in self.model.jobs.values():
            row = rows[job.id]
            events = [tuple(event) for event in row["events"]]
            seen = (row["state"], row["ready"], row["held"], row["takeovers"], row["revision"], events)
            assert seen == job.seen
        for job in self.those(*FINAL)[:-3]:
            del self.model.jobs[job.id]
            self.told.update((event[0], str(event[1])) for event in job.events)
        for subject_id in (self.callers[0].tenant.id, self.callers[1].tenant.id, self.limited):
            [row] = await self.sql(
                "SELECT queued, ready, claimed, in_flight FROM queues WHERE subject_id = $1", subject_id
            )
            assert tuple(row) == self.model.counts(subject_id)
        for one in (*OF_QUEUES, *(one for one in OF_JOBS if one.name in ("path", "last", "final", "due"))):
            [row] = await self.sql(one.query.text, *one.arguments())
            assert row["wrong"] == 0, one.name


@pytest.mark.timeout(3600)
async def test_whatever_happens_all_is_where_the_model_has_it(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    lives = Lives(database, random.Random(SEED))
    await lives.begin()
    happened: list[str] = []
    try:
        for _ in range(STEPS):
            happened.append(await lives.step())
            await lives.check()
    except BaseException:
        print(f"LIVES_SEED={SEED}, step {len(happened)}: {', '.join(happened[-10:])}")
        raise
    with capsys.disabled():
        ended, kinds = lives.told[None, "queued"], len(lives.told)
        print(f" {STEPS} steps, {ended} jobs ended by {kinds} kinds of events, LIVES_SEED={SEED}: 0 divergences")
    assert kinds > 6
