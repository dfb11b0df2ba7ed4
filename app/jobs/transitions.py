"""The one door for a change of a job: its state, its place in line and its holder.

A statement says which jobs and to what. From the row before and the row after, the door writes what follows from that, in the
same statement: the revision, the event, and the counts of the queues of the tenant and of the key.

Lock order: jobs, then queues by their id, then balances. A claim is the other way round: it locks queues first, and holds all of
those that its last statement counts.
"""

import re
from dataclasses import dataclass

WAS = "job.state AS was_state, job.ready AS was_ready, job.owner AS was_owner, job.revision AS was_revision"
"""What a CTE gives of each row of `jobs AS job` that it has locked, beside its id. A `Move` of a CTE that leaves it out does not run."""

_COUNTS = {
    "queued": "{0}state = 'queued'",
    "ready": "{0}ready",
    "claimed": "{0}state = 'queued' AND {0}owner IS NOT NULL",
    "in_flight": "{0}state IN ('sending', 'unknown', 'running')",
}
"""Which jobs a queue counts under which name."""
_OWN = re.compile(r"(?:^|,)\s*(?:state|revision)\s*=")


def counts(prefix: str = "") -> dict[str, str]:
    """For each count of a queue a condition in SQL: whether a job is in it. `prefix`: that of the columns state, ready and
    owner."""
    return {name: f"({condition.format(prefix)})" for name, condition in _COUNTS.items()}


