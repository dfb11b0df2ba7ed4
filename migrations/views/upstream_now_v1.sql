CREATE VIEW ops.upstream_now AS
SELECT
    CASE
        WHEN pause.id IS NOT NULL THEN 'operator'
        WHEN state.paused_until > now() OR state.paused_reason = 'account' THEN state.paused_reason
    END AS paused_reason,
    CASE
        WHEN pause.id IS NOT NULL THEN pause.note
        WHEN state.paused_until > now() OR state.paused_reason = 'account' THEN state.paused_detail
    END AS paused_detail,
    CASE
        WHEN pause.id IS NOT NULL THEN pause.since
        WHEN state.paused_until > now() OR state.paused_reason = 'account' THEN state.paused_since
    END AS paused_since,
    CASE
        WHEN pause.id IS NULL AND (state.paused_until > now() OR state.paused_reason = 'account')
            THEN state.paused_until
    END AS paused_until
FROM upstream_state AS state
LEFT JOIN pauses AS pause ON pause.tenant_id IS NULL AND pause.model IS NULL

COMMENT ON VIEW ops.upstream_now IS 'Whether submits to the upstream wait just now, and why. One row. Pauses of one tenant or model: ops.pauses.'

COMMENT ON COLUMN ops.upstream_now.paused_reason IS 'operator: paused by hand. throttled: it asked us to slow down. account: our key or credits there are in trouble, see to it. Null: nothing waits.'

COMMENT ON COLUMN ops.upstream_now.paused_detail IS 'The upstream''s own words, or the operator''s.'

COMMENT ON COLUMN ops.upstream_now.paused_since IS 'Since when.'

COMMENT ON COLUMN ops.upstream_now.paused_until IS 'When the next submit is tried; null while an operator''s pause holds.'
