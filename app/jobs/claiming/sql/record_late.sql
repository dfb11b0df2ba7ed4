-- Which outcomes of attempts came too late to change their jobs?
-- An upstream id that is not the job's own is stored as an observation. If the job has another id, the upstream has started it
-- twice. A repeated call changes nothing.
WITH asked AS ({{ submit_records }}), patience AS MATERIALIZED ({{ patience }}), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    SELECT 'submit', id, attempt, status_code, outcome, duration_seconds,
        CASE WHEN EXISTS (SELECT FROM jobs AS owner WHERE owner.upstream_id = asked.upstream_id AND owner.id <> asked.id)
            THEN 'upstream_id_taken' ELSE detail END
    FROM asked
    WHERE NOT EXISTS (
        SELECT FROM upstream_exchanges AS kept WHERE kept.job_id = asked.id AND kept.attempt = asked.attempt
            AND kept.kind = 'submit' AND kept.outcome = asked.outcome AND kept.duration_seconds = asked.duration_seconds
    )
), done AS (
    UPDATE attempts SET sender_done = true FROM asked
    WHERE attempts.job_id = asked.id AND attempts.attempt = asked.attempt AND NOT sender_done
), another AS (
    SELECT job.id, asked.attempt, job.tenant_id, job.held_micro, job.upstream_id AS own_id, asked.upstream_id
    FROM asked JOIN jobs AS job ON job.id = asked.id AND job.upstream_id IS DISTINCT FROM asked.upstream_id
    WHERE asked.upstream_id IS NOT NULL AND (SELECT taken FROM patience)
), observed AS (
    INSERT INTO upstream_observations (job_id, attempt, upstream_id, worker)
    SELECT id, attempt, upstream_id, :worker FROM another ON CONFLICT DO NOTHING
), second_starts AS (
    SELECT id, tenant_id, upstream_id, held_micro FROM another WHERE own_id IS NOT NULL
)
{{ expose_second_starts(rows=second_starts) }}
