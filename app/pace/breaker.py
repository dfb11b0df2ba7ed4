"""The circuit breaker: decides from recent exchanges whether the upstream is unavailable. Pure functions.

A timeout, a broken connection and a 5xx count against the upstream. Any other complete answer proves that it is
available, even if we cannot read it. A job counts once, by its last exchange. Each model has one vote and each
tenant has one, so that the jobs of one model or tenant, however many, cannot stop the others. Our balance gives one
more vote. It is read if the jobs are too similar to judge by, and while the breaker is open.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

BREAK_SECONDS = 10.0
BREAK_JOBS = 5
BREAK_SHARE = 0.7
"""It opens if BREAK_JOBS jobs had an exchange in BREAK_SECONDS, and BREAK_SHARE of the votes are against the upstream."""
MEND_SECONDS = 5.0
MEND_ANSWERS = 2
MEND_SHARE = 0.5
"""It closes after MEND_ANSWERS answers to jobs or balances in MEND_SECONDS, with at most MEND_SHARE of the votes against it."""
ALIKE = 2
"""Jobs of at most this many models, or of this many tenants, are too similar to judge by. Then the balance decides."""
TOLD_GROUP_MAX = 5
TOLD_MAX = 100
"""The most jobs that one process reports in a second: of each tenant and model, and in all."""

PROBE_TENANT = UUID(int=0)
PROBE_MODEL = ""
"""The tenant and model of a sample of the balance."""


class Sample(NamedTuple):
    """The last exchange of a job: when it ended, in seconds since 1970, and whether it counts against the upstream."""

    job_id: UUID
    tenant_id: UUID
    model: str
    at: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Health:
    """Of a tenant's jobs of one model: how many had an exchange lately, and how many of these count against the upstream.

    at: the end of the last exchange, in seconds since 1970.
    """

    tenant_id: UUID
    model: str
    jobs: int
    failed: int
    at: float = 0.0

    @property
    def is_probe(self) -> bool:
        """Whether these are answers about our balance."""
        return self.model == PROBE_MODEL


class Availability(Enum):
    """Whether the upstream is available. ASK: the jobs alone do not decide; read the balance."""

    THERE = auto()
    ASK = auto()
    AWAY = auto()


def judge(health: Sequence[Health], *, broken: bool) -> Availability:
    """Judge the upstream. `health`: of BREAK_SECONDS, or of MEND_SECONDS while it is considered unavailable."""
    if broken:
        return Availability.THERE if _is_mended(health) else Availability.AWAY
    jobs = [group for group in health if not group.is_probe]
    if sum(group.jobs for group in jobs) < BREAK_JOBS or share_failed(jobs) < BREAK_SHARE:
        return Availability.THERE
    if share_failed([*jobs, Health(PROBE_TENANT, PROBE_MODEL, jobs=1, failed=0)]) >= BREAK_SHARE:
        return Availability.AWAY
    if len(jobs) == len(health):
        return Availability.ASK
    return Availability.AWAY if share_failed(health) >= BREAK_SHARE else Availability.THERE


def _is_mended(health: Sequence[Health]) -> bool:
    if sum(group.jobs - group.failed for group in health) < MEND_ANSWERS:
        return False
    if share_failed(health) <= MEND_SHARE:
        return True
    jobs = [group for group in health if not group.is_probe]
    if min(len({group.model for group in jobs}), len({group.tenant_id for group in jobs})) > ALIKE:
        return False
    told = [group for group in health if group.is_probe]  # so few cannot open the breaker without it
    return sum(group.jobs for group in told) >= MEND_ANSWERS and not any(group.failed for group in told)


def is_suspect(samples: Iterable[Sample]) -> bool:
    """Whether the exchanges of one process are a reason to read those of all processes."""
    return share_failed(grouped(samples)) >= BREAK_SHARE


def share_failed(health: Sequence[Health]) -> float:
    """The share of votes against the upstream: of models or of tenants, whichever is lower. 0.0 without any."""
    by_model = [(group.model, group) for group in health]
    by_tenant = [(group.tenant_id, group) for group in health]
    return min(_mean_share(by_model), _mean_share(by_tenant))


def _mean_share(voters: Sequence[tuple[object, Health]]) -> float:
    jobs: Counter[object] = Counter()
    failed: Counter[object] = Counter()
    for voter, group in voters:
        jobs[voter] += group.jobs
        failed[voter] += group.failed
    return sum(failed[voter] / number for voter, number in jobs.items()) / len(jobs) if jobs else 0.0


def grouped(samples: Iterable[Sample]) -> list[Health]:
    """Count the samples by tenant and model."""
    jobs: Counter[tuple[UUID, str]] = Counter()
    failed: Counter[tuple[UUID, str]] = Counter()
    for sample in samples:
        jobs[sample.tenant_id, sample.model] += 1
        failed[sample.tenant_id, sample.model] += sample.failed
    return [Health(*group, jobs=number, failed=failed[group]) for group, number in jobs.items()]


def worth_telling(newest_first: Iterable[Sample]) -> list[Sample]:
    """A few samples of each tenant and model. More would tell the other processes nothing new."""
    told: list[Sample] = []
    groups: Counter[tuple[UUID, str]] = Counter()
    for sample in newest_first:
        group = (sample.tenant_id, sample.model)
        if groups[group] < TOLD_GROUP_MAX:
            groups[group] += 1
            told.append(sample)
            if len(told) == TOLD_MAX:
                break
    return told
