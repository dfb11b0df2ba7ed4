-- Which jobs have events with a gap, or with a step that is not a declared transition?
WITH found AS (
    SELECT told.job_id AS id FROM (
        SELECT
            job_id, seq, from_state, to_state,
            coalesce(lag(seq) OVER history, 0) AS seq_before, lag(to_state) OVER history AS state_before
        FROM job_events WINDOW history AS (PARTITION BY job_id ORDER BY seq)
    ) AS told
    WHERE told.seq <> told.seq_before + 1
        OR told.from_state IS DISTINCT FROM told.state_before
        OR CASE WHEN told.seq = 1 THEN told.to_state <> 'queued'
            ELSE (told.from_state, told.to_state) NOT IN (
                SELECT arrow.from_state, arrow.to_state
                FROM unnest(:from_states::text[], :to_states::text[]) AS arrow (from_state, to_state)
            )
        END
), counted AS (
    SELECT count(*) AS number FROM job_events
), {{ proof_of_jobs }}
