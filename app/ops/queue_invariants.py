"""What must be true of the lines that jobs stand in, and of the counts of them, at every instant."""

from app.ops.invariants import LATE_SECONDS, Invariant

# Whose counts are not those of the jobs? A key has counts only where it has limits of its own, or had.
_COUNTS = """
WITH unfinished AS (
    SELECT
        tenant_id, key_id, count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE ready) AS ready,
        count(*) FILTER (WHERE state = 'queued' AND owner IS NOT NULL) AS claimed,
        count(*) FILTER (WHERE state <> 'queued') AS in_flight
    FROM jobs WHERE state IN ('queued', 'sending', 'unknown', 'running')
    GROUP BY tenant_id, key_id
), real AS (
    SELECT tenant_id AS subject_id, sum(queued) AS queued, sum(ready) AS ready, sum(claimed) AS claimed, sum(in_flight) AS in_flight
    FROM unfinished GROUP BY tenant_id
    UNION ALL
    SELECT key_id, sum(queued), sum(ready), sum(claimed), sum(in_flight)
    FROM unfinished WHERE key_id IN (SELECT subject_id FROM queues) GROUP BY key_id
)
SELECT coalesce(queues.subject_id, real.subject_id) AS id
FROM queues FULL JOIN real ON real.subject_id = queues.subject_id
WHERE queues.subject_id IS NULL
    OR (queues.queued, queues.ready, queues.claimed, queues.in_flight)
        <> (coalesce(real.queued, 0), coalesce(real.ready, 0), coalesce(real.claimed, 0), coalesce(real.in_flight, 0))
"""

# Whose queue has other limits or another weight than its tenant or key is given?
_LIMITS = """
SELECT tenant.id FROM tenants AS tenant LEFT JOIN queues ON queues.subject_id = tenant.id
WHERE queues.subject_id IS NULL
    OR (queues.weight, queues.max_in_flight, queues.max_queued)
        IS DISTINCT FROM (tenant.weight, tenant.max_in_flight, tenant.max_queued)
UNION ALL
SELECT key.id FROM api_keys AS key LEFT JOIN queues ON queues.subject_id = key.id
WHERE (queues.max_in_flight, queues.max_queued) IS DISTINCT FROM (key.max_in_flight, key.max_queued)
"""

# Which jobs are due, and nobody has put them in line? (No worker sweeps, if there are any.)
_LINE = f"""
SELECT id FROM jobs
WHERE state = 'queued' AND NOT ready AND due_at < now() - make_interval(secs => {LATE_SECONDS})
"""  # noqa: S608

OF_QUEUES = (
    Invariant(
        "counts",
        10,
        "{checked} queues count the jobs that wait and are under way",
        "SELECT count(*) FROM queues",
        _COUNTS,
        ids="tenant or key",
    ),
    Invariant(
        "limits",
        10,
        "{checked} queues have the limits and weights that are configured",
        "SELECT count(*) FROM queues",
        _LIMITS,
        ids="tenant or key",
    ),
    Invariant(
        "line",
        10,
        "{checked} jobs wait in line or for their time",
        "SELECT count(*) FROM jobs WHERE state = 'queued'",
        _LINE,
    ),
)
