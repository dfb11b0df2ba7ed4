"""Whether the upstream is away, by the last exchange of each job that was heard of lately: pure choices.

Silence, a broken connection and a 5xx count against it. Any other whole answer proves that it is there, whether we can
read it or not. A job counts once; each model has one vote and each tenant has one, so that the jobs of one model or one
tenant, however many, stop nobody else. The balance of our account is one more voice: it is asked for where the jobs are
too much alike to judge by, and while the breaker is open.
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
"""It opens once so many jobs were heard of in BREAK_SECONDS, and such a share of the votes is against the upstream."""
MEND_SECONDS = 5.0
MEND_ANSWERS = 2
MEND_SHARE = 0.5
"""It closes once so many jobs or balances were answered in MEND_SECONDS, and no larger share is against the upstream."""
ALIKE = 2
"""Jobs of so many models, or of so many tenants, are too much alike to judge by: what is said of our balance decides."""
TOLD_GROUP_MAX = 5
TOLD_MAX = 100
"""What one process tells the others in a second: so many jobs of each tenant and model, and so many in all."""

PROBE_TENANT = UUID(int=0)
PROBE_MODEL = ""
"""The balance, among jobs."""


class Sample(NamedTuple):
    """A job's last exchange: when it ended, in seconds since 1970, and whether it counts against the upstream."""

    job_id: UUID
    tenant_id: UUID
    model: str
    at: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Health:
    """Of a tenant's jobs of one model: how many were heard of lately, and how many of them count against the upstream.

    at: when the last one was heard of, in seconds since 1970.
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


class Verdict(Enum):
    """Ask: by the jobs alone it cannot be said, ask for the balance."""

    THERE = auto()
    ASK = auto()
    AWAY = auto()


def judge(health: Sequence[Health], *, broken: bool) -> Verdict:
    """Whether the upstream is away. `health`: of BREAK_SECONDS, or of MEND_SECONDS while it is taken to be away."""
    if broken:
        return Verdict.THERE if _is_mended(health) else Verdict.AWAY
    jobs = [group for group in health if not group.is_probe]
    if sum(group.jobs for group in jobs) < BREAK_JOBS or share_failed(jobs) < BREAK_SHARE:
        return Verdict.THERE
    if share_failed([*jobs, Health(PROBE_TENANT, PROBE_MODEL, jobs=1, failed=0)]) >= BREAK_SHARE:
        return Verdict.AWAY
    if len(jobs) == len(health):
        return Verdict.ASK
    return Verdict.AWAY if share_failed(health) >= BREAK_SHARE else Verdict.THERE


def _is_mended(health: Sequence[Health]) -> bool:
    if sum(group.jobs - group.failed for group in health) < MEND_ANSWERS:
        return False
    if share_failed(health) <= MEND_SHARE:
        return True
    jobs = [group for group in health if not group.is_probe]
    if min(len({group.model for group in jobs}), len({group.tenant_id for group in jobs})) > ALIKE:
        return False
    told = [group for group in health if group.is_probe]  # without it so few could not have opened it, either
    return sum(group.jobs for group in told) >= MEND_ANSWERS and not any(group.failed for group in told)


def is_suspect(samples: Iterable[Sample]) -> bool:
    """Whether what one process has heard is a reason to ask what all have heard."""
    return share_failed(grouped(samples)) >= BREAK_SHARE


def share_failed(health: Sequence[Health]) -> float:
    """Share of the votes against the upstream: of the models' or of the tenants', whichever is less. 0.0 without any."""
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
    """The samples by tenant and model."""
    jobs: Counter[tuple[UUID, str]] = Counter()
    failed: Counter[tuple[UUID, str]] = Counter()
    for sample in samples:
        jobs[sample.tenant_id, sample.model] += 1
        failed[sample.tenant_id, sample.model] += sample.failed
    return [Health(*group, jobs=number, failed=failed[group]) for group, number in jobs.items()]


def worth_telling(newest_first: Iterable[Sample]) -> list[Sample]:
    """A few of each tenant and model: more of them would tell the others nothing new."""
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
