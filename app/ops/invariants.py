"""What must be true of the rows at every instant: one statement each, which sees one snapshot of a running system.

Each counts what it looked at and gives the ids of what is wrong. They read whole tables, in order or by hash, and keep
nothing in memory here: `job_events`, the largest, is read twice, `jobs` some ten times, bodies never.
"""

from dataclasses import dataclass
from datetime import datetime

from app.jobs.models import TRANSITIONS, State

LATE_SECONDS = 60
"""What a sweep puts right may be wrong for so long: sweeps come every second, and at most every 30."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`claim`: what holds, with `{checked}` in it. `counted`: how many things it is about. `wrong`: ids of those of which
    it does not hold. `guarantee`: its number in the list of guarantees."""

    name: str
    guarantee: int
    claim: str
    counted: str
    wrong: str
    ids: str = "job"

    @property
    def sql(self) -> str:
        """One statement: (checked, wrong, examples), the examples being the first ten ids."""
        shown = "'job_' || replace(id::text, '-', '')" if self.ids == "job" else "id::text"
        return f"""
            WITH wrong AS MATERIALIZED (SELECT DISTINCT id FROM ({self.wrong}) AS found)
            SELECT
                ({self.counted})::bigint AS checked,
                (SELECT count(*) FROM wrong) AS wrong,
                ARRAY(SELECT {shown} FROM wrong ORDER BY id LIMIT 10) AS examples
        """  # noqa: S608

    def sql_at(self, at: datetime) -> str:
        """The same, taking the time for `at`."""
        return self.sql.replace("now()", f"timestamptz '{at.isoformat()}'")


_JOBS = "SELECT count(*) FROM jobs"
_ATTEMPTS = "SELECT count(*) FROM attempts"

_ARROWS = ", ".join(
    f"('{one}', '{other}')" for one, others in TRANSITIONS.items() for other in sorted(others)
) + "".join(f", ('{state}', '{state}')" for state in (State.SENDING, State.UNKNOWN, State.RUNNING))
"""The declared arrows, and events that change no state: a cancel asked for, the upstream's progress."""

# Which accepted jobs lack what a tenant gave us, or the event of their acceptance?
_STORED = """
SELECT job.id FROM jobs AS job
LEFT JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_events AS event ON event.job_id = job.id AND event.seq = 1
WHERE input.job_id IS NULL OR event.job_id IS NULL
"""

# Which jobs have a history with a gap, or with a step that is not an arrow of the life cycle?
_PATH = f"""
SELECT told.job_id AS id FROM (
    SELECT
        job_id, seq, from_state, to_state,
        coalesce(lag(seq) OVER history, 0) AS seq_before, lag(to_state) OVER history AS state_before
    FROM job_events WINDOW history AS (PARTITION BY job_id ORDER BY seq)
) AS told
WHERE told.seq <> told.seq_before + 1
    OR told.from_state IS DISTINCT FROM told.state_before
    OR CASE WHEN told.seq = 1 THEN told.to_state <> 'queued' ELSE (told.from_state, told.to_state) NOT IN ({_ARROWS}) END
"""  # noqa: S608

# Which jobs are not where their last event says? And which events belong to no job, or come after the last?
_LAST = """
SELECT coalesce(job.id, last.job_id) AS id
FROM jobs AS job
FULL JOIN (SELECT job_id, max(seq) AS seq FROM job_events GROUP BY job_id) AS last ON last.job_id = job.id
LEFT JOIN job_events AS event ON event.job_id = last.job_id AND event.seq = last.seq
WHERE job.id IS NULL OR last.job_id IS NULL OR job.revision <> last.seq OR job.state <> event.to_state
"""

# Which jobs are final without their instant, or the other way round, or ended and still in somebody's hands?
_FINAL = """
SELECT id FROM jobs
WHERE (state IN ('completed', 'failed', 'canceled')) <> (finished_at IS NOT NULL)
    OR (finished_at IS NOT NULL AND (lease_until IS NOT NULL OR owner IS NOT NULL))
    OR (state = 'canceled' AND cancel_requested_at IS NULL)
"""

# Which unfinished jobs would the engine never look at again? Only those may wait without end that a pause holds, or the
# limit of their key.
_DUE = """
SELECT id FROM jobs AS job
WHERE (finished_at IS NULL) <> (due_at IS NOT NULL)
    OR (due_at = 'infinity' AND NOT EXISTS (
        SELECT FROM pauses AS pause
        WHERE (pause.tenant_id IS NULL OR pause.tenant_id = job.tenant_id)
            AND (pause.model IS NULL OR pause.model = job.model)
            AND (pause.what = 'all' OR job.state = 'queued')
    ) AND NOT (job.state = 'queued' AND EXISTS (
        SELECT FROM queues AS key WHERE key.subject_id = job.key_id
    )))
"""

