"""What must be true of the webhooks at every instant."""

from app.ops.invariants import LATE_SECONDS, Invariant

_DELIVERIES = "SELECT count(*) FROM webhook_deliveries"

# Which ended jobs have no event of their end, or an event of another end?
_ENDED = """
SELECT job.id FROM jobs AS job
LEFT JOIN webhook_events AS event ON event.job_id = job.id AND event.type = 'job.' || job.state
WHERE job.finished_at IS NOT NULL AND event.id IS NULL
UNION ALL
SELECT event.job_id FROM webhook_events AS event JOIN jobs AS job ON job.id = event.job_id
WHERE event.type IN ('job.completed', 'job.failed', 'job.canceled') AND event.type <> 'job.' || job.state
"""

# Whose events are not numbered 1 to n, n being what their feed says?
_FEEDS = """
SELECT coalesce(feed.tenant_id, told.tenant_id) AS id
FROM event_feeds AS feed
FULL JOIN (
    SELECT tenant_id, count(*) AS number, min(position) AS first, max(position) AS last
    FROM webhook_events GROUP BY tenant_id
) AS told ON told.tenant_id = feed.tenant_id
WHERE feed.tenant_id IS NULL OR told.tenant_id IS NULL
    OR told.first <> 1 OR told.last <> feed.last OR told.number <> feed.last
"""

# Which jobs have a URL of their own that was owed an event, and no delivery of it?
_OWED = """
SELECT hook.job_id AS id
FROM job_webhooks AS hook
JOIN webhook_events AS event ON event.job_id = hook.job_id AND event.type = ANY (hook.events)
LEFT JOIN webhook_deliveries AS delivery ON delivery.event_id = event.id AND delivery.target_id = hook.target_id
WHERE delivery.id IS NULL
"""

# Which deliveries belong to no event or no target, or to those of another tenant?
_BELONG = """
SELECT delivery.id FROM webhook_deliveries AS delivery
LEFT JOIN webhook_events AS event ON event.id = delivery.event_id AND event.tenant_id = delivery.tenant_id
LEFT JOIN webhook_targets AS target ON target.id = delivery.target_id AND target.tenant_id = delivery.tenant_id
WHERE event.id IS NULL OR target.id IS NULL OR event.type <> delivery.type
    OR event.job_id IS DISTINCT FROM delivery.job_id
"""

# Which deliveries were tried with a body that is not frozen?
_FROZEN = """
SELECT delivery.id FROM webhook_deliveries AS delivery JOIN webhook_events AS event ON event.id = delivery.event_id
WHERE event.body IS NULL AND (delivery.status = 'delivered' OR delivery.last_status_code IS NOT NULL)
"""

# Which deliveries will nobody try again, though they are neither delivered nor listed as exhausted? (No worker sweeps, if
# there are any.)
_TRIED = f"""
SELECT id FROM webhook_deliveries
WHERE (status = 'pending') <> (due_at IS NOT NULL)
    OR (status = 'sending' AND lease_until < now() - make_interval(secs => {LATE_SECONDS}))
    OR (status = 'delivered' AND delivered_at IS NULL)
    OR (status = 'exhausted' AND last_error IS NULL)
"""  # noqa: S608

# Which delivered ones have no attempt that was answered with 2xx, as far back as attempts are kept?
_DELIVERED = """
SELECT delivery.id FROM webhook_deliveries AS delivery
WHERE delivery.status = 'delivered' AND delivery.delivered_at > now() - interval '50 days'
    AND NOT EXISTS (
        SELECT FROM webhook_attempts AS attempt
        WHERE attempt.delivery_id = delivery.id AND attempt.outcome = 'delivered'
    )
"""

OF_WEBHOOKS = (
    Invariant(
        "events",
        7,
        "{checked} ended jobs have the event of their end",
        "SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL",
        _ENDED,
    ),
    Invariant(
        "feeds",
        7,
        "{checked} events are numbered without a gap",
        "SELECT count(*) FROM webhook_events",
        _FEEDS,
        ids="tenant",
    ),
    Invariant(
        "owed", 7, "{checked} jobs have a URL of their own, and what it asked for", "SELECT count(*) FROM job_webhooks", _OWED
    ),
    Invariant("belong", 8, "{checked} deliveries are of an event and to a receiver of the same tenant", _DELIVERIES, _BELONG, ids="delivery"),
    Invariant("frozen", 7, "{checked} deliveries have the bytes they were first tried with", _DELIVERIES, _FROZEN, ids="delivery"),
    Invariant("tried", 7, "{checked} deliveries are delivered, listed as exhausted, or will be tried again", _DELIVERIES, _TRIED, ids="delivery"),
    Invariant(
        "delivered",
        7,
        "{checked} delivered ones were answered with 2xx",
        f"{_DELIVERIES} WHERE status = 'delivered'",
        _DELIVERED,
        ids="delivery",
    ),
)  # fmt: skip
