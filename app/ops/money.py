"""What must be true of every credit at every instant. One statement each, as in `invariants`.

Read are all transfers some five times, by hash, and all jobs twice: a million transfers take seconds.
"""

from app.ops.invariants import Invariant

_TRANSFERS = "SELECT count(*) FROM transfers"

# Whose balance is not what the transfers add up to? An adjustment of a job's charge lessens what is posted.
FOLD = """
SELECT
    transfer.tenant_id,
    coalesce(sum(CASE
        WHEN transfer.kind = 'grant' THEN transfer.amount
        WHEN transfer.kind = 'expire' THEN -transfer.amount
        WHEN transfer.kind = 'adjust' AND transfer.job_id IS NULL THEN transfer.amount
    END), 0) AS granted,
    coalesce(sum(CASE
        WHEN transfer.kind = 'post' THEN transfer.amount
        WHEN transfer.kind = 'adjust' AND transfer.job_id IS NOT NULL THEN -transfer.amount
    END), 0) AS posted,
    coalesce(sum(transfer.amount) FILTER (WHERE transfer.kind = 'hold'), 0)
        - coalesce(sum(held.amount) FILTER (WHERE transfer.kind IN ('post', 'release')), 0) AS held
FROM transfers AS transfer LEFT JOIN transfers AS held ON held.id = transfer.hold_id
GROUP BY transfer.tenant_id
"""
_BALANCES = f"""
SELECT coalesce(balance.tenant_id, fold.tenant_id) AS id FROM balances AS balance
FULL JOIN ({FOLD}) AS fold ON fold.tenant_id = balance.tenant_id
WHERE balance.tenant_id IS NULL OR (balance.granted, balance.posted, balance.held)
    IS DISTINCT FROM (coalesce(fold.granted, 0), coalesce(fold.posted, 0), coalesce(fold.held, 0))
"""  # noqa: S608

# Who is further below nothing than may be? And who has no balance?
_AVAILABLE = """
SELECT tenant.id FROM tenants AS tenant LEFT JOIN balances AS balance ON balance.tenant_id = tenant.id
WHERE balance.tenant_id IS NULL OR balance.granted - balance.posted - balance.held < -balance.overdraft
"""

# Which jobs have not held what they say, or not resolved it once when they ended, or before?
_HOLDS = """
SELECT coalesce(job.id, held.job_id) AS id
FROM jobs AS job
FULL JOIN (SELECT job_id, tenant_id, id, amount FROM transfers WHERE kind = 'hold') AS held ON held.job_id = job.id
LEFT JOIN transfers AS resolution ON resolution.hold_id = held.id AND resolution.kind IN ('post', 'release')
WHERE job.id IS NULL
    OR coalesce(held.amount, 0) <> job.held_micro
    OR held.tenant_id <> job.tenant_id
    OR (held.id IS NOT NULL AND (resolution.id IS NOT NULL) <> (job.finished_at IS NOT NULL))
"""

# Which resolutions are of another job's hold, or of another amount than they may be?
_RESOLUTIONS = """
SELECT resolution.id FROM transfers AS resolution
LEFT JOIN transfers AS held ON held.id = resolution.hold_id AND held.kind = 'hold'
WHERE resolution.kind IN ('post', 'release') AND (
    held.id IS NULL OR held.job_id <> resolution.job_id OR held.tenant_id <> resolution.tenant_id
    OR resolution.amount > held.amount OR (resolution.kind = 'release' AND resolution.amount <> held.amount)
)
UNION ALL
SELECT (array_agg(id ORDER BY created_at DESC))[1] FROM transfers WHERE kind IN ('post', 'release')
GROUP BY hold_id HAVING count(*) > 1
"""

# Whose charge is not what was posted for them, or was charged though it failed?
_CHARGES = """
SELECT coalesce(job.id, paid.job_id) AS id
FROM jobs AS job
FULL JOIN (
    SELECT job_id, sum(CASE kind WHEN 'post' THEN amount ELSE -amount END) AS amount
    FROM transfers WHERE kind IN ('post', 'adjust') AND job_id IS NOT NULL GROUP BY job_id
) AS paid ON paid.job_id = job.id
WHERE coalesce(paid.amount, 0) <> coalesce(job.charged_micro, 0)
    OR (job.charged_micro > 0 AND (job.state = 'failed' OR job.finished_at IS NULL))
"""

