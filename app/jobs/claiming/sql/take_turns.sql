-- How is a claim of queued jobs written: :going are claimed, :parked are parked, :coming_back become ready again?
-- Earlier statements of the transaction have locked all these rows.
WITH goes AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.id = ANY (:going::uuid[])
), leaves AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.id = ANY (:parked::uuid[])
), comes_back AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.id = ANY (:coming_back::uuid[])
), times AS (
    SELECT * FROM unnest(:subject_id::uuid[], :virtual_time::double precision[]) AS asked (subject_id, virtual_time)
), taken AS (
    UPDATE jobs SET lease_until = now() + make_interval(secs => :lease_seconds), owner = :owner, fence = jobs.fence + 1
    FROM goes AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, jobs.fence, jobs.model, jobs.retries, jobs.takeovers
), parked AS (
    UPDATE jobs SET ready = false, due_at = 'infinity' FROM leaves AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), back AS (
    UPDATE jobs SET ready = true, due_at = jobs.created_at FROM comes_back AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), changes AS (
    {{ changes_of(rows=taken) }} UNION ALL {{ changes_of(rows=parked) }} UNION ALL {{ changes_of(rows=back) }}
), {{ counted_of_claim }}, spent AS (
    UPDATE upstream_state SET virtual_time = greatest(virtual_time, :begins_at), tokens = :tokens,
        read_tokens = :read_tokens, refilled_at = greatest(refilled_at, now())
    WHERE cardinality(:going::uuid[]) > 0
), submits AS (
    SELECT cardinality(:going::uuid[]) AS number
), tallied AS ({{ count_granted(kind=submits, rows=submits, number=number) }})
SELECT taken.id, taken.tenant_id, taken.fence, taken.model, taken.retries, taken.takeovers, input.body
FROM taken CROSS JOIN LATERAL (SELECT body FROM job_inputs WHERE job_id = taken.id LIMIT 1) AS input