# Which jobs have an attempt on the wire that is not their latest, or are not being sent, or are sent without one?
_LIVE = """
SELECT coalesce(job.id, live.job_id) AS id
FROM (SELECT id, attempt FROM jobs WHERE state = 'sending') AS job
FULL JOIN (SELECT job_id, attempt FROM attempts WHERE settled_at IS NULL) AS live
    ON live.job_id = job.id AND live.attempt = job.attempt
WHERE job.id IS NULL OR live.job_id IS NULL
"""

# Which jobs' attempts are not numbered 1 to n, n being what the job says?
_NUMBERED = """
SELECT coalesce(job.id, tried.job_id) AS id
FROM (SELECT id, attempt FROM jobs WHERE attempt > 0) AS job
FULL JOIN (
    SELECT job_id, count(*) AS number, min(attempt) AS first, max(attempt) AS last FROM attempts GROUP BY job_id
) AS tried ON tried.job_id = job.id
WHERE job.id IS NULL OR tried.job_id IS NULL
    OR tried.first <> 1 OR tried.last <> job.attempt OR tried.number <> job.attempt
"""

# Which jobs were tried again although an earlier attempt may have arrived?
_AT_MOST_ONCE = """
SELECT tried.job_id AS id
FROM attempts AS tried JOIN jobs AS job ON job.id = tried.job_id
WHERE tried.attempt < job.attempt AND coalesce(tried.outcome, '') NOT IN ('not_sent', 'throttled', 'account')
"""

# Which jobs have an upstream id that no accepted attempt got, or an accepted attempt whose id they do not have?
_ACCEPTED = """
SELECT coalesce(job.id, won.job_id) AS id
FROM (SELECT id, attempt, upstream_id FROM jobs WHERE upstream_id IS NOT NULL) AS job
FULL JOIN (SELECT job_id, attempt, upstream_id FROM attempts WHERE outcome = 'accepted') AS won
    ON won.job_id = job.id AND won.attempt = job.attempt AND won.upstream_id = job.upstream_id
WHERE job.id IS NULL OR won.job_id IS NULL
"""

# Which jobs own a request of the upstream that another job owns or was given, too, without that being written down?
_OWNED = """
SELECT id FROM (SELECT min(id::text)::uuid AS id FROM jobs GROUP BY upstream_id HAVING count(upstream_id) > 1) AS twice
UNION
SELECT job.id FROM upstream_observations AS seen
JOIN jobs AS job ON job.upstream_id = seen.upstream_id AND job.id <> seen.job_id
WHERE NOT EXISTS (
    SELECT FROM upstream_exchanges AS exchange
    WHERE exchange.job_id = seen.job_id AND exchange.detail = 'upstream_id_taken'
)
"""

# Which COMPLETED jobs have no result?
_RESULTS = """
SELECT job.id FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.state = 'completed' AND (result.job_id IS NULL OR result.body IS NULL)
"""

# Which FAILED jobs do not say why, to programs and to people?
_FAILURES = """
SELECT job.id FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.state = 'failed' AND (job.error_code IS NULL OR coalesce(result.message, '') = '')
"""

# Which jobs are still called sending, though nobody can be sending them any more? (No worker sweeps, if there are any.)
_SENDING = f"""
SELECT id FROM jobs WHERE state = 'sending'
    AND (lease_until IS NULL OR lease_until < now() - make_interval(secs => {LATE_SECONDS}))
"""  # noqa: S608

# Which jobs have been unknown for longer than they may be? (No worker sweeps, if there are any.)
_UNKNOWN = f"""
SELECT id FROM jobs WHERE state = 'unknown' AND due_at < now() - make_interval(secs => {LATE_SECONDS})
"""  # noqa: S608

# Which jobs has the third worker in a row let go of, and are still not ended? (No worker sweeps, if there are any.)
_POISON = f"""
SELECT id FROM jobs
WHERE takeovers > 2 OR (takeovers = 2 AND lease_until < now() - make_interval(secs => {LATE_SECONDS}))
"""  # noqa: S608