# In whose lots is other than the balance says will expire? Which lots have given away more than they had?
_LOTS = """
SELECT balance.tenant_id AS id
FROM balances AS balance
LEFT JOIN (SELECT tenant_id, sum(left_micro) AS amount FROM lots GROUP BY tenant_id) AS lot USING (tenant_id)
WHERE balance.expiring <> coalesce(lot.amount, 0)
UNION ALL
SELECT lot.tenant_id FROM lots AS lot LEFT JOIN transfers AS made ON made.id = lot.id AND made.kind = 'grant'
WHERE made.amount IS DISTINCT FROM lot.amount
UNION ALL
SELECT gone.tenant_id FROM (
    SELECT lot_id, tenant_id, sum(amount) AS amount FROM transfers WHERE kind = 'expire' GROUP BY lot_id, tenant_id
) AS gone LEFT JOIN lots AS lot ON lot.id = gone.lot_id
WHERE lot.id IS NULL OR gone.amount + lot.left_micro > lot.amount
"""

# Which jobs may have cost us what nobody pays, without being listed? Those of before the ledger had no hold.
_EXPOSED = """
SELECT job.id FROM jobs AS job
JOIN job_events AS last ON last.job_id = job.id AND last.seq = job.revision
WHERE job.finished_at IS NOT NULL AND job.held_micro > 0
    AND (
        job.cost_micro > job.charged_micro
        OR last.reason = 'submission_unknown'
        OR (job.upstream_id IS NOT NULL AND last.reason IN (
            'result_lost', 'result_too_large', 'result_unreadable', 'upstream_unavailable', 'poison'
        ))
    )
    AND NOT EXISTS (SELECT FROM exposures WHERE exposures.job_id = job.id)
"""

# Whose use by the hour is not what was posted?
_USAGE = """
SELECT coalesce(used.tenant_id, paid.tenant_id) AS id
FROM (SELECT tenant_id, sum(charged_micro) AS amount FROM usage_hours GROUP BY tenant_id) AS used
FULL JOIN (
    SELECT tenant_id, sum(CASE kind WHEN 'post' THEN amount ELSE -amount END) AS amount
    FROM transfers WHERE kind = 'post' OR (kind = 'adjust' AND job_id IS NOT NULL) GROUP BY tenant_id
) AS paid ON paid.tenant_id = used.tenant_id
WHERE coalesce(used.amount, 0) <> coalesce(paid.amount, 0)
"""

OF_MONEY = (
    Invariant(
        "balances", 3, "{checked} transfers add up to the balances, to the micro-credit", _TRANSFERS, _BALANCES,
        ids="tenant",
    ),
    Invariant(
        "available", 3, "{checked} balances are no further below nothing than they may be",
        "SELECT count(*) FROM balances", _AVAILABLE, ids="tenant",
    ),
    Invariant(
        "holds", 3, "{checked} holds are resolved once where their job has ended, and not before",
        f"{_TRANSFERS} WHERE kind = 'hold'", _HOLDS,
    ),
    Invariant(
        "resolutions", 3, "{checked} posts and releases are of their own job's hold, and no more than it",
        f"{_TRANSFERS} WHERE kind IN ('post', 'release')", _RESOLUTIONS, ids="transfer",
    ),
    Invariant(
        "charges", 4, "{checked} ended jobs were charged what was posted, and nothing where they FAILED",
        "SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL", _CHARGES,
    ),
    Invariant(
        "lots", 3, "{checked} lots of credit that expires have what is left of them", "SELECT count(*) FROM lots",
        _LOTS, ids="tenant",
    ),
    Invariant(
        "exposed", 4, "{checked} exposures list every job that may have cost us what nobody pays",
        "SELECT count(*) FROM exposures", _EXPOSED,
    ),
    Invariant(
        "usage", 3, "{checked} hours of use add up to what was posted, less what was corrected", "SELECT count(*) FROM usage_hours", _USAGE,
        ids="tenant",
    ),
)  # fmt: skip
