-- When is the next probe of a pause sent, if its last probe was this job and was answered 403?
UPDATE pauses SET
    probe_job_id = NULL, refusals = least(refusals + 1, 1000),
    -- twice the last time, up to a maximum; the inner bound only keeps the power finite
    probe_at = now() + make_interval(secs => least(:seconds_max, :seconds_first * power(2, least(refusals + 1, 20))))
WHERE probe_job_id = :job_id AND probe_at IS NOT NULL
