"""Which jobs are sent next, of all tenants: start-time fair queueing (Goyal, Vin and Cheng, 1996), as pure functions.

The tenants whose turn it is are those with the lowest virtual time that have ready jobs and places for them. Of each, the next
few jobs are examined. Of these, the first ones are sent, in the order in which a server that divides itself by weight, credit
by credit, would begin them. This order is correct up to a horizon: after it, jobs that were not examined would come first.

A key may have its own limit. If a claim finds a job of a key at its limit, it parks the job. Parked jobs become ready again,
the oldest first, when the key has places. A suspect is a job whose owners have died repeatedly. Suspects are sent one at a
time.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

PASSED_MAX = 100
"""For each tenant, at most this many jobs of keys at their limit are skipped in one claim to find other jobs."""


class Queue(NamedTuple):
    """The counts of a tenant, or of a key with its own limits, read under lock."""

    subject_id: UUID
    tenant_id: UUID
    weight: float
    virtual_time: float
    max_in_flight: int | None
    ready: int
    claimed: int
    in_flight: int
    kept_out: bool

    @property
    def is_key(self) -> bool:
        """Whether this is the queue of a key."""
        return self.subject_id != self.tenant_id

    @property
    def places(self) -> float:
        """How many more of its jobs may be claimed. Infinite: any number. Negative if the limit was lowered."""
        return math.inf if self.max_in_flight is None else self.max_in_flight - self.in_flight - self.claimed

    @property
    def free(self) -> float:
        """A key's places that are left if each of its ready jobs takes one."""
        return math.inf if self.max_in_flight is None else self.max_in_flight - self.in_flight - self.ready


@dataclass(frozen=True, slots=True)
class Turn:
    """A tenant that may have a turn. `begins_at`: its virtual time. `room`: how many jobs it could send. `share`: how many of
    them may be sent in this claim. `seen`: how many are examined to find these."""

    tenant_id: UUID
    weight: float
    begins_at: float
    room: int
    share: int
    seen: int


class Candidate(NamedTuple):
    """A ready job that may be sent. `cost`: in micro-credits; it advances the virtual time."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    rank_at: datetime
    suspect: bool
    cost: int

    @property
    def place(self) -> tuple[datetime, UUID]:
        """Its sort key among the jobs of its tenant or key."""
        return (self.rank_at, self.id)


class Parked(NamedTuple):
    """A parked job of a key with its own limit, which may become ready."""

    id: UUID
    tenant_id: UUID
    key_id: UUID
    rank_at: datetime

    @property
    def place(self) -> tuple[datetime, UUID]:
        """Its sort key among the jobs of its key."""
        return (self.rank_at, self.id)


class Chosen(NamedTuple):
    """A job that is sent, and the virtual times at which it begins and ends."""

    job: Candidate
    begins_at: float
    ends_at: float

    @property
    def order(self) -> tuple[float, datetime, UUID]:
        """Its sort key among the jobs of all tenants."""
        return (self.begins_at, *self.job.place)


@dataclass(frozen=True, slots=True)
class Choice:
    """chosen: jobs to send, in order. parked: jobs to park. back: parked jobs that become ready."""

    chosen: Sequence[Chosen] = ()
    parked: Sequence[Candidate] = ()
    back: Sequence[Parked] = ()


def take_turns(queues: Iterable[Queue], *, jobs_max: int, looked_at: int, virtual_time: float) -> list[Turn]:
    """Return what each of these tenants may send in a claim of `jobs_max` jobs in which `looked_at` tenants are examined.

    `virtual_time`: no tenant begins below it, so that it gains nothing from being idle.
    """
    queues = list(queues)
    short = {queue.tenant_id for queue in queues if queue.is_key and (queue.kept_out or queue.free < 0)}
    each = 1 + jobs_max // max(1, looked_at)
    turns = []
    for queue in queues:
        if queue.is_key:
            continue
        room = int(max(0, min(queue.ready - queue.claimed, queue.places)))
        share = min(room, jobs_max, each)
        seen = share + PASSED_MAX if share and queue.tenant_id in short else share
        begins_at = max(queue.virtual_time, virtual_time)
        turns.append(Turn(queue.tenant_id, queue.weight, begins_at, room, share, seen))
    return turns


def parked_seen(key: Queue, *, jobs_max: int) -> int:
    """Return how many of a key's parked jobs are examined."""
    return int(max(0, min(jobs_max + PASSED_MAX, key.places))) if key.kept_out else 0


