-- Which replayed submits have no job, or one of another tenant?
WITH found AS (
    SELECT refusal.id FROM refusals AS refusal
    LEFT JOIN jobs AS job ON job.id = refusal.job_id AND job.tenant_id = refusal.tenant_id
    WHERE (refusal.code = 'replayed' AND job.id IS NULL) OR refusal.count < 1
), counted AS (
    SELECT coalesce(sum(count), 0) AS number FROM refusals WHERE code = 'replayed'
), {{ proof }}