# Which surfaces have other numbers of requests in the view than there are jobs, refusals and replays?
_REQUESTS = """
SELECT coalesce(shown.surface, kept.surface) AS id
FROM (
    SELECT
        surface, sum(count) FILTER (WHERE code = 'accepted') AS accepted,
        sum(count) FILTER (WHERE code <> 'accepted') AS others
    FROM ops.requests GROUP BY surface
) AS shown
FULL JOIN (
    SELECT surface, sum(jobs) AS accepted, sum(refused) AS others FROM (
        SELECT surface, count(*) AS jobs, NULL::numeric AS refused FROM jobs GROUP BY surface
        UNION ALL
        SELECT surface, NULL, sum(count) FROM refusals GROUP BY surface
    ) AS parts GROUP BY surface
) AS kept ON kept.surface = shown.surface
WHERE shown.accepted IS DISTINCT FROM kept.accepted OR shown.others IS DISTINCT FROM kept.others
"""

# Which replayed submits name no job, or one of another tenant?
_REPLAYS = """
SELECT refusal.id FROM refusals AS refusal
LEFT JOIN jobs AS job ON job.id = refusal.job_id AND job.tenant_id = refusal.tenant_id
WHERE (refusal.code = 'replayed' AND job.id IS NULL) OR refusal.count < 1
"""

OF_JOBS = (
    Invariant("stored", 1, "{checked} accepted jobs have their input and their first event", _JOBS, _STORED),
    Invariant(
        "path",
        1,
        "{checked} events have no gap, and each is an arrow of the life cycle",
        "SELECT count(*) FROM job_events",
        _PATH,
    ),
    Invariant("last", 1, "{checked} jobs are where their last event says", _JOBS, _LAST),
    Invariant(
        "requests",
        1,
        "{checked} requests are shown: accepted jobs, refusals and replays, no more and no fewer",
        "SELECT (SELECT count(*) FROM jobs) + (SELECT coalesce(sum(count), 0) FROM refusals)",
        _REQUESTS,
        ids="surface",
    ),
    Invariant(
        "replays",
        1,
        "{checked} replayed submits name a job of the same tenant",
        "SELECT coalesce(sum(count), 0) FROM refusals WHERE code = 'replayed'",
        _REPLAYS,
        ids="refusal",
    ),
    Invariant(
        "live",
        2,
        "{checked} attempts are on the wire, each the latest of a job that is being sent",
        f"{_ATTEMPTS} WHERE settled_at IS NULL",
        _LIVE,
    ),
    Invariant("numbered", 2, "{checked} attempts are numbered 1 to n of their job", _ATTEMPTS, _NUMBERED),
    Invariant(
        "at_most_once",
        2,
        "{checked} further attempts came only after ones that provably did not get there",
        f"{_ATTEMPTS} WHERE attempt > 1",
        _AT_MOST_ONCE,
    ),
    Invariant(
        "accepted",
        2,
        "{checked} accepted attempts gave their job its upstream id, and no job has another",
        f"{_ATTEMPTS} WHERE outcome = 'accepted'",
        _ACCEPTED,
    ),
    Invariant(
        "owned",
        2,
        "{checked} upstream ids belong to one job each; those given twice are listed",
        "SELECT count(upstream_id) FROM jobs",
        _OWNED,
    ),
    Invariant(
        "sending",
        2,
        f"{{checked}} jobs are being sent, none by a worker silent for {LATE_SECONDS} s",
        f"{_JOBS} WHERE state = 'sending'",
        _SENDING,
    ),
    Invariant(
        "unknown", 2, "{checked} jobs are unknown, none beyond its limit", f"{_JOBS} WHERE state = 'unknown'", _UNKNOWN
    ),
    Invariant(
        "final",
        1,
        "{checked} ended jobs have their instant and are in nobody's hands",
        f"{_JOBS} WHERE state IN ('completed', 'failed', 'canceled')",
        _FINAL,
    ),
    Invariant(
        "due", 1, "{checked} unfinished jobs will be looked at again", f"{_JOBS} WHERE finished_at IS NULL", _DUE
    ),
    Invariant(
        "poison", 9, "{checked} jobs have been taken over from a dead worker, none three times", f"{_JOBS} WHERE takeovers > 0", _POISON
    ),
    Invariant("results", 5, "{checked} COMPLETED jobs have their result", f"{_JOBS} WHERE state = 'completed'", _RESULTS),
    Invariant("failures", 4, "{checked} FAILED jobs say why", f"{_JOBS} WHERE state = 'failed'", _FAILURES),
)  # fmt: skip
