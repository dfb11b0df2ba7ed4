-- Were submits not paused before, now that they are paused for this reason?
UPDATE upstream_state AS state SET
    paused_until = greatest(state.paused_until, now() + make_interval(secs => :seconds)),
    paused_since = CASE WHEN state.paused_reason IS DISTINCT FROM :reason THEN now() ELSE state.paused_since END,
    paused_reason = :reason, paused_detail = :detail, pauses = least(state.pauses + 1, 1000), updated_at = now()
FROM (SELECT id, paused_reason FROM upstream_state FOR UPDATE) AS before
-- a pause for the account outranks one for another reason, and its detail is kept until it is over
WHERE state.id = before.id AND (state.paused_reason IS DISTINCT FROM 'account' OR :reason = 'account')
RETURNING before.paused_reason IS NULL
