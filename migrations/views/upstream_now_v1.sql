CREATE VIEW ops.upstream_now AS
SELECT
    CASE WHEN paused_until > now() OR paused_reason = 'account' THEN paused_reason END AS paused_reason,
    CASE WHEN paused_until > now() OR paused_reason = 'account' THEN paused_detail END AS paused_detail,
    CASE WHEN paused_until > now() OR paused_reason = 'account' THEN paused_since END AS paused_since,
    CASE WHEN paused_until > now() OR paused_reason = 'account' THEN paused_until END AS paused_until
FROM upstream_state

COMMENT ON VIEW ops.upstream_now IS 'Whether submits to the upstream wait just now, and why. One row.'

COMMENT ON COLUMN ops.upstream_now.paused_reason IS 'throttled: it asked us to slow down. account: our key or credits there are in trouble, see to it. Null: nothing waits.'

COMMENT ON COLUMN ops.upstream_now.paused_detail IS 'The upstream''s own words.'

COMMENT ON COLUMN ops.upstream_now.paused_since IS 'Since when.'

COMMENT ON COLUMN ops.upstream_now.paused_until IS 'When the next submit is tried.'
