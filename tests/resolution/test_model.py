"""A model of attempts, rows and senders: whatever the order of arrivals, kills and late rows, nobody gets another's result."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.resolution.absence import Quiet, Read, Sent
from app.resolution.matching.assigning import assign
from app.resolution.matching.fitting import SEND, Candidate
from app.upstream.history_rows import HistoryRow

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
SETTLE_SECONDS = 400.0
LATE_SECONDS = 300.0
"""No row is later than this, so no proof can be wrong."""
WITNESS_SECONDS = 0.5
"""Other requests of ours are accepted this often, and their rows are prompt."""
SEQUENCES = int(os.environ.get("RESOLUTION_SEQUENCES", "1000"))


@dataclass
class Job:
    """A job and its attempts. state: sending, unknown, running, failed, absent. evicted: it lost a request to its real owner."""

    number: int
    tenant: int
    body: int
    sent_at: datetime
    state: str = "sending"
    arrived_at: datetime | None = None
    row_at: datetime | None = None
    """When the row of its request appears in the history, if it has arrived."""
    sender: str = "alive"
    """alive: it will learn the answer; dead; done: it has recorded that the answer is lost."""
    quiet_at: datetime | None = None
    holds: int | None = None
    """The job whose request it has."""
    inferred: bool = False

    @property
    def id(self) -> UUID:
        return UUID(int=1000 + self.number)


@dataclass
class World:
    """Time, and all jobs."""

    now: datetime = T0
    jobs: list[Job] = field(default_factory=list)

    @property
    def owned(self) -> set[int]:
        return {job.holds for job in self.jobs if job.holds is not None}


class Resolution(RuleBasedStateMachine):
    """The engine's rules as a model; the decisions are the shipped ones."""

    @initialize(tenants=st.lists(st.integers(0, 1), min_size=2, max_size=4))
    def begin(self, tenants: list[int]) -> None:
        """Twins, since they are what can go wrong."""
        self.world = World()
        for tenant in tenants:
            self.send(tenant, 0)

    @rule(tenant=st.integers(0, 1), body=st.integers(0, 1))
    def send_more(self, tenant: int, body: int) -> None:
        """One more attempt is opened."""
        self.send(tenant, body)

    def send(self, tenant: int, body: int) -> None:
        """An attempt is opened."""
        if len(self.world.jobs) < 8:
            self.world.jobs.append(Job(len(self.world.jobs), tenant, body, self.world.now))

    @rule(pick=st.integers(0, 7), late=st.integers(0, int(LATE_SECONDS)), offset=st.integers(-30, 30))
    def arrive(self, pick: int, late: int, offset: int) -> None:
        """The request reaches the upstream, while its sender lives. The upstream's clock is a little off."""
        job = self._pick(pick)
        if (
            job is not None
            and job.sender == "alive"
            and job.arrived_at is None
            and self.world.now - job.sent_at <= SEND
        ):
            job.arrived_at = self.world.now + timedelta(seconds=offset)
            job.row_at = self.world.now + timedelta(seconds=late)

    @rule(pick=st.integers(0, 7), how=st.sampled_from(["answered", "lost", "killed", "swept"]))
    def end(self, pick: int, how: str) -> None:
        """The sender learns the answer, or that it is lost, or dies; or a sweep finds that its lease is over."""
        job = self._pick(pick)
        if job is None or job.sender != "alive":
            return
        if how == "answered":
            if job.arrived_at is not None:
                self._first_hand(job)
                job.sender, job.quiet_at = "done", self.world.now
            return
        if how == "swept":
            if job.state == "sending":
                job.state = "unknown"
            return
        job.sender, job.quiet_at = ("done" if how == "lost" else "dead"), self.world.now
        if job.state == "sending":
            job.state = "unknown"

    def _first_hand(self, job: Job) -> None:
        """What the upstream says itself evicts an inference."""
        for other in self.world.jobs:
            if other is not job and other.holds == job.number:
                assert other.inferred
                other.holds, other.inferred, other.state = None, False, "unknown"
        if job.state in ("sending", "unknown"):
            job.holds, job.inferred, job.state = job.number, False, "running"

    @rule(seconds=st.one_of(st.integers(1, 40), st.integers(100, 300)))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.world.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.world.jobs)
    @rule()
    def read(self) -> None:
        """A worker reads the history and acts on what it shows."""
        world = self.world
        orphans = [
            HistoryRow(str(job.number), "m", "COMPLETED", job.arrived_at, None, 1, {"a": job.body}, None, None)
            for job in world.jobs
            if job.row_at is not None and job.row_at <= world.now and job.number not in world.owned
        ]
        candidates = [
            Candidate(
                job.id, 1, UUID(int=job.tenant), "m", job.sent_at,
                max(job.sent_at + SEND, job.quiet_at or job.sent_at), {"a": job.body}, waits=job.sender == "alive",
            )
            for job in world.jobs if job.holds is None
        ]  # fmt: skip
        found = assign(orphans, candidates)
        for upstream_id, (job_id, _) in found.adopted.items():
            job = world.jobs[job_id.int - 1000]
            if job.state == "unknown":
                job.holds, job.inferred, job.state = int(upstream_id), True, "running"
        taken = {job_id for job_id, _ in found.adopted.values()} | {job_id for job_id, _ in found.doubtful}
        number = int((world.now - T0).total_seconds() / WITNESS_SECONDS)
        ours = [Sent(T0 + timedelta(seconds=WITNESS_SECONDS * one), seen=True) for one in range(number)]
        ours += [
            Sent(job.sent_at, job.row_at <= world.now) for job in world.jobs if job.row_at and job.holds == job.number
        ]
        strangers = [(row.model, row.created_at) for row in found.strangers]
        evidence = Read(began_at=world.now, reached=T0 - timedelta(hours=1), ours=ours, unplaced=strangers)
        for job in world.jobs:
            quiet = Quiet(job.sent_at, None if job.sender == "alive" else job.quiet_at, "m")
            if (
                job.state == "unknown"
                and job.id not in taken
                and evidence.proves_absent(quiet, settle_seconds=SETTLE_SECONDS)
            ):
                job.state = "absent"

    def _pick(self, pick: int) -> Job | None:
        return self.world.jobs[pick % len(self.world.jobs)] if self.world.jobs else None

    @invariant()
    def nobody_has_anothers_result(self) -> None:
        held = [job.holds for job in self.world.jobs if job.holds is not None]
        assert len(held) == len(set(held)), "an id has two owners"
        for job in self.world.jobs:
            if job.holds is not None:
                owner = self.world.jobs[job.holds]
                assert (owner.tenant, owner.body) == (job.tenant, job.body), "another's result"

    @invariant()
    def proofs_are_true(self) -> None:
        """Twins of one tenant may have each other's requests: then as many of them did not arrive as were proven absent."""
        for job in self.world.jobs:
            twins = [one for one in self.world.jobs if (one.tenant, one.body) == (job.tenant, job.body)]
            absent = sum(one.state == "absent" for one in twins)
            assert absent <= sum(one.arrived_at is None for one in twins), "a wrong refund"


Resolution.TestCase.settings = settings(
    max_examples=SEQUENCES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestResolution = Resolution.TestCase
