-- How do jobs change hands, and their tenant's queue come to a virtual time?
WITH held AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.id = ANY (:job_ids::uuid[]) FOR UPDATE OF job
), times AS (
    SELECT :tenant_id::uuid AS subject_id, :virtual_time::double precision AS virtual_time
), moved AS (
    UPDATE jobs SET owner = CASE WHEN before.was_owner IS NULL THEN jobs.id END
    FROM held AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }}), {{ counted_of_claim }}
SELECT
