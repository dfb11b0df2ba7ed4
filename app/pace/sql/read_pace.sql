-- What is the rate estimate, what was granted in the last minute, and what stops all submits?
-- A transaction that waited for the lock gets the current row, but older data of everything else: `stale`.
SELECT
    {{ budget_columns }},
    state.tokens, state.read_tokens, date_part('epoch', state.refilled_at) AS refilled_at,
    lately.submits, lately.reads, lately.all_kinds,
    date_part('epoch', now()) AS now, state.ceiling_per_minute, state.virtual_time,
    -- as long as BREAK_SECONDS, in which exchanges are judged
    state.broken_at IS NOT NULL OR state.alarmed_at > now() - interval '10 seconds' AS alarmed,
    coalesce(state.paused_until > now(), false)
        OR EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model IS NULL) AS paused,
    state.paused_reason = 'account' AS doubted,
    -- jobs in flight are counted only if their number is limited
    CASE WHEN :for_submits AND state.max_in_flight IS NOT NULL THEN
        state.max_in_flight - (SELECT coalesce(sum(in_flight + claimed), 0) FROM queues WHERE subject_id = tenant_id)
    END AS places,
    state.xmin <> (SELECT before.xmin FROM upstream_state AS before) AS stale,
    -- The commit of this transaction does not wait for the disk, because the next claim would wait for it. If Postgres
    -- dies, a claim of the last moments may be lost. That is safe: a later, durable transaction (`open_attempts`)
    -- records that a job is sent, and it cannot exist without the claim.
    set_config('synchronous_commit', 'off', true) AS synchronous_commit
FROM upstream_state AS state CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(submits - refused_submits) FILTER (WHERE at > now() - interval '60 seconds'), 0) AS submits,
        coalesce(sum(reads - refused_reads) FILTER (WHERE at > now() - interval '60 seconds'), 0) AS reads,
        coalesce(sum(submits + reads), 0) AS all_kinds
    FROM upstream_seconds
    -- minutes are counted only if something is limited
    WHERE (state.limit_per_minute IS NOT NULL OR state.ceiling_per_minute IS NOT NULL)
        AND at > now() - interval '61 seconds'
) AS lately
FOR UPDATE OF state