def choose(
    turns: Sequence[Turn],
    *,
    keys: Mapping[UUID, Queue],
    candidates: Sequence[Candidate],
    parked: Sequence[Parked],
    jobs_max: int,
    passed_at: float = math.inf,
) -> Choice:
    """Choose which candidates are sent, at most `jobs_max`. `keys`: the keys that have a queue. `parked`: their parked jobs.
    `passed_at`: the lowest virtual time at which a skipped tenant would begin. Of each other tenant, only jobs that begin no
    later are sent, but at least one: so no tenant is far ahead of a skipped one when that has its turn again."""
    held = _without_room(keys, candidates, parked)
    first_suspect = min((job.place for job in candidates if job.suspect), default=None)
    roomy: defaultdict[UUID, list[Candidate]] = defaultdict(list)
    for job in sorted(candidates, key=lambda job: job.place):
        if job.id not in held and not (job.suspect and job.place != first_suspect):
            roomy[job.tenant_id].append(job)
    tagged: list[Chosen] = []
    horizon = math.inf
    for turn in turns:
        of_tenant = _tag(turn, roomy[turn.tenant_id][: turn.share])
        in_time = of_tenant[: max(1, sum(candidate.begins_at <= passed_at for candidate in of_tenant))]
        # its jobs that were not examined begin after this
        if in_time and (turn.share < turn.room or len(in_time) < len(of_tenant)):
            horizon = min(horizon, max(candidate.ends_at for candidate in in_time))
        tagged += in_time
    chosen = sorted((candidate for candidate in tagged if candidate.begins_at <= horizon), key=lambda one: one.order)[
        :jobs_max
    ]
    return Choice(chosen, [job for job in candidates if job.id in held], _coming_back(keys, held, candidates, parked))


def _without_room(
    keys: Mapping[UUID, Queue], candidates: Sequence[Candidate], parked: Sequence[Parked]
) -> frozenset[UUID]:
    """The candidates whose key has no place for them. Older parked jobs of the key come first."""
    held = set()
    for key_id, of_key in _by_key(keys, candidates).items():
        older = sorted(job.rank_at for job in parked if job.key_id == key_id)
        for number, job in enumerate(sorted(of_key, key=lambda job: job.place), start=1):
            before = sum(rank_at < job.rank_at for rank_at in older)
            if number + before > keys[key_id].places:
                held.add(job.id)
    return frozenset(held)


def _by_key(keys: Mapping[UUID, Queue], candidates: Sequence[Candidate]) -> dict[UUID, list[Candidate]]:
    found: defaultdict[UUID, list[Candidate]] = defaultdict(list)
    if keys:
        for job in candidates:
            if job.key_id is not None and job.key_id in keys:
                found[job.key_id].append(job)
    return found


def _tag(turn: Turn, jobs: Sequence[Candidate]) -> list[Chosen]:
    """These jobs of one tenant, with the virtual times at which they begin and end."""
    tagged, cost = [], 0
    for job in jobs:
        cost += job.cost
        ends_at = turn.begins_at + cost / turn.weight
        tagged.append(Chosen(job, ends_at - job.cost / turn.weight, ends_at))
    return tagged


def _coming_back(
    keys: Mapping[UUID, Queue], held: frozenset[UUID], candidates: Sequence[Candidate], parked: Sequence[Parked]
) -> list[Parked]:
    """The oldest parked jobs of each key, as many as it has free places, including those of the jobs that are parked
    now."""
    freed = Counter(job.key_id for job in candidates if job.id in held)
    number: Counter[UUID] = Counter()
    back = []
    for job in sorted(parked, key=lambda job: job.place):
        number[job.key_id] += 1
        if number[job.key_id] <= keys[job.key_id].free + freed[job.key_id]:
            back.append(job)
    return back


def next_virtual_time(turns: Iterable[Turn], chosen: Sequence[Chosen], *, unseen: Iterable[float]) -> float | None:
    """Return the virtual time at which the next waiting job would begin: of tenants that have more to send, and of those that
    were not examined (`unseen`: their virtual times). None: no job waits."""
    sent = Counter(turn.job.tenant_id for turn in chosen)
    ends_at: dict[UUID, float] = {}
    for one in chosen:
        ends_at[one.job.tenant_id] = max(one.ends_at, ends_at.get(one.job.tenant_id, -math.inf))
    waiting = [ends_at.get(turn.tenant_id, turn.begins_at) for turn in turns if turn.room > sent[turn.tenant_id]]
    return min([*waiting, *unseen], default=None)


def virtual_times(chosen: Sequence[Chosen]) -> dict[UUID, float]:
    """Return the new virtual times of the tenants and keys of these jobs."""
    found: dict[UUID, float] = {}
    for turn in chosen:
        for subject_id in (turn.job.tenant_id, turn.job.key_id):
            if subject_id is not None:
                found[subject_id] = max(turn.ends_at, found.get(subject_id, -math.inf))
    return found