def _changes(name: str, *, was: str | None) -> str:
    """A SELECT of what these rows, given by the CTE `name`, change of each count."""
    before = {} if was is None else counts(was)
    changed = [
        f"{now}::integer" + (f" - {before[count]}::integer" if before else "") + f" AS {count}"
        for count, now in counts().items()
    ]
    return f"SELECT tenant_id, key_id, {', '.join(changed)} FROM {name}"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """New jobs, all of them queued, each with its first event. `rows`: a CTE with a row for each. `columns` of `jobs`, and their
    `values`, in SQL over `rows`; ready: whether it stands in line at once."""

    rows: str
    columns: str
    values: str
    ready: str
    reason: str
    name: str = "stored"

    def ctes(self) -> str:
        """The CTEs that write them; `name` gives id, tenant_id, key_id, state, ready, owner and revision."""
        return f"""{self.name} AS (
    INSERT INTO jobs (state, ready, {self.columns}) SELECT 'queued', {self.ready}, {self.values} FROM {self.rows}
    RETURNING id, tenant_id, key_id, state, ready, owner, revision
), {self.name}_events AS (
    INSERT INTO job_events (job_id, seq, to_state, reason) SELECT id, revision, state, {self.reason} FROM {self.name}
)"""  # noqa: S608

    def changes(self) -> str:
        """What they change of each count."""
        return _changes(self.name, was=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What becomes of jobs that are there.

    rows: a CTE that has locked them and gives their `WAS` columns; `before` in all that follows, all of which is SQL, while
    `jobs` is the row that is changed.
    state: that of the row after; None: it stays. reason: the event's, of each job whose state changes. also_told: which of the
    others have an event, too; only they and those have a new revision.
    sets: further columns. An UPDATE judges CHECKs by the row that its statement saw first, before it finds that another has
    changed it. So where a CHECK binds what is set to columns that are not, it is taken from `jobs`, as they are.
    returning: what the CTE `name` gives beside id, tenant_id, key_id, state, ready, owner, revision,
    the `WAS` columns and `event_reason`.
    """

    rows: str
    sets: str
    state: str | None = None
    reason: str | None = None
    also_told: str = "false"
    returning: str = ""
    name: str = "moved"

    def __post_init__(self) -> None:
        if _OWN.search(self.sets):
            raise ValueError("a Move sets state and revision by itself: expected `state=`, such as \"'running'\"")
        if self.state is not None and self.reason is None:
            raise ValueError("another state is told: expected `reason=`, such as \"'accepted'\"")

    def ctes(self) -> str:
        """The CTEs that write them."""
        returning = f",\n        {self.returning.strip()}" if self.returning else ""
        if self.state is None:
            return self._update("", returning)
        told = f"(({self.state}) <> before.was_state OR {self.also_told})"
        sets = f"state = {self.state}, revision = before.was_revision + {told}::integer, "
        return f"""{self._update(sets, f", {self.reason} AS event_reason{returning}")}, {self.name}_events AS (
    INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
    SELECT id, revision, was_state, state, event_reason FROM {self.name} WHERE revision <> was_revision
)"""  # noqa: S608

    def _update(self, sets: str, returning: str) -> str:
        return f"""{self.name} AS (
    UPDATE jobs SET {sets}{self.sets.strip()}
    FROM {self.rows} AS before WHERE jobs.id = before.id
    RETURNING jobs.id, jobs.tenant_id, jobs.key_id, jobs.state, jobs.ready, jobs.owner, jobs.revision, before.was_state,
        before.was_ready, before.was_owner, before.was_revision{returning}
)"""  # noqa: S608

    def changes(self) -> str:
        """What they change of each count."""
        return _changes(self.name, was="was_")


def transition(
    *moves: Move | Entry, virtual_times: str | None = None, locked: str | None = None, locked_before: bool = False
) -> str:
    """CTEs that write these moves, no job in two of them, and count them; the last one is `counted`, which says of each queue
    whether its next job is `runnable` now, or may be.

    `virtual_times`: a CTE (subject_id, virtual_time) of what queues, whose counts change here, have come to. `locked`: a CTE that
    has locked these queues and gives their counts. `locked_before`: an earlier statement of the transaction has locked them.
    Without either they are locked here.

    Counts are added to what was read under lock: an UPDATE judges CHECKs by the row that its statement saw first, before it
    finds that another has changed it.
    """
    held = "queues" if locked_before else "held"
    sets = [f"{name} = {held}.{name} + moves.{name}" for name in _COUNTS]
    times = ""
    if virtual_times is not None:
        sets.append("virtual_time = greatest(queues.virtual_time, times.virtual_time)")
        times = f" LEFT JOIN {virtual_times} AS times USING (subject_id)"
    changed = " OR ".join(f"{name} <> 0" for name in _COUNTS)
    queues = "queue_moves" if locked_before else locked or "queue_locks"
    joined = "" if locked_before else f" JOIN {queues} AS held USING (subject_id)"
    return f"""{", ".join(move.ctes() for move in moves)}, queue_moves AS MATERIALIZED (
    SELECT subject_id, {", ".join(f"sum({name})::integer AS {name}" for name in _COUNTS)}
    FROM ({" UNION ALL ".join(move.changes() for move in moves)}) AS changed
    CROSS JOIN LATERAL (VALUES (tenant_id), (key_id)) AS subject (subject_id)
    WHERE {changed} GROUP BY subject_id
){_locking(changed) if queues == "queue_locks" else ""}, counted AS (
    UPDATE queues SET {", ".join(sets)}
    FROM queue_moves AS moves{joined}{times}
    WHERE queues.subject_id = moves.subject_id AND queues.subject_id = ANY (ARRAY(SELECT subject_id FROM {queues}))
    RETURNING queues.runnable OR queues.kept_out AS runnable
)"""  # noqa: S608


def _locking(changed: str) -> str:
    """The CTE that locks the queues whose counts change."""
    return f""", queue_locks AS MATERIALIZED (
    SELECT subject_id, {", ".join(_COUNTS)} FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM queue_moves WHERE {changed})) ORDER BY subject_id FOR UPDATE
)"""  # noqa: S608


def holding(*, rows: str, sets: str, returning: str, name: str) -> str:
    """A CTE that changes the holder of running jobs, of which a queue does not know who holds them: nothing is counted. `rows`: a
    CTE with the ids of running jobs that are locked."""
    return f"""{name} AS (
    UPDATE jobs SET {sets.strip()}
    WHERE id = ANY (ARRAY(SELECT id FROM {rows})) AND state = 'running'
    RETURNING {returning.strip()}
)"""  # noqa: S608
