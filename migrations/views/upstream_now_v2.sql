CREATE OR REPLACE VIEW ops.upstream_now AS
SELECT
    CASE
        WHEN pause.id IS NOT NULL THEN 'operator'
        WHEN state.paused_until > now() OR state.paused_reason IS NOT NULL THEN state.paused_reason
        WHEN state.broken_at IS NOT NULL THEN 'unavailable'
        WHEN state.resume_at > now() THEN 'throttled'
    END AS paused_reason,
    CASE
        WHEN pause.id IS NOT NULL THEN pause.note
        ELSE state.paused_detail
    END AS paused_detail,
    CASE
        WHEN pause.id IS NOT NULL THEN pause.since
        WHEN state.paused_reason IS NOT NULL THEN state.paused_since
        WHEN state.broken_at IS NOT NULL THEN state.broken_at
        WHEN state.resume_at > now() THEN state.cut_at
    END AS paused_since,
    CASE
        WHEN pause.id IS NOT NULL THEN NULL
        WHEN state.paused_reason IS NOT NULL THEN state.paused_until
        WHEN state.broken_at IS NULL AND state.resume_at > now() THEN state.resume_at
    END AS paused_until,
    60 * least(state.rate, state.ceiling_per_minute / 60) AS budget_per_minute,
    lately.used AS used_per_minute,
    lately.refused AS throttled_per_minute,
    state.limit_per_minute AS learned_per_minute,
    state.doubt < 4.6 AS polls_count
FROM upstream_state AS state
LEFT JOIN pauses AS pause ON pause.tenant_id IS NULL AND pause.model IS NULL
CROSS JOIN (
    SELECT
        coalesce(sum(submits + reads - refused_submits - refused_reads), 0)::integer AS used,
        coalesce(sum(refused_submits + refused_reads), 0)::integer AS refused
    FROM upstream_seconds WHERE at > now() - interval '60 seconds'
) AS lately

COMMENT ON VIEW ops.upstream_now IS 'What the upstream is asked a minute, and whether submits to it wait just now, and why. One row. Pauses of one tenant or model: ops.pauses.'

COMMENT ON COLUMN ops.upstream_now.paused_reason IS 'operator: paused by hand. account: our key or credits there are in trouble, see to it. unavailable: hardly anything is answered; a few requests go on to find out when it is back. throttled: it has said 429, we go on in a moment. Null: nothing waits.'

COMMENT ON COLUMN ops.upstream_now.paused_detail IS 'The upstream''s own words, or the operator''s.'

COMMENT ON COLUMN ops.upstream_now.paused_since IS 'Since when.'

COMMENT ON COLUMN ops.upstream_now.paused_until IS 'When the next submit is tried; null while nobody can say.'

COMMENT ON COLUMN ops.upstream_now.budget_per_minute IS 'How many requests a minute go out at most just now: what was learned, or the configured ceiling where that is lower.'

COMMENT ON COLUMN ops.upstream_now.used_per_minute IS 'Submits, polls and fetches of the last minute, without those answered 429.'

COMMENT ON COLUMN ops.upstream_now.throttled_per_minute IS 'Requests of the last minute that were answered 429.'

COMMENT ON COLUMN ops.upstream_now.learned_per_minute IS 'What the upstream was seen to take when it last said 429. Null: it never has.'

COMMENT ON COLUMN ops.upstream_now.polls_count IS 'Whether polls and fetches are believed to count towards that, and share the budget.'
