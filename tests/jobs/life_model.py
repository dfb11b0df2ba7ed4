"""What should become of jobs, written down once more as plainly as possible: a job is where it is, and has a history.

It knows nothing of columns, fences or statements, and is compared with them after every step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

FINAL = ("completed", "failed", "canceled")
Event = tuple[str | None, str, str]


class Due(Enum):
    """When the engine looks at it: now, in an hour, or when a pause is lifted or its key has room."""

    NOW = 0
    LATER = 1
    ASIDE = 2


@dataclass
class Job:
    """lapsed: its holder's lease has run out. asked: a cancel was asked for. late: its deadline has passed."""

    id: UUID
    tenant_id: UUID
    key_id: UUID
    due: Due = Due.NOW
    late: bool = False
    state: str = "queued"
    ready: bool = True
    held: bool = False
    lapsed: bool = False
    asked: bool = False
    takeovers: int = 0
    attempt: int = 0
    upstream_state: str | None = None
    events: list[Event] = field(default_factory=lambda: [(None, "queued", "submitted")])

    def goes(self, state: str, reason: str) -> None:
        """Into another state, in nobody's hands and out of line."""
        self.events.append((self.state, state, reason))
        self.state, self.ready = state, False
        self.let_go()

    def let_go(self) -> None:
        self.held = self.lapsed = False

    def ends(self, state: str, reason: str) -> None:
        """A cancel that was asked for comes before every other end."""
        self.goes("canceled" if self.asked else state, reason)

    @property
    def seen(self) -> tuple[object, ...]:
        """What can be compared with its row."""
        return (self.state, self.ready, self.held, self.takeovers, len(self.events), self.events)


class Model:
    """All jobs, and what is paused: tenants, and whether their polls as well."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, Job] = {}
        self.paused: dict[UUID, bool] = {}

    def those(self, wanted: Callable[[Job], bool]) -> list[Job]:
        """In the order of their age."""
        return [job for job in self.jobs.values() if wanted(job)]

    def park_paused_jobs(self) -> None:
        """What a pause holds, and nobody else."""
        for job in self.those(lambda job: job.tenant_id in self.paused):
            if job.state == "queued" and job.ready and not job.held:
                job.ready, job.due = False, Due.ASIDE
            polls = self.paused[job.tenant_id]
            if polls and job.state == "running" and job.due is Due.NOW and (job.lapsed or not job.held):
                job.due = Due.ASIDE

    def put_back_running(self) -> None:
        for job in self.those(lambda job: job.state == "running" and not self.paused.get(job.tenant_id)):
            job.due = Due.NOW

    def put_back(self) -> None:
        """What no pause holds any more; jobs at the limit of their key as well, which the next claim parks again."""
        self.put_back_running()
        for job in self.those(lambda job: job.state == "queued" and job.due is Due.ASIDE):
            if job.tenant_id not in self.paused:
                job.ready, job.due = True, Due.NOW

    def counts(self, subject_id: UUID) -> tuple[int, int, int, int]:
        """Of a tenant's or a key's queue."""
        own = self.those(lambda job: subject_id in (job.tenant_id, job.key_id) and job.state not in FINAL)
        queued = [job for job in own if job.state == "queued"]
        return len(queued), sum(job.ready for job in queued), sum(job.held for job in queued), len(own) - len(queued)
