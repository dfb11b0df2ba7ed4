-- A query for attempts and the requests of the upstream that they are to get.
SELECT * FROM unnest(:job_id::uuid[], :attempt::smallint[], :upstream_id::text[]) AS asked (job_id, attempt, upstream_id)
