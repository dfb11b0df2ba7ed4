-- What are the latest :exchanges_max exchanges of this job?
SELECT id, at, kind, attempt, status_code, outcome, duration_seconds, detail FROM (
    SELECT id, at, kind, attempt, status_code, outcome, duration_seconds, detail FROM upstream_exchanges
    WHERE job_id = :job_id ORDER BY id DESC LIMIT :exchanges_max
) AS latest ORDER BY id
