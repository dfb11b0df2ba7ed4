-- What remains of an ended job whose request belongs to another job?
-- The caller has locked it and returned its charge. Its status stays, also the message of one that FAILED.
WITH held AS (
    SELECT id, state, late_result FROM jobs WHERE id = :job_id
), settled AS (
    UPDATE attempts SET outcome = 'unknown', upstream_id = NULL WHERE job_id = :job_id AND upstream_id = :upstream_id
), results AS (
    UPDATE job_results SET body = NULL, original = NULL FROM held
    WHERE job_results.job_id = held.id AND (held.state <> 'failed' OR held.late_result)
)
UPDATE jobs SET upstream_id = NULL, cost_micro = NULL, charged_micro = 0, late_result = false, recovered = false,
    withdrawn_at = CASE WHEN held.state = 'completed' OR held.late_result THEN now() END
FROM held WHERE jobs.id = held.id
